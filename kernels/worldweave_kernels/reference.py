"""Every operation in plain torch, in any dtype: the definition a kernel must meet.

All of them compute in at least float32 and round once, to the dtype of their inputs.
"""

# B batch, L M token, D hidden, H head, d channels of one head, N branch

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def share(maps: Sequence[Tensor]) -> list[Tensor]:
    """Divide *maps* by max(1, their sum), position by position.

    Source: Cosmos-Transfer1, arXiv 2503.14492, section 3.2.
    """
    wide = [m.to(_wide(m)) for m in maps]
    total = sum(wide, torch.zeros((), dtype=wide[0].dtype, device=wide[0].device))
    return [m / total.clamp(min=1) for m in wide]


def weighted_add(
    x: Tensor,
    residuals: Sequence[Tensor],
    maps: Sequence[Tensor],
    *,
    normalize: bool = False,
) -> Tensor:
    """Return x + sum_i maps[i] * residuals[i]; with *normalize*, of the shared maps.

    *x* and each residual are (..., D); each map broadcasts against (...).
    """
    if normalize and maps:
        maps = share(maps)
    dtype = _wide(x)
    total = x.to(dtype)
    for residual, values in zip(residuals, maps, strict=True):
        total = total + values.to(dtype).unsqueeze(-1) * residual.to(dtype)
    return total.to(x.dtype)


def attention(
    q: Tensor, k: Tensor, v: Tensor, *, scale: float | None = None
) -> tuple[Tensor, Tensor]:
    """Return softmax(scale * q k^T) v, (B, L, H, d), and the log of its denominators.

    *q* is (B, L, H, d), *k* and *v* are (B, M, H, d); *scale* is d ** -0.5 unless
    given. The second is the log-sum-exp of each query's scores, (B, H, L).
    """
    factor = float(q.shape[-1] ** -0.5) if scale is None else scale
    wide_q, wide_k, wide_v = (each.to(_wide(q)) for each in (q, k, v))
    with _as_written(q):
        scores = torch.einsum("blhd,bmhd->bhlm", wide_q, wide_k) * factor
        out = torch.einsum("bhlm,bmhd->blhd", scores.softmax(dim=-1), wide_v)
    return out.to(q.dtype), scores.logsumexp(dim=-1)


def merge_attention(
    outs: Sequence[Tensor], lses: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Join attentions of the same queries over disjoint keys into that over all keys.

    *outs* are (B, L, H, d), *lses* (B, H, L) as `attention` returns them; the results
    have the dtypes of the first of each. A log-sum-exp of -inf stands for no keys.
    """
    wide = torch.stack([lse.to(_wide(lse)) for lse in lses])
    total = wide.logsumexp(dim=0)
    # Of shares without keys alone, a softmax is no number.
    empty = total == -math.inf
    share_of = wide.masked_fill(empty, 0).softmax(dim=0).masked_fill(empty, 0)
    share_of = share_of.transpose(2, 3).unsqueeze(-1)
    out = (torch.stack([out.to(wide.dtype) for out in outs]) * share_of).sum(dim=0)
    return out.to(outs[0].dtype), total.to(lses[0].dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate x (B, L, H, d), channel i with channel i + d / 2, by angles (L, d / 2).

    Rotary positions (arXiv 2104.09864), half against half.
    """
    low, high = x.to(_wide(x)).chunk(2, dim=-1)
    cos, sin = cos.unsqueeze(1), sin.unsqueeze(1)
    turned = torch.cat([low * cos - high * sin, high * cos + low * sin], dim=-1)
    return turned.to(x.dtype)


def qk_norm_rope_pack(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    *,
    world: int = 1,
    chunks: int = 1,
    eps: float = 1e-6,
) -> Tensor:
    """Normalise and rotate q and k, and lay q, k and v out for the exchange.

    q, k, v are (B, L, H, d), the weights (d,), cos and sin (L, d / 2). The result
    is (chunks, world, B, L, 3, H / (world * chunks), d): rank r of the exchange of
    chunk c is sent [c, r], where heads are counted rank by rank, in each rank
    chunk by chunk. With one rank and one chunk, [0, 0] is the plain q, k, v.
    """
    dtype, width = _wide(q), (q.shape[-1],)
    q_turned, k_turned = (
        rotate(F.rms_norm(x.to(dtype), width, weight.to(dtype), eps), cos, sin)
        for x, weight in ((q, q_weight), (k, k_weight))
    )
    packed = torch.stack([q_turned.to(q.dtype), k_turned.to(q.dtype), v], dim=2)
    batch, tokens, _, heads, channels = packed.shape
    each = heads // (world * chunks)
    split = packed.view(batch, tokens, 3, world, chunks, each, channels)
    return split.permute(4, 3, 0, 1, 2, 5, 6).contiguous()


def norm_modulate(
    x: Tensor, shift: Tensor, scale: Tensor, *, eps: float = 1e-6
) -> Tensor:
    """Return layer_norm(x) * (1 + scale) + shift, of x (B, L, D) without weights.

    *shift* and *scale* are (B or 1, 1, D): adaptive layer norm (arXiv 2212.09748).
    """
    dtype = _wide(x)
    normal = F.layer_norm(x.to(dtype), (x.shape[-1],), eps=eps)
    return (normal * (1 + scale.to(dtype)) + shift.to(dtype)).to(x.dtype)


def gate_residual_norm_modulate(
    x: Tensor,
    y: Tensor | None,
    gate: Tensor | None,
    shift: Tensor,
    scale: Tensor,
    *,
    positions: Tensor | None = None,
    eps: float = 1e-6,
) -> tuple[Tensor, Tensor]:
    """Return x + gate * y + positions, and what `norm_modulate` makes of it.

    x and y are (B, L, D), gate, shift and scale (B or 1, 1, D), positions (L, D).
    Either y with its gate or the positions may be left out. The sum is rounded to
    the dtype of *x* before it is normalised: it is what the next layer sees.
    """
    dtype = _wide(x)
    total = x.to(dtype)
    if y is not None and gate is not None:
        total = total + gate.to(dtype) * y.to(dtype)
    if positions is not None:
        total = total + positions.to(dtype)
    total = total.to(x.dtype)
    return total, norm_modulate(total, shift, scale, eps=eps)


def control_inject(
    x: Tensor,
    hiddens: Sequence[Tensor],
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    maps: Sequence[Tensor],
) -> Tensor:
    """Return x + sum_i maps[i] * (hiddens[i] @ weights[i].T + biases[i]).

    x is (..., D), each hidden (..., K), weight (D, K), bias (D,); maps broadcast
    against (...). The zero projections of N branches and their weighted sum.
    """
    dtype = _wide(x)
    with _as_written(x):
        residuals = [
            F.linear(hidden.to(dtype), weight.to(dtype), bias.to(dtype))
            for hidden, weight, bias in zip(hiddens, weights, biases, strict=True)
        ]
    return weighted_add(x.to(dtype), residuals, maps).to(x.dtype)


def _wide(x: Tensor) -> torch.dtype:
    """Return the dtype to compute in: float64 for float64, else float32."""
    return torch.promote_types(x.dtype, torch.float32)


def _as_written(x: Tensor) -> torch.autocast:
    """Keep autocast from narrowing products: a definition computes as it says."""
    return torch.autocast(x.device.type, enabled=False)
