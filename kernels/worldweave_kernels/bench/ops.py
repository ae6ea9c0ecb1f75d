"""What is measured of each operation: its inputs, its work, where it is local."""

# B batch, L M token, D hidden, H head, d channels of one head, N branch, U rank

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

from worldweave_kernels import reference, roofline
from worldweave_kernels.bench.shapes import Shape
from worldweave_kernels.roofline import Work

MODES = ("forward", "backward", "both")
#: A backward without gradients of the maps: how branches are trained.
FIXED_MAPS = "backward-fixed-maps"


class Case(NamedTuple):
    """One operation at one shape, to be measured with every provider."""

    op: str
    mode: str
    shape: Shape
    dtype: torch.dtype
    device: str


@dataclass(frozen=True, kw_only=True)
class Op:
    """An operation as the benchmark sees it.

    *inputs* makes the arguments from a source of random tensors. *inner* and *outer*
    name, for every tensor among the arguments and the results, the dimension in
    which the operation is local: a part of it depends on the same part of the
    inputs alone, so that a part is enough to judge huge results by. None is for
    what all parts share, which *shared* names.
    """

    inputs: Callable[[Shape, Callable[..., Tensor]], tuple[Any, ...]]
    work: Callable[[Shape, int, bool], Work]
    define: Callable[..., Any]
    inner: Callable[[Shape], Sequence[int | None]]
    outer: Sequence[int]
    #: The sizes of the results.
    results: Callable[[Shape], Sequence[tuple[int, ...]]]
    #: Arguments that stay in float32 whatever the dtype.
    wide: Callable[[Shape], Sequence[int]] = lambda shape: ()
    #: Arguments that no gradient is wanted of.
    constant: Sequence[int] = ()
    shared: Sequence[str] = ()
    #: Whether results lie in one tensor, see `unpacked`, or one by one.
    packed: bool = False
    differentiable: bool = True


def modes_of(op: str, mode: str) -> list[str]:
    """Return the modes to measure *op* in where *mode* is asked for."""
    has_maps = op == "weighted_add"
    if mode == FIXED_MAPS:
        return [mode] if has_maps else []
    if mode != "forward" and not OPS[op].differentiable:
        return []
    return [mode, FIXED_MAPS] if mode == "backward" and has_maps else [mode]


def work(case: Case) -> Work:
    """Return the bytes and operations that *case* cannot do without."""
    op, size = OPS[case.op], case.dtype.itemsize
    if case.mode == FIXED_MAPS:
        tokens, hidden, branches = (case.shape[axis] for axis in "LDN")
        return roofline.weighted_add(
            tokens, hidden, branches, itemsize=size, backward=True, of_maps=False
        )
    forth, back = (op.work(case.shape, size, each) for each in (False, True))
    if case.mode == "both":
        return Work(forth.bytes + back.bytes, forth.flops + back.flops)
    return forth if case.mode == "forward" else back


def arguments(case: Case) -> tuple[Any, ...]:
    """Return random arguments for *case*: never zeros, which run faster."""
    op = OPS[case.op]
    random = _source(case, seed=0)
    leaves, tree = pytree.tree_flatten(op.inputs(case.shape, random))
    wide = set(op.wide(case.shape))
    dtypes = (case.dtype, torch.promote_types(case.dtype, torch.float32))
    kept = [
        leaf.to(dtypes[index in wide]) if isinstance(leaf, Tensor) else leaf
        for index, leaf in enumerate(leaves)
    ]
    found: tuple[Any, ...] = pytree.tree_unflatten(kept, tree)
    return found


def slopes(case: Case) -> list[Tensor]:
    """Return random gradients of the results of *case*, for a backward."""
    random = _source(case, seed=1)
    return [random(*size).to(case.dtype) for size in OPS[case.op].results(case.shape)]


def variable(case: Case) -> list[bool]:
    """Return of each tensor among the arguments whether its gradient is wanted."""
    op = OPS[case.op]
    fixed = op.wide(case.shape) if case.mode == FIXED_MAPS else op.constant
    return [index not in fixed for index in range(len(op.inner(case.shape)))]


def parts(op: str, outs: Any) -> list[Tensor]:
    """Return what a provider of *op* returned, one by one even if it is packed."""
    found = [out for out in pytree.tree_leaves(outs) if isinstance(out, Tensor)]
    return [*unpacked(found[0])] if OPS[op].packed and len(found) == 1 else found


def laid_out(op: str, outs: Sequence[Tensor], slopes: Sequence[Tensor]) -> list[Tensor]:
    """Return gradients of results one by one as gradients of *outs*, maybe packed."""
    if OPS[op].packed and len(outs) == 1:
        return [torch.stack(list(slopes), dim=3).unsqueeze(0)]
    return list(slopes)


def _source(case: Case, seed: int) -> Callable[..., Tensor]:
    generator = torch.Generator(case.device).manual_seed(seed)
    return lambda *shape: torch.randn(
        shape, generator=generator, device=case.device, dtype=torch.float32
    )


def _weighted_add_inputs(
    shape: Shape, random: Callable[..., Tensor]
) -> tuple[Any, ...]:
    tokens, hidden, branches = shape["L"], shape["D"], shape["N"]
    x, *residuals = (random(1, tokens, hidden) for _ in range(1 + branches))
    # Shares of one, as `normalize` makes them.
    maps = [random(1, tokens).abs() / branches for _ in range(branches)]
    return x, residuals, maps


