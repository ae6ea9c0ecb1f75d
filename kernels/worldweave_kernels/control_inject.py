"""The zero projections of all branches and their weighted sum, as one product."""

# D hidden, K width of a branch, N branch

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from worldweave_kernels import reference
from worldweave_kernels.dispatch import Candidate, Choice, choose, triton_candidate


def control_inject(
    x: Tensor,
    hiddens: Sequence[Tensor],
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    maps: Sequence[Tensor],
    *,
    backend: str = "auto",
) -> Tensor:
    """Return x + sum_i maps[i] * (hiddens[i] @ weights[i].T + biases[i]).

    x is (..., D), each hidden (..., K), weight (D, K), bias (D,); maps broadcast
    against (...). For inference: not differentiable through Triton.
    """
    choice = chosen(x, hiddens, weights, biases, maps, backend=backend)
    if choice.backend == "reference":
        return reference.control_inject(x, hiddens, weights, biases, maps)
    raise NotImplementedError


def chosen(
    x: Tensor,
    hiddens: Sequence[Tensor],
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    maps: Sequence[Tensor],
    *,
    backend: str = "auto",
) -> Choice:
    """Return the backend that `control_inject` takes for these arguments."""
    op = "control_inject"
    return choose(op, (triton_candidate(op, x), Candidate("reference")), backend)
