"""Weighted addition in Triton: one pass over x and its residuals, one for gradients.

Both passes move each element once and compute next to nothing with it: memory is
their only limit. Positions are counted in runs of INNER, so that a tensor which is
strided or shared at one place among its axes (a map for the whole batch, some of the
tokens of each video) is read where it lies.
"""

# D hidden, N branch, M position: M / INNER runs

import itertools
import math
from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _positions(INNER, BM: tl.constexpr):
    """Return the run of this program, its BM rows in the run, and which there are."""
    blocks = tl.cdiv(INNER, BM)
    rows = (tl.program_id(0) % blocks) * BM + tl.arange(0, BM)
    # Rows times channels pass 2**31 where a few videos are computed at once.
    return (tl.program_id(0) // blocks).to(tl.int64), rows.to(tl.int64), rows < INNER


@triton.jit
def _total(w_ptrs, s_w_run, s_w, run, rows, live, N: tl.constexpr, ACC: tl.constexpr):
    """Return the sum of the maps, (BM,)."""
    total = tl.zeros(rows.shape, ACC)
    for i in tl.static_range(N):
        at = w_ptrs[i] + run * s_w_run[i] + rows * s_w[i]
        total += tl.load(at, mask=live, other=0.0).to(ACC)
    return total


@triton.jit
def _map(w_ptr, s_w_run, s_w, run, rows, live, total, NORMALIZE: tl.constexpr):
    """Return one map, (BM,), divided by the sum of all where that passes one."""
    at = w_ptr + run * s_w_run + rows * s_w
    w = tl.load(at, mask=live, other=0.0).to(total.dtype)
    if NORMALIZE:
        # Not a division by one: where nothing is to change, no bit may.
        w = tl.where(total > 1.0, w / tl.maximum(total, 1.0), w)
    return w


@triton.jit
def weighted_add_forward(
    x_ptr,
    h_ptrs,
    w_ptrs,
    out_ptr,
    INNER,
    s_x_run,
    s_x,
    s_h_run,
    s_h,
    s_w_run,
    s_w,
    s_out_run,
    s_out,
    D: tl.constexpr,
    N: tl.constexpr,
    NORMALIZE: tl.constexpr,
    ACC: tl.constexpr,
    BM: tl.constexpr,
    BD: tl.constexpr,
):
    """Write x + sum_i w_i h_i for BM positions of one run and BD channels.

    h_ptrs, w_ptrs and their strides are tuples of N: residuals are never stacked.
    """
    run, rows, live = _positions(INNER, BM)
    cols = tl.program_id(1) * BD + tl.arange(0, BD)
    mask = live[:, None] & (cols < D)[None, :]
    total = tl.zeros((BM,), ACC)
    if NORMALIZE:
        total = _total(w_ptrs, s_w_run, s_w, run, rows, live, N, ACC)
    x = x_ptr + run * s_x_run + rows[:, None] * s_x + cols[None, :]
    acc = tl.load(x, mask=mask, other=0.0).to(ACC)
    for i in tl.static_range(N):
        w = _map(w_ptrs[i], s_w_run[i], s_w[i], run, rows, live, total, NORMALIZE)
        h = h_ptrs[i] + run * s_h_run[i] + rows[:, None] * s_h[i] + cols[None, :]
        acc += w[:, None] * tl.load(h, mask=mask, other=0.0).to(ACC)
    out = out_ptr + run * s_out_run + rows[:, None] * s_out + cols[None, :]
    tl.store(out, acc.to(out_ptr.dtype.element_ty), mask=mask)


@triton.jit
def weighted_add_backward(
    g_ptr,
    h_ptrs,
    w_ptrs,
    gh_ptrs,
    gw_ptr,
    M,
    INNER,
    s_g_run,
    s_g,
    s_h_run,
    s_h,
    s_w_run,
    s_w,
    D: tl.constexpr,
    N: tl.constexpr,
    NP: tl.constexpr,
    MAPS: tl.constexpr,
    NORMALIZE: tl.constexpr,
    ACC: tl.constexpr,
    BM: tl.constexpr,
    BD: tl.constexpr,
):
    """Write the gradients for BM positions of one run and all their channels.

    Those of the residuals, w_i g, go to gh_ptrs, contiguous, None where not wanted;
    with MAPS those of the maps, d_i = <g, h_i>, go to gw (N, M). Where the sum s of
    the maps divides them they act on each other: (d_i - sum_j d_j w_j / s) / s.
    Without MAPS no residual is read. NP is N rounded up to a power of two.
    """
    run, rows, live = _positions(INNER, BM)
    positions = run * INNER + rows
    branch = tl.arange(0, NP)[None, :]
    d = tl.zeros((BM, NP), ACC)
    total = tl.zeros((BM,), ACC)
    if NORMALIZE:
        total = _total(w_ptrs, s_w_run, s_w, run, rows, live, N, ACC)
    for start in tl.static_range(0, D, BD):
        cols = start + tl.arange(0, BD)
        mask = live[:, None] & (cols < D)[None, :]
        g_at = g_ptr + run * s_g_run + rows[:, None] * s_g + cols[None, :]
        g = tl.load(g_at, mask=mask, other=0.0).to(ACC)
        for i in tl.static_range(N):
            if MAPS:
                h = h_ptrs[i] + run * s_h_run[i] + rows[:, None] * s_h[i]
                h_i = tl.load(h + cols[None, :], mask=mask, other=0.0).to(ACC)
                d_i = tl.sum(g * h_i, axis=1)
                d += tl.where(branch == i, d_i[:, None], 0.0)
            if gh_ptrs[i] is not None:
                w = _map(
                    w_ptrs[i], s_w_run[i], s_w[i], run, rows, live, total, NORMALIZE
                )
                gh = gh_ptrs[i] + positions[:, None] * D + cols[None, :]
                gh_i = (w[:, None] * g).to(gh_ptrs[i].dtype.element_ty)
                tl.store(gh, gh_i, mask=mask)
    if MAPS:
        if NORMALIZE:
            shares = tl.zeros((BM, NP), ACC)
            for i in tl.static_range(N):
                w = _map(
                    w_ptrs[i], s_w_run[i], s_w[i], run, rows, live, total, NORMALIZE
                )
                shares = tl.where(branch == i, w[:, None], shares)
            # As torch.clamp does it: a sum of exactly one divides already.
            apart = d - tl.sum(d * shares, axis=1)[:, None]
            apart = apart / tl.maximum(total, 1.0)[:, None]
            d = tl.where(total[:, None] >= 1.0, apart, d)
        gw = gw_ptr + branch * M + positions[:, None]
        tl.store(gw, d, mask=live[:, None] & (branch < N))


def forward_blocks(channels: int) -> dict[str, int]:
    """Return the block sizes and warps of the forward pass for a width D.

    2048 elements to 128 threads: each loads twice 128 bits of bfloat16 from every
    tensor. With four branches these are in flight together in 40 to 56 registers (as
    compiled for sm_80, 90 and 100), few enough for 9 programs on a multiprocessor.
    """
    wide = min(1024, triton.next_power_of_2(channels))
    return {"BM": 2048 // wide, "BD": wide, "num_warps": 4}


def backward_blocks(channels: int) -> dict[str, int]:
    """Return the block sizes and warps of the backward pass for a width D.

    A row stays with one program, because a map's gradient sums over it; up to 4096
    wide in one piece, so that the gradient of the output is read once for all
    branches. 16 elements to each of 256 threads, as in the forward pass.
    """
    wide = min(4096, triton.next_power_of_2(channels))
    return {"BM": 4096 // wide, "BD": wide, "num_warps": 8}


def forward(
    x: Tensor,
    residuals: Sequence[Tensor],
    maps: Sequence[Tensor],
    normalize: bool,
    out: Tensor,
) -> None:
    """Write x + sum_i maps[i] * residuals[i] to *out*, which may be *x*."""
    if out.numel() == 0:
        return
    channels, branches = x.shape[-1], len(residuals)
    runs = Runs(x.shape[:-1], [x, *residuals, *maps, out])
    x, *rest, target = runs.tensors
    s_x_run, *s_run, s_out_run = runs.run_strides
    s_x, *s_row, s_out = runs.row_strides
    blocks = forward_blocks(channels)
    grid = (runs.programs(blocks["BM"]), triton.cdiv(channels, blocks["BD"]))
    with torch.cuda.device_of(out):
        weighted_add_forward[grid](
            x,
            tuple(rest[:branches]),
            tuple(rest[branches:]),
            target,
            runs.inner,
            s_x_run,
            s_x,
            tuple(s_run[:branches]),
            tuple(s_row[:branches]),
            tuple(s_run[branches:]),
            tuple(s_row[branches:]),
            s_out_run,
            s_out,
            D=channels,
            N=branches,
            NORMALIZE=normalize,
            ACC=_accumulator(out),
            **blocks,
        )
    if target is not out:
        out.copy_(target)


def backward(
    grad: Tensor,
    residuals: Sequence[Tensor],
    maps: Sequence[Tensor],
    normalize: bool,
    grad_residuals: Sequence[Tensor | None],
    grad_maps: Tensor | None,
) -> None:
    """Write the gradients that are not None, given that of the output, *grad*.

    Those of the residuals are contiguous. *grad_maps* is (N, M), one value for every
    position, and float64 for float64, else float32. Without it, *residuals* are not
    read.
    """
    if grad.numel() == 0:
        if grad_maps is not None:
            grad_maps.zero_()
        return
    channels, branches = grad.shape[-1], len(maps)
    read = [] if grad_maps is None else residuals
    runs = Runs(grad.shape[:-1], [grad, *maps, *read])
    grad, *rest = runs.tensors
    s_g_run, *s_run = runs.run_strides
    s_g, *s_row = runs.row_strides
    blocks = backward_blocks(channels)
    with torch.cuda.device_of(grad):
        weighted_add_backward[(runs.programs(blocks["BM"]),)](
            grad,
            tuple(rest[branches:]),
            tuple(rest[:branches]),
            tuple(grad_residuals),
            grad_maps,
            grad.numel() // channels,
            runs.inner,
            s_g_run,
            s_g,
            tuple(s_run[branches:]),
            tuple(s_row[branches:]),
            tuple(s_run[:branches]),
            tuple(s_row[:branches]),
            D=channels,
            N=branches,
            NP=triton.next_power_of_2(branches),
            MAPS=grad_maps is not None,
            NORMALIZE=normalize,
            ACC=_accumulator(grad),
            **blocks,
        )


class Runs:
    """Tensors over the same positions, which are counted in runs of one length.

    Within a run, and from run to run, each tensor has one stride. Where no length
    suits all tensors those are copied that have the fewest elements, and so is any
    whose channels do not lie side by side. A tensor is one with channels, or a map.
    """

    def __init__(self, tokens: Sequence[int], tensors: Sequence[Tensor]) -> None:
        axes = [axis for axis, size in enumerate(tokens) if size > 1]
        wide = [_rows(each, tokens) for each in tensors]
        folds = [_folds(each, axes) for each in wide]

        def copied(start: int) -> int:
            pairs = zip(wide, folds, strict=True)
            return sum(each.numel() for each, fold in pairs if fold - {start})

        # The first of the axes within a run; with 0 there is one run.
        start = min(sorted({0}.union(*folds)), key=copied)
        self.inner = math.prod(tokens[axis] for axis in axes[start:])
        self.count = math.prod(tokens) // self.inner
        self.tensors = [
            each.contiguous() if fold - {start} else each
            for each, fold in zip(wide, folds, strict=True)
        ]
        #: Of each tensor, from one run to the next, and from one row to the next.
        self.run_strides = [
            each.stride(axes[start - 1]) if start else 0 for each in self.tensors
        ]
        self.row_strides = [
            each.stride(axes[-1]) if axes else 0 for each in self.tensors
        ]

    def programs(self, rows: int) -> int:
        """Return how many programs of *rows* positions of one run there are."""
        return self.count * -(-self.inner // rows)


def _rows(each: Tensor, tokens: Sequence[int]) -> Tensor:
    """Return a map for every position, or a tensor whose channels are adjacent."""
    if each.ndim <= len(tokens):
        return each.expand(tokens)
    return each if each.shape[-1] == 1 or each.stride(-1) == 1 else each.contiguous()


def _folds(each: Tensor, axes: Sequence[int]) -> set[int]:
    """Return which of *axes*, counted from 0, does not continue the one before it."""
    if each.is_contiguous():
        return set()
    size, stride = each.shape, each.stride()
    return {
        at
        for at, (outer, inner) in enumerate(itertools.pairwise(axes), start=1)
        if stride[outer] != stride[inner] * size[inner]
    }


def _accumulator(x: Tensor) -> tl.dtype:
    return tl.float64 if x.dtype == torch.float64 else tl.float32
