"""The operations as others write them: the official chains, and the shortest in torch.

They compute in the dtype of their inputs and round at each step, as that code does.
"""

# B batch, L token, D hidden, H head, d channels of one head, K inner, N branch, U rank

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from worldweave_kernels import reference, weighted_add

EPS = 1e-6


def official_weighted_add(
    x: Tensor, residuals: Sequence[Tensor], maps: Sequence[Tensor]
) -> Tensor:
    """Scale by the map and by a gate that is always one, sum up, add to x.

    As Cosmos-Transfer1's `general_dit_ctrl_enc.py` does, maps in the dtype of x.
    """
    return x + _official_sum(residuals, maps)


def eager_weighted_add(
    x: Tensor, residuals: Sequence[Tensor], maps: Sequence[Tensor]
) -> Tensor:
    """Add each product to the sum so far, in place but for the first."""
    total = x
    for index, (residual, values) in enumerate(zip(residuals, maps, strict=True)):
        each = values.to(x.dtype).unsqueeze(-1)
        if index:
            total.addcmul_(residual, each)
        else:
            total = torch.addcmul(x, residual, each)
    return total


def eager_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Compute all scores, their softmax and the sums, one after another."""
    scores = (q.transpose(1, 2) @ k.permute(0, 2, 3, 1)) * q.shape[-1] ** -0.5
    out: Tensor = scores.softmax(dim=-1) @ v.transpose(1, 2)
    return out.transpose(1, 2)


def official_norm_rope(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    ranks: int,
) -> list[Tensor]:
    """Normalise in float32 step by step, rotate with a turned copy, lay out.

    `x * cos + rotate_half(x) * sin` with angles (L, d) in the dtype of x: the
    formulas of what the released code calls in TransformerEngine, without its fusion.
    """
    cos, sin = (
        torch.cat([each, each], dim=-1).unsqueeze(1).to(q.dtype) for each in (cos, sin)
    )
    turned = []
    for x, weight in ((q, q_weight), (k, k_weight)):
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        scale = torch.rsqrt(wide.pow(2).mean(dim=-1, keepdim=True) + EPS)
        normal = (wide * scale).to(x.dtype) * weight
        low, high = normal.chunk(2, dim=-1)
        half = torch.cat([-high, low], dim=-1)
        turned.append(normal * cos + half * sin)
    return [_laid_out(x, ranks) for x in (*turned, v)]


def eager_norm_rope(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    ranks: int,
) -> list[Tensor]:
    """Take torch's RMS norm, rotate the halves, lay out."""
    cos, sin = (each.unsqueeze(1).to(q.dtype) for each in (cos, sin))
    turned = []
    for x, weight in ((q, q_weight), (k, k_weight)):
        low, high = F.rms_norm(x, weight.shape, weight, EPS).chunk(2, dim=-1)
        first = torch.addcmul(low * cos, high, sin, value=-1)
        second = torch.addcmul(high * cos, low, sin)
        turned.append(torch.cat([first, second], dim=-1))
    return [_laid_out(x, ranks) for x in (*turned, v)]


