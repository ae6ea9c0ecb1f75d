"""Normalise and rotate queries and keys, straight into the layout of the exchange."""

# B batch, L token, H head, d channels of one head

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from worldweave_kernels import reference
from worldweave_kernels.contract import refuse_kind, with_programs_for
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
    `result[0, 0].unbind(2)` is the plain q, k, v. Computed in float32 (float64 for
    float64), rounded once. Differentiable in all seven. With Triton, any strides are
    read as they are if channels lie side by side, and copied first if not; so is a
    gradient that is not laid out as the result, once. That of `unbind` is laid out
    so, but it stacks three gradients: 6 passes over tensors as large as q, before
    the 8 of this backward pass. Raise ValueError where shapes, dtypes or devices do
    not fit, d is odd, or world * chunks does not divide H, BackendError where
    *backend* cannot compute this.
    """
    _refuse_misfit(q, k, v, q_weight, k_weight, cos, sin)
    _refuse_uneven(q.shape[2], world, chunks)
    choice = chosen(
        q, k, v, q_weight, k_weight, cos, sin,
        world=world, chunks=chunks, eps=eps, backend=backend,
    )  # fmt: skip
    if choice.backend == "reference":
        return reference.qk_norm_rope_pack(
            q, k, v, q_weight, k_weight, cos, sin, world=world, chunks=chunks, eps=eps
        )
    out: Tensor = _forward(q, k, v, q_weight, k_weight, cos, sin, world, chunks, eps)
    return out


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
    # A program covers one head at least: there are no more blocks of them.
    triton = with_programs_for(triton_candidate(q), B=q.shape[0], H=q.shape[2])
    return choose("qk_norm_rope_pack", (triton, Candidate("reference")), backend)


def _refuse_misfit(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
) -> None:
    refuse_kind("q", q, "q", q)
    if q.ndim != 4 or q.shape[-1] % 2:
        raise ValueError(
            f"q is {tuple(q.shape)}; it must be (B, L, H, d) with an even d, whose "
            "halves are rotated against each other"
        )
    _, tokens, _, width = q.shape
    wanted: dict[str, tuple[Tensor, tuple[int, ...]]] = {
        "k": (k, tuple(q.shape)),
        "v": (v, tuple(q.shape)),
        "q_weight": (q_weight, (width,)),
        "k_weight": (k_weight, (width,)),
        "cos": (cos, (tokens, width // 2)),
        "sin": (sin, (tokens, width // 2)),
    }
    for name, (each, shape) in wanted.items():
        if tuple(each.shape) != shape:
            raise ValueError(
                f"{name} is {tuple(each.shape)} but q is {tuple(q.shape)}; "
                f"{name} must be {shape}"
            )
        refuse_kind(name, each, "q", q)
        if name in ("k", "v") and each.dtype != q.dtype:
            raise ValueError(
                f"{name} is {each.dtype} but q is {q.dtype}; they must be alike"
            )


def _refuse_uneven(heads: int, world: int, chunks: int) -> None:
    if world < 1 or chunks < 1:
        raise ValueError(
            f"world is {world} and chunks {chunks}; both must be 1 or more"
        )
    parts = world * chunks
    if heads % parts:
        divisors = [n for n in range(1, heads + 1) if heads % n == 0]
        near = [n for n in divisors if n < parts][-1:]
        near += [n for n in divisors if n > parts][:1]
        raise ValueError(
            f"{heads} heads do not divide among world * chunks = {world} * {chunks}; "
            f"the nearest products that do are {' and '.join(map(str, near))}"
        )


@torch.library.custom_op(
    "worldweave::qk_norm_rope_pack",
    mutates_args=(),
    schema="(Tensor q, Tensor k, Tensor v, Tensor q_weight, Tensor k_weight, "
    "Tensor cos, Tensor sin, int world, int chunks, float eps) -> Tensor",
)
def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    world: int,
    chunks: int,
    eps: float,
) -> Tensor:
    from worldweave_kernels.in_triton import qk_rope_pack as kernels

    return kernels.forward(q, k, v, q_weight, k_weight, cos, sin, world, chunks, eps)


@_forward.register_fake
def _(q: Tensor, *others: Any) -> Tensor:
    *_, world, chunks, _ = others
    batch, tokens, heads, width = q.shape
    each = heads // (world * chunks)
    return q.new_empty((chunks, world, batch, tokens, 3, each, width))


@torch.library.custom_op(
    "worldweave::qk_norm_rope_pack_backward",
    mutates_args=(),
    schema="(Tensor out_grad, Tensor x, Tensor weight, Tensor cos, Tensor sin, "
    "int slot, float eps, bool[] wants) -> (Tensor, Tensor, Tensor, Tensor)",
)
def _backward(
    out_grad: Tensor,
    x: Tensor,
    weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    slot: int,
    eps: float,
    wants: list[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight, cos and sin, or nothing in an empty tensor.

    *x* is q, k or v by *slot*; *wants* is for x, for weight, and for cos with sin.
    """
    from worldweave_kernels.in_triton import qk_rope_pack as kernels

    return kernels.backward(out_grad, x, weight, cos, sin, slot, eps, wants)


@_backward.register_fake
def _(
    out_grad: Tensor,
    x: Tensor,
    weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    slot: int,
    eps: float,
    wants: list[bool],
) -> tuple[Tensor, ...]:
    alike = zip((x, weight, cos, sin), (*wants, wants[-1]), strict=True)
    return tuple(each.new_empty(each.shape if want else 0) for each, want in alike)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep what the gradients are made of; v is not needed."""
    q, k, _, q_weight, k_weight, cos, sin, *_, ctx.eps = inputs
    ctx.save_for_backward(q, k, q_weight, k_weight, cos, sin)


def _gradients(ctx: Any, out_grad: Tensor) -> tuple[Tensor | None, ...]:
    """Return the gradients of what `qk_norm_rope_pack` takes."""
    q, k, q_weight, k_weight, *turns = ctx.saved_tensors
    needs = ctx.needs_input_grad
    needs_turn = needs[5] or needs[6]
    # Here, not once for each of q, k and v, where it is not laid out as the result.
    out_grad = out_grad.contiguous()

    def slopes(slot: int, x: Tensor, weight: Tensor, *wants: bool) -> list[Any]:
        if not any(wants):
            return [None] * 4
        found = _backward(out_grad, x, weight, *turns, slot, ctx.eps, wants)
        asked = (*wants, wants[-1])
        return [each if want else None for each, want in zip(found, asked, strict=True)]

    of_q = slopes(0, q, q_weight, needs[0], needs[3], needs_turn)
    of_k = slopes(1, k, k_weight, needs[1], needs[4], needs_turn)
    # v is handed on as it is: only its shape counts, which is that of q.
    of_v = slopes(2, q, q_weight, needs[2], False, False)
    cos, sin = (of_q[i] + of_k[i] if needs_turn else None for i in (2, 3))
    return of_q[0], of_k[0], of_v[0], of_q[1], of_k[1], cos, sin, None, None, None


_forward.register_autograd(_gradients, setup_context=_keep)
