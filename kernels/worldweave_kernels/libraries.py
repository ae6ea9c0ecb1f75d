"""Attention of libraries: FlashAttention 4 and 3, and those inside torch."""

# B batch, L query, M key, H head, d channels of one head

from __future__ import annotations

from importlib import import_module
from importlib.machinery import PathFinder
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from worldweave_kernels.dispatch import BackendError

aten = torch.ops.aten

#: Those that split the keys themselves.
SPLITTING = ("fa3",)
HALF = (torch.float16, torch.bfloat16)


class Wanted(NamedTuple):
    """What is asked of a backend, and of which GPU: (0, 0) is none from NVIDIA."""

    q: Tensor
    k: Tensor
    v: Tensor
    scale: float | None
    lse: bool
    gradient: bool
    splits: int
    capability: tuple[int, int]


def _has_fa4() -> bool:
    """Tell whether flash_attn.cute is there, without importing flash_attn."""
    package = find_spec("flash_attn")
    if package is None or package.submodule_search_locations is None:
        return False
    places = list(package.submodule_search_locations)
    return PathFinder.find_spec("cute", places) is not None


_HAS_FA3 = find_spec("flash_attn_interface") is not None
_HAS_FA4 = _has_fa4()
_HAS_CUDA = torch.version.cuda is not None
_HAS_CUDNN = bool(torch._C._has_cudnn)


def obstacle(name: str, wanted: Wanted) -> str | None:
    """Return what stands in the way of the library *name*, if anything does."""
    if name == "sdpa":
        return _sdpa_obstacle(wanted)
    common = _cuda_obstacle(wanted)
    return common if common is not None else _OBSTACLES[name](wanted)


def attend(name: str, wanted: Wanted) -> tuple[Tensor, Tensor | None]:
    """Return softmax(scale * q k^T) v, (B, L, H, d), and the log-sum-exp, (B, H, L).

    The latter is None where it is not wanted and comes at a cost. The result is in
    the dtype of q, under autocast too. Of all, only those in `SPLITTING` look at how
    many splits are wanted.
    """
    if name in ("fa4", "fa3"):
        if wanted.gradient:
            return _PACKAGES[name](*wanted[:4], wanted.splits, wanted.lse)
        out, lse = _from_package(*wanted[:4], wanted.splits, name)
        return out, lse
    heads_first = [x.transpose(1, 2) for x in wanted[:3]]
    out, lse = _IN_TORCH[name](heads_first, wanted)
    return out.transpose(1, 2).to(wanted.q.dtype), lse


def attend_with_lse(name: str, wanted: Wanted) -> tuple[Tensor, Tensor]:
    """Return what `attend` does, the log-sum-exp in any case.

    Raise BackendError where the library gives none, as one too old may.
    """
    return _with_lse(name, attend(name, wanted._replace(lse=True)))


def not_positive(wanted: Wanted) -> str | None:
    """Return what keeps those from it that take the largest score before they scale.

    Times zero, the -inf of a key that is not there is no number.
    """
    if wanted.scale is None or wanted.scale > 0:
        return None
    return f"the scale {wanted.scale} is not positive"


def _sdpa_obstacle(wanted: Wanted) -> str | None:
    if wanted.q.device.type == "cuda" and not_positive(wanted) is not None:
        return not_positive(wanted)
    if not wanted.lse:
        return None
    if wanted.gradient:
        return _LSE_HAS_NO_GRADIENT
    if wanted.q.device.type == "cuda":
        if wanted.q.dtype not in (*HALF, torch.float32):
            return f"its log-sum-exp is not for {_named(wanted.q.dtype)} on a GPU"
        return _misaligned(wanted)
    if wanted.q.device.type != "cpu":
        return f"it has no log-sum-exp on {wanted.q.device.type}"
    if any(x.stride(-1) != 1 for x in wanted[:3]) or wanted.q.numel() == 0:
        return "its log-sum-exp needs channels that lie side by side, and some queries"
    return None


