"""The one door every attention of the model goes through."""

# B batch, L M token, H head, d channels of one head

from __future__ import annotations

from typing import Literal, overload

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from worldweave_kernels import reference
from worldweave_kernels.dispatch import Candidate, Choice, choose, triton_candidate


@overload
def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    return_lse: Literal[False] = False,
    num_splits: int | Literal["auto"] = "auto",
    backend: str = "auto",
) -> Tensor: ...


@overload
def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    return_lse: Literal[True],
    num_splits: int | Literal["auto"] = "auto",
    backend: str = "auto",
) -> tuple[Tensor, Tensor]: ...


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    return_lse: bool = False,
    num_splits: int | Literal["auto"] = "auto",
    backend: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Return softmax(scale * q k^T) v.

    *q* is (B, L, H, d), *k* and *v* are (B, M, H, d), of any strides; the result is
    like *q*. No mask: every query sees every key, as in Cosmos-Transfer1.
    """
    choice = chosen(q, k, v, backend=backend)
    if choice.backend == "reference":
        out, lse = reference.attention(q, k, v, scale=scale)
        return (out, lse) if return_lse else out
    if return_lse:
        raise NotImplementedError
    out = scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), scale=scale
    )
    return out.transpose(1, 2)


def chosen(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    return_lse: bool = False,
    num_splits: int | Literal["auto"] = "auto",
    backend: str = "auto",
) -> Choice:
    """Return the backend that `attention` takes for these arguments."""
    candidates = (
        Candidate("sdpa"),
        triton_candidate("attention", q),
        Candidate("reference"),
    )
    return choose("attention", candidates, backend)


def merge_attention(
    out: Tensor, lse: Tensor, other: Tensor, other_lse: Tensor
) -> tuple[Tensor, Tensor]:
    """Join attentions of the same queries over disjoint keys into that over all.

    *out* and *other* are (B, L, H, d), their log-sum-exps (B, H, L); so is the result.
    """
    return reference.merge_attention((out, other), (lse, other_lse))
