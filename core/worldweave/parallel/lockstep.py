"""Base and branches side by side, so that their exchanges become one.

A block of the base and those of the branches at its depth need nothing of one another:
only what comes out is added. Each runs in a greenlet until it waits at its
self-attention; when all of them wait, one exchange serves all. The code that runs is
that of the model, unchanged, on one thread: greenlets take turns where they are told
to, nowhere else, so that all ranks exchange in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from greenlet import greenlet
from torch import Tensor

Attend = Callable[[Sequence[Tensor]], list[Tensor]]


class Lockstep:
    """Runs tasks together that meet at their attentions; attend: for all at once."""

    def __init__(self, attend: Attend) -> None:
        self._attend = attend
        self._home: greenlet | None = None
        self._running = 0

    @property
    def is_alone(self) -> bool:
        """Whether there is at most one task that could still attend."""
        return self._running <= 1

    def attention(self, packed: Tensor) -> Tensor:
        """Return the attention of what a task has packed, once all tasks are there."""
        if self._home is None:
            return self._attend([packed])[0]
        answer: Tensor = self._home.switch(packed)
        return answer

    def wait_until(self, is_ready: Callable[[], bool], what: str) -> None:
        """Let the other tasks go on until *what* a task needs is there."""
        while not is_ready():
            if self._home is None or self.is_alone:
                raise RuntimeError(f"{what} was promised, but never came")
            self._home.switch(None)

    def run(self, tasks: Sequence[Callable[[], Any]]) -> list[Any]:
        """Return what *tasks* return; the last may wait for the others.

        What one raises ends all.
        """
        runs = [greenlet(task) for task in tasks]
        results: list[Any] = [None] * len(tasks)
        self._home = greenlet.getcurrent()
        try:
            replies: dict[int, Tensor | None] = dict.fromkeys(range(len(runs)))
            started: set[int] = set()
            while replies:
                replies = self._turn(runs, replies, started, results)
        finally:
            self._home, self._running = None, 0
            for each in runs:
                if each and not each.dead:
                    _abandon(each)
        return results

    def _turn(
        self,
        runs: list[greenlet],
        replies: dict[int, Tensor | None],
        started: set[int],
        results: list[Any],
    ) -> dict[int, Tensor | None]:
        """Let each task go on with its reply; return the replies of the next turn."""
        asked: dict[int, Tensor] = {}
        waiting: dict[int, Tensor | None] = {}
        for at in sorted(replies):
            self._running = sum(not run.dead for run in runs)
            said = runs[at].switch(*(() if at not in started else (replies[at],)))
            started.add(at)
            if runs[at].dead:
                results[at] = said
            elif said is None:
                waiting[at] = None
            else:
                asked[at] = said
        if asked:
            answers = self._attend(list(asked.values()))
            return {**waiting, **dict(zip(asked, answers, strict=True))}
        return waiting


def _abandon(task: greenlet) -> None:
    """End a task that another's failure has left where it was."""
    try:
        task.throw()
    except BaseException:  # whatever its own handlers make of being ended
        return
