"""Quirks of the released code, only for compat="cosmos-transfer1"."""

from __future__ import annotations

import torch
from torch import Tensor


def tile_merge(x0: Tensor) -> Tensor:
    """Return x0 as the released code does after merging its one and only tile.

    The blending mask is 0.01 on the first row and column of a single tile, and is
    divided by itself plus 1e-6: the first row and column shrink by 1e-4, their
    corner by 1 %, at every evaluation (`merge_patches_into_video`).
    *x0* is (B, C, T, H, W).
    """
    mask = torch.ones(x0.shape[-2:], dtype=torch.float32, device=x0.device)
    mask[0] *= 0.01
    mask[:, 0] *= 0.01
    mask = mask.to(x0.dtype)
    return x0 * mask / (mask + 1e-6)
