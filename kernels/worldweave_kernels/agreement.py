"""Whether a backend computes an operation: its error against float64, case by case.

The tests, the mutants, the benchmark and the run on a GPU all ask here.
"""

# B batch, L M token, D hidden, H head, d channels of one head, N branch

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

import worldweave_kernels as kernels
from worldweave_kernels import reference

#: The relative error (root mean square over that of the answer) that a backend may
#: have in each dtype: a few roundings of the dtype it returns. Triton's interpreter
#: cuts bfloat16 off where a GPU rounds it, which doubles the error.
TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 2e-6,
    torch.float16: 1e-3,
    torch.bfloat16: 8e-3,
}


class Sample(NamedTuple):
    """Arguments of an operation, made in float64, and what is special about them."""

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class Agreement(NamedTuple):
    """How far one output or gradient of one sample is from the definition."""

    op: str
    sample: str
    what: str
    dtype: torch.dtype
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the error is within the tolerance. Not a number is not."""
        return self.error <= self.tolerance


def agreements(
    op: str,
    *,
    backend: str,
    dtype: torch.dtype,
    device: str = "cpu",
    gradients: bool = True,
    only: Callable[[str], bool] = lambda name: True,
) -> Iterator[Agreement]:
    """Compare *backend* with the definition on every sample of *op*.

    Inputs are rounded to *dtype* first, so that only the computing is judged; maps,
    cosines and sines stay in float32. With *gradients* (but float16 and bfloat16
    are judged as loosely there as their outputs) those of all inputs are compared.
    """
    compute = functools.partial(getattr(kernels, op), backend=backend)
    for sample in SAMPLES[op]():
        if not only(sample.name):
            continue
        given = pytree.tree_map_only(
            Tensor, lambda x: _rounded(x, dtype).to(device), tuple(sample[1:])
        )
        exact = pytree.tree_map_only(Tensor, lambda x: x.double().cpu(), given)
        found = _outcome(compute, given[0], given[1], gradients)
        wanted = _outcome(_DEFINITIONS[op], exact[0], exact[1], gradients)
        for (what, ours), (_, theirs) in zip(found, wanted, strict=True):
            error = relative_error(ours, theirs)
            yield Agreement(op, sample.name, what, dtype, error, TOLERANCE[dtype])


def relative_error(found: Tensor, wanted: Tensor) -> float:
    """Return the root mean square of the error over that of *wanted*, in float64."""
    if found.shape != wanted.shape:
        return float("inf")
    exact = wanted.detach().double()
    off = found.detach().to(exact.device).double().sub(exact).square().mean().sqrt()
    size = exact.square().mean().sqrt()
    return float(off / size) if float(size) > 0 else float(off)


def _outcome(
    compute: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    gradients: bool,
) -> list[tuple[str, Tensor]]:
    """Return outputs, and gradients of a fixed weighing of them, by name."""
    leaves = pytree.tree_map_only(
        Tensor, lambda x: x.detach().requires_grad_(gradients), (args, kwargs)
    )
    outs = pytree.tree_leaves(compute(*leaves[0], **leaves[1]))
    named = [(f"output {index}", each.detach()) for index, each in enumerate(outs)]
    if not gradients:
        return named
    total = torch.stack([(out * _weighing(out)).sum().double() for out in outs]).sum()
    inputs = [each for each in pytree.tree_leaves(leaves) if isinstance(each, Tensor)]
    slopes = torch.autograd.grad(total, inputs)
    return named + [(f"gradient {i}", slope) for i, slope in enumerate(slopes)]


def _weighing(out: Tensor) -> Tensor:
    """Return numbers around one that differ from place to place, like *out*.

    All of them are exact in bfloat16: only what is computed with them is judged.
    """
    steps = torch.arange(out.numel(), dtype=torch.float64) * 0.7
    weights = 1 + (32 * steps.sin()).round() / 64
    return weights.view(out.shape).to(out.device, out.dtype)


class _Float32(Tensor):
    """Marks an input that stays in float32 (float64 where all is)."""


def _rounded(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return *x* in *dtype*, with the strides it has: some samples are about them."""
    if isinstance(x, _Float32):
        x = x.as_subclass(Tensor)
        dtype = torch.promote_types(dtype, torch.float32)
    shared = tuple(slice(0, 1) if stride == 0 else slice(None) for stride in x.stride())
    once = x[shared]
    kept = torch.empty_strided(once.shape, once.stride(), dtype=dtype)
    return kept.copy_(once).expand(x.shape)


