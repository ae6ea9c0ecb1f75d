"""torch.compile where it works, and the reason where it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from worldweave_registry import one_line


def compiled_or_not(
    module: nn.Module, device: torch.device, say: Callable[[str], None]
) -> Callable[..., Any]:
    """Return *module* compiled, or itself where this machine cannot compile.

    A sum of two numbers is compiled first: torch looks for a compiler only when
    a compiled function is called, which would be after all clips are made.
    """
    try:
        torch.compile(torch.add)(torch.zeros(2, device=device), 1.0)
    except Exception as error:
        reason = one_line(error).partition(";")[0]
        say(f"not compiled, so steps are slower: {reason[:160]}")
        return module
    compiled: Callable[..., Any] = torch.compile(module)
    return compiled
