"""Merging attentions over shares of the keys, in one pass."""

# N share, B batch, L query, H head, d channels of one head

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

#: Queries of a program: with 128 channels, 64 KiB of accumulators over 256 threads.
_QUERIES = 64


@triton.jit
def merge_shares(
    i_ptrs, lse_ptrs, o_ptr, total_lse_ptr,
    s_ib, s_il, s_ih, s_ob, s_ol, s_oh, H, L,
    D: tl.constexpr, WIDTH: tl.constexpr, QUERIES: tl.constexpr, N: tl.constexpr,
    ACC: tl.constexpr,
):  # fmt: skip
    """Sum N results, each by its share of the exponentials. Channels lie side by side.

    Log-sum-exps are (B, H, L), contiguous. A share without keys has -inf.
    """
    first = tl.program_id(0).to(tl.int64) * QUERIES
    b = (tl.program_id(1) // H).to(tl.int64)
    h = (tl.program_id(1) % H).to(tl.int64)
    l = tl.arange(0, QUERIES)  # noqa: E741
    c = tl.arange(0, WIDTH)
    there = l < L - first
    inside = there[:, None] & (c < D)[None, :]
    row = tl.program_id(1).to(tl.int64) * L + first + l
    top = tl.full([QUERIES], float("-inf"), ACC)
    for i in tl.static_range(N):
        lse = tl.load(lse_ptrs[i] + row, mask=there, other=0.0).to(ACC)
        top = tl.maximum(top, lse)
    # -inf - -inf is no number: where all shares are empty, any other top will do.
    base = tl.where(top == float("-inf"), 0.0, top)
    total = tl.zeros([QUERIES], ACC)
    out = tl.zeros([QUERIES, WIDTH], ACC)
    for i in tl.static_range(N):
        lse = tl.load(lse_ptrs[i] + row, mask=there, other=0.0).to(ACC)
        power = tl.exp(lse - base)
        i_ptr = i_ptrs[i] + b * s_ib[i] + h * s_ih[i] + first * s_il[i]
        at = i_ptr + l[:, None] * s_il[i] + c[None, :]
        total += power
        out += power[:, None] * tl.load(at, mask=inside, other=0.0).to(ACC)
    total = tl.where(total == 0, 1.0, total)
    out = out / total[:, None]
    o_ptr += b * s_ob + h * s_oh + first * s_ol
    at = o_ptr + l[:, None] * s_ol + c[None, :]
    tl.store(at, out.to(o_ptr.dtype.element_ty), mask=inside)
    tl.store(total_lse_ptr + row, top + tl.log(total), mask=there)


def merge(
    outs: Sequence[Tensor], lses: Sequence[Tensor], dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return the merged attention (B, L, H, d), in *dtype*, and log-sum-exp (B, H, L).

    *outs* whose channels do not lie side by side and *lses* that are not contiguous
    are copied.
    """
    outs = [out if out.stride(-1) == 1 else out.contiguous() for out in outs]
    lses = [lse.contiguous() for lse in lses]
    batch, tokens, heads, width = outs[0].shape
    out = outs[0].new_empty(outs[0].shape, dtype=dtype)
    lse = torch.empty_like(lses[0])
    if out.numel() == 0:
        return out, lse
    strides = [tuple(each.stride(axis) for each in outs) for axis in range(3)]
    with torch.cuda.device_of(out):
        merge_shares[triton.cdiv(tokens, _QUERIES), batch * heads](
            tuple(outs), tuple(lses), out, lse,
            *strides, *out.stride()[:3], heads, tokens,
            D=width, WIDTH=triton.next_power_of_2(width), QUERIES=_QUERIES,
            N=len(outs), ACC=tl.float64 if lse.dtype == torch.float64 else tl.float32,
            num_warps=8,
        )  # fmt: skip
    return out, lse
