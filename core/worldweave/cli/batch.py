"""worldweave batch: many requests from one file, each on a line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worldweave.cli import flags
from worldweave.cli.arguments import found

if TYPE_CHECKING:
    from worldweave.generate.batch_done import Item
    from worldweave.generate.generation import Tick

FAILED = 1
INTERRUPTED = 130


def batch(
    jobs: Annotated[
        Path, typer.Argument(help='Requests, one JSON object a line, with a "name".')
    ],
    out: Annotated[Path, typer.Option(help="Folder for the videos; made if need be.")],
    spec: Annotated[
        Path | None,
        typer.Option(help="A request in JSON or YAML that all lines start from."),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Replace what was made from another request."),
    ] = False,
    licenses: flags.Licenses = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda [default: cuda if there is one].")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads [default: all cores].")
    ] = None,
) -> None:
    """Make a video of each line; a bad line does not stop the others.

    Given again, it goes on where it was stopped. Beside the videos lies
    summary.json. Exit code 1 where a line failed.
    """
    from worldweave.generate.batch_jobs import read_jobs

    listed = read_jobs(jobs, spec, partial(found, licenses))
    # torch takes seconds to import; what is wrong with the file is told before.
    import torch

    from worldweave.generate.batch import SUMMARY, Batch, Watch

    if threads is not None:
        torch.set_num_threads(threads)
    kept = [jobs] if spec is None else [jobs, spec]
    todo = Batch(listed, out, catalog=found(licenses), source=str(jobs), kept=kept)
    shown = _Shown(str(jobs))
    try:
        todo.run(Watch(item=shown.item, step=shown.step), again=again, device=device)
    except KeyboardInterrupt:
        shown.close()
        print_table(list(todo.items.values()), str(jobs))
        raise typer.Exit(INTERRUPTED) from None
    items = list(todo.items.values())
    print_table(items, str(jobs))
    print(f"{out / SUMMARY}: the same with all problems")
    if any(item.state == "failed" for item in items):
        raise typer.Exit(FAILED)


class _Shown:
    """What is told on standard error while the batch runs."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._bar = ExitStack()
        self._name = ""
        self._update: Callable[[int, int, str], None]

    def step(self, name: str, number: int, count: int, now: Tick) -> None:
        from worldweave.cli.progress import bar

        if name != self._name:
            self._name = name
            self._update = self._bar.enter_context(bar(f"{number} of {count}: {name}"))
        note = f"chunk {now.chunk}/{now.chunks}, step {now.step}/{now.steps}"
        done = (now.chunk - 1) * now.steps + now.step
        self._update(done, now.chunks * now.steps, note)

    def item(self, item: Item, number: int, count: int) -> None:
        self.close()
        for problem in item.problems:
            print(f"worldweave: {problem}", file=sys.stderr, flush=True)
        if item.state == "made":
            told = f"{number} of {count}: {item.name} made in {item.seconds:.1f} s"
            print(told, file=sys.stderr, flush=True)

    def close(self) -> None:
        self._bar.close()


def print_table(items: Sequence[Item], source: str) -> None:
    """Print a line for each item, and how many stand how."""
    rows = [("NAME", "STATE", "SECONDS", "PROBLEM")]
    for item in items:
        seconds = "" if item.seconds is None else f"{item.seconds:.1f}"
        rows.append((item.name, item.state, seconds, _short(item, source)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for name, state, seconds, problem in rows:
        line = f"{name:<{widths[0]}}  {state:<{widths[1]}}  {seconds:>{widths[2]}}"
        print(f"{line}  {problem}".rstrip())
    states = [item.state for item in items]
    counts = (f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    print(", ".join(counts))


def _short(item: Item, source: str) -> str:
    """Return the first problem without its place, which is told already."""
    if not item.problems:
        return ""
    first, *others = item.problems
    for place in (f"line {item.line} ({item.name})", f"line {item.line}"):
        first = first.removeprefix(f"{source}: {place}").lstrip(": ")
    return first + (f" (and {len(others)} more)" if others else "")
