"""Run every active branch, then the base with their residuals."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from worldweave.model.branch import ControlBranch
from worldweave.model.dit import DiT
from worldweave.model.step import Step


def weave(
    base: DiT,
    branches: Mapping[str, ControlBranch],
    latent: Tensor,
    step: Step,
    hints: Mapping[str, Tensor],
    maps: Mapping[str, Tensor],
) -> Tensor:
    """Return the base's output under the control of *branches*.

    Hints are (1 or B, C', T, H, W), maps (1 or B, T, H, W) on the token grid,
    normalised. All three mappings have the same keys; their order fixes the order
    of summation.
    """
    residuals = [
        branch(latent, step, hints[name].expand(len(latent), -1, -1, -1, -1))
        for name, branch in branches.items()
    ]
    out: Tensor = base(latent, step, residuals, [maps[name] for name in branches])
    return out
