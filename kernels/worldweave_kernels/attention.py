"""The one door every attention of the model goes through."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def attention(q: Tensor, k: Tensor, v: Tensor, *, scale: float) -> Tensor:
    """Return softmax(scale * q k^T) v.

    *q* is (B, L, H, d), *k* and *v* are (B, M, H, d); the result is like *q*.
    No mask: every query sees every key, as in Cosmos-Transfer1.
    """
    out = scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), scale=scale
    )
    return out.transpose(1, 2)
