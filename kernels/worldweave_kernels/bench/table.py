"""The results as lines for a terminal of 110 columns."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

from worldweave_kernels.bench.results import (
    BASELINES,
    Ceiling,
    Machine,
    Results,
    Row,
    apart,
    baselines,
    spelled,
)

WIDTH = 110
_HEAD = (
    f"  {'':<16}{'ms [20 %, 80 %]':^27}{'B/s':>7}{'FLOP/s':>9}{'roof':>6}"
    + "".join(f"{name:>11}" for name in ("x official", "x compile", "x library"))
    + "   error"
)


def header(machine: Machine, ceilings: Sequence[Ceiling]) -> str:
    """Return what the rows hold for: machine, versions, ceilings of this run."""
    lines = [
        f"{machine.name} ({machine.device}"
        + (f", driver {machine.driver}" if machine.driver else "")
        + f"), {machine.threads} thread{'s' * (machine.threads != 1)}; torch "
        f"{machine.torch}, triton {machine.triton or 'none'}, Python {machine.python}",
        f"commit {machine.commit or 'unknown'}, {machine.date}"
        + ("" if machine.load is None else f", load before: {machine.load:.1f}"),
    ]
    lines += [
        f"ceilings of this run, random data: copy {number(each.bandwidth / 1e9)} GB/s, "
        f"{each.dtype} matrix product {number(each.flops / 1e12)} TFLOP/s"
        for each in ceilings
    ]
    return "\n".join(lines)


def group(rows: Sequence[Row]) -> str:
    """Return the rows of one case, a line each, below their title."""
    first = rows[0]
    title = f"{first.op} {first.mode}  {spelled(first.shape)}  {first.dtype}"
    if first.floor is not None:
        title += f"  floor {number(first.floor * 1e3)} ms"
    lines = [title, _HEAD]
    against = baselines(rows)
    lines += [_line(row, against) for row in rows if row.time is not None]
    remarks: dict[str, list[str]] = {}
    for row in rows:
        for remark in _remarks(row):
            remarks.setdefault(remark, []).append(row.provider)
    lines += [f"    {', '.join(who)}: {said}" for said, who in remarks.items()]
    lines += [_refusal(row) for row in rows if row.time is not None and not row.holds]
    return "\n".join(lines)


def missing(results: Results) -> str:
    """Return what was not measured, with the reason, once for all cases of it."""
    cases: dict[tuple[str, str, str], int] = {}
    for row in results.rows:
        if row.time is None:
            key = (row.op, row.provider, row.note)
            cases[key] = cases.get(key, 0) + 1
    whose: dict[tuple[str, str], list[str]] = {}
    for (op, provider, note), count in cases.items():
        said = f"{op} ({count} case{'s' * (count > 1)})"
        whose.setdefault((note, provider), []).append(said)
    who: dict[tuple[str, str], list[str]] = {}
    for (note, provider), ops in whose.items():
        who.setdefault((note, ", ".join(ops)), []).append(provider)
    lines = [
        textwrap.fill(
            f"not measured: {', '.join(names)} of {ops}: {note}",
            WIDTH,
            subsequent_indent="  ",
        )
        for (note, ops), names in who.items()
    ]
    lines += [textwrap.fill(note, WIDTH) for note in results.notes]
    return "\n".join(lines)


def table(results: Results) -> str:
    """Return header, all groups, and what was not measured."""
    parts = [header(results.machine, results.ceilings)]
    parts += [group(rows) for rows in results.groups()]
    return "\n\n".join([*parts, missing(results)]).rstrip() + "\n"


def number(x: float) -> str:
    """Return *x* with three significant digits and no exponent."""
    if x == 0 or not math.isfinite(x):
        return f"{x:g}"
    return f"{x:.{max(0, 2 - math.floor(math.log10(abs(x))))}f}"


def scaled(x: float | None) -> str:
    """Return *x* per second with a prefix for thousands: 4.30 T."""
    if not x:
        return "-"
    power = min(max(int(math.log10(abs(x)) // 3), 0), 5)
    return f"{number(x / 1000**power)} {' kMGTP'[power]}".rstrip()


def label(row: Row) -> str:
    """Return what to call the provider: of auto, also what it took."""
    return row.provider if row.kind != "auto" else f"auto: {row.note.split('; ')[0]}"


def _remarks(row: Row) -> list[str]:
    """Return what to know of a row that was measured."""
    if row.time is None or not row.note:
        return []
    said = row.note.split("; ")
    return said[1:] if row.kind == "auto" else said


def _ratio(row: Row, against: Mapping[str, Row], kind: str) -> str:
    """Return how many times as fast *row* is, or ≈ where the ranges overlap."""
    if kind not in row.speedup:
        return "-"
    other = against[kind]
    if row.provider != other.provider and not apart(row, other):
        return "≈"
    return f"{row.speedup[kind]:.2f}"


def _line(row: Row, against: Mapping[str, Row]) -> str:
    time = row.taken
    low, middle, high = (
        number(each * 1e3) for each in (time.low, time.median, time.high)
    )
    # What is computed wrong may be as fast as it likes.
    rates = f"{scaled(row.bandwidth):>7}{scaled(row.rate):>9}"
    roof = "" if row.roofline is None else f"{row.roofline:.0%}"
    if not row.holds:
        rates, roof = f"{'-':>7}{'-':>9}", "-"
    speedups = "".join(f"{_ratio(row, against, each):>11}" for each in BASELINES)
    return (
        f"  {label(row):<16}{middle:>8} {f'[{low}, {high}]':<18}"
        f"{rates}{roof:>6}{speedups}"
        f"{row.error:>8.0e}"
    )


def _refusal(row: Row) -> str:
    return (
        f"    {row.provider} is wrong: its error {row.error:.1e} is above "
        f"{row.tolerance:.1e}, so it gets no speed-up"
    )
