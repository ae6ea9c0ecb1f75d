"""Add residuals to the hidden state, each scaled by its own map."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from worldweave_kernels import reference


def weighted_add(
    x: Tensor, residuals: Sequence[Tensor], maps: Sequence[Tensor]
) -> Tensor:
    """Return x + sum_i maps[i] * residuals[i].

    *x* and each residual are (..., D), each map broadcasts against (...).
    Accumulated in float32 (float64 for float64 input), returned as x.dtype.
    """
    return reference.weighted_add(x, residuals, maps)
