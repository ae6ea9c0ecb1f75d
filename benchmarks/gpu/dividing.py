"""Stage 5: virtual ranks, eager and as a CUDA graph."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

from gpu.record import Measured, Part
from gpu.setting import Setting
from worldweave_kernels.bench.communication import H200
from worldweave_kernels.bench.ranks import LABEL, measure_ranks


def parts(setting: Setting) -> list[Part]:
    """Return the one part of the stage: every count is compared with one GPU."""
    return [Part("virtual ranks", functools.partial(_ranks, setting))]


def _ranks(setting: Setting) -> Iterator[Measured]:
    """Yield time and efficiency of each count and mode, and what a graph gains."""
    rows = measure_ranks(
        setting.block,
        setting.ranks,
        device=setting.device,
        dtype=setting.dtype,
        cluster=H200,
        seconds=setting.seconds,
        repeats=setting.repeats,
    )
    seconds: dict[tuple[int, str], float] = {}
    for row in rows:
        # Beyond a rank per head nothing is measured that was not before.
        name = f"U{row.ranks}" if row.guidance == 1 else f"P{row.gpus}"
        prefix = f"ranks.{name}"
        mode = "" if row.mode == "graph" else f".{row.mode}"
        if row.time is None:
            about = f"not measured: {row.note}"
            yield Measured(f"{prefix}.{row.mode}", math.nan, "ms", about)
            continue
        seconds[row.ranks, row.mode] = row.time.median
        yield Measured(f"{prefix}.{row.mode}", 1e3 * row.time.median, "ms", row.note)
        if row.efficiency is not None:
            yield Measured(f"{prefix}.efficiency{mode}", row.efficiency)
        for what in ("with_exchange", "with_overlap"):
            share = getattr(row, what)
            if share is not None:
                about = f"{LABEL}, {H200.name} nodes"
                yield Measured(f"{prefix}.{what}{mode}", share, "", about)
    for (ranks, mode), graph in list(seconds.items()):
        if mode == "graph" and (ranks, "eager") in seconds:
            ratio = seconds[ranks, "eager"] / graph
            yield Measured(f"ranks.U{ranks}.eager_over_graph", ratio, "x")
