"""Progress on standard error: a bar in a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldweave.generate.generation import Tick

#: Called with (done, total, note).
Update = Callable[[int, int, str], None]
SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def bar(description: str) -> Iterator[Update]:
    """Show how far *description* is and how long it will take."""
    if not sys.stderr.isatty():
        yield _lines(description)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True),
    ) as progress:
        task = progress.add_task(description, total=None, note="")

        def update(done: int, total: int, note: str) -> None:
            progress.update(task, completed=done, total=total, note=note)

        yield update


def _lines(description: str) -> Update:
    # Measured from the first step's end: that step loads, compiles, warms up.
    begun = last = time.monotonic()
    first = 0

    def update(done: int, total: int, note: str) -> None:
        nonlocal begun, last, first
        now = time.monotonic()
        if not first:
            begun, first = now, done
            return
        if now - last < SECONDS_BETWEEN_LINES and done < total:
            return
        last = now
        left = (now - begun) / (done - first) * (total - done)
        minutes, seconds = divmod(round(left), 60)
        print(
            f"{description} {done}/{total}, {minutes}:{seconds:02} left"
            + (f", {note}" if note else ""),
            file=sys.stderr,
            flush=True,
        )

    return update


@contextmanager
def generation_bar() -> Iterator[Callable[[Tick], None]]:
    """Show a bar over all steps of all chunks."""
    with bar("generating") as update:

        def tick(now: Tick) -> None:
            done = (now.chunk - 1) * now.steps + now.step
            note = f"chunk {now.chunk}/{now.chunks}, step {now.step}/{now.steps}"
            update(done, now.chunks * now.steps, note)

        yield tick
