"""Stages 2 and 6: the sum of control branches, and their projections."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

from gpu.record import Measured, Part
from gpu.rows import measured_rows
from gpu.setting import Setting

#: Branches of the sum, and of a step.
SUMMED, BRANCHES = (1, 2, 4, 6), 4


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
    found = []
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


def _inject(setting: Setting, shape: dict[str, int], prefix: str) -> Iterator[Measured]:
    """Yield every provider, then linear and weighted_add over control_inject."""
    found = {}
    for each in measured_rows(setting, "control_inject", "forward", shape, prefix):
        found[each.key] = each.value
        yield each
    ours = found.get(f"{prefix}.triton", math.nan)
    other = found.get(f"{prefix}.linear + ours", math.nan)
    yield Measured(prefix, other / ours, "x")
