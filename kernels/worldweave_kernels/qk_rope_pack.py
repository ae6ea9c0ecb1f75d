"""Normalise and rotate queries and keys, straight into the layout of the exchange."""

# B batch, L token, H head, d channels of one head

from __future__ import annotations

from torch import Tensor

from worldweave_kernels import reference
from worldweave_kernels.dispatch import Candidate, Choice, choose, triton_candidate


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
    backend: str = "auto",
) -> Tensor:
    """Return q, k and v as the all-to-all of *world* ranks sends them.

    q, k, v are (B, L, H, d), the weights (d,), cos and sin (L, d / 2) in float32.
    q and k are RMS-normalised per head, weighted and rotated. The result is
    (chunks, world, B, L, 3, H / (world * chunks), d); with one rank and one chunk,
    `result[0, 0].unbind(2)` is the plain q, k, v.
    """
    choice = chosen(
        q, k, v, q_weight, k_weight, cos, sin,
        world=world, chunks=chunks, eps=eps, backend=backend,
    )  # fmt: skip
    if choice.backend == "reference":
        return reference.qk_norm_rope_pack(
            q, k, v, q_weight, k_weight, cos, sin, world=world, chunks=chunks, eps=eps
        )
    raise NotImplementedError


def chosen(
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
    backend: str = "auto",
) -> Choice:
    """Return the backend that `qk_norm_rope_pack` takes for these arguments."""
    op = "qk_norm_rope_pack"
    return choose(op, (triton_candidate(op, q), Candidate("reference")), backend)