def _cuda_obstacle(wanted: Wanted) -> str | None:
    """Return what stands in the way of every library but torch's own choice."""
    q = wanted.q
    if q.device.type != "cuda":
        return f"the tensors are on {_place(q)}"
    if not _HAS_CUDA:
        return "this torch is not built for CUDA"
    if q.dtype not in HALF:
        return f"it is for float16 and bfloat16, not {_named(q.dtype)}"
    if wanted.capability < (8, 0):
        return "the GPU is older than sm_80"
    if q.numel() == 0:
        return "there are no queries"
    if wanted.gradient and wanted.lse:
        return _LSE_HAS_NO_GRADIENT
    return not_positive(wanted) or _misaligned(wanted)


def _misaligned(wanted: Wanted) -> str | None:
    """Return what keeps *wanted* from being read sixteen bytes at a time.

    Where a tensor begins cannot be traced: compiling, only its strides are looked at.
    """
    size = wanted.q.element_size()
    if wanted.q.shape[-1] % 8:
        return f"heads of {wanted.q.shape[-1]} channels are no multiple of 8"
    for x in wanted[:3]:
        if x.stride(-1) != 1:
            return "the channels of a head do not lie side by side"
        first = 0 if torch.compiler.is_compiling() else x.storage_offset()
        if any(step * size % 16 for step in (*x.stride()[:3], first)):
            return "tokens or heads do not begin at multiples of 16 bytes"
    return None


def _fa4_obstacle(wanted: Wanted) -> str | None:
    if not _HAS_FA4:
        return "flash_attn.cute is not installed"
    if wanted.capability[0] not in (9, 10):
        return "it is for sm_90 and sm_100"
    if wanted.gradient and torch.compiler.is_compiling():
        return "torch.compile cannot trace its gradient"
    return _too_wide(wanted, 128)


def _fa3_obstacle(wanted: Wanted) -> str | None:
    if not _HAS_FA3:
        return "flash_attn_interface is not installed"
    if wanted.capability[0] != 9:
        return "it is for sm_90"
    if wanted.gradient and torch.compiler.is_compiling():
        return "torch.compile cannot trace its gradient"
    if wanted.splits > 256:
        return "it takes at most 256 splits"
    return _too_wide(wanted, 256)


def _cudnn_obstacle(wanted: Wanted) -> str | None:
    if not _HAS_CUDNN:
        return "this torch has no cuDNN"
    if not _is_on("cudnn"):
        return "it is switched off in torch.backends.cuda"
    if torch.are_deterministic_algorithms_enabled():
        return "deterministic algorithms are asked for"
    if wanted.k.shape[1] < (2 if wanted.splits == 1 else 3 * wanted.splits):
        return "it needs two keys, or three a share"
    if wanted.q.shape[0] * wanted.splits > 65535 or wanted.q.shape[2] > 65535:
        return "it takes at most 65535 videos and heads"
    return _too_wide(wanted, 128)


def _flash_obstacle(wanted: Wanted) -> str | None:
    if not _is_on("flash"):
        return "it is switched off in torch.backends.cuda"
    return _too_wide(wanted, 192 if wanted.gradient else 256)


def _is_on(name: str) -> bool:
    """Return torch's switch, which cannot be traced: compiling, it counts as on."""
    if torch.compiler.is_compiling():
        return True
    switches: Any = torch.backends.cuda
    return bool(getattr(switches, f"{name}_sdp_enabled")())


def _too_wide(wanted: Wanted, most: int) -> str | None:
    width = wanted.q.shape[-1]
    return None if width <= most else f"heads have {width} channels, more than {most}"


def _fa4(
    q: Tensor, k: Tensor, v: Tensor, scale: float | None, splits: int, lse: bool
) -> tuple[Tensor, Tensor | None]:
    """FlashAttention 4, github.com/Dao-AILab/flash-attention, flash_attn/cute.

    From its pull request 2271 (February 2026) on, which brought `return_lse`. Its own
    splits are not used.
    """
    compute: Any = import_module("flash_attn.cute").flash_attn_func
    return _pair(compute(q, k, v, softmax_scale=scale, return_lse=lse))