def _laid_out(x: Tensor, ranks: int) -> Tensor:
    """Return x (B, L, H, d) as (U, B, L, H / U, d); a copy for several ranks only."""
    batch, tokens, heads, channels = x.shape
    split = x.view(batch, tokens, ranks, heads // ranks, channels)
    return split.permute(2, 0, 1, 3, 4).contiguous()


def official_norm_modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Normalise, scale, shift, each by itself."""
    return F.layer_norm(x, x.shape[-1:], eps=EPS) * (1 + scale) + shift


def eager_norm_modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Normalise, then scale and shift at once."""
    return torch.addcmul(shift, F.layer_norm(x, x.shape[-1:], eps=EPS), 1 + scale)


def modulating_layer_norm(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """Hand scale and shift to layer norm as its weights: one kernel, for B = 1."""
    return F.layer_norm(x, x.shape[-1:], (1 + scale).flatten(), shift.flatten(), EPS)


def official_gate_residual(
    x: Tensor, y: Tensor, gate: Tensor, shift: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Gate, add, normalise, scale, shift, each by itself."""
    total = x + gate * y
    return total, official_norm_modulate(total, shift, scale)


def eager_gate_residual(
    x: Tensor, y: Tensor, gate: Tensor, shift: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Gate and add at once; normalise; scale and shift at once."""
    total = torch.addcmul(x, gate, y)
    return total, eager_norm_modulate(total, shift, scale)


def gated_modulating_layer_norm(
    x: Tensor, y: Tensor, gate: Tensor, shift: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor]:
    """Gate and add at once; layer norm with scale and shift as its weights."""
    total = torch.addcmul(x, gate, y)
    return total, modulating_layer_norm(total, shift, scale)


def official_inject(
    x: Tensor,
    hiddens: Sequence[Tensor],
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    maps: Sequence[Tensor],
) -> Tensor:
    """Project each branch, then scale, gate, sum up and add as the official code."""
    return x + _official_sum(_projected(hiddens, weights, biases), maps)


def eager_inject(
    x: Tensor,
    hiddens: Sequence[Tensor],
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    maps: Sequence[Tensor],
) -> Tensor:
    """Project each branch, then add each product to the sum so far."""
    return eager_weighted_add(x, _projected(hiddens, weights, biases), maps)


def projected_weighted_add(
    x: Tensor,
    hiddens: Sequence[Tensor],
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    maps: Sequence[Tensor],
) -> Tensor:
    """Project each branch, then add them with the package's own `weighted_add`."""
    return weighted_add(x, _projected(hiddens, weights, biases), maps)


def concatenated_product(
    x: Tensor,
    hiddens: Sequence[Tensor],
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    maps: Sequence[Tensor],
    *,
    matrix: Tensor,
) -> Tensor:
    """Lay scaled hiddens side by side: one product with what `concatenated` made.

    sum_i m_i (h_i W_i^T + b_i) = [m_i h_i] [W_i]^T + m b.
    """
    columns = torch.stack(list(maps), dim=-1).to(x.dtype)
    scaled = [hidden * columns[..., i : i + 1] for i, hidden in enumerate(hiddens)]
    wide = torch.cat([*scaled, columns], dim=-1).flatten(0, -2)
    return torch.addmm(x.flatten(0, -2), wide, matrix.t()).view(x.shape)


def concatenated(weights: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """Return all weights and biases side by side, (D, N (K + 1))."""
    return torch.cat([*weights, torch.stack(list(biases), dim=1)], dim=1)


def _projected(
    hiddens: Sequence[Tensor], weights: Sequence[Tensor], biases: Sequence[Tensor]
) -> list[Tensor]:
    return [F.linear(*each) for each in zip(hiddens, weights, biases, strict=True)]


def _official_sum(residuals: Sequence[Tensor], maps: Sequence[Tensor]) -> Tensor:
    total: Tensor | None = None
    for residual, values in zip(residuals, maps, strict=True):
        hint = residual * values.to(residual.dtype).unsqueeze(-1) * 1
        if total is None:
            total = hint
        else:
            total += hint
    if total is None:
        raise ValueError("there are no residuals; give at least one")
    return total


OFFICIAL: dict[str, Callable[..., Any]] = {
    "weighted_add": official_weighted_add,
    "qk_norm_rope_pack": official_norm_rope,
    "norm_modulate": official_norm_modulate,
    "gate_residual_norm_modulate": official_gate_residual,
    "control_inject": official_inject,
}

EAGER: dict[str, Callable[..., Any]] = {
    "weighted_add": eager_weighted_add,
    "attention": eager_attention,
    "qk_norm_rope_pack": eager_norm_rope,
    "norm_modulate": eager_norm_modulate,
    "gate_residual_norm_modulate": eager_gate_residual,
    "control_inject": eager_inject,
}


def _attention_at_once(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return reference.attention(q, k, v)[0]


#: Definitions for a compiler, where the benchmark's own works in parts.
DEFINED: dict[str, Callable[..., Any]] = {"attention": _attention_at_once}
