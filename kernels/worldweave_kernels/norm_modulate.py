"""Adaptive layer norm, alone and with the gated residual before it."""

# B batch, L token, D hidden

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worldweave_kernels import reference
from worldweave_kernels.contract import refuse_kind, with_programs_for
from worldweave_kernels.dispatch import Candidate, Choice, choose, triton_candidate

#: Triton keeps a whole row in registers.
_WIDEST = 8192

#: The order of the gradients.
_SLOPES: tuple[str, ...] = ("x", "y", "gate", "shift", "scale")


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
    Computed in float32 (float64 for float64), rounded once. Differentiable in all
    three. With Triton, any strides are read as they are if channels lie side by side,
    and copied first if not. Raise ValueError where shapes, dtypes or devices do not
    fit, BackendError where *backend* cannot compute this.
    """
    _refuse_misfit(x, {"shift": shift, "scale": scale})
    choice = norm_modulate_chosen(x, shift, scale, eps=eps, backend=backend)
    if choice.backend == "reference":
        return reference.norm_modulate(x, shift, scale, eps=eps)
    out: Tensor = _norm_modulate(x, shift, scale, eps)
    return out


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
    Either y with its gate or the positions may be None. The sum is rounded to the
    dtype of *x* before it is normalised: it is what the next layer sees.
    Differentiable in all. Strides and errors are those of `norm_modulate`.
    """
    _refuse_misfit(x, {"gate": gate, "shift": shift, "scale": scale}, y, positions)
    if (y is None) is not (gate is None):
        given, missing = ("gate", "y") if y is None else ("y", "gate")
        raise ValueError(f"{given} is given without {missing}; give both or neither")
    if y is None and positions is None:
        raise ValueError(
            "neither y nor positions is given, so nothing is added to x; "
            "call norm_modulate"
        )
    choice = gate_residual_norm_modulate_chosen(
        x, y, gate, shift, scale, positions=positions, eps=eps, backend=backend
    )
    if choice.backend == "reference":
        return reference.gate_residual_norm_modulate(
            x, y, gate, shift, scale, positions=positions, eps=eps
        )
    total, out = _gate_residual_norm_modulate(x, y, gate, shift, scale, positions, eps)
    return total, out


def norm_modulate_chosen(
    x: Tensor,
    shift: Tensor,
    scale: Tensor,
    *,
    eps: float = 1e-6,
    backend: str = "auto",
) -> Choice:
    """Return the backend that `norm_modulate` takes for these arguments."""
    return _chosen("norm_modulate", x, backend)


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
    return _chosen("gate_residual_norm_modulate", x, backend)


def _chosen(op: str, x: Tensor, backend: str) -> Choice:
    triton = with_programs_for(triton_candidate(x), B=x.shape[0])
    if x.shape[-1] > _WIDEST:
        obstacle = f"x has {x.shape[-1]} channels and a row of it holds {_WIDEST}"
        triton = triton._replace(obstacle=triton.obstacle or obstacle)
    return choose(op, (triton, Candidate("reference")), backend)


def _refuse_misfit(
    x: Tensor,
    modulation: dict[str, Tensor | None],
    y: Tensor | None = None,
    positions: Tensor | None = None,
) -> None:
    refuse_kind("x", x, "x", x)
    if x.ndim != 3:
        raise ValueError(f"x is {tuple(x.shape)}; it must be (B, L, D)")
    batch, tokens, width = x.shape
    of_batch: list[tuple[int, ...]] = [(batch, 1, width), (1, 1, width)]
    wanted = dict.fromkeys(modulation, of_batch)
    wanted |= {"y": [(batch, tokens, width)], "positions": [(tokens, width)]}
    for name, each in (modulation | {"y": y, "positions": positions}).items():
        if each is None:
            continue
        if tuple(each.shape) not in wanted[name]:
            shapes = " or ".join(str(s) for s in dict.fromkeys(wanted[name]))
            raise ValueError(
                f"{name} is {tuple(each.shape)} but x is {tuple(x.shape)}; "
                f"{name} must be {shapes}"
            )
        refuse_kind(name, each, "x", x)


