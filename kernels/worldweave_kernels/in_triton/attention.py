"""Attention forward in Triton with pointer loads: any strides, any GPU from sm_80."""

# B batch, L query, M key, H head, d channels of one head

import contextvars
import math
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

#: Read, like by Triton, when kernels are defined.
_INTERPRETED = triton.knobs.runtime.interpret
#: Data-centre GPUs. Those from sm_120 have TMA too, but 99 KiB of shared memory only.
_WITH_TMA = (9, 10)


class Config(NamedTuple):
    """Queries and keys of a tile, and how it is spread and staged on the GPU."""

    queries: int
    keys: int
    warps: int
    stages: int
    warp_specialize: bool = False


@triton.jit
def _dot(a, b, total, UPCAST: tl.constexpr):
    """Return total + a b. UPCAST is for the interpreter, which garbles bfloat16."""
    if UPCAST:
        a = a.to(total.dtype)
        b = b.to(total.dtype)
    return tl.dot(a, b, total, input_precision="ieee", out_dtype=total.dtype)


@triton.jit
def seen(scores, top, total, out, v, scale, UPCAST: tl.constexpr):
    """Add one block of keys to each query's running (top, total, out).

    Online softmax (arXiv 1805.02867), in base 2: top is the largest score, total the
    sum of 2 ** (score - top), out the values weighed by them. *scores* are not scaled.
    """
    new_top = tl.maximum(top, tl.max(scores, 1) * scale)
    # One fused operation per score; rounding of `new_top` cancels in out / total.
    p = tl.exp2(tl.fma(scores, tl.zeros_like(scores) + scale, -new_top[:, None]))
    shrink = tl.exp2(top - new_top)
    total = total * shrink + tl.sum(p, 1)
    if not UPCAST:
        p = p.to(v.dtype)
    out = _dot(p, v, out * shrink[:, None], UPCAST)
    return new_top, total, out


@triton.jit
def finished(top, total, out):
    """Return the weighed values and the log-sum-exp, in natural logarithm.

    A share without keys is zeros and -inf.
    """
    total = tl.where(total == 0, 1.0, total)
    return out / total[:, None], (top + tl.log2(total)) * 0.6931471805599453


@triton.jit
def _block(
    k_ptr, v_ptr, s_km, s_kd, s_vm, s_vd, at, stop, q, top, total, out, scale,
    D: tl.constexpr, WIDTH: tl.constexpr, KEYS: tl.constexpr, WHOLE: tl.constexpr,
    UPCAST: tl.constexpr,
):  # fmt: skip
    """Add the KEYS keys from *at* on; without WHOLE, only the first *stop* of them."""
    k_ptr += tl.cast(at, tl.int64) * s_km
    v_ptr += tl.cast(at, tl.int64) * s_vm
    m = tl.arange(0, KEYS)[:, None]
    c = tl.arange(0, WIDTH)[None, :]
    if WHOLE and D == WIDTH:
        k = tl.load(k_ptr + m * s_km + c * s_kd)
        v = tl.load(v_ptr + m * s_vm + c * s_vd)
    else:
        inside = (m < stop) & (c < D)
        k = tl.load(k_ptr + m * s_km + c * s_kd, mask=inside, other=0.0)
        v = tl.load(v_ptr + m * s_vm + c * s_vd, mask=inside, other=0.0)
    scores = _dot(q, tl.trans(k), tl.zeros([q.shape[0], KEYS], out.dtype), UPCAST)
    if not WHOLE:
        there = tl.arange(0, KEYS)[None, :] < stop
        scores = tl.where(there, scores, float("-inf"))
    return seen(scores, top, total, out, v, scale, UPCAST)


