"""Stage 7: what ranks share: exchanges of one process, a plan's switches, graphs."""

from __future__ import annotations

import functools
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gpu.nccl import MARK
from gpu.outside import PATIENCE, Ended, ran, tested
from gpu.record import Measured, Part
from gpu.setting import Setting
from worldweave_kernels.bench.communication import H200
from worldweave_kernels.bench.rank_switches import GRAPH, SwitchRow, measure_switches

#: Counts of ranks: of one head each, where launches and waves matter most, and of a
#: node, where heads of a rank still divide into chunks.
COUNTS = (32, 8)


def parts(setting: Setting) -> list[Part]:
    """Return the parts of the stage, what has to be right first."""
    counts = (4, 2) if setting.is_toy else COUNTS
    return [
        Part(
            "exchanges of one process",
            functools.partial(_exchanged, setting),
            "nccl.sequence_attention",
        ),
        *(
            Part(f"switches, U={ranks}", functools.partial(_switched, setting, ranks))
            for ranks in counts
        ),
        Part(
            "generations by graphs",
            functools.partial(tested, setting, "graphs", "graphs.failed"),
            "graphs.failed",
        ),
    ]


def _exchanged(setting: Setting) -> Iterator[Measured]:
    """Yield what a process of its own tells: exchanges that hang must not last."""
    command = [sys.executable, "-m", "gpu.nccl", "--device", setting.device]
    yield from told(ran(command, Path(__file__).parents[1], {}, PATIENCE))


def told(ended: Ended) -> Iterator[Measured]:
    """Yield what was measured until it ended. Raise RuntimeError where that was not
    the end of it."""
    lines = [each for each in ended.lines if each.startswith(MARK)]
    said = [each.removeprefix(MARK) for each in lines]
    for each in said:
        if each != "all":
            yield Measured(*json.loads(each))
    if "all" not in said:
        how = "was stopped" if ended.code is None else f"ended with {ended.code}"
        raise RuntimeError("\n".join([f"gpu.nccl {how}", *ended.lines[-25:]]))


def _switched(setting: Setting, ranks: int) -> Iterator[Measured]:
    """Yield what each switch costs or gains, by graphs where there are any."""
    rows = measure_switches(
        setting.block,
        [ranks],
        device=setting.device,
        dtype=setting.dtype,
        cluster=H200,
        seconds=setting.seconds,
        repeats=setting.repeats,
    )
    yield from switched(rows)


def switched(rows: Sequence[SwitchRow]) -> Iterator[Measured]:
    """Yield the time, the gain and the costs of each row."""
    for row in rows:
        prefix = f"switch.U{row.ranks}.{row.switch.replace(' ', '_')}"
        mode = "" if row.mode == "graph" else f".{row.mode}"
        if row.switch == GRAPH:
            prefix = f"{prefix}.{row.against.removeprefix('eager, ').replace(' ', '_')}"
        if row.time is None:
            yield Measured(
                f"{prefix}.{row.mode}", math.nan, "ms", f"not measured: {row.note}"
            )
            continue
        yield Measured(f"{prefix}.{row.mode}", 1e3 * row.time.median, "ms", row.note)
        if row.gain is not None:
            about = f"compute alone, beside {row.against}"
            yield Measured(f"{prefix}.gain{mode}", row.gain, "x", about)
        if row.costs is not None and row.saves:
            about = (
                f"of compute; by the model of {H200.name} nodes it saves at most "
                f"{1e3 * row.saves:.3g} ms of exchange: it "
                f"{'pays' if row.pays else 'does not pay'}"
            )
            yield Measured(f"{prefix}.costs{mode}", 1e3 * row.costs, "ms", about)
