"""Stages 2 and 6: the sum of control branches, their blocks, their projections."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from gpu.record import Measured, Part
from gpu.rows import measured_rows
from gpu.setting import Setting, timed
from worldweave_kernels.agreement import TOLERANCE, relative_error
from worldweave_kernels.bench.measure import Call
from worldweave_kernels.bench.rank_block import RankBlock, graphed, grouped

#: Branches of the sum, and of a step.
SUMMED, BRANCHES = (1, 2, 4, 6), 4
#: What all blocks of a step share, or have one of in a group.
_SHARED = ("positions", "rope", "norms", "noise", "shared")


def adding(setting: Setting) -> list[Part]:
    """Return a part for each number of branches, forward and backward."""
    shape = {"L": setting.block.tokens, "D": setting.block.hidden}
    return [
        Part(
            f"weighted_add {mode}, N={branches}",
            functools.partial(
                measured_rows,
                setting,
                "weighted_add",
                mode,
                {**shape, "N": branches},
                f"weighted_add.{mode}.N{branches}",
            ),
        )
        for mode in ("forward", "backward")
        for branches in SUMMED
    ]


def control(setting: Setting) -> list[Part]:
    """Return the parts about control branches."""
    most = setting.most_ranks
    found = [
        Part(f"grouped blocks, U={ranks}", functools.partial(_grouped, setting, ranks))
        for ranks in dict.fromkeys((most, most // 4))
    ]
    shape = {"D": setting.block.hidden, "N": BRANCHES}
    for name, tokens in (
        ("full", setting.block.tokens),
        (f"U{most}", setting.block.tokens // most),
    ):
        measure = functools.partial(
            _inject, setting, {"L": tokens, **shape}, f"control_inject.{name}"
        )
        found.append(Part(f"control_inject, {name}", measure))
    return found


def _grouped(setting: Setting, ranks: int) -> Iterator[Measured]:
    """Yield the time of a base block and N control blocks, together and in turn."""
    blocks = [
        RankBlock(
            setting.block, ranks, device=setting.device, dtype=setting.dtype, seed=seed
        )
        for seed in range(1 + BRANCHES)
    ]
    for block in blocks[1:]:
        for name in _SHARED:
            setattr(block, name, getattr(blocks[0], name))
    together = grouped(blocks)

    def in_sequence() -> Tensor:
        return torch.cat([block() for block in blocks])

    forms: dict[str, Callable[[], Tensor]]
    forms = {"sequential": in_sequence, "grouped": together}
    # What the blocks add: the hidden state they add to is the same in both.
    added = {name: form() - together.x for name, form in forms.items()}
    error = relative_error(added["grouped"], added["sequential"])
    yield Measured(f"grouped.U{ranks}.against_sequential", error)
    # Both round, at every step.
    _refuse_error("the group", error, 4 * TOLERANCE[setting.dtype])
    calls = {f"{name}.eager": _call(form) for name, form in forms.items()}
    if setting.device != "cpu":
        for name, form in forms.items():
            # Without the host's launches, of which a group has fewer.
            replay, out = graphed(form)
            replay()
            error = relative_error(out - together.x, added[name])
            _refuse_error(f"the graph, {name},", error, TOLERANCE[setting.dtype])
            calls[f"{name}.graph"] = Call(lambda _, replay=replay: replay())
    added.clear()
    times = timed(setting, calls, host_ahead=False)
    for name, time in times.items():
        yield Measured(f"grouped.U{ranks}.{name}", 1e3 * time.median, "ms")
    mode = "graph" if "grouped.graph" in times else "eager"
    one_by_one, at_once = (times[f"{n}.{mode}"].median for n in forms)
    yield Measured(f"grouped.U{ranks}", one_by_one / at_once, "x", f"by {mode}")


def _refuse_error(what: str, error: float, tolerance: float) -> None:
    if not error <= tolerance:
        raise RuntimeError(f"{what} is {error:.1e} off what it stands for")


def _call(form: Callable[[], Tensor]) -> Call:
    return Call(lambda _: form())


def _inject(setting: Setting, shape: dict[str, int], prefix: str) -> Iterator[Measured]:
    """Yield every provider, then linear and weighted_add over control_inject."""
    found = {}
    for each in measured_rows(setting, "control_inject", "forward", shape, prefix):
        found[each.key] = each.value
        yield each
    ours = found.get(f"{prefix}.triton", math.nan)
    other = found.get(f"{prefix}.linear + ours", math.nan)
    yield Measured(prefix, other / ours, "x")
