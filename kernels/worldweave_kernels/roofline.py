"""The bytes and operations that each operation cannot do without, and their floor.

Every input is read once and every output written once. What a provider does beyond
that, such as the intermediate tensors of a chain, is in `PASSES`.
"""

# B batch, L M token, D hidden, H head, d channels of one head, K inner, N branch

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Work(NamedTuple):
    """Bytes to and from memory, and floating-point operations."""

    bytes: int
    flops: int

    @property
    def intensity(self) -> float:
        """Operations per byte."""
        return self.flops / self.bytes


class Ceilings(NamedTuple):
    """Bytes per second of a copy and operations per second of a matrix product."""

    bandwidth: float
    flops: float


#: One H200 in bfloat16: a copy of a large tensor, bytes read plus bytes written, and
#: a matrix product of random data.
H200 = Ceilings(bandwidth=4.3e12, flops=790e12)


def floor(work: Work, ceilings: Ceilings) -> float:
    """Return the seconds that *work* takes at least: the larger of its two times."""
    return max(work.bytes / ceilings.bandwidth, work.flops / ceilings.flops)


def weighted_add(
    tokens: int,
    hidden: int,
    branches: int,
    *,
    itemsize: int = 2,
    backward: bool = False,
    of_maps: bool = True,
) -> Work:
    """Return the work of x + sum of N maps times residuals; maps are float32.

    Backward reads the gradient of the result and every residual, and writes the
    gradients of residuals and maps. That of x is the gradient of the result itself.
    Without *of_maps*, which is how branches are trained, backward scales the gradient
    of the result by each map, and needs no residual.
    """
    plane = tokens * hidden
    if backward and not of_maps:
        passes, maps = branches + 1, 4 * tokens * branches
        return Work(passes * plane * itemsize + maps, branches * plane)
    passes = 2 * branches + 1 if backward else branches + 2
    maps = 4 * tokens * branches * (2 if backward else 1)
    # Forward multiplies and adds; backward scales, and sums a product over D.
    flops = (3 if backward else 2) * branches * plane
    return Work(passes * plane * itemsize + maps, flops)


def attention(
    queries: int,
    keys: int,
    heads: int,
    channels: int,
    *,
    batch: int = 1,
    itemsize: int = 2,
    backward: bool = False,
) -> Work:
    """Return the work of attention without a mask.

    Forward is two matrix products of 2 L M d operations each, backward five: scores
    again, and one for each of the gradients of scores, q, k and v. The softmax is
    not counted, nor are the log-sum-exps, a 1 / (d * itemsize / 4) of a tensor.
    """
    products = 5 if backward else 2
    flops = products * 2 * batch * heads * queries * keys * channels
    # Backward reads q, out and its gradient and writes the gradient of q; k and v
    # are read and their gradients written.
    passes = (4, 4) if backward else (2, 2)
    rows = passes[0] * queries + passes[1] * keys
    return Work(rows * batch * heads * channels * itemsize, flops)


