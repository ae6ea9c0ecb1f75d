"""Stage 2: weighted_add against the official chain, plain torch and the compiler."""

from __future__ import annotations

import functools

from gpu.record import Part
from gpu.rows import measured_rows
from gpu.setting import Setting

BRANCHES = (1, 2, 4, 6)


def parts(setting: Setting) -> list[Part]:
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
        for branches in BRANCHES
    ]
