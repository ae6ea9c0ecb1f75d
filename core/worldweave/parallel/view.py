"""See a model with other modules in some places, and leave the model as it is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import MethodType
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)
Swap = Callable[[str, nn.Module], "nn.Module | None"]


def view_of(module: M, swap: Swap | None = None) -> M:
    """Return a second structure over the parameters and buffers of *module*.

    Every module of the view is new, of the same class and with the same attributes, so
    that its children and attributes can be replaced. Parameters and buffers are the
    same tensors, in the same tables: what loads or moves them in one does so in both.
    Hooks are those there are now. A module that stands in two places does so in the
    view. Modules that are only attributes (in a list, say) stay the original's.

    swap: called with the dotted path ("" for *module* itself) and every module, outer
    ones first. It returns what stands there in the view, which is taken as it is; None:
    a view of the module.

    Raise ValueError for a module that calls the original whatever stands around it:
    one of TorchScript, or one whose `forward` is its own attribute (torch.compile).
    """
    return _seen(module, "", swap, {})  # type: ignore[return-value]


def _seen(
    module: nn.Module, path: str, swap: Swap | None, made: dict[int, nn.Module]
) -> nn.Module:
    if id(module) in made:
        return made[id(module)]
    other = swap(path, module) if swap is not None else None
    if other is None:
        _refuse_bound(module, path)
        other = _twin(module)
        # Before its children: a child may hold it.
        made[id(module)] = other
        stem = f"{path}." if path else ""
        vars(other)["_modules"] = type(module._modules)(
            (name, None if child is None else _seen(child, stem + name, swap, made))
            for name, child in module._modules.items()
        )
    made[id(module)] = other
    return other


def _twin(module: M) -> M:
    """Return a module with the attributes of *module*; its hooks can be changed."""
    twin: M = type(module).__new__(type(module))
    for name, value in vars(module).items():
        is_hooks = "_hooks" in name and isinstance(value, dict)
        vars(twin)[name] = OrderedDict(value) if is_hooks else value
    # That of `module.compile()` calls the module it was made for.
    vars(twin).pop("_compiled_call_impl", None)
    return twin


def _refuse_bound(module: nn.Module, path: str) -> None:
    bound = [
        name
        for name, value in vars(module).items()
        if name == "forward"
        or (isinstance(value, MethodType) and value.__self__ is module)
    ]
    if not bound and not isinstance(module, torch.jit.ScriptModule):
        return
    why = f"its attribute {bound[0]!r} calls it" if bound else "TorchScript calls it"
    raise ValueError(
        f"there is no view of {path or 'the model'}, a {type(module).__name__}: {why} "
        "whatever stands around it; give the module it was made from"
    )
