"""Mixed precision where the machine gains from it."""

from __future__ import annotations

import torch


def autocast(device: torch.device | str = "cpu") -> torch.autocast:
    """Compute in bfloat16 on GPUs and on processors with bfloat16 units.

    On other processors bfloat16 is emulated and slower than float32.
    """
    kind = torch.device(device).type
    return torch.autocast(
        kind, torch.bfloat16, enabled=kind != "cpu" or has_fast_bf16()
    )


def has_fast_bf16() -> bool:
    """Tell whether this processor multiplies bfloat16 matrices in hardware."""
    flags = torch.backends.cpu.get_cpu_capability()
    return "AVX512" in flags and torch.ops.mkldnn._is_mkldnn_bf16_supported()
