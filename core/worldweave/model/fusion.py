"""Blend the residuals of all active branches by their maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from worldweave_kernels import weighted_add


def normalize(maps: Sequence[Tensor]) -> list[Tensor]:
    """Divide maps by max(1, their sum), position by position, in float32.

    Where the total is one or less nothing changes, bit for bit, so a user may
    ask for weak control. All maps have one shape. Raise ValueError for another
    shape and for negative or non-finite values.
    """
    if not maps:
        return []
    wide = [torch.as_tensor(m, dtype=torch.float32) for m in maps]
    for index, values in enumerate(wide):
        if values.shape != wide[0].shape:
            raise ValueError(
                f"map {index} is {tuple(values.shape)} but map 0 is "
                f"{tuple(wide[0].shape)}; bring all maps to one token grid"
            )
        if not bool((values >= 0).all()) or not bool(values.isfinite().all()):
            raise ValueError(
                f"map {index} holds negative or non-finite values; "
                "they must be 0 or more"
            )
    # Sorted before summing, so that the order of modalities changes no bit; and summed
    # in float64, or five values that make one would come to 1.0000001.
    ordered = torch.stack(wide).double().sort(dim=0).values
    total = ordered.sum(dim=0).clamp(min=1.0).float()
    return [m / total for m in wide]


def fuse(hidden: Tensor, residuals: Sequence[Tensor], maps: Sequence[Tensor]) -> Tensor:
    """Add residuals (B, T, H, W, D) to *hidden*, weighted by maps (B or 1, T, H, W).

    The maps are used as given: `normalize` them once per request.
    """
    return weighted_add(hidden, residuals, maps)