def qk_norm_rope_pack(
    tokens: int,
    heads: int,
    channels: int,
    *,
    batch: int = 1,
    itemsize: int = 2,
    backward: bool = False,
) -> Work:
    """Return the work of normalising, rotating and laying out q, k and v.

    Cosines and sines are (L, d / 2) in float32. Backward reads q and k and the
    gradient of the packed, and writes the gradients of q, k and v.
    """
    plane = batch * tokens * heads * channels
    passes = 8 if backward else 6
    angles = 2 * tokens * (channels // 2) * 4
    # A square, its sum, two scalings and a rotation of 3 operations a channel.
    flops = (14 if backward else 7) * 2 * plane
    return Work(passes * plane * itemsize + angles, flops)


def norm_modulate(
    tokens: int, hidden: int, *, itemsize: int = 2, backward: bool = False
) -> Work:
    """Return the work of a modulated layer norm; shift and scale are not counted."""
    plane = tokens * hidden
    # Mean, variance, scaling and modulation: about 8 operations each element.
    return Work(
        (3 if backward else 2) * plane * itemsize, (16 if backward else 8) * plane
    )


def gate_residual_norm_modulate(
    tokens: int,
    hidden: int,
    *,
    update: bool = True,
    positions: bool = False,
    itemsize: int = 2,
    backward: bool = False,
) -> Work:
    """Return the work of x + gate * y + positions and its modulated layer norm.

    Backward reads the sum and the gradients of both results, and y for the gradient
    of the gate; it writes those of x and y. That of positions is that of x.
    """
    plane = tokens * hidden
    passes = (4 + 2 * update) if backward else (3 + update + positions)
    norm = norm_modulate(tokens, hidden, backward=backward)
    return Work(
        passes * plane * itemsize, norm.flops + (2 * update + positions) * plane
    )


def linear(tokens: int, inner: int, outer: int, *, itemsize: int = 2) -> Work:
    """Return the work of a matrix product (L, K) by (K, D)."""
    moved = tokens * inner + inner * outer + tokens * outer
    return Work(moved * itemsize, 2 * tokens * inner * outer)


def control_inject(
    tokens: int,
    hidden: int,
    branches: int,
    *,
    inner: int | None = None,
    itemsize: int = 2,
) -> Work:
    """Return the work of N zero projections and their weighted sum onto x."""
    inner = hidden if inner is None else inner
    rows = tokens * (2 * hidden + branches * inner)
    weights = branches * hidden * (inner + 1)
    maps = 4 * tokens * branches
    flops = 2 * branches * tokens * (inner + 1) * hidden
    return Work((rows + weights) * itemsize + maps, flops)


class Block(NamedTuple):
    """Operations of one DiT block, by part."""

    qkv_out: int
    cross_projections: int
    mlp: int
    attention: int
    cross_attention: int

    @property
    def total(self) -> int:
        """Operations of the whole block."""
        return sum(self)


def block(
    tokens: int = 56320,
    hidden: int = 4096,
    *,
    text: int = 512,
    text_channels: int = 1024,
    mlp_ratio: int = 4,
    heads: int = 32,
) -> Block:
    """Return the operations of one block: self-attention, cross-attention, MLP."""
    square = linear(tokens, hidden, hidden).flops
    keys = 2 * linear(text, text_channels, hidden).flops
    channels = hidden // heads
    return Block(
        qkv_out=4 * square,
        cross_projections=2 * square + keys,
        mlp=2 * mlp_ratio * square,
        attention=attention(tokens, tokens, heads, channels).flops,
        cross_attention=attention(tokens, text, heads, channels).flops,
    )


def forward(
    branches: int, *, blocks: int = 28, control_blocks: int = 3, tokens: int = 56320,
    hidden: int = 4096,
) -> int:  # fmt: skip
    """Return the operations of one evaluation of the base and N control branches.

    Each branch runs its blocks and one zero projection after each. Embeddings and
    the head are left out.
    """
    one = block(tokens, hidden).total
    zero = linear(tokens, hidden, hidden).flops
    return blocks * one + branches * control_blocks * (one + zero)


#: Tensors of the size of x that each provider of a forward reads or writes, as a
#: function of N. "official" is the released code's h * w, * gate, += and x +; of the
#: others its formulas in plain torch. In bfloat16, counted with a dispatch mode.
PASSES: dict[str, dict[str, Callable[[int], int]]] = {
    "weighted_add": {
        "official": lambda n: 7 * n,
        "official without its gate": lambda n: 5 * n,
        "eager": lambda n: 3 * n,
        "stacked": lambda n: 3 * n + 2,
        "fused": lambda n: n + 2,
    },
    "qk_norm_rope_pack": {
        # On a CPU, whose rms_norm is a chain of its own; on a GPU eager has fewer.
        "official": lambda n: 60,
        "eager": lambda n: 56,
        "fused": lambda n: 6,
    },
    "norm_modulate": {
        "official": lambda n: 6,
        "eager": lambda n: 4,
        "fused": lambda n: 2,
    },
    "gate_residual_norm_modulate": {
        "official": lambda n: 11,
        "eager": lambda n: 7,
        "fused": lambda n: 4,
    },
}
