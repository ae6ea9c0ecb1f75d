"""Every operation in plain torch, in any dtype: the definition a kernel must meet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def weighted_add(
    x: Tensor, residuals: Sequence[Tensor], maps: Sequence[Tensor]
) -> Tensor:
    """Return x + sum_i maps[i] * residuals[i].

    *x* and each residual are (..., D); each map broadcasts against (...).
    Accumulates in at least float32 and returns the dtype of *x*.
    """
    dtype = torch.promote_types(x.dtype, torch.float32)
    total = x.to(dtype)
    for residual, weight in zip(residuals, maps, strict=True):
        total = total + weight.to(dtype).unsqueeze(-1) * residual.to(dtype)
    return total.to(x.dtype)


def attention(q: Tensor, k: Tensor, v: Tensor, *, scale: float) -> Tensor:
    """Return softmax(scale * q k^T) v for q, k, v of shape (B, L, H, d)."""
    scores = torch.einsum("blhd,bmhd->bhlm", q, k) * scale
    return torch.einsum("bhlm,bmhd->blhd", scores.softmax(dim=-1), v)
