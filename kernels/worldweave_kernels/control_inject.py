"""The zero projections of all branches and their weighted sum, as one product."""

# D hidden, K width of a branch, N branch

from __future__ import annotations

from collections.abc import Sequence

import torch
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

    *x* is (..., D), each hidden (..., K), weight (D, K) and bias (D,); each map
    broadcasts against (...). Accumulated in float32 (float64 for float64 input),
    rounded once to the dtype of *x*. Raise ValueError where shapes or counts do not
    fit.

    Through Triton there is no gradient, all tensors but the maps share one dtype,
    and a branch is not read for a block of tokens whose map is zero there. Inputs
    whose positions cannot be viewed as one axis, or whose channels do not lie side
    by side, are copied.

    The model of worldweave does not call this: its branches hand over finished
    residuals, which `weighted_add` adds. Whether it should is not known, for nothing
    was measured on a GPU. For 4 branches of the 7B, the products alone take 9.6 ms at
    790 TFLOP/s and `weighted_add` 0.64 ms at 4.3 TB/s, so this kernel must reach 94 %
    of the library's rate, unless maps are zero for whole blocks of tokens.
    """
    _refuse_misfit(x, hiddens, weights, biases, maps)
    if not hiddens:
        return x
    choice = chosen(x, hiddens, weights, biases, maps, backend=backend)
    if choice.backend == "reference":
        return reference.control_inject(x, hiddens, weights, biases, maps)
    total: Tensor = _through_triton(
        x, list(hiddens), list(weights), list(biases), list(maps)
    )
    return total


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
    triton = triton_candidate(x)
    tensors = (x, *hiddens, *weights, *biases, *maps)
    dtypes = {each.dtype for each in (x, *hiddens, *weights, *biases)}
    if triton.obstacle is None and len(dtypes) > 1:
        names = sorted(str(dtype).removeprefix("torch.") for dtype in dtypes)
        triton = triton._replace(obstacle=f"dtypes are mixed: {', '.join(names)}")
    if torch.is_grad_enabled() and any(each.requires_grad for each in tensors):
        triton = triton._replace(
            obstacle="it has no backward, and a gradient is wanted"
        )
    return choose("control_inject", (triton, Candidate("reference")), backend)


@torch.library.custom_op("worldweave::control_inject", mutates_args=())
def _through_triton(
    x: Tensor,
    hiddens: list[Tensor],
    weights: list[Tensor],
    biases: list[Tensor],
    maps: list[Tensor],
) -> Tensor:
    from worldweave_kernels.in_triton.control_inject import control_inject

    return control_inject(x, hiddens, weights, biases, maps)


@_through_triton.register_fake
def _(
    x: Tensor,
    hiddens: list[Tensor],
    weights: list[Tensor],
    biases: list[Tensor],
    maps: list[Tensor],
) -> Tensor:
    return x.new_empty(x.shape)


def _refuse_misfit(
    x: Tensor,
    hiddens: Sequence[Tensor],
    weights: Sequence[Tensor],
    biases: Sequence[Tensor],
    maps: Sequence[Tensor],
) -> None:
    counts = [len(each) for each in (hiddens, weights, biases, maps)]
    if len(set(counts)) > 1:
        raise ValueError(
            "there are {} hiddens, {} weights, {} biases and {} maps; give one of "
            "each per branch".format(*counts)
        )
    tokens, width = x.shape[:-1], x.shape[-1]
    for index, (hidden, weight, bias, values) in enumerate(
        zip(hiddens, weights, biases, maps, strict=True)
    ):
        inner = hiddens[0].shape[-1]
        for name, tensor, wanted in (
            ("hidden", hidden, (*tokens, inner)),
            ("weight", weight, (width, inner)),
            ("bias", bias, (width,)),
        ):
            if tensor.shape != wanted:
                raise ValueError(
                    f"{name} {index} is {tuple(tensor.shape)} but x is "
                    f"{tuple(x.shape)} and hidden 0 {tuple(hiddens[0].shape)}, so "
                    f"{wanted} was expected"
                )
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
