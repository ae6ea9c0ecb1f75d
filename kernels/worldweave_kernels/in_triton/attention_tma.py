"""Attention forward in Triton with TMA descriptors: from sm_90, aligned strides."""

# B batch, L query, M key, H head, d channels of one head

import triton
import triton.language as tl

from worldweave_kernels.in_triton.attention import _dot, finished, seen


@triton.jit
def _block(
    k_rows, v_rows, at, keys, q, top, total, out, scale,
    KEYS: tl.constexpr, WHOLE: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """Add the KEYS keys from row *at* on; without WHOLE, those below row *keys*."""
    k = k_rows.load([at, 0])
    v = v_rows.load([at, 0])
    scores = _dot(q, tl.trans(k), tl.zeros([q.shape[0], KEYS], out.dtype), UPCAST)
    if not WHOLE:
        there = at + tl.arange(0, KEYS)[None, :] < keys
        scores = tl.where(there, scores, float("-inf"))
    return seen(scores, top, total, out, v, scale, UPCAST)


@triton.jit
def attention_forward_tma(
    q_ptr, k_ptr, v_ptr, o_ptr, lse_ptr,
    s_qb, s_ql, s_qh, s_kb, s_km, s_kh, s_vb, s_vm, s_vh, s_os, s_ob, s_ol, s_oh,
    H, L, M, SHARE,
    D: tl.constexpr, WIDTH: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr,
    SCALE: tl.constexpr, STAGES: tl.constexpr, WARP_SPECIALIZE: tl.constexpr,
    ACC: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """Attend as `attention_forward` does; the channels of all lie side by side.

    A descriptor covers the rows of one head. What it reads outside of them is zero,
    and what it writes there is dropped. The first byte of each head and the strides
    of rows are multiples of 16 bytes.
    """
    first = tl.program_id(0) * QUERIES
    b = (tl.program_id(1) // H).to(tl.int64)
    h = (tl.program_id(1) % H).to(tl.int64)
    share = tl.program_id(2).to(tl.int64)
    q_rows = tl.make_tensor_descriptor(
        q_ptr + b * s_qb + h * s_qh, [L, D], [s_ql, 1], [QUERIES, WIDTH]
    )
    k_rows = tl.make_tensor_descriptor(
        k_ptr + b * s_kb + h * s_kh, [M, D], [s_km, 1], [KEYS, WIDTH]
    )
    v_rows = tl.make_tensor_descriptor(
        v_ptr + b * s_vb + h * s_vh, [M, D], [s_vm, 1], [KEYS, WIDTH]
    )
    o_rows = tl.make_tensor_descriptor(
        o_ptr + share * s_os + b * s_ob + h * s_oh, [L, D], [s_ol, 1], [QUERIES, WIDTH]
    )
    q = q_rows.load([first, 0])

    scale = tl.full([], SCALE, ACC)
    top = tl.full([QUERIES], float("-inf"), ACC)
    total = tl.zeros([QUERIES], ACC)
    out = tl.zeros([QUERIES, WIDTH], ACC)
    start = tl.program_id(2) * SHARE
    keys = tl.maximum(tl.minimum(M, start + SHARE), start)
    whole = keys // KEYS * KEYS
    for at in tl.range(
        start, whole, KEYS, num_stages=STAGES, warp_specialize=WARP_SPECIALIZE
    ):
        top, total, out = _block(
            k_rows, v_rows, at, keys, q, top, total, out, scale, KEYS, True, UPCAST
        )
    if whole < keys:
        top, total, out = _block(
            k_rows, v_rows, whole, keys, q, top, total, out, scale, KEYS, False, UPCAST
        )

    out, lse = finished(top, total, out)
    o_rows.store([first, 0], out.to(o_ptr.dtype.element_ty))
    l = first + tl.arange(0, QUERIES)  # noqa: E741
    lse_ptr += (share * tl.num_programs(1) + tl.program_id(1)) * L
    tl.store(lse_ptr + l, lse, mask=l < L)
