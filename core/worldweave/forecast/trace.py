"""Run modules on the meta device and watch: operations counted, bytes alive."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import (
    FlopCounterMode,
    flop_registry,
    sdpa_flop_count,
)

aten = torch.ops.aten


class _Fused(TorchFunctionMode):
    """Call attention as one operation, as CPUs and GPUs do.

    On meta torch would take the path that writes the whole matrix of scores.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is scaled_dot_product_attention and not kwargs.get("enable_gqa"):
            return _fused_attention(*args, **kwargs)
        return func(*args, **kwargs)


def _fused_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    del enable_gqa
    if not _is_plain(query, key, value):
        return scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale
        )
    return aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, dropout_p, is_causal, attn_mask=attn_mask, scale=scale
    )[0]


def _is_plain(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Tell whether nothing is broadcast, which the fused operation does not do."""
    if not query.ndim == key.ndim == value.ndim == 4:
        return False
    is_one_batch = query.shape[:2] == key.shape[:2] == value.shape[:2]
    return is_one_batch and query.shape[-1] == value.shape[-1]


def attention_flops(
    query: Any, key: Any, value: Any, *args: Any, out_val: Any = None, **kwargs: Any
) -> int:
    """Return the operations of fused attention on a CPU, as torch counts a GPU's."""
    del args, out_val, kwargs
    shapes = (query.shape, key.shape, value.shape)
    return int(sdpa_flop_count(*shapes))  # type: ignore[no-untyped-call]


# FlopCounterMode would else hand over shapes in place of tensors.
setattr(attention_flops, "_get_raw", True)  # noqa: B010 -- a function has none

#: torch's own counter has a formula for every fused attention but the CPU's.
MISSING: dict[Any, Any] = {
    aten._scaled_dot_product_flash_attention_for_cpu: attention_flops
}
FORMULAS: dict[Any, Any] = {**flop_registry, **MISSING}


def counter() -> FlopCounterMode:
    """Return torch's counter, completed by what it lacks for CPUs."""
    return FlopCounterMode(display=False, custom_mapping=MISSING)


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count floating-point operations, and bytes that operations made and hold.

    Operations are counted by the formulas of `torch.utils.flop_counter`. Bytes count
    from a storage's making until its last tensor is gone; those of *known* tensors
    never. Enter it under `torch.no_grad`.
    """

    def __init__(self, known: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0
        self.live = 0
        self.peak = 0
        self._seen = {_key(each) for each in known}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing is compiled here; each call would first ask torch's compiler.
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        formula = FORMULAS.get(func.overloadpacket)
        if formula is None and torch.is_inference_mode_enabled():
            with self:
                made = func.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        made = func(*args, **kwargs)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=made)
        for each in tree_leaves(made):
            if isinstance(each, Tensor):
                self._hold(each)
        return made

    def _hold(self, tensor: Tensor) -> None:
        key = _key(tensor)
        if key in self._seen:
            return
        storage = tensor.untyped_storage()
        size = storage.nbytes()
        self._seen.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._release, key, size).atexit = False

    def _release(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.live -= size


def _key(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address


@attrs.frozen(kw_only=True)
class Traced:
    """What one call takes: floating-point operations, bytes at most alive."""

    flops: int
    peak: int


def trace(call: Callable[[], object], known: Iterable[Tensor] = ()) -> Traced:
    """Watch *call*, which computes on meta tensors; its result counts as alive."""
    with watching(known) as watch:
        kept = call()
    del kept
    return Traced(flops=watch.flops, peak=watch.peak)


@contextmanager
def watching(known: Iterable[Tensor] = ()) -> Iterator[Watch]:
    """Lend a watch over everything that is computed meanwhile."""
    with torch.no_grad(), _Fused(), Watch(known) as watch:
        yield watch
