"""The worldweave command."""

from __future__ import annotations

import sys

import click
import typer

from worldweave.cli.convert import convert
from worldweave.cli.demo import demo
from worldweave.cli.evaluate import evaluate
from worldweave.cli.generate import generate
from worldweave.cli.plugins import plugins
from worldweave.cli.replay import replay
from worldweave.cli.train import train
from worldweave_registry import WorldweaveError

app = typer.Typer(
    name="worldweave",
    help="One frozen video DiT, one control branch per modality, woven by maps.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (generate, replay, train, evaluate, plugins, convert, demo):
    app.command()(command)

USER_ERROR = 2
INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code.

    A user's mistake is one line each on standard error and exit code 2.
    """
    command = typer.main.get_command(app)
    try:
        code = command.main(argv, prog_name="worldweave", standalone_mode=False)
    except WorldweaveError as error:
        return _complain(str(error).splitlines())
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.ctx.get_help() if error.ctx else error)
        return USER_ERROR
    except click.ClickException as error:
        return _complain([f"{error.format_message()}; see worldweave --help"])
    except (KeyboardInterrupt, click.Abort):
        print("worldweave: stopped; no half-written file is left", file=sys.stderr)
        return INTERRUPTED
    return code if isinstance(code, int) else 0


def _complain(problems: list[str]) -> int:
    for problem in problems:
        print(f"worldweave: {problem}", file=sys.stderr)
    return USER_ERROR