def _random(seed: int) -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(shape, dtype=torch.float64, generator=generator)


def _fixed(x: Tensor) -> Tensor:
    return x.as_subclass(_Float32)


def _weighted_add() -> Iterator[Sample]:
    random = _random(0)

    def maps(*shapes: tuple[int, ...], top: float) -> list[Tensor]:
        # From half of *top* to all of it, never within a hair of a sum of one.
        return [_fixed(top * (0.75 + 0.25 * random(*each).sin())) for each in shapes]

    for name, branches, shape, top in (
        ("maps above one", 2, (2, 3, 20), 1.6),
        ("maps below one", 3, (2, 3, 20), 0.3),
        ("odd width", 1, (1, 7, 33), 0.9),
        ("one element", 1, (1, 1), 0.9),
        ("more than a block", 4, (5, 1100), 0.9),
        ("more than a program", 2, (2, 5000), 1.6),
    ):
        for normalize in (False, True):
            x, *residuals = (random(*shape) for _ in range(1 + branches))
            called = f"{name}, normalised" if normalize else name
            given = (x, residuals, maps(*[shape[:-1]] * branches, top=top))
            yield Sample(called, given, {"normalize": normalize})
    # Two videos of four tokens: each a run of its own, and of two blocks.
    for normalize in (False, True):
        x, *residuals = (random(2, 4, 1100) for _ in range(4))
        called = "maps shared by the batch, by a video's tokens, by all"
        called = f"{called}, normalised" if normalize else called
        given = (x, residuals, maps((1, 4), (2, 1), (), top=1.6))
        yield Sample(called, given, {"normalize": normalize})
    tokens = random(2, 5, 20)[:, 1:4]
    shared = random(2, 1, 20).expand(2, 3, 20)
    turned = random(3, 2, 20).transpose(0, 1)
    given = (tokens, [shared, turned], maps((2, 3), (3,), top=1.6))
    yield Sample("strided", given, {"normalize": True})


def _attention() -> Iterator[Sample]:
    random = _random(1)
    for name, q_shape, keys in (
        ("as many keys as queries", (1, 20, 2, 16), 20),
        ("more keys than a block", (1, 5, 1, 32), 150),
        ("more queries than a block", (1, 150, 1, 16), 5),
        ("a width that is no power of two", (2, 7, 3, 24), 40),
        ("one of each", (1, 1, 1, 16), 1),
    ):
        batch, _, heads, width = q_shape
        k, v = random(batch, keys, heads, width), random(batch, keys, heads, width)
        kwargs = {"scale": 0.4, "return_lse": True}
        yield Sample(name, (random(*q_shape), k, v), kwargs)
    packed, v = random(2, 40, 3, 2, 16), random(2, 40, 2, 16)
    q, k, _ = packed.unbind(2)
    yield Sample("strided", (q, k, v), {"return_lse": True})
    # The last share has no key of its own.
    q, k, v = random(1, 3, 2, 16), random(1, 65, 2, 16), random(1, 65, 2, 16)
    yield Sample("in shares", (q, k, v), {"return_lse": True, "num_splits": 3})


def _merge_attention() -> Iterator[Sample]:
    random = _random(6)
    for name, (batch, queries, heads, width) in (
        ("plain", (2, 7, 3, 16)),
        ("odd width, more queries than a block", (1, 70, 2, 10)),
        ("one element", (1, 1, 1, 1)),
    ):
        # Heads before tokens in memory, and channels apart from each other.
        out = random(batch, heads, queries, width).transpose(1, 2)
        other = random(batch, queries, heads, 2 * width)[..., ::2]
        lses = [_fixed(5 + 2 * random(batch, heads, queries)) for _ in range(2)]
        yield Sample(name, (out, lses[0], other, lses[1]), {})


