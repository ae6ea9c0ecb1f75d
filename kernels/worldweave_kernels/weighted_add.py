"""Add residuals to the hidden state, each scaled by its own map."""

# B batch, L token, D hidden, N branch

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from worldweave_kernels import reference
from worldweave_kernels.dispatch import Candidate, Choice, choose, triton_candidate


def weighted_add(
    x: Tensor,
    residuals: Sequence[Tensor],
    maps: Sequence[Tensor],
    *,
    normalize: bool = False,
    out: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Return x + sum_i maps[i] * residuals[i].

    *x* and each residual are (..., D), each map broadcasts against (...): one value
    per token, per branch, or shared by the batch. With *normalize* maps are divided
    by max(1, their sum) first. Accumulated in float32 (float64 for float64 input),
    rounded once to the dtype of *x*. *out*, which may be *x*, takes the result where
    no gradient is wanted. Differentiable in *x*, residuals and maps.
    Raise ValueError where shapes or counts do not fit.
    """
    _refuse_misfit(x, residuals, maps, out)
    if not residuals:
        return x if out is None else out.copy_(x)
    choice = chosen(x, residuals, maps, backend=backend)
    if choice.backend == "reference":
        total = reference.weighted_add(x, residuals, maps, normalize=normalize)
        return total if out is None else out.copy_(total)
    raise NotImplementedError


def chosen(
    x: Tensor,
    residuals: Sequence[Tensor],
    maps: Sequence[Tensor],
    *,
    normalize: bool = False,
    out: Tensor | None = None,
    backend: str = "auto",
) -> Choice:
    """Return the backend that `weighted_add` takes for these arguments."""
    candidates = (triton_candidate("weighted_add", x), Candidate("reference"))
    return choose("weighted_add", candidates, backend)


def _refuse_misfit(
    x: Tensor,
    residuals: Sequence[Tensor],
    maps: Sequence[Tensor],
    out: Tensor | None,
) -> None:
    if len(residuals) != len(maps):
        raise ValueError(
            f"{len(residuals)} residuals but {len(maps)} maps; give one map per "
            "residual"
        )
    for index, (residual, values) in enumerate(zip(residuals, maps, strict=True)):
        if residual.shape != x.shape:
            raise ValueError(
                f"residual {index} is {tuple(residual.shape)} but x is "
                f"{tuple(x.shape)}; they must be alike"
            )
        tokens = x.shape[:-1]
        if values.ndim > len(tokens) or any(
            size not in (1, wanted)
            for size, wanted in zip(
                reversed(values.shape), reversed(tokens), strict=False
            )
        ):
            raise ValueError(
                f"map {index} is {tuple(values.shape)}, which does not broadcast "
                f"against {tuple(tokens)}, the positions of x"
            )
    if out is None:
        return
    if out.shape != x.shape or out.dtype != x.dtype:
        raise ValueError(
            f"out is {tuple(out.shape)} of {out.dtype} but x is {tuple(x.shape)} of "
            f"{x.dtype}; they must be alike"
        )
    if torch.is_grad_enabled() and any(
        each.requires_grad for each in (x, *residuals, *maps)
    ):
        raise ValueError("out cannot be given where a gradient is wanted; leave it out")
