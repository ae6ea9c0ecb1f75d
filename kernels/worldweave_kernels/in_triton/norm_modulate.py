"""Adaptive layer norm in Triton, with the gated residual before it in the same pass."""

# B batch, L token, D hidden

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

#: Programs that a backward pass which also sums over tokens may have, beyond one for
#: each entry of the batch: each leaves one partial sum per channel, 17 MB a sum at a
#: width of 4096, x being 461 MB for 56 320 tokens. For those it has as many, 3.9
#: times the 264 that an H200 runs at once: the last round is nearly full.
SUMMING_PROGRAMS = 1024

#: Blocks of rows that such a program sums at least, lest short inputs spend as much
#: on partial sums, in float32, as on their gradients.
SUMMED_BLOCKS = 4

#: Registers of a thread in each pass, so that three programs of eight warps, or two,
#: share a processor and one computes while another waits for memory. Left alone, the
#: compiler takes up to 86 and 154, for one program fewer. Where all that is read is
#: of 16 bits nothing spills at these, at widths that are a power of two, as that of the
#: 7B is (at others the backward pass does, up to 48 bytes); with wider dtypes it may.
FORWARD_REGISTERS = 80
BACKWARD_REGISTERS = 128


class Tiling(NamedTuple):
    """What one program covers, and how many warps share it."""

    rows: int
    columns: int
    warps: int


