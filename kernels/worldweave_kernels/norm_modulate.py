"""Adaptive layer norm, alone and with the gated residual before it."""

# B batch, L token, D hidden

from __future__ import annotations

from torch import Tensor

from worldweave_kernels import reference
from worldweave_kernels.dispatch import Candidate, Choice, choose, triton_candidate


def norm_modulate(
    x: Tensor,
    shift: Tensor,
    scale: Tensor,
    *,
    eps: float = 1e-6,
    backend: str = "auto",
) -> Tensor:
    """Return layer_norm(x) * (1 + scale) + shift, of x (B, L, D) without weights.

    *shift* and *scale* are (B or 1, 1, D): adaptive layer norm (arXiv 2212.09748).
    """
    choice = norm_modulate_chosen(x, shift, scale, eps=eps, backend=backend)
    if choice.backend == "reference":
        return reference.norm_modulate(x, shift, scale, eps=eps)
    raise NotImplementedError


def gate_residual_norm_modulate(
    x: Tensor,
    y: Tensor | None,
    gate: Tensor | None,
    shift: Tensor,
    scale: Tensor,
    *,
    positions: Tensor | None = None,
    eps: float = 1e-6,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """Return x + gate * y + positions, and what `norm_modulate` makes of it.

    x and y are (B, L, D), gate, shift and scale (B or 1, 1, D), positions (L, D).
    Either y with its gate or the positions may be None.
    """
    choice = gate_residual_norm_modulate_chosen(
        x, y, gate, shift, scale, positions=positions, eps=eps, backend=backend
    )
    if choice.backend == "reference":
        return reference.gate_residual_norm_modulate(
            x, y, gate, shift, scale, positions=positions, eps=eps
        )
    raise NotImplementedError


def norm_modulate_chosen(
    x: Tensor,
    shift: Tensor,
    scale: Tensor,
    *,
    eps: float = 1e-6,
    backend: str = "auto",
) -> Choice:
    """Return the backend that `norm_modulate` takes for these arguments."""
    candidates = (triton_candidate("norm_modulate", x), Candidate("reference"))
    return choose("norm_modulate", candidates, backend)


def gate_residual_norm_modulate_chosen(
    x: Tensor,
    y: Tensor | None,
    gate: Tensor | None,
    shift: Tensor,
    scale: Tensor,
    *,
    positions: Tensor | None = None,
    eps: float = 1e-6,
    backend: str = "auto",
) -> Choice:
    """Return the backend that `gate_residual_norm_modulate` takes for these."""
    op = "gate_residual_norm_modulate"
    return choose(op, (triton_candidate(op, x), Candidate("reference")), backend)