@triton.jit
def attention_forward(
    q_ptr, k_ptr, v_ptr, o_ptr, lse_ptr,
    s_qb, s_ql, s_qh, s_qd, s_kb, s_km, s_kh, s_kd, s_vb, s_vm, s_vh, s_vd,
    s_os, s_ob, s_ol, s_oh,
    H, L, M, SHARE,
    D: tl.constexpr, WIDTH: tl.constexpr, QUERIES: tl.constexpr, KEYS: tl.constexpr,
    SCALE: tl.constexpr, STAGES: tl.constexpr, ACC: tl.constexpr, UPCAST: tl.constexpr,
):  # fmt: skip
    """Attend with QUERIES queries of one head to SHARE keys, a multiple of KEYS.

    Programs: tiles of queries first, so that those of one head run together and
    find its keys in the L2 cache; heads of the batch; shares of the keys. SCALE
    holds log2(e). Channels of the output lie side by side; the log-sum-exp is
    (share, B, H, L), contiguous.
    """
    # The offset of a tile may pass 2 ** 31, offsets inside of it do not.
    first = tl.program_id(0).to(tl.int64) * QUERIES
    b = (tl.program_id(1) // H).to(tl.int64)
    h = (tl.program_id(1) % H).to(tl.int64)
    l = tl.arange(0, QUERIES)  # noqa: E741
    c = tl.arange(0, WIDTH)
    inside = (l < L - first)[:, None] & (c < D)[None, :]
    q_ptr += b * s_qb + h * s_qh + first * s_ql
    q = tl.load(q_ptr + l[:, None] * s_ql + c[None, :] * s_qd, mask=inside, other=0.0)

    scale = tl.full([], SCALE, ACC)
    top = tl.full([QUERIES], float("-inf"), ACC)
    total = tl.zeros([QUERIES], ACC)
    out = tl.zeros([QUERIES, WIDTH], ACC)
    start = tl.program_id(2).to(tl.int64) * SHARE
    k_ptr += b * s_kb + h * s_kh + start * s_km
    v_ptr += b * s_vb + h * s_vh + start * s_vm
    keys = tl.maximum(tl.minimum(M - tl.program_id(2) * SHARE, SHARE), 0)
    whole = keys // KEYS * KEYS
    for at in tl.range(0, whole, KEYS, num_stages=STAGES):
        top, total, out = _block(
            k_ptr, v_ptr, s_km, s_kd, s_vm, s_vd, at, KEYS,
            q, top, total, out, scale, D, WIDTH, KEYS, True, UPCAST,
        )  # fmt: skip
    if whole < keys:
        top, total, out = _block(
            k_ptr, v_ptr, s_km, s_kd, s_vm, s_vd, whole, keys - whole,
            q, top, total, out, scale, D, WIDTH, KEYS, False, UPCAST,
        )  # fmt: skip

    out, lse = finished(top, total, out)
    share = tl.program_id(2).to(tl.int64)
    o_ptr += share * s_os + b * s_ob + h * s_oh + first * s_ol
    o = o_ptr + l[:, None] * s_ol + c[None, :]
    tl.store(o, out.to(o_ptr.dtype.element_ty), mask=inside)
    lse_ptr += (share * tl.num_programs(1) + tl.program_id(1)) * L + first
    tl.store(lse_ptr + l, lse, mask=l < L - first)


def attention_shares(
    q: Tensor, k: Tensor, v: Tensor, scale: float, splits: int, tma: bool | None = None
) -> tuple[Tensor, Tensor]:
    """Return softmax(scale * q k^T) v over each of *splits* shares of the keys.

    The results are (splits, B, L, H, d), in float32 unless there is but one, the
    log-sum-exps (splits, B, H, L). Few keys may leave the last shares without any.
    *tma* tells which of the two kernels to take, unless it is left to choose.
    """
    batch, tokens, heads, _ = q.shape
    wide = torch.promote_types(q.dtype, torch.float32)
    dtype = q.dtype if splits == 1 else wide
    outs = q.new_empty((splits, *q.shape), dtype=dtype)
    lses = q.new_empty((splits, batch, heads, tokens), dtype=wide)
    if outs.numel() > 0:
        tma = has_tma(q, k, v) if tma is None else tma
        _launch(q, k, v, outs, lses, scale, tma)
    return outs, lses


def has_tma(q: Tensor, k: Tensor, v: Tensor) -> bool:
    """Tell whether the GPU has TMA, and descriptors can address these strides."""
    if q.device.type != "cuda" or q.element_size() != 2:
        return False
    if torch.cuda.get_device_capability(q.device)[0] not in _WITH_TMA:
        return False
    return all(_is_aligned(x) for x in (q, k, v)) and q.shape[-1] % 8 == 0


def _is_aligned(x: Tensor) -> bool:
    steps = [x.data_ptr(), *(step * x.element_size() for step in x.stride()[:3])]
    return x.stride(-1) == 1 and not any(step % 16 for step in steps)


def _launch(
    q: Tensor, k: Tensor, v: Tensor, outs: Tensor, lses: Tensor, scale: float, tma: bool
) -> None:
    """Write the results of all shares of the keys: as many as *outs* has."""
    splits, batch, tokens, heads, width = outs.shape
    keys = k.shape[1]
    padded = max(triton.next_power_of_2(width), 16)  # tl.dot takes no fewer
    config = configuration(_major(q), padded, q.element_size(), tma)
    share = triton.cdiv(triton.cdiv(keys, splits), config.keys) * config.keys
    grid = (triton.cdiv(tokens, config.queries), batch * heads, splits)
    constants = {
        "D": width,
        "WIDTH": padded,
        "QUERIES": config.queries,
        "KEYS": config.keys,
        # Not an argument, which Triton would round to float32.
        "SCALE": scale * math.log2(math.e),
        "STAGES": config.stages,
        "ACC": tl.float64 if lses.dtype == torch.float64 else tl.float32,
        "UPCAST": _INTERPRETED,
        "num_warps": config.warps,
    }
    sizes = (*outs.stride()[:4], heads, tokens, keys, share)
    given = (q, k, v, outs, lses)
    with torch.cuda.device_of(q):
        if not tma:
            strides = (*q.stride(), *k.stride(), *v.stride())
            attention_forward[grid](*given, *strides, *sizes, **constants)
            return
        from worldweave_kernels.in_triton.attention_tma import attention_forward_tma

        strides = (*q.stride()[:3], *k.stride()[:3], *v.stride()[:3])
        constants["WARP_SPECIALIZE"] = config.warp_specialize
        # The allocator is a context variable: the caller's stays what it was.
        contextvars.copy_context().run(
            _with_allocator, attention_forward_tma[grid], *given, *strides, *sizes,
            **constants,
        )  # fmt: skip


def _with_allocator(launch, *args, **kwargs):
    """Launch with room for the descriptors, which a kernel writes to memory."""
    triton.set_allocator(
        lambda size, alignment, stream: torch.empty(
            size, dtype=torch.int8, device="cuda"
        )
    )
    launch(*args, **kwargs)


def _major(x: Tensor) -> int:
    return torch.cuda.get_device_capability(x.device)[0] if x.is_cuda else 8


def configuration(major: int, width: int, size: int, tma: bool) -> Config:
    """Return the tiles for GPUs sm_*major*0, heads of *width*, numbers of *size* bytes.

    Compiled ahead of time with Triton 3.6, 3.7 and 3.9 for sm_80, sm_90 and sm_100,
    those for 16-bit numbers fit the shared memory and keep all in registers (but for
    8 bytes of the widest heads, with TMA on sm_100, by 3.6). None was timed.
    """
    if size > 2:
        # Few tensor cores or none, and registers spill: small tiles, for tests.
        return Config(32, 32, 4, 1)
    if tma:
        # 128 queries are two warp groups of 64 on sm_90, one tile of sm_100's tensor
        # memory; as many keys keep the tensor cores busy between two softmaxes. Two
        # stages of keys and values of 128 channels fill 160 of 227 KiB.
        if width <= 128:
            return Config(128, 128, 8, 3 if width <= 64 else 2)
        return Config(64, 64, 8, 2)
    if width <= 128:
        # Addresses take registers: half the keys of above. 96 KiB for 128 channels,
        # which the consumer GPUs (sm_86, sm_89, sm_120) also have.
        return Config(128, 64, 8, 3)
    return Config(64, 64, 8, 2) if major in _WITH_TMA else Config(32, 32, 8, 2)
