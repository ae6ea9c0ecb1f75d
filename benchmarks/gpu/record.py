"""What a stage found, part by part, in a file that is whole after every part."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


class Measured(NamedTuple):
    """A number under the key of its prediction; *about* is what else was seen."""

    key: str
    value: float
    unit: str = ""
    about: str = ""


class Part(NamedTuple):
    """A piece of a stage that may fail alone. It yields what it measures."""

    name: str
    measure: Callable[[], Iterable[Measured]]
    #: The key that counts as infinite, as a miss, where the part fails: what judges
    #: whether something is right must not be silent when it breaks.
    judges: str = ""


@dataclass
class Record:
    """How a part went, and what it measured until then.

    It is running, done, failed, or stopped: for want of time, which is no failure.
    """

    name: str
    state: str = "running"
    judges: str = ""
    seconds: float = 0.0
    measured: list[Measured] = field(default_factory=list)
    error: str = ""

    @property
    def brief(self) -> str:
        """The first line of its error, or its state."""
        return (self.error or self.state).partition("\n")[0]


class Ledger:
    """The records of one stage, on disk. What is done is not done again."""

    def __init__(self, folder: Path, stage: int) -> None:
        self.path = folder / f"stage-{stage}.json"
        self.stage = stage
        self.machine: dict[str, Any] = {}
        self.records: dict[str, Record] = {}
        #: What the parts of the stage judge, those that were never begun, too.
        self.judged: list[str] = []
        if self.path.exists():
            self._read()

    def _read(self) -> None:
        try:
            kept = json.loads(self.path.read_text("utf-8"))
            records = [
                Record(
                    **{
                        **each,
                        "measured": [
                            Measured(**{**one, "value": _number(one["value"])})
                            for one in each["measured"]
                        ],
                    }
                )
                for each in kept["parts"]
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise SystemExit(
                f"{self.path} is not what this script writes ({error}); take another "
                "--out, or delete it"
            ) from error
        self.machine = kept["machine"]
        self.judged = kept.get("judged", [])
        self.records = {each.name: each for each in records}

    def write(self) -> None:
        """Replace the file by one that holds all that is known."""
        whole = {
            "stage": self.stage,
            "machine": self.machine,
            "judged": self.judged,
            "parts": [
                {
                    **dataclasses.asdict(each),
                    "measured": [
                        {**one._asdict(), "value": _spoken(one.value)}
                        for one in each.measured
                    ],
                }
                for each in self.records.values()
            ],
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_suffix(".writing")
        aside.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
        os.replace(aside, self.path)

    def measured(self) -> Iterator[Measured]:
        """Yield all measurements; of a part that failed, that what it judges did."""
        for record in self.records.values():
            yield from record.measured
            if record.state == "failed" and record.judges:
                about = f"failed: {record.brief}"
                yield Measured(record.judges, math.inf, "", about)

    def left(self, parts: Iterable[Part]) -> Iterator[Part]:
        """Yield the parts that were never begun."""
        return (part for part in parts if part.name not in self.records)

    def forget(self, *states: str) -> None:
        """Drop the parts in one of *states*, so that they are measured again."""
        kept = {n: r for n, r in self.records.items() if r.state not in states}
        if len(kept) < len(self.records):
            self.records = kept
            self.write()

    def bury(self, why: str, state: str = "failed") -> None:
        """Mark what is still running as failed or stopped: its process is gone."""
        for record in self.records.values():
            if record.state == "running":
                record.state, record.error = state, why
                self.write()

    def run(self, part: Part) -> Record:
        """Measure one part. Whatever it raises is recorded, not passed on."""
        record = self.records[part.name] = Record(part.name, judges=part.judges)
        self.write()
        begun = time.perf_counter()
        try:
            for each in part.measure():
                record.measured.append(each)
                self.write()
            record.state = "done"
        except KeyboardInterrupt:
            del self.records[part.name]
            self.write()
            raise
        except BaseException as error:  # whatever: the other parts go on
            record.state = "failed"
            record.error = _told(error)
        record.seconds = round(time.perf_counter() - begun, 3)
        self.write()
        return record


def largest(errors: Iterable[float]) -> float:
    """Return the largest of some errors; what is not a number is infinitely wrong."""
    return max((math.inf if math.isnan(each) else each for each in errors), default=0.0)


def _told(error: BaseException) -> str:
    """Return the error, and the innermost lines that led to it."""
    lines = traceback.format_exception(error)
    said = f"{type(error).__name__}: {error}"
    return f"{said[:2000]}\n{''.join(lines[-4:-1])[-2000:]}".strip()


def _spoken(value: float) -> float | str:
    """Return a number that JSON knows, or its name."""
    return value if math.isfinite(value) else str(value)


def _number(value: float | str) -> float:
    return float(value)