def tiling(tokens: int, width: int, elements: int, of_thread: int) -> Tiling:
    """Return whole rows of *width*, *elements* in all, or one row where it is wider.

    Rows of one program share what is read for all of them: shift, scale and gate.
    A thread holds *of_thread* elements of a tensor.
    """
    columns = triton.next_power_of_2(width)
    rows = min(max(1, elements // columns), triton.next_power_of_2(max(1, tokens)))
    warps = rows * columns // (32 * of_thread)
    return Tiling(rows, columns, min(16, max(1, warps)))


def forward_tiling(tokens: int, width: int) -> Tiling:
    """Return the tiling of the forward pass: two rows of 4096 on eight warps."""
    return tiling(tokens, width, 8192, of_thread=32)


def backward_tiling(tokens: int, width: int) -> Tiling:
    """Return the tiling of the backward pass: a row of 4096 on eight warps.

    It holds more tensors, and three sums besides.
    """
    return tiling(tokens, width, 4096, of_thread=16)


def steps_of(tiles: int, batch: int) -> int:
    """Return how many of the *tiles* of each entry of the batch a program sums.

    The compiler knows this number, as it spills on sm_100 if not: a long video is
    compiled for anew where it is SUMMING_PROGRAMS tiles longer.
    """
    each: int = max(SUMMED_BLOCKS, triton.cdiv(tiles * batch, SUMMING_PROGRAMS))
    return max(1, min(each, tiles))


@triton.jit
def norm_modulate_forward(
    x_ptr,
    y_ptr,
    gate_ptr,
    shift_ptr,
    scale_ptr,
    positions_ptr,
    total_ptr,
    out_ptr,
    L,
    s_x_b,
    s_x_l,
    s_y_b,
    s_y_l,
    s_gate_b,
    s_shift_b,
    s_scale_b,
    s_positions_l,
    D: tl.constexpr,
    EPS: tl.constexpr,
    HAS_Y: tl.constexpr,
    HAS_POSITIONS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_D: tl.constexpr,
    ACC: tl.constexpr,
):
    """Write the sum, where there is one, and its modulated norm, for ROWS tokens."""
    batch = tl.program_id(1).to(tl.int64)
    token = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, BLOCK_D)
    real = column < D
    inside = (token < L)[:, None] & real[None, :]
    row = token.to(tl.int64)[:, None]
    column_2d = column[None, :]

    x_at = x_ptr + batch * s_x_b + row * s_x_l + column_2d
    total = tl.load(x_at, mask=inside, other=0.0).to(ACC)
    if HAS_Y:
        y_at = y_ptr + batch * s_y_b + row * s_y_l + column_2d
        y = tl.load(y_at, mask=inside, other=0.0).to(ACC)
        gate_at = gate_ptr + batch * s_gate_b + column
        gate = tl.load(gate_at, mask=real, other=0.0).to(ACC)
        total += gate[None, :] * y
    if HAS_POSITIONS:
        positions_at = positions_ptr + row * s_positions_l + column_2d
        total += tl.load(positions_at, mask=inside, other=0.0).to(ACC)
    to = (batch * L + row) * D + column_2d
    if HAS_Y or HAS_POSITIONS:
        # The next layer sees the rounded sum, so that is what is normalised.
        rounded = total.to(total_ptr.dtype.element_ty)
        tl.store(total_ptr + to, rounded, mask=inside)
        total = rounded.to(ACC)

    mean = tl.sum(total, axis=1) / D
    centred = tl.where(real[None, :], total - mean[:, None], 0.0)
    variance = tl.where(token < L, tl.sum(centred * centred, axis=1) / D, 1.0)
    normal = centred * tl.rsqrt(variance + EPS)[:, None]
    scale_at = scale_ptr + batch * s_scale_b + column
    scale = tl.load(scale_at, mask=real, other=0.0).to(ACC)
    shift_at = shift_ptr + batch * s_shift_b + column
    shift = tl.load(shift_at, mask=real, other=0.0).to(ACC)
    out = normal * (1.0 + scale)[None, :] + shift[None, :]
    tl.store(out_ptr + to, out.to(out_ptr.dtype.element_ty), mask=inside)


@triton.jit
def norm_modulate_backward(
    out_grad_ptr,
    total_grad_ptr,
    total_ptr,
    y_ptr,
    gate_ptr,
    scale_ptr,
    x_slope_ptr,
    y_slope_ptr,
    gate_part_ptr,
    shift_part_ptr,
    scale_part_ptr,
    B,
    L,
    s_out_grad_b,
    s_out_grad_l,
    s_total_grad_b,
    s_total_grad_l,
    s_total_b,
    s_total_l,
    s_y_b,
    s_y_l,
    s_gate_b,
    s_scale_b,
    D: tl.constexpr,
    EPS: tl.constexpr,
    HAS_TOTAL_GRAD: tl.constexpr,
    WANTS_X: tl.constexpr,
    WANTS_Y: tl.constexpr,
    WANTS_GATE: tl.constexpr,
    WANTS_SHIFT: tl.constexpr,
    WANTS_SCALE: tl.constexpr,
    STEPS: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK_D: tl.constexpr,
    ACC: tl.constexpr,
):
    """Write the wanted gradients of STEPS * ROWS tokens, and their sums over these.

    Mean and variance are computed anew: the row is read anyway.
    """
    batch = tl.program_id(1).to(tl.int64)
    column = tl.arange(0, BLOCK_D)
    column_2d = column[None, :]
    real = column < D
    scale_at = scale_ptr + batch * s_scale_b + column
    gate_at = gate_ptr + batch * s_gate_b + column
    gate_sum = tl.zeros((BLOCK_D,), ACC)
    shift_sum = tl.zeros((BLOCK_D,), ACC)
    scale_sum = tl.zeros((BLOCK_D,), ACC)

    for step in range(STEPS):
        token = (tl.program_id(0) * STEPS + step) * ROWS + tl.arange(0, ROWS)
        present = token < L
        inside = present[:, None] & real[None, :]
        row = token.to(tl.int64)[:, None]
        total_at = total_ptr + batch * s_total_b + row * s_total_l + column_2d
        total = tl.load(total_at, mask=inside, other=0.0).to(ACC)
        slope_at = out_grad_ptr + batch * s_out_grad_b + row * s_out_grad_l + column_2d
        slope = tl.load(slope_at, mask=inside, other=0.0).to(ACC)
        # All that is large is asked for at once, before the first wait.
        if HAS_TOTAL_GRAD:
            past_at = batch * s_total_grad_b + row * s_total_grad_l + column_2d
            past = tl.load(total_grad_ptr + past_at, mask=inside, other=0.0)

        mean = tl.sum(total, axis=1) / D
        centred = tl.where(real[None, :], total - mean[:, None], 0.0)
        # Rows past the last would be infinite without eps, and spoil the sums.
        variance = tl.where(present, tl.sum(centred * centred, axis=1) / D, 1.0)
        inverse = tl.rsqrt(variance + EPS)
        normal = centred * inverse[:, None]
        if WANTS_SHIFT:
            shift_sum += tl.sum(slope, axis=0)
        if WANTS_SCALE:
            scale_sum += tl.sum(slope * normal, axis=0)
        if WANTS_X or WANTS_Y or WANTS_GATE:
            # Read again for every row, from the cache: the sums need the registers.
            scale = tl.load(scale_at, mask=real, other=0.0).to(ACC)
            slope *= (1.0 + scale)[None, :]
            along = tl.sum(slope * normal, axis=1) / D
            level = tl.sum(slope, axis=1) / D
            slope = slope - level[:, None] - normal * along[:, None]
            slope *= inverse[:, None]
            if HAS_TOTAL_GRAD:
                slope += past.to(ACC)
            to = (batch * L + row) * D + column_2d
            if WANTS_X:
                x_slope = slope.to(x_slope_ptr.dtype.element_ty)
                tl.store(x_slope_ptr + to, x_slope, mask=inside)
            if WANTS_Y:
                gate = tl.load(gate_at, mask=real, other=0.0).to(ACC)
                y_slope = (slope * gate[None, :]).to(y_slope_ptr.dtype.element_ty)
                tl.store(y_slope_ptr + to, y_slope, mask=inside)
            if WANTS_GATE:
                y_at = y_ptr + batch * s_y_b + row * s_y_l + column_2d
                y = tl.load(y_at, mask=inside, other=0.0).to(ACC)
                gate_sum += tl.sum(slope * y, axis=0)

    part = (tl.program_id(0).to(tl.int64) * B + batch) * D + column
    if WANTS_GATE:
        tl.store(gate_part_ptr + part, gate_sum, mask=real)
    if WANTS_SHIFT:
        tl.store(shift_part_ptr + part, shift_sum, mask=real)
    if WANTS_SCALE:
        tl.store(scale_part_ptr + part, scale_sum, mask=real)


def forward(
    x: Tensor,
    y: Tensor | None,
    gate: Tensor | None,
    shift: Tensor,
    scale: Tensor,
    positions: Tensor | None,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """Return the sum (x itself where nothing is added) and its modulated norm."""
    adds = y is not None or positions is not None
    out = x.new_empty(x.shape)
    total = x.new_empty(x.shape) if adds else x
    if out.numel() == 0:
        return total, out
    x, shift, scale = adjacent(x), adjacent(shift), adjacent(scale)
    # What is left out is never read; a kernel still wants a pointer.
    y_, gate_ = (x, x) if y is None or gate is None else (adjacent(y), adjacent(gate))
    positions_ = x[0] if positions is None else adjacent(positions)
    read = (x, y_, gate_, shift, scale, positions_)
    batch, tokens, width = x.shape
    rows, columns, warps = forward_tiling(tokens, width)
    with torch.cuda.device_of(x):
        norm_modulate_forward[(triton.cdiv(tokens, rows), batch)](
            *read, total, out,
            tokens, x.stride(0), x.stride(1), y_.stride(0), y_.stride(1),
            of_batch(gate_), of_batch(shift), of_batch(scale), positions_.stride(0),
            D=width, EPS=eps, HAS_Y=y is not None, HAS_POSITIONS=positions is not None,
            ROWS=rows, BLOCK_D=columns, ACC=accumulator(x),
            num_warps=warps, maxnreg=limited(FORWARD_REGISTERS, *read),
        )  # fmt: skip
    return total, out


def backward(
    out_grad: Tensor,
    total_grad: Tensor | None,
    total: Tensor,
    y: Tensor | None,
    gate: Tensor | None,
    scale: Tensor,
    eps: float,
    y_dtype: torch.dtype | None,
    wants: dict[str, bool],
) -> dict[str, Tensor]:
    """Return the gradients that *wants* names: of x, y, gate, shift, scale.

    Those of gate, shift and scale are (B, 1, D), in float32 (float64 for float64).
    y is read for gate's gradient only, gate for y's only.
    """
    batch, tokens, width = total.shape
    sums = [name for name in ("gate", "shift", "scale") if wants[name]]
    rows, columns, warps = backward_tiling(tokens, width)
    tiles = triton.cdiv(tokens, rows)
    steps = steps_of(tiles, batch) if sums else 1
    programs = triton.cdiv(tiles, steps)
    wide = torch.promote_types(total.dtype, torch.float32)
    given = {
        name: total.new_empty(total.shape, dtype=dtype)
        for name, dtype in (("x", total.dtype), ("y", y_dtype))
        if wants[name]
    }
    for name in sums:
        given[name] = total.new_empty((programs, batch, 1, width), dtype=wide)
    if total.numel():
        total, scale = adjacent(total), adjacent(scale)
        out_grad = adjacent(out_grad)
        past = out_grad if total_grad is None else adjacent(total_grad)
        y_ = total if y is None else adjacent(y)
        gate_ = scale if gate is None else adjacent(gate)
        read = (out_grad, past, total, y_, gate_, scale)
        to = [given.get(name, total) for name in ("x", "y", "gate", "shift", "scale")]
        with torch.cuda.device_of(total):
            norm_modulate_backward[(programs, batch)](
                *read, *to,
                batch, tokens, out_grad.stride(0), out_grad.stride(1),
                past.stride(0), past.stride(1), total.stride(0), total.stride(1),
                y_.stride(0), y_.stride(1), of_batch(gate_), of_batch(scale),
                D=width, EPS=eps, HAS_TOTAL_GRAD=total_grad is not None,
                WANTS_X=wants["x"], WANTS_Y=wants["y"], WANTS_GATE=wants["gate"],
                WANTS_SHIFT=wants["shift"], WANTS_SCALE=wants["scale"],
                STEPS=steps, ROWS=rows, BLOCK_D=columns, ACC=accumulator(total),
                num_warps=warps,
                maxnreg=limited(BACKWARD_REGISTERS, *read, *to[:2]),
            )  # fmt: skip
    return given | {name: given[name].sum(0) for name in sums}


def adjacent(x: Tensor) -> Tensor:
    """Return *x*, copied only where its channels do not lie side by side."""
    return x if x.stride(-1) == 1 else x.contiguous()


def of_batch(x: Tensor) -> int:
    """Return the step from one batch entry to the next, 0 where all share one."""
    return x.stride(0) if x.shape[0] > 1 else 0


def limited(registers: int, *tensors: Tensor) -> int | None:
    """Return *registers* where all *tensors* are of 16 bits, else no limit."""
    return registers if all(x.itemsize == 2 for x in tensors) else None


def accumulator(x: Tensor) -> tl.dtype:
    """Return the dtype to compute in, as Triton calls it."""
    return tl.float64 if x.dtype == torch.float64 else tl.float32
