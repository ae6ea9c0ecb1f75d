"""Watch a training: call its monitors, keep curves.csv and curves.png, raise alarms."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from worldweave.io.files import atomic_path
from worldweave.train import plot
from worldweave.train.canary import Canary
from worldweave.train.progress import Progress
from worldweave.train.task import Monitor, nothing_said
from worldweave_registry import WorldweaveError

CURVES = "curves.csv"
PICTURE = "curves.png"
#: Steps between two rows of losses; monitors are called less often.
ROW_EVERY = 50
FIRST = ("step", "loss", "gradient", "rate")
LAST = "alarm"

#: Puts the averaged weights into the model for the time of a ``with`` block.
Averaged = Callable[[], AbstractContextManager[None]]


class Watch:
    """Writes one row of curves every 50 steps, and what monitors say every *every*.

    *every* 0: never. curves.csv has the columns step (done so far), loss (mean
    since the row before), gradient (norm before clipping), rate, those of the
    monitors, and alarm. It is the same whether a training was interrupted or not;
    where it goes on with other monitors, theirs are added.
    """

    def __init__(
        self,
        folder: Path,
        monitors: tuple[Monitor, ...],
        canary: Canary,
        *,
        every: int,
        title: str = "",
        say: Callable[[str], None] = nothing_said,
    ) -> None:
        self.path = folder / CURVES
        self.picture = folder / PICTURE
        self.monitors = monitors if every else ()
        self.canary = canary
        self.every = every
        self.title = title
        self.say = say
        self.losses: list[float] = []
        self.columns: list[str] = []

    @property
    def has_begun(self) -> bool:
        """Whether the curves of this run are open."""
        return bool(self.columns)

    def begin(self, step: int, notes: Mapping[str, str], averaged: Averaged) -> None:
        """Start the curves, or go on with those up to *step*, as *notes* recall."""
        self.losses = json.loads(notes.get("losses", "[]"))
        rows = _rows(self.path) if step else []
        kept = [row for row in rows if int(row["step"]) <= step]
        if kept:
            self.columns = list(kept[0])
            self._write(kept)
            return
        values = self._look(averaged)
        self.columns = [*FIRST, *values, LAST]
        self._write([self._row({"step": str(step)}, values, "")])

    def notes(self) -> dict[str, str]:
        """Return what a saved state must remember to go on exactly."""
        return {"losses": json.dumps(self.losses)}

    def after(self, now: Progress, averaged: Averaged) -> None:
        """Take note of a step; look at the model where its turn has come."""
        self.losses.append(now.loss)
        is_last = now.step == now.steps
        is_due = bool(self.every) and (now.step % self.every == 0 or is_last)
        if not (is_due or is_last or now.step % ROW_EVERY == 0):
            return
        values = self._look(averaged) if is_due else {}
        self._widen(values)
        alarm = self.canary.alarm(now.step, values)
        if alarm:
            self.say(f"warning: {alarm}")
        numbers = {
            "step": str(now.step),
            "loss": _short(sum(self.losses) / len(self.losses)),
            "gradient": _short(now.gradient),
            "rate": _short(now.rate),
        }
        self._append(self._row(numbers, values, alarm))
        self.losses = []
        if is_due or is_last:
            self.draw()

    def draw(self) -> None:
        """Draw curves.png from curves.csv."""
        with atomic_path(self.picture) as path:
            plot.draw(path, _rows(self.path), self.title)

    def _look(self, averaged: Averaged) -> dict[str, float]:
        values: dict[str, float] = {}
        if self.monitors:
            with averaged():
                for monitor in self.monitors:
                    values |= monitor()
        return values

    def _row(
        self, numbers: Mapping[str, str], values: Mapping[str, float], alarm: str
    ) -> dict[str, str]:
        said = {name: _short(value) for name, value in values.items()}
        row = {**numbers, **said, LAST: alarm}
        return {column: row.get(column, "") for column in self.columns}

    def _widen(self, values: Mapping[str, float]) -> None:
        """Give values that have no column yet one, empty so far."""
        new = [name for name in values if name not in self.columns]
        if not new:
            return
        self.columns = [*self.columns[:-1], *new, LAST]
        rows = _rows(self.path)
        self._write([{c: row.get(c, "") for c in self.columns} for row in rows])

    def _write(self, rows: list[dict[str, str]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = [self.columns, *(list(row.values()) for row in rows)]
        with atomic_path(self.path) as path:
            path.write_text("".join(map(_line, lines)))

    def _append(self, row: Mapping[str, str]) -> None:
        try:
            with self.path.open("a") as file:
                file.write(_line(list(row.values())))
        except OSError as error:
            raise WorldweaveError(
                f"cannot write {self.path}: {error.strerror or error}; free some space "
                "and run the same command"
            ) from error


def _rows(path: Path) -> list[dict[str, str]]:
    """Read curves; a line that was cut off while it was written is left out."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        lines = list(csv.reader(file))
    columns = lines[0] if lines else []
    if columns[: len(FIRST)] != list(FIRST):
        return []
    return [
        dict(zip(columns, line, strict=True))
        for line in lines[1:]
        if len(line) == len(columns) and line[0].isdecimal()
    ]


def _line(values: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()


def _short(value: float) -> str:
    return f"{value:.6g}"
