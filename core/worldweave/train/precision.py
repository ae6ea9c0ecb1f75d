"""Mixed precision where the processor gains from it."""

from __future__ import annotations

import torch


def autocast() -> torch.autocast:
    """Compute in bfloat16 on processors with bfloat16 units, else in float32.

    Elsewhere bfloat16 is emulated and slower than float32.
    """
    return torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bf16())


def has_fast_bf16() -> bool:
    """Tell whether this processor multiplies bfloat16 matrices in hardware."""
    flags = torch.backends.cpu.get_cpu_capability()
    return "AVX512" in flags and torch.ops.mkldnn._is_mkldnn_bf16_supported()
