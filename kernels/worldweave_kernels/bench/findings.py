"""What results say, in a sentence: titles and captions of figures."""

from __future__ import annotations

from collections.abc import Sequence

from worldweave_kernels.bench.ops import FIXED_MAPS
from worldweave_kernels.bench.results import Results, Row, apart, baselines
from worldweave_kernels.bench.table import label

_SAID = {
    "backward": " backward",
    "both": " forward and backward",
    FIXED_MAPS: " backward without gradients of maps",
}
#: Times as fast below which nothing is said of it, and the load above which it is
#: said that there was other work.
_WORTH_SAYING, _BUSY = 1.05, 0.5


def finding(rows: Sequence[Row]) -> str:
    """Return in a sentence what the rows of one case say."""
    held = [row for row in measured(rows) if row.holds]
    if not held:
        return f"{rows[0].op}: nothing was measured that holds"
    best = held[0]
    case = best.op + _SAID.get(best.mode, "")
    # Ranges that overlap decide nothing.
    equal = [row for row in held if _low(row) <= _high(best)]
    if len(equal) == len(held) > 1:
        return f"{case}: no way is clearly the fastest"
    names = listed([label(row) for row in equal])
    said = f"{case}: {names} {'are' if len(equal) > 1 else 'is'} the fastest"
    gain = _gain(best, rows)
    if gain >= _WORTH_SAYING:
        said += f", {gain:.1f} times as fast as the official chain"
    if best.roofline is not None:
        said += f", at {best.roofline:.0%} of the roofline"
    return said


def finding_of_all(cases: Sequence[Sequence[Row]], results: Results) -> str:
    """Return in a sentence where the fastest way stands, and where ours does."""
    machine = results.machine
    where = "a CPU" if machine.device == "cpu" else f"one {machine.name}"
    best, ours = [], []
    for rows in cases:
        gains = {row.provider: _gain(row, rows) for row in rows if row.holds}
        best += [gain for gain in (max(gains.values(), default=0.0),) if gain]
        ours += [gains["auto"]] if gains.get("auto") else []
    if not best:
        return f"All operations on {where}, the fastest first"
    said = f"On {where} the fastest way is {_from_to(best)} as the official chain"
    if not ours:
        return said
    if set(ours) == {1.0}:
        return f"{said}, ours (auto) not clearly faster or slower"
    return f"{said}, ours (auto) {_from_to(ours)}"


def absent(rows: Sequence[Row]) -> str:
    """Return who was not measured, and of what where it was measured elsewhere."""
    there = {row.provider for row in rows if row.time is not None}
    missing: dict[str, None] = {}
    for row in rows:
        if row.time is None and row.provider != "library":
            whose = f" of {row.op}" if row.provider in there else ""
            missing[row.provider + whose] = None
    return f"not measured: {', '.join(missing)}" if missing else ""


def beside(load: float | None) -> str:
    """Return what a busy machine means for the times."""
    if load is None or load <= _BUSY:
        return ""
    return f"other work may have run beside it (load before: {load:.1f})"


def measured(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with a time, the fastest first."""
    found = [(row.time.median, index) for index, row in enumerate(rows) if row.time]
    return [rows[index] for _, index in sorted(found)]


def listed(names: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _gain(row: Row, rows: Sequence[Row]) -> float:
    """Return how many times as fast as the official chain, 1 where that is not clear.

    0 where there is nothing to compare with.
    """
    official = baselines(rows).get("official")
    if official is None or "official" not in row.speedup:
        return 0.0
    return row.speedup["official"] if apart(row, official) else 1.0


def _from_to(gains: Sequence[float]) -> str:
    """Return "0.8 to 2.4 times as fast", or "as fast"."""
    low, high = (f"{each:.1f}" for each in (min(gains), max(gains)))
    if low == high:
        return "as fast" if low == "1.0" else f"{low} times as fast"
    if low == "1.0":
        return f"up to {high} times as fast"
    return f"{low} to {high} times as fast"


def _low(row: Row) -> float:
    return 0.0 if row.time is None else row.time.low


def _high(row: Row) -> float:
    return 0.0 if row.time is None else row.time.high
