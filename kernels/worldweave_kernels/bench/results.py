"""What a benchmark found: rows, the machine they hold on, and both as JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Of the JSON and of the CSV. It rises when a field changes its name or meaning.
SCHEMA = 1

#: Of the way to measure. It rises when the same code would get another time or floor.
HARNESS = 2

#: What others are compared with, and the order of the columns.
BASELINES = ("official", "compile", "library")


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one call: the median and the 20 % and 80 % quantiles."""

    median: float
    low: float
    high: float
    repeats: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """One provider of one operation at one shape: measured, or the reason why not.

    *kind* is one of `providers.KINDS`; *provider* names it ("cudnn", and for most
    kinds the kind itself). *bytes* and *flops* are those the
    operation cannot do without, *floor* the seconds they take at the ceilings of the
    run. *error* is relative to float64.
    """

    op: str
    mode: str
    shape: Mapping[str, int]
    dtype: str
    provider: str
    kind: str
    bytes: int
    flops: int
    floor: float | None = None
    time: Timing | None = None
    error: float | None = None
    tolerance: float | None = None
    #: How many times as fast as each baseline; only where both computed it right.
    speedup: Mapping[str, float] = field(default_factory=dict)
    #: Why nothing was measured, or what to know about what was; remarks are parted
    #: by "; ". Of auto, the first is the backend it takes.
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether it was measured and its error is within the tolerance."""
        if self.time is None or self.error is None or self.tolerance is None:
            return False
        return self.error <= self.tolerance

    @property
    def taken(self) -> Timing:
        """The time. Raise ValueError where nothing was measured."""
        if self.time is None:
            raise ValueError(f"{self.provider} of {self.op} has no time: {self.note}")
        return self.time

    @property
    def bandwidth(self) -> float | None:
        """Needed bytes per second: less than what a wasteful provider moves."""
        return None if self.time is None else self.bytes / self.time.median

    @property
    def rate(self) -> float | None:
        """Needed floating-point operations per second."""
        return None if self.time is None else self.flops / self.time.median

    @property
    def roofline(self) -> float | None:
        """The floor as a fraction of the time taken."""
        if self.time is None or self.floor is None:
            return None
        return self.floor / self.time.median

    @property
    def case(self) -> tuple[str, str, str, str]:
        """What rows have in common that can be compared."""
        return self.op, self.mode, spelled(self.shape), self.dtype


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where and with what the rows were measured."""

    device: str
    name: str
    driver: str | None
    python: str
    torch: str
    triton: str | None
    threads: int
    commit: str | None
    #: Universal time, to the second.
    date: str
    #: Processes that wanted a core in the last minute, before the benchmark began.
    load: float | None = None


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """What this device reached in this run with data that nothing is known of."""

    dtype: str
    #: Bytes read and written per second by a copy of a tensor beyond all caches.
    bandwidth: float
    #: Floating-point operations per second of a large matrix product.
    flops: float


@dataclass(frozen=True, kw_only=True)
class Results:
    """Rows with the machine and the ceilings they were measured on."""

    machine: Machine
    ceilings: tuple[Ceiling, ...]
    rows: tuple[Row, ...]
    #: What the reader must know, such as what was not measured at all.
    notes: tuple[str, ...] = ()
    harness: int = HARNESS

    def measured(self) -> list[Row]:
        """Return the rows that have a time."""
        return [row for row in self.rows if row.time is not None]

    def groups(self) -> list[list[Row]]:
        """Return the rows that can be compared with each other, in order."""
        found: dict[tuple[str, ...], list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.case, []).append(row)
        return list(found.values())

    def to_json(self) -> str:
        """Return the results as JSON; a number that is none becomes a string."""
        whole = {"schema": SCHEMA, **dataclasses.asdict(self)}
        return json.dumps(_spoken(whole), indent=1, allow_nan=False) + "\n"


def from_json(text: str) -> Results:
    """Read what `Results.to_json` wrote. Raise ValueError for anything else."""
    try:
        whole = json.loads(text)
        schema = whole.pop("schema")
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            "this is no result of the benchmark; write one with --json"
        ) from error
    if schema != SCHEMA:
        raise ValueError(
            f"the results have schema {schema}, this version reads {SCHEMA}; "
            "measure again"
        )
    try:
        return Results(
            machine=Machine(**whole["machine"]),
            ceilings=tuple(Ceiling(**each) for each in whole["ceilings"]),
            rows=tuple(_row(each) for each in whole["rows"]),
            notes=tuple(whole["notes"]),
            # The first version did not say.
            harness=whole.get("harness", 1),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"the results are incomplete: {error}") from error


def spelled(shape: Mapping[str, int]) -> str:
    """Return "L=4096 D=1024" for a shape."""
    return " ".join(f"{axis}={size}" for axis, size in shape.items())


def dtype_name(dtype: object) -> str:
    """Return "float32" for torch.float32."""
    return str(dtype).removeprefix("torch.")


def first_line(error: Exception) -> str:
    """Return the kind of an error and the first line of what it says."""
    text = str(error).strip() or type(error).__name__
    return f"{type(error).__name__}: {text.splitlines()[0]}"[:200]


def baselines(rows: Iterable[Row]) -> dict[str, Row]:
    """Return what the rows of one case are compared with: the fastest of each kind.

    A row whose error is above the tolerance is none.
    """
    found: dict[str, Row] = {}
    for row in rows:
        if row.holds and row.kind in BASELINES:
            fastest = found.get(row.kind, row)
            found[row.kind] = min(fastest, row, key=_median)
    return found


def apart(one: Row, other: Row) -> bool:
    """Whether the 20-80 % ranges of two rows do not overlap: one is the faster."""
    if one.time is None or other.time is None:
        return False
    return one.time.high < other.time.low or other.time.high < one.time.low


def compared(rows: Iterable[Row]) -> list[Row]:
    """Give the rows of one case their speed-ups over the baselines among them.

    The library's is its fastest row. No row is compared whose error is above the
    tolerance, nor with such a row.
    """
    rows = list(rows)
    against = {kind: _median(row) for kind, row in baselines(rows).items()}
    return [
        dataclasses.replace(row, speedup=_over(against, row.time.median))
        if row.holds and row.time is not None
        else dataclasses.replace(row, speedup={})
        for row in rows
    ]


def _median(row: Row) -> float:
    return math.inf if row.time is None else row.time.median


def _over(against: Mapping[str, float], seconds: float) -> dict[str, float]:
    return {kind: against[kind] / seconds for kind in BASELINES if kind in against}


def _row(fields: dict[str, Any]) -> Row:
    time = fields.pop("time")
    error = fields.pop("error")
    return Row(
        time=None if time is None else Timing(**time),
        error=None if error is None else float(error),
        **fields,
    )


def _spoken(whole: Any) -> Any:
    """Return *whole* with numbers that JSON does not know as strings."""
    if isinstance(whole, float) and not math.isfinite(whole):
        return str(whole)
    if isinstance(whole, Mapping):
        return {key: _spoken(each) for key, each in whole.items()}
    if isinstance(whole, (list, tuple)):
        return [_spoken(each) for each in whole]
    return whole