def _fa3(
    q: Tensor, k: Tensor, v: Tensor, scale: float | None, splits: int, lse: bool
) -> tuple[Tensor, Tensor | None]:
    """FlashAttention 3, the same repository, hopper/flash_attn_interface.py.

    From its pull request 1851 (August 2025) on, which brought `return_attn_probs`, and
    built with splits, as it is unless told otherwise.
    """
    compute: Any = import_module("flash_attn_interface").flash_attn_func
    return _pair(
        compute(q, k, v, softmax_scale=scale, num_splits=splits, return_attn_probs=lse)
    )


def _pair(result: Any) -> tuple[Tensor, Tensor | None]:
    """Return what FlashAttention gives: without a log-sum-exp, FA4 may give a pair."""
    if isinstance(result, Tensor):
        return result, None
    return result[0], result[1]


def _with_lse(name: str, result: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor]:
    out, lse = result
    if lse is None:
        raise BackendError(
            f"attention: {name} was asked for the log-sum-exp and gave none; bring "
            "it up to date, or ask for another backend"
        )
    return out, lse


@torch.library.custom_op("worldweave::attention_from_package", mutates_args=())
def _from_package(
    q: Tensor, k: Tensor, v: Tensor, scale: float | None, splits: int, name: str
) -> tuple[Tensor, Tensor]:
    return _with_lse(name, _PACKAGES[name](q, k, v, scale, splits, True))


@_from_package.register_fake
def _(
    q: Tensor, k: Tensor, v: Tensor, scale: float | None, splits: int, name: str
) -> tuple[Tensor, Tensor]:
    lse = q.new_empty((q.shape[0], q.shape[2], q.shape[1]), dtype=torch.float32)
    return q.new_empty(q.shape), lse


def _cudnn(x: list[Tensor], wanted: Wanted) -> tuple[Tensor, Tensor | None]:
    with_lse = wanted.lse or wanted.gradient
    out, lse, *_ = aten._scaled_dot_product_cudnn_attention(
        *x, None, with_lse, scale=wanted.scale
    )
    # cuDNN's log-sum-exp is (B, H, L, 1).
    return out, lse.flatten(2) if wanted.lse else None


def _flash(x: list[Tensor], wanted: Wanted) -> tuple[Tensor, Tensor | None]:
    out, lse, *_ = aten._scaled_dot_product_flash_attention(*x, scale=wanted.scale)
    return out, lse


def _sdpa(x: list[Tensor], wanted: Wanted) -> tuple[Tensor, Tensor | None]:
    """Let torch choose, unless the log-sum-exp is wanted, which one kernel offers."""
    if not wanted.lse:
        q, k, v = x
        return scaled_dot_product_attention(q, k, v, scale=wanted.scale), None
    if wanted.q.device.type == "cpu":
        out, lse = aten._scaled_dot_product_flash_attention_for_cpu(
            *x, scale=wanted.scale
        )
        return out, lse
    out, lse, *_ = aten._scaled_dot_product_efficient_attention(
        *x, None, True, scale=wanted.scale
    )
    # Padded to a multiple of 32 queries.
    return out, lse.narrow(-1, 0, wanted.q.shape[1])


def _place(x: Tensor) -> str:
    return "the CPU" if x.device.type == "cpu" else x.device.type


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


_LSE_HAS_NO_GRADIENT = (
    "its log-sum-exp, by which splits are merged, has no gradient, and one is wanted"
)
_OBSTACLES = {
    "fa4": _fa4_obstacle,
    "fa3": _fa3_obstacle,
    "cudnn": _cudnn_obstacle,
    "flash": _flash_obstacle,
}
_PACKAGES = {"fa4": _fa4, "fa3": _fa3}
_IN_TORCH = {"cudnn": _cudnn, "flash": _flash, "sdpa": _sdpa}
