"""Tell which backend an operation takes, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from worldweave_kernels.attention import chosen as attention
from worldweave_kernels.attention import merge_chosen as merge_attention
from worldweave_kernels.control_inject import chosen as control_inject
from worldweave_kernels.dispatch import BACKENDS, Choice
from worldweave_kernels.norm_modulate import (
    gate_residual_norm_modulate_chosen,
    norm_modulate_chosen,
)
from worldweave_kernels.qk_rope_pack import chosen as qk_norm_rope_pack
from worldweave_kernels.weighted_add import chosen as weighted_add

_CHOOSERS: dict[str, Callable[..., Choice]] = {
    "weighted_add": weighted_add,
    "attention": attention,
    "merge_attention": merge_attention,
    "qk_norm_rope_pack": qk_norm_rope_pack,
    "norm_modulate": norm_modulate_chosen,
    "gate_residual_norm_modulate": gate_residual_norm_modulate_chosen,
    "control_inject": control_inject,
}


def explain(op: str | Callable[..., Any], *args: Any, **kwargs: Any) -> Choice:
    """Return the backend that *op*, by name or itself, takes for these arguments.

    Nothing is computed. Raise ValueError for an unknown operation, BackendError
    where a backend was asked for that cannot do it.
    """
    name = op if isinstance(op, str) else getattr(op, "__name__", repr(op))
    if name not in _CHOOSERS:
        raise ValueError(f"there is no operation {name!r}; there are {list(BACKENDS)}")
    return _CHOOSERS[name](*args, **kwargs)
