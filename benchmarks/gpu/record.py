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


@dataclass
class Record:
    """How a part went: running, done, failed; and what it measured until then."""

    name: str
    state: str = "running"
    seconds: float = 0.0
    measured: list[Measured] = field(default_factory=list)
    error: str = ""


class Ledger:
    """The records of one stage, on disk. What is done is not done again."""

    def __init__(self, folder: Path, stage: int) -> None:
        self.path = folder / f"stage-{stage}.json"
        self.stage = stage
        self.machine: dict[str, Any] = {}
        self.records: dict[str, Record] = {}
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
        self.records = {each.name: each for each in records}

    def write(self) -> None:
        """Replace the file by one that holds all that is known."""
        whole = {
            "stage": self.stage,
            "machine": self.machine,
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

    def left(self, parts: Iterable[Part]) -> Iterator[Part]:
        """Yield the parts that were never begun."""
        return (part for part in parts if part.name not in self.records)

    def forget(self, *states: str) -> None:
        """Drop the parts in one of *states*, so that they are measured again."""
        kept = {n: r for n, r in self.records.items() if r.state not in states}
        if len(kept) < len(self.records):
            self.records = kept
            self.write()

    def bury(self, why: str) -> None:
        """Mark what is still running as failed: its process is gone."""
        for record in self.records.values():
            if record.state == "running":
                record.state, record.error = "failed", why
                self.write()

    def run(self, part: Part) -> Record:
        """Measure one part. Whatever it raises is recorded, not passed on."""
        record = self.records[part.name] = Record(part.name)
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
