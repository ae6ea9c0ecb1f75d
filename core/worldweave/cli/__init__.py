"""The worldweave command."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, cast

import typer

from worldweave.cli.bases import bases
from worldweave.cli.batch import batch
from worldweave.cli.bench import app as bench
from worldweave.cli.check import check
from worldweave.cli.convert import convert
from worldweave.cli.data import data
from worldweave.cli.demo import demo
from worldweave.cli.evaluate import evaluate
from worldweave.cli.generate import generate
from worldweave.cli.import_spec import import_spec
from worldweave.cli.job import is_started_by_torchrun
from worldweave.cli.new import new
from worldweave.cli.plan import plan
from worldweave.cli.plugins import app as plugins
from worldweave.cli.replay import replay
from worldweave.cli.schema import schema
from worldweave.cli.train import train
from worldweave_registry import WorldweaveError

app = typer.Typer(
    name="worldweave",
    help="One frozen video DiT, one control branch per modality, woven by maps.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    generate,
    plan,
    replay,
    batch,
    schema,
    import_spec,
    train,
    evaluate,
    bases,
    new,
    check,
    convert,
    demo,
):
    app.command()(command)
app.add_typer(plugins, name="plugins")
app.add_typer(data, name="data")
app.add_typer(bench, name="bench")

USER_ERROR = 2
#: As worldweave plan says where the memory is too small.
WILL_NOT_FIT = 3
INTERRUPTED = 130
#: Commands that share their work among the processes that torchrun has started.
SHARED = ("generate", "train")
#: Seconds that a silent process stays: torchrun ends all once one has left, also the
#: one that is about to tell.
SILENT = 3.0
# typer brings a click of its own, older ones the package click: this is the parent
# of all usage errors in either.
UsageError = cast("type[Exception]", typer.BadParameter.__bases__[0])


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code.

    A user's mistake is one line each on standard error and exit code 2; memory that
    runs out is one, too, and exit code 3.
    """
    argv = sys.argv[1:] if argv is None else argv
    command = typer.main.get_command(app)
    try:
        _refuse_torchrun(argv, command)
        code = command.main(
            argv or ["--help"], prog_name="worldweave", standalone_mode=False
        )
    except WorldweaveError as error:
        return _complain(str(error).splitlines())
    except UsageError as error:
        return _complain([_usage(error)])
    except OSError as error:
        # What no one foresaw: a folder that is a file, a disk taken away.
        where = f"{error.filename}: " if error.filename is not None else ""
        return _complain([f"{where}{error.strerror or error}; check the path"])
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        _complain([_out_of_memory(error)])
        return WILL_NOT_FIT
    # Whoever has started torchrun says so for all.
    if code == INTERRUPTED and not is_started_by_torchrun():
        _complain(["stopped; no half-written file is left"])
    return code if isinstance(code, int) else 0


def _refuse_torchrun(argv: list[str], command: Any) -> None:
    """Raise WorldweaveError where processes would all do the same work."""
    name = argv[0] if argv else ""
    if name in command.commands and name not in SHARED and is_started_by_torchrun():
        raise WorldweaveError(
            f"worldweave {name} runs in one process; start it without torchrun"
        )


def _complain(problems: list[str]) -> int:
    # Of torchrun's processes on a machine one tells.
    if is_started_by_torchrun() and os.environ.get("LOCAL_RANK") != "0":
        time.sleep(SILENT)
        return USER_ERROR
    for problem in problems:
        print(f"worldweave: {problem}", file=sys.stderr)
    return USER_ERROR


def _is_out_of_memory(error: Exception) -> bool:
    """Tell by names and words: torch takes seconds to import."""
    return (
        isinstance(error, MemoryError)
        or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
        or "DefaultCPUAllocator" in str(error)
    )


def _out_of_memory(error: Exception) -> str:
    said = str(error).strip().partition("\n")[0].rstrip(".")
    return (
        f"memory ran out{f': {said}' if said else ''}; make fewer frames at once or "
        "use a smaller base; worldweave plan tells what is needed"
    )


def _usage(error: Any) -> str:
    """Return what a usage error says, on one line, and whose help to read."""
    message = " ".join(error.format_message().split()).rstrip(".")
    # Newer typers leave checking to pydantic, which says what it expects but not
    # what it got.
    mistakes = getattr(error.__cause__, "errors", None)
    if mistakes is not None:
        message += f", not {mistakes()[0]['input']!r}"
    command = "worldweave" if error.ctx is None else error.ctx.command_path
    return f"{message}; see {command} --help"