def _qk_norm_rope_pack() -> Iterator[Sample]:
    random = _random(2)
    for name, shape, kwargs in (
        ("plain", (1, 5, 2, 16), {}),
        ("a batch and odd sizes", (2, 7, 3, 24), {}),
        ("one element of each half", (1, 1, 1, 2), {}),
        ("for two ranks in three chunks", (2, 3, 12, 8), {"world": 2, "chunks": 3}),
        ("more tokens than a program", (1, 5, 8, 200), {"eps": 0.1}),
        ("more heads than a program", (1, 1, 17, 130), {"world": 17}),
    ):
        batch, tokens, heads, width = shape
        angles = random(tokens, width // 2)
        weights = (1 + 0.1 * random(width), 1 + 0.1 * random(width))
        turns = (_fixed(angles.cos()), _fixed(angles.sin()))
        # Three layouts: tokens first, heads before tokens, and in order.
        q = random(tokens, batch, heads, width).transpose(0, 1)
        k = random(batch, heads, tokens, width).transpose(1, 2)
        yield Sample(name, (q, k, random(*shape), *weights, *turns), kwargs)


def _norm_modulate() -> Iterator[Sample]:
    random = _random(3)
    for name, shape, batch, kwargs in (
        ("plain", (2, 3, 32), 2, {}),
        ("odd width, modulation shared", (2, 3, 33), 1, {}),
        ("one token", (1, 1, 20), 1, {"eps": 0.1}),
        ("one channel", (1, 2, 1), 1, {}),
        ("more tokens than a program", (2, 5, 2600), 2, {}),
    ):
        batches, tokens, width = shape
        x = 3 + 2 * random(tokens, batches, width).transpose(0, 1)
        yield Sample(
            name, (x, random(batch, 1, width), random(batch, 1, width)), kwargs
        )


def _gate_residual_norm_modulate() -> Iterator[Sample]:
    random = _random(4)
    for name, shape, batch, kwargs in (
        ("plain", (2, 3, 32), 2, {}),
        ("odd width, modulation shared", (2, 3, 33), 1, {}),
        ("one token", (1, 1, 20), 1, {"eps": 0.1}),
        ("more tokens than a program", (2, 5, 2600), 2, {}),
    ):
        batches, tokens, width = shape
        x = 3 + 2 * random(tokens, batches, width).transpose(0, 1)
        modulation = [random(batch, 1, width) for _ in range(3)]
        yield Sample(name, (x, random(*shape), *modulation), kwargs)
    x, y, positions = random(2, 5, 24), random(5, 2, 24), random(5, 24)
    gate, shift, scale = (random(1, 1, 24) for _ in range(3))
    with_positions = {"positions": positions}
    yield Sample("positions alone", (x, None, None, shift, scale), with_positions)
    given = (x, y.transpose(0, 1), gate, shift, scale)
    yield Sample("with positions", given, with_positions)


def _control_inject() -> Iterator[Sample]:
    random = _random(5)
    for name, branches, shape, inner in (
        ("two branches", 2, (2, 3, 32), 32),
        ("odd sizes", 3, (1, 7, 33), 17),
        ("one branch", 1, (5, 16), 16),
        ("one element", 1, (1, 1), 1),
        ("more than a group of blocks", 2, (140, 33), 5),
    ):
        hiddens = [random(*shape[:-1], inner) for _ in range(branches)]
        weights = [0.2 * random(shape[-1], inner) for _ in range(branches)]
        biases = [random(shape[-1]) for _ in range(branches)]
        maps = [_fixed(random(*shape[:-1]).abs()) for _ in range(branches)]
        yield Sample(name, (random(*shape), hiddens, weights, biases, maps), {})
    x, *hiddens = (random(2, 20, 24) for _ in range(4))
    weights = [0.2 * random(24, 24) for _ in range(3)]
    biases = [random(24) for _ in range(3)]
    # Of the positions of a block none, or not all, hear the third branch.
    heard = (torch.arange(20) >= 18).double()
    maps = [_fixed(random(1, 20)), _fixed(random()), _fixed(heard)]
    called = "maps shared by the batch, by all, and zero"
    yield Sample(called, (x, hiddens, weights, biases, maps), {})


#: The samples of each operation.
SAMPLES: dict[str, Callable[[], Iterator[Sample]]] = {
    "weighted_add": _weighted_add,
    "attention": _attention,
    "merge_attention": _merge_attention,
    "qk_norm_rope_pack": _qk_norm_rope_pack,
    "norm_modulate": _norm_modulate,
    "gate_residual_norm_modulate": _gate_residual_norm_modulate,
    "control_inject": _control_inject,
}


def _defined_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scale: float | None = None,
    return_lse: bool = False,
    num_splits: int = 1,
) -> Tensor | tuple[Tensor, Tensor]:
    out, lse = reference.attention(q, k, v, scale=scale)
    return (out, lse) if return_lse else out


def _defined_merge(
    out: Tensor, lse: Tensor, other: Tensor, other_lse: Tensor
) -> tuple[Tensor, Tensor]:
    return reference.merge_attention([out, other], [lse, other_lse])


_DEFINITIONS: dict[str, Callable[..., Any]] = {
    **{op: getattr(reference, op) for op in SAMPLES},
    "attention": _defined_attention,
    "merge_attention": _defined_merge,
}
