"""Cases of the package's own benchmark as measurements under the predictions' keys."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from gpu.record import Measured
from gpu.setting import Setting
from worldweave_kernels.bench import files
from worldweave_kernels.bench.measure import ceiling
from worldweave_kernels.bench.ops import Case
from worldweave_kernels.bench.results import (
    Ceiling,
    Results,
    Row,
    dtype_name,
    from_json,
)
from worldweave_kernels.bench.runner import run

#: What a dry run measures: compilers take longer than all the rest.
_QUICK = ("official", "eager", "auto", "triton", "library", "ours")


def measured_rows(
    setting: Setting,
    op: str,
    mode: str,
    shape: Mapping[str, int],
    prefix: str,
    *,
    only: tuple[str, ...] = (),
) -> Iterator[Measured]:
    """Yield the milliseconds of each provider of a case, then what compares them."""
    case = Case(op, mode, shape, setting.dtype, setting.device)
    if setting.is_toy:
        only = only or _QUICK
    found = run(
        [case],
        only=only,
        seconds=setting.seconds,
        repeats=setting.repeats,
        ceilings=[_ceiling(setting)],
    )
    for row in found.rows:
        yield _milliseconds(row, prefix)
    yield from _compared(found, prefix)
    if setting.rows is not None:
        keep(setting.rows, found)


def keep(path: Path, found: Results) -> None:
    """Add *found* to the results in *path*; a row measured again is replaced."""
    rows = {(*row.case, row.provider): row for row in found.rows}
    ceilings = {each.dtype: each for each in found.ceilings}
    notes = dict.fromkeys(found.notes)
    if path.exists():
        before = from_json(path.read_text("utf-8"))
        rows = {(*row.case, row.provider): row for row in before.rows} | rows
        ceilings = {each.dtype: each for each in before.ceilings} | ceilings
        notes = dict.fromkeys(before.notes) | notes
    whole = Results(
        machine=found.machine,
        ceilings=tuple(ceilings.values()),
        rows=tuple(rows.values()),
        notes=tuple(notes),
    )
    files.write_json(path, whole)


@functools.cache
def _ceiling(setting: Setting) -> Ceiling:
    """Return the ceilings of this GPU, measured once in this process."""
    if setting.is_toy:
        return Ceiling(dtype=dtype_name(setting.dtype), bandwidth=1e10, flops=1e11)
    return ceiling(setting.device, setting.dtype)


def _milliseconds(row: Row, prefix: str) -> Measured:
    """Return the median, or not a number where there is none that counts."""
    key = f"{prefix}.{row.provider}"
    if row.time is None:
        return Measured(key, math.nan, "ms", f"not measured: {row.note}")
    spread = f"{1e3 * row.time.low:.4g} to {1e3 * row.time.high:.4g} ms"
    error = "no error" if row.error is None else f"error {row.error:.1e}"
    told = ", ".join(filter(None, (spread, error, row.note)))
    if not row.holds:
        return Measured(key, math.nan, "ms", f"beyond its tolerance: {told}")
    return Measured(key, 1e3 * row.time.median, "ms", told)


def _compared(found: Results, prefix: str) -> Iterator[Measured]:
    """Yield Triton's speed-ups and its share of the copy and of the floor."""
    by_name = {row.provider: row for row in found.rows}
    ours = by_name.get("triton")
    if ours is None or not ours.holds:
        return
    for name in ("official", "eager", "compile", "library"):
        if name in ours.speedup:
            yield Measured(f"{prefix}.over_{name}", ours.speedup[name], "x")
        if name == "compile" and name in ours.speedup:
            ratio = ours.speedup[name]
            yield Measured(f"{prefix}.compile_over_triton", ratio, "x")
    if ours.bandwidth is not None:
        copy = found.ceilings[0].bandwidth
        share = ours.bandwidth / copy
        about = f"of {copy / 1e12:.3g} TB/s, measured in the same stage"
        yield Measured(f"{prefix}.share_of_copy", share, "", about)
    if ours.roofline is not None:
        yield Measured(f"{prefix}.share_of_floor", ours.roofline)
