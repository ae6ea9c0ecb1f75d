"""Norm, rotation and the layout of the exchange in Triton: one read, one write."""

# B batch, L token, H head, d channels of one head

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from worldweave_kernels.in_triton.norm_modulate import accumulator, adjacent

#: Programs that a backward pass which sums the gradient of a weight may have, beyond
#: one for each block of heads: each leaves one partial sum per channel, 0.5 MB in all.
#: As in `norm_modulate`, at 56 320 tokens it has as many, 3.9 rounds of an H200.
SUMMING_PROGRAMS = 1024


class Tiling(NamedTuple):
    """What one program covers, and how many warps share it."""

    tokens: int
    heads: int
    half: int
    warps: int


def tiling(tokens: int, heads: int, width: int) -> Tiling:
    """Return whole heads, about 4096 channels of q in all; k and v come along.

    At the 7B's size this is one token: 32 heads of 128. The halves of a head, which
    are rotated against each other, are two blocks, so that no thread needs another's
    channels. Eight warps hold 16 channels of each tensor per thread.
    """
    half = triton.next_power_of_2(width // 2)
    block = min(triton.next_power_of_2(heads), max(1, 2048 // half))
    rows = min(triton.next_power_of_2(max(1, tokens)), max(1, 2048 // (half * block)))
    return Tiling(rows, block, half, min(8, max(1, rows * block * half // 256)))


def steps_of(tiles: int, others: int) -> int:
    """Return how many of the *tiles* of tokens a program sums, for *others* of each."""
    each: int = triton.cdiv(tiles * others, SUMMING_PROGRAMS)
    return max(1, min(each, tiles))


@triton.jit
def _sent_at(token, head, batch, B, L, each, WIDTH, WORLD, CHUNKS):
    """Return where q of *head* lies in (chunks, world, B, L, 3, each, WIDTH)."""
    rank = head // (CHUNKS * each)
    chunk = (head // each) % CHUNKS
    row = ((chunk * WORLD + rank).to(tl.int64) * B + batch) * L + token
    return row * (3 * each * WIDTH) + (head % each) * WIDTH


@triton.jit
def _inverse_rms(low, high, present, WIDTH, EPS):
    """Return 1 / sqrt(mean square + EPS) of each head.

    One of those past the last, where it would be infinite without EPS.
    """
    total = tl.sum(low * low, axis=2) + tl.sum(high * high, axis=2)
    return tl.rsqrt(tl.where(present, (total / WIDTH)[:, :, None], 1.0) + EPS)


@triton.jit
def _turned(low, high, present, weight_low, weight_high, cos, sin, WIDTH, EPS):
    """Return the two halves, normalised, weighted and rotated."""
    inverse = _inverse_rms(low, high, present, WIDTH, EPS)
    low = low * inverse * weight_low
    high = high * inverse * weight_high
    return low * cos - high * sin, high * cos + low * sin


@triton.jit
def qk_norm_rope_pack_forward(
    q_ptr,
    k_ptr,
    v_ptr,
    q_weight_ptr,
    k_weight_ptr,
    cos_ptr,
    sin_ptr,
    out_ptr,
    B,
    L,
    s_q_b,
    s_q_l,
    s_q_h,
    s_k_b,
    s_k_l,
    s_k_h,
    s_v_b,
    s_v_l,
    s_v_h,
    s_cos_l,
    s_sin_l,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    WORLD: tl.constexpr,
    CHUNKS: tl.constexpr,
    EPS: tl.constexpr,
    TOKENS: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ACC: tl.constexpr,
):
    """Write q, k and v of TOKENS tokens and BLOCK_H heads where they are sent from."""
    half: tl.constexpr = WIDTH // 2
    each: tl.constexpr = HEADS // (WORLD * CHUNKS)
    batch = tl.program_id(2).to(tl.int64)
    token = (tl.program_id(0) * TOKENS + tl.arange(0, TOKENS))[:, None, None]
    head = (tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H))[None, :, None]
    channel = tl.arange(0, BLOCK_C)[None, None, :]
    present = (token < L) & (head < HEADS)
    inside = present & (channel < half)
    # Steps between tokens and heads may pass 2 ** 31 elements.
    row, place = token.to(tl.int64), head.to(tl.int64)

    # All that is large is asked for before the first wait.
    q_at = q_ptr + batch * s_q_b + row * s_q_l + place * s_q_h + channel
    q_low = tl.load(q_at, mask=inside, other=0.0)
    q_high = tl.load(q_at + half, mask=inside, other=0.0)
    k_at = k_ptr + batch * s_k_b + row * s_k_l + place * s_k_h + channel
    k_low = tl.load(k_at, mask=inside, other=0.0)
    k_high = tl.load(k_at + half, mask=inside, other=0.0)
    v_at = v_ptr + batch * s_v_b + row * s_v_l + place * s_v_h + channel
    v_low = tl.load(v_at, mask=inside, other=0.0)
    v_high = tl.load(v_at + half, mask=inside, other=0.0)
    turn = (token < L) & (channel < half)
    cos = tl.load(cos_ptr + row * s_cos_l + channel, mask=turn, other=0.0).to(ACC)
    sin = tl.load(sin_ptr + row * s_sin_l + channel, mask=turn, other=0.0).to(ACC)
    real = channel < half
    weight_low = tl.load(q_weight_ptr + channel, mask=real, other=0.0).to(ACC)
    weight_high = tl.load(q_weight_ptr + half + channel, mask=real, other=0.0).to(ACC)

    kind: tl.constexpr = out_ptr.dtype.element_ty
    to = out_ptr + channel
    to += _sent_at(row, head, batch, B, L, each, WIDTH, WORLD, CHUNKS)
    low, high = _turned(
        q_low.to(ACC), q_high.to(ACC), present,
        weight_low, weight_high, cos, sin, WIDTH, EPS,
    )  # fmt: skip
    tl.store(to, low.to(kind), mask=inside)
    tl.store(to + half, high.to(kind), mask=inside)
    weight_low = tl.load(k_weight_ptr + channel, mask=real, other=0.0).to(ACC)
    weight_high = tl.load(k_weight_ptr + half + channel, mask=real, other=0.0).to(ACC)
    low, high = _turned(
        k_low.to(ACC), k_high.to(ACC), present,
        weight_low, weight_high, cos, sin, WIDTH, EPS,
    )  # fmt: skip
    tl.store(to + each * WIDTH, low.to(kind), mask=inside)
    tl.store(to + each * WIDTH + half, high.to(kind), mask=inside)
    tl.store(to + 2 * each * WIDTH, v_low, mask=inside)
    tl.store(to + 2 * each * WIDTH + half, v_high, mask=inside)


@triton.jit
def qk_norm_rope_pack_backward(
    out_grad_ptr,
    x_ptr,
    weight_ptr,
    cos_ptr,
    sin_ptr,
    x_slope_ptr,
    weight_part_ptr,
    cos_part_ptr,
    sin_part_ptr,
    B,
    L,
    STEPS,
    s_x_b,
    s_x_l,
    s_x_h,
    s_cos_l,
    s_sin_l,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    WORLD: tl.constexpr,
    CHUNKS: tl.constexpr,
    EPS: tl.constexpr,
    SLOT: tl.constexpr,
    WANTS_X: tl.constexpr,
    WANTS_WEIGHT: tl.constexpr,
    WANTS_TURN: tl.constexpr,
    TOKENS: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_C: tl.constexpr,
    ACC: tl.constexpr,
):
    """Write the wanted gradients of q (SLOT 0), k (1) or v (2), which is x.

    STEPS * TOKENS tokens and BLOCK_H heads. The gradient of the weight is a sum over
    all of these; those of cosines and sines are sums over the heads.
    """
    half: tl.constexpr = WIDTH // 2
    each: tl.constexpr = HEADS // (WORLD * CHUNKS)
    batch = tl.program_id(2).to(tl.int64)
    head = (tl.program_id(1) * BLOCK_H + tl.arange(0, BLOCK_H))[None, :, None]
    channel = tl.arange(0, BLOCK_C)[None, None, :]
    real = channel < half
    weight_low = tl.load(weight_ptr + channel, mask=real, other=0.0).to(ACC)
    weight_high = tl.load(weight_ptr + half + channel, mask=real, other=0.0).to(ACC)
    sum_low = tl.zeros((TOKENS, BLOCK_H, BLOCK_C), ACC)
    sum_high = tl.zeros((TOKENS, BLOCK_H, BLOCK_C), ACC)

    for step in range(STEPS):
        first = (tl.program_id(0) * STEPS + step) * TOKENS
        token = (first + tl.arange(0, TOKENS))[:, None, None]
        present = (token < L) & (head < HEADS)
        inside = present & real
        row = token.to(tl.int64)
        at = out_grad_ptr + SLOT * each * WIDTH + channel
        at += _sent_at(row, head, batch, B, L, each, WIDTH, WORLD, CHUNKS)
        slope_low = tl.load(at, mask=inside, other=0.0).to(ACC)
        slope_high = tl.load(at + half, mask=inside, other=0.0).to(ACC)
        to = x_slope_ptr + ((batch * L + row) * HEADS + head) * WIDTH + channel
        kind: tl.constexpr = x_slope_ptr.dtype.element_ty
        if SLOT == 2:
            tl.store(to, slope_low.to(kind), mask=inside)
            tl.store(to + half, slope_high.to(kind), mask=inside)
        else:
            x_at = (
                x_ptr
                + batch * s_x_b
                + row * s_x_l
                + head.to(tl.int64) * s_x_h
                + channel
            )
            low = tl.load(x_at, mask=inside, other=0.0).to(ACC)
            high = tl.load(x_at + half, mask=inside, other=0.0).to(ACC)
            turn = (token < L) & real
            cos_at = cos_ptr + row * s_cos_l + channel
            cos = tl.load(cos_at, mask=turn, other=0.0).to(ACC)
            sin_at = sin_ptr + row * s_sin_l + channel
            sin = tl.load(sin_at, mask=turn, other=0.0).to(ACC)

            inverse = _inverse_rms(low, high, present, WIDTH, EPS)
            low *= inverse
            high *= inverse
            if WANTS_TURN:
                left, right = low * weight_low, high * weight_high
                part = ((tl.program_id(1) * B + batch) * L + row) * half + channel
                by_cos = tl.sum(slope_low * left + slope_high * right, axis=1)
                tl.store(cos_part_ptr + part, by_cos[:, None, :], mask=turn)
                by_sin = tl.sum(slope_high * left - slope_low * right, axis=1)
                tl.store(sin_part_ptr + part, by_sin[:, None, :], mask=turn)
            back_low = slope_low * cos + slope_high * sin
            back_high = slope_high * cos - slope_low * sin
            if WANTS_WEIGHT:
                sum_low += back_low * low
                sum_high += back_high * high
            if WANTS_X:
                back_low *= weight_low
                back_high *= weight_high
                along = tl.sum(back_low * low, axis=2) + tl.sum(
                    back_high * high, axis=2
                )
                along = (along / WIDTH)[:, :, None]
                back_low = (back_low - low * along) * inverse
                back_high = (back_high - high * along) * inverse
                tl.store(to, back_low.to(kind), mask=inside)
                tl.store(to + half, back_high.to(kind), mask=inside)

    if WANTS_WEIGHT:
        program = batch * tl.num_programs(1) + tl.program_id(1)
        program = program * tl.num_programs(0) + tl.program_id(0)
        column = tl.arange(0, BLOCK_C)
        part = weight_part_ptr + program * WIDTH + column
        over_heads = tl.sum(tl.sum(sum_low, axis=1), axis=0)
        tl.store(part, over_heads, mask=column < half)
        over_heads = tl.sum(tl.sum(sum_high, axis=1), axis=0)
        tl.store(part + half, over_heads, mask=column < half)


def forward(
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
    """Return q, k and v, (chunks, world, B, L, 3, H / (world * chunks), d)."""
    batch, tokens, heads, width = q.shape
    each = heads // (world * chunks)
    out = q.new_empty((chunks, world, batch, tokens, 3, each, width))
    if out.numel() == 0:
        return out
    q, k, v, q_weight, k_weight, cos, sin = (
        adjacent(x) for x in (q, k, v, q_weight, k_weight, cos, sin)
    )
    rows, block, half, warps = tiling(tokens, heads, width)
    grid = (triton.cdiv(tokens, rows), triton.cdiv(heads, block), batch)
    with torch.cuda.device_of(q):
        qk_norm_rope_pack_forward[grid](
            q, k, v, q_weight, k_weight, cos, sin, out, batch, tokens,
            *q.stride()[:3], *k.stride()[:3], *v.stride()[:3],
            cos.stride(0), sin.stride(0),
            HEADS=heads, WIDTH=width, WORLD=world, CHUNKS=chunks, EPS=eps,
            TOKENS=rows, BLOCK_H=block, BLOCK_C=half, ACC=accumulator(q),
            num_warps=warps,
        )  # fmt: skip
    return out


def backward(
    out_grad: Tensor,
    x: Tensor,
    weight: Tensor,
    cos: Tensor,
    sin: Tensor,
    slot: int,
    eps: float,
    wants: Sequence[bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight, cos and sin, or nothing in an empty tensor.

    *x* is q (slot 0), k (1) or v (2), of which only the shape counts; the others'
    gradients are those through this x alone. *wants* is for x, for weight, and for
    cos with sin. A gradient that is not laid out as the result is copied first.
    """
    wants_x, wants_weight, wants_turn = wants
    chunks, world = out_grad.shape[:2]
    batch, tokens, heads, width = x.shape
    rows, block, half, warps = tiling(tokens, heads, width)
    tiles, blocks = triton.cdiv(tokens, rows), triton.cdiv(heads, block)
    steps = steps_of(tiles, blocks * batch) if wants_weight else 1
    grid = (triton.cdiv(tiles, steps), blocks, batch)
    wide = torch.promote_types(x.dtype, torch.float32)

    def part(shape: tuple[int, ...], wanted: bool) -> Tensor:
        return x.new_empty(shape if wanted else 0, dtype=wide)

    def total(parts: Tensor, of: Tensor, wanted: bool) -> Tensor:
        return parts.sum(0).to(of.dtype) if wanted else of.new_empty(0)

    x_slope = x.new_empty(x.shape if wants_x else 0)
    weight_part = part((grid[0] * blocks * batch, width), wants_weight)
    turn_shape = (blocks * batch, tokens, width // 2)
    cos_part, sin_part = part(turn_shape, wants_turn), part(turn_shape, wants_turn)
    if x.numel():
        out_grad = out_grad.contiguous()
        x, weight, cos, sin = (adjacent(each) for each in (x, weight, cos, sin))
        with torch.cuda.device_of(x):
            qk_norm_rope_pack_backward[grid](
                out_grad, x, weight, cos, sin,
                x_slope, weight_part, cos_part, sin_part, batch, tokens, steps,
                *x.stride()[:3], cos.stride(0), sin.stride(0),
                HEADS=heads, WIDTH=width, WORLD=world, CHUNKS=chunks, EPS=eps,
                SLOT=slot, WANTS_X=wants_x, WANTS_WEIGHT=wants_weight,
                WANTS_TURN=wants_turn, TOKENS=rows, BLOCK_H=block, BLOCK_C=half,
                ACC=accumulator(x), num_warps=warps,
            )  # fmt: skip
    return (
        x_slope,
        total(weight_part, weight, wants_weight),
        total(cos_part, cos, wants_turn),
        total(sin_part, sin, wants_turn),
    )
