"""Add residuals to the hidden state, each scaled by its own map."""

# B batch, L token, D hidden, N branch

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from worldweave_kernels import reference
from worldweave_kernels.contract import refuse_kind
from worldweave_kernels.dispatch import Candidate, Choice, choose, triton_candidate

#: Triton unrolls the branches: each takes registers, and these are the most that were
#: ever compiled for a GPU. There are five modalities so far.
MOST_BRANCHES = 16


def weighted_add(
    x: Tensor,
    residuals: Sequence[Tensor],
    maps: Sequence[Tensor],
    *,
    normalize: bool = False,
    out: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Return x + sum_i maps[i] * residuals[i]; without residuals, *x* itself.

    *x* and each residual are (..., D), each map broadcasts against (...): one value
    per token, per branch, or shared by the batch. With *normalize* maps are divided
    by max(1, their sum) first. Differentiable in *x*, residuals and maps.

    Tensors are of 16, 32 or 64 floating bits, each of its own dtype: a training run
    may hold x in float32 and have residuals from autocast. Everything is added in
    float32, in float64 if *x* is, and rounded once to the dtype of *x*.

    *out* takes the result where no gradient is wanted. It may be *x*, and else must
    not overlap an input.

    Triton computes one gradient, not that of a gradient, for at most MOST_BRANCHES
    residuals. It reads strided and expanded tensors where they lie if their
    positions count with one stride, or with two that part at the same axis in all
    (some tokens of each video, a map for the whole batch). The others it copies
    first, and those whose channels are not adjacent.

    Raise ValueError where shapes, counts, dtypes or devices do not fit, BackendError
    where *backend* cannot compute this.
    """
    _refuse_misfit(x, residuals, maps)
    if out is not None:
        _refuse_out(out, x, residuals, maps)
    choice = chosen(x, residuals, maps, backend=backend)
    if not residuals:
        return x if out is None else out.copy_(x)
    if choice.backend == "triton":
        return _through_triton(x, list(residuals), list(maps), normalize, out)
    total = reference.weighted_add(x, residuals, maps, normalize=normalize)
    return total if out is None else out.copy_(total)


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
    triton = triton_candidate(x)
    if triton.obstacle is None and len(residuals) > MOST_BRANCHES:
        triton = triton._replace(
            obstacle=f"there are {len(residuals)} residuals, more than {MOST_BRANCHES}"
        )
    return choose("weighted_add", (triton, Candidate("reference")), backend)


def _through_triton(
    x: Tensor,
    residuals: list[Tensor],
    maps: list[Tensor],
    normalize: bool,
    out: Tensor | None,
) -> Tensor:
    if out is None:
        total: Tensor = _added(x, residuals, maps, normalize)
        return total
    # An operator must not be given a tensor twice if it writes to it.
    if out is x:
        _add_in_place(x, residuals, maps, normalize)
    else:
        _add_into(x, residuals, maps, normalize, out)
    return out


@torch.library.custom_op(
    "worldweave::weighted_add",
    mutates_args=(),
    schema="(Tensor x, Tensor[] residuals, Tensor[] maps, bool normalize) -> Tensor",
)
def _added(
    x: Tensor, residuals: Sequence[Tensor], maps: Sequence[Tensor], normalize: bool
) -> Tensor:
    out: Tensor = _empty_sum(x, residuals, maps, normalize)
    _launch_forward(x, residuals, maps, normalize, out)
    return out


@torch.library.custom_op(
    "worldweave::weighted_add_",
    mutates_args=("x",),
    schema="(Tensor(a!) x, Tensor[] residuals, Tensor[] maps, bool normalize) -> ()",
)
def _add_in_place(
    x: Tensor, residuals: Sequence[Tensor], maps: Sequence[Tensor], normalize: bool
) -> None:
    _launch_forward(x, residuals, maps, normalize, x)


@torch.library.custom_op(
    "worldweave::weighted_add_into",
    mutates_args=("out",),
    schema="(Tensor x, Tensor[] residuals, Tensor[] maps, bool normalize, "
    "Tensor(a!) out) -> ()",
)
def _add_into(
    x: Tensor,
    residuals: Sequence[Tensor],
    maps: Sequence[Tensor],
    normalize: bool,
    out: Tensor,
) -> None:
    _launch_forward(x, residuals, maps, normalize, out)


@torch.library.custom_op(
    "worldweave::weighted_add_backward",
    mutates_args=(),
    schema="(Tensor grad, Tensor[] residuals, Tensor[] maps, bool normalize, "
    "bool[] wanted, bool of_maps) -> Tensor[]",
)
def _slopes(
    grad: Tensor,
    residuals: Sequence[Tensor],
    maps: Sequence[Tensor],
    normalize: bool,
    wanted: Sequence[bool],
    of_maps: bool,
) -> list[Tensor]:
    """Return the gradients of the *wanted* residuals, and with *of_maps* (N, M) more.

    Without *of_maps* the residuals only say their dtype, and may be empty.
    """
    from worldweave_kernels.in_triton import weighted_add as in_triton

    slopes: list[Tensor] = _empty_slopes(
        grad, residuals, maps, normalize, wanted, of_maps
    )
    rest = iter(slopes)
    of_residuals = [next(rest) if want else None for want in wanted]
    in_triton.backward(grad, residuals, maps, normalize, of_residuals, next(rest, None))
    return slopes


@_added.register_fake
def _empty_sum(
    x: Tensor, residuals: Sequence[Tensor], maps: Sequence[Tensor], normalize: bool
) -> Tensor:
    return x.new_empty(x.shape)


@_slopes.register_fake
def _empty_slopes(
    grad: Tensor,
    residuals: Sequence[Tensor],
    maps: Sequence[Tensor],
    normalize: bool,
    wanted: Sequence[bool],
    of_maps: bool,
) -> list[Tensor]:
    slopes = [
        grad.new_empty(grad.shape, dtype=residual.dtype)
        for residual, want in zip(residuals, wanted, strict=True)
        if want
    ]
    if of_maps:
        accumulator = torch.promote_types(grad.dtype, torch.float32)
        shape = (len(maps), grad.shape[:-1].numel())
        slopes.append(grad.new_empty(shape, dtype=accumulator))
    return slopes


def _launch_forward(
    x: Tensor,
    residuals: Sequence[Tensor],
    maps: Sequence[Tensor],
    normalize: bool,
    out: Tensor,
) -> None:
    from worldweave_kernels.in_triton import weighted_add as in_triton

    in_triton.forward(x, residuals, maps, normalize, out)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, residuals, maps, ctx.normalize = inputs
    ctx.dtypes = [residual.dtype for residual in residuals]
    ctx.of_maps = any(values.requires_grad for values in maps)
    # The gradients of residuals need no residual: each is as large as x.
    ctx.save_for_backward(*maps, *(residuals if ctx.of_maps else ()))


def _backward(
    ctx: Any, grad: Tensor
) -> tuple[Tensor | None, list[Tensor | None], list[Tensor | None], None]:
    x_is_wanted, wanted, wanted_maps, _ = ctx.needs_input_grad
    saved, branches = list(ctx.saved_tensors), len(wanted)
    maps, residuals = saved[:branches], saved[branches:]
    if not ctx.of_maps:
        residuals = [grad.new_empty(0, dtype=dtype) for dtype in ctx.dtypes]
    slopes: list[Tensor] = []
    if ctx.of_maps or any(wanted):
        slopes = _slopes(grad, residuals, maps, ctx.normalize, wanted, ctx.of_maps)
    of_maps: list[Tensor | None] = [None] * len(maps)
    if ctx.of_maps:
        # A map that is shared by positions slopes by the sum over them.
        of_maps = [
            slope.view(grad.shape[:-1]).sum_to_size(values.shape).to(values.dtype)
            if want
            else None
            for slope, values, want in zip(slopes.pop(), maps, wanted_maps, strict=True)
        ]
    rest = iter(slopes)
    of_residuals = [next(rest) if want else None for want in wanted]
    return grad if x_is_wanted else None, of_residuals, of_maps, None


_added.register_autograd(_backward, setup_context=_remember)


def _refuse_misfit(
    x: Tensor, residuals: Sequence[Tensor], maps: Sequence[Tensor]
) -> None:
    if x.ndim == 0:
        raise ValueError("x is a single number; its last axis must be its channels")
    if len(residuals) != len(maps):
        raise ValueError(
            f"{len(residuals)} residuals but {len(maps)} maps; give one map per "
            "residual"
        )
    refuse_kind("x", x, "x", x)
    for index, (residual, values) in enumerate(zip(residuals, maps, strict=True)):
        refuse_kind(f"residual {index}", residual, "x", x)
        refuse_kind(f"map {index}", values, "x", x)
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


def _refuse_out(
    out: Tensor, x: Tensor, residuals: Sequence[Tensor], maps: Sequence[Tensor]
) -> None:
    if (out.shape, out.dtype, out.device) != (x.shape, x.dtype, x.device):
        raise ValueError(
            f"out is {tuple(out.shape)} of {out.dtype} on {out.device} but x is "
            f"{tuple(x.shape)} of {x.dtype} on {x.device}; they must be alike"
        )
    if torch.is_grad_enabled() and any(
        each.requires_grad for each in (x, *residuals, *maps)
    ):
        raise ValueError("out cannot be given where a gradient is wanted; leave it out")
    if any(
        stride == 0 and size > 1
        for size, stride in zip(out.shape, out.stride(), strict=True)
    ):
        raise ValueError(
            "out is expanded: several of its elements are one number; give a tensor "
            "of its own"
        )
    # While torch.compile traces there are no addresses, and no need for them: what
    # it writes to is apart.
    if torch.compiler.is_compiling():
        return
    named = [(f"residual {index}", each) for index, each in enumerate(residuals)]
    named += [(f"map {index}", each) for index, each in enumerate(maps)]
    if out is not x:
        named.append(("x", x))
    for name, each in named:
        if _overlap(out, each):
            raise ValueError(
                f"out lies in the memory of {name}; give x itself, or a tensor of its "
                "own"
            )


def _overlap(first: Tensor, second: Tensor) -> bool:
    """Return whether the stretches of memory from first to last element meet."""
    (start, end), (other_start, other_end) = _stretch(first), _stretch(second)
    return start < other_end and other_start < end


def _stretch(x: Tensor) -> tuple[int, int]:
    if x.numel() == 0:
        return 0, 0
    last = sum(
        (size - 1) * stride for size, stride in zip(x.shape, x.stride(), strict=True)
    )
    return x.data_ptr(), x.data_ptr() + (last + 1) * x.element_size()