def _attention_inputs(shape: Shape, random: Callable[..., Tensor]) -> tuple[Any, ...]:
    heads = (shape["H"], shape["D"] // shape["H"])
    keys = (random(1, shape["M"], *heads), random(1, shape["M"], *heads))
    return (random(1, shape["L"], *heads), *keys)


def _attention_defined(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return attention of a few queries at a time: all scores at once are too many."""
    step = max(1, 2**25 // (k.shape[1] * k.shape[2]))
    parts = [
        checkpoint(reference.attention, part, k, v, use_reentrant=False)[0]
        for part in torch.split(q, step, dim=1)
    ]
    return torch.cat(parts, dim=1)


def _pack_inputs(shape: Shape, random: Callable[..., Tensor]) -> tuple[Any, ...]:
    heads = (shape["H"], shape["D"] // shape["H"])
    q, k, v = (random(1, shape["L"], *heads) for _ in range(3))
    weights = (1 + 0.1 * random(heads[1]), 1 + 0.1 * random(heads[1]))
    angles = random(shape["L"], heads[1] // 2)
    return q, k, v, *weights, angles.cos(), angles.sin(), shape["U"]


def _pack_defined(*args: Any) -> Tensor:
    *tensors, ranks = args
    return reference.qk_norm_rope_pack(*tensors, world=ranks)


def unpacked(packed: Tensor) -> tuple[Tensor, ...]:
    """Return q, k and v (U, B, L, H / U, d) of one chunk, without a copy."""
    return packed[0].unbind(3)


def _norm_inputs(shape: Shape, random: Callable[..., Tensor]) -> tuple[Any, ...]:
    hidden = shape["D"]
    modulation = (random(1, 1, hidden), 0.3 * random(1, 1, hidden))
    return (1 + 2 * random(1, shape["L"], hidden), *modulation)


def _gate_inputs(shape: Shape, random: Callable[..., Tensor]) -> tuple[Any, ...]:
    x, shift, scale = _norm_inputs(shape, random)
    return x, random(*x.shape), random(1, 1, shape["D"]), shift, scale


def _inject_inputs(shape: Shape, random: Callable[..., Tensor]) -> tuple[Any, ...]:
    tokens, hidden, branches = shape["L"], shape["D"], shape["N"]
    x, *hiddens = (random(1, tokens, hidden) for _ in range(1 + branches))
    weights = [random(hidden, hidden) * hidden**-0.5 for _ in range(branches)]
    biases = [random(hidden) for _ in range(branches)]
    maps = [random(1, tokens).abs() / branches for _ in range(branches)]
    return x, hiddens, weights, biases, maps


def _plane(shape: Shape) -> tuple[int, ...]:
    return (1, shape["L"], shape["D"])


def _heads(shape: Shape) -> tuple[int, ...]:
    each = shape["H"] // shape.get("U", 1)
    return (1, shape["L"], each, _channels(shape))


def _channels(shape: Shape) -> int:
    return shape["D"] // shape["H"]


OPS: dict[str, Op] = {
    "weighted_add": Op(
        inputs=_weighted_add_inputs,
        work=lambda s, size, back: roofline.weighted_add(
            s["L"], s["D"], s["N"], itemsize=size, backward=back
        ),
        define=reference.weighted_add,
        inner=lambda s: (1,) * (1 + 2 * s["N"]),
        outer=(1,),
        results=lambda s: [_plane(s)],
        wide=lambda s: range(1 + s["N"], 1 + 2 * s["N"]),
    ),
    "attention": Op(
        inputs=_attention_inputs,
        work=lambda s, size, back: roofline.attention(
            s["L"], s["M"], s["H"], _channels(s), itemsize=size, backward=back
        ),
        define=_attention_defined,
        inner=lambda s: (2, 2, 2),
        outer=(2,),
        results=lambda s: [_heads(s)],
    ),
    "qk_norm_rope_pack": Op(
        inputs=_pack_inputs,
        work=lambda s, size, back: roofline.qk_norm_rope_pack(
            s["L"], s["H"], _channels(s), itemsize=size, backward=back
        ),
        define=_pack_defined,
        inner=lambda s: (1, 1, 1, None, None, 0, 0),
        outer=(2, 2, 2),
        results=lambda s: [(s["U"], *_heads(s))] * 3,
        wide=lambda s: (5, 6),
        # Positions are not trained.
        constant=(5, 6),
        shared=("q_weight", "k_weight"),
        packed=True,
    ),
    "norm_modulate": Op(
        inputs=_norm_inputs,
        work=lambda s, size, back: roofline.norm_modulate(
            s["L"], s["D"], itemsize=size, backward=back
        ),
        define=reference.norm_modulate,
        inner=lambda s: (1, None, None),
        shared=("shift", "scale"),
        outer=(1,),
        results=lambda s: [_plane(s)],
    ),
    "gate_residual_norm_modulate": Op(
        inputs=_gate_inputs,
        work=lambda s, size, back: roofline.gate_residual_norm_modulate(
            s["L"], s["D"], itemsize=size, backward=back
        ),
        define=reference.gate_residual_norm_modulate,
        inner=lambda s: (1, 1, None, None, None),
        shared=("gate", "shift", "scale"),
        outer=(1, 1),
        results=lambda s: [_plane(s), _plane(s)],
    ),
    "control_inject": Op(
        inputs=_inject_inputs,
        work=lambda s, size, back: roofline.control_inject(
            s["L"], s["D"], s["N"], itemsize=size
        ),
        define=reference.control_inject,
        inner=lambda s: (1,) * (1 + s["N"]) + (None,) * 2 * s["N"] + (1,) * s["N"],
        outer=(1,),
        results=lambda s: [_plane(s)],
        wide=lambda s: range(1 + 3 * s["N"], 1 + 4 * s["N"]),
        differentiable=False,
    ),
}  # fmt: skip