@torch.library.custom_op(
    "worldweave::norm_modulate",
    mutates_args=(),
    schema="(Tensor x, Tensor shift, Tensor scale, float eps) -> Tensor",
)
def _norm_modulate(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    from worldweave_kernels.in_triton import norm_modulate as kernels

    return kernels.forward(x, None, None, shift, scale, None, eps)[1]


@torch.library.custom_op(
    "worldweave::gate_residual_norm_modulate",
    mutates_args=(),
    schema="(Tensor x, Tensor? y, Tensor? gate, Tensor shift, Tensor scale, "
    "Tensor? positions, float eps) -> (Tensor, Tensor)",
)
def _gate_residual_norm_modulate(
    x: Tensor,
    y: Tensor | None,
    gate: Tensor | None,
    shift: Tensor,
    scale: Tensor,
    positions: Tensor | None,
    eps: float,
) -> tuple[Tensor, Tensor]:
    from worldweave_kernels.in_triton import norm_modulate as kernels

    return kernels.forward(x, y, gate, shift, scale, positions, eps)


@torch.library.custom_op(
    "worldweave::norm_modulate_backward",
    mutates_args=(),
    schema="(Tensor out_grad, Tensor? total_grad, Tensor total, Tensor? y, "
    "Tensor? gate, Tensor scale, float eps, ScalarType? y_dtype, bool[] wants) "
    "-> Tensor[]",
)
def _backward(
    out_grad: Tensor,
    total_grad: Tensor | None,
    total: Tensor,
    y: Tensor | None,
    gate: Tensor | None,
    scale: Tensor,
    eps: float,
    y_dtype: torch.dtype | None,
    wants: list[bool],
) -> list[Tensor]:
    """Return the wanted gradients of x, y, gate, shift and scale, in this order.

    That of y is of *y_dtype*: y itself is not always kept.
    """
    from worldweave_kernels.in_triton import norm_modulate as kernels

    wanted = dict(zip(_SLOPES, wants, strict=True))
    given = kernels.backward(
        out_grad, total_grad, total, y, gate, scale, eps, y_dtype, wanted
    )
    return [given[name] for name in _SLOPES if wanted[name]]


@_norm_modulate.register_fake
def _(x: Tensor, shift: Tensor, scale: Tensor, eps: float) -> Tensor:
    return x.new_empty(x.shape)


@_gate_residual_norm_modulate.register_fake
def _(x: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), x.new_empty(x.shape)


@_backward.register_fake
def _(
    out_grad: Tensor,
    total_grad: Tensor | None,
    total: Tensor,
    y: Tensor | None,
    gate: Tensor | None,
    scale: Tensor,
    eps: float,
    y_dtype: torch.dtype | None,
    wants: list[bool],
) -> list[Tensor]:
    batch, _, width = total.shape
    wide = torch.promote_types(total.dtype, torch.float32)
    dtypes = zip((total.dtype, y_dtype), wants, strict=False)
    alike = [total.new_empty(total.shape, dtype=each) for each, w in dtypes if w]
    sums = [total.new_empty((batch, 1, width), dtype=wide) for w in wants[2:] if w]
    return alike + sums


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep what the gradients of `norm_modulate` are made of."""
    x, shift, scale, ctx.eps = inputs
    ctx.given = {
        "shift": (shift.shape, shift.dtype),
        "scale": (scale.shape, scale.dtype),
    }
    ctx.y_dtype = None
    ctx.save_for_backward(x, None, None, scale)


def _gradients(ctx: Any, out_grad: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients of what `norm_modulate` takes."""
    x, shift, scale, _ = ctx.needs_input_grad
    slopes = _slopes(ctx, None, out_grad, {"x": x, "shift": shift, "scale": scale})
    return slopes.get("x"), slopes.get("shift"), slopes.get("scale"), None


def _keep_residual(
    ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]
) -> None:
    """Keep what the gradients of `gate_residual_norm_modulate` are made of."""
    _, y, gate, shift, scale, positions, ctx.eps = inputs
    _, wants_y, wants_gate, *_ = ctx.needs_input_grad
    named = {"gate": gate, "shift": shift, "scale": scale, "positions": positions}
    ctx.given = {
        name: (each.shape, each.dtype)
        for name, each in named.items()
        if each is not None
    }
    ctx.y_dtype = None if y is None else y.dtype
    # y is as large as x: it is not kept for a frozen gate.
    y, gate = (y if wants_gate else None), (gate if wants_y else None)
    ctx.save_for_backward(output[0], y, gate, scale)
    # Where only one output was used, the other's gradient is None, not zeros.
    ctx.set_materialize_grads(False)


def _residual_gradients(
    ctx: Any, total_grad: Tensor | None, out_grad: Tensor | None
) -> tuple[Tensor | None, ...]:
    """Return the gradients of what `gate_residual_norm_modulate` takes."""
    names = (*_SLOPES, "positions")
    wants = dict(zip(names, ctx.needs_input_grad, strict=False))
    wants["x"] |= wants["positions"]
    slopes = _slopes(ctx, total_grad, out_grad, wants)
    if wants["positions"]:
        # Added as they are, they have the gradient of x, summed over the batch.
        slope = slopes["x"]
        _, dtype = ctx.given["positions"]
        wide = torch.promote_types(slope.dtype, dtype)
        # Torch adds in float32 whatever it returns: no copy of it is made in that.
        slopes["positions"] = slope.sum(0, dtype=wide).to(dtype)
    return (*(slopes.get(name) for name in names), None)


def _slopes(
    ctx: Any,
    total_grad: Tensor | None,
    out_grad: Tensor | None,
    wants: dict[str, bool],
) -> dict[str, Tensor]:
    """Return the wanted gradients of x, y, gate, shift and scale by name."""
    total, y, gate, scale = ctx.saved_tensors
    if out_grad is None:
        out_grad = torch.zeros_like(total)
    asked = [wants.get(name, False) for name in _SLOPES]
    found = _backward(
        out_grad, total_grad, total, y, gate, scale, ctx.eps, ctx.y_dtype, asked
    )
    names = [name for name, wanted in zip(_SLOPES, asked, strict=True) if wanted]
    slopes = dict(zip(names, found, strict=True))
    for name in slopes.keys() & {"gate", "shift", "scale"}:
        shape, dtype = ctx.given[name]
        slopes[name] = slopes[name].sum_to_size(shape).to(dtype)
    return slopes


_norm_modulate.register_autograd(_gradients, setup_context=_keep)
_gate_residual_norm_modulate.register_autograd(
    _residual_gradients, setup_context=_keep_residual
)
