"""Latent to tokens and back. The two directions order a patch differently."""

# B batch, C channel, T H W latent positions, r m n positions within a patch

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

Triple = tuple[int, int, int]


def token_grid(latent: Tensor, patch: Triple) -> Triple:
    """Return the number of tokens along T, H and W of (B, C, T, H, W).

    Raise ValueError where the latent does not divide into patches.
    """
    size = latent.shape[-3:]
    if any(n % p for n, p in zip(size, patch, strict=True)):
        raise ValueError(
            f"latent of {size[0]}x{size[1]}x{size[2]} (T, H, W) does not divide into "
            f"patches of {patch[0]}x{patch[1]}x{patch[2]}"
        )
    t, h, w = (n // p for n, p in zip(size, patch, strict=True))
    return t, h, w


def patchify(x: Tensor, patch: Triple) -> Tensor:
    """Map (B, C, T, H, W) to tokens (B, L, C*r*m*n), channel slowest."""
    r, m, n = patch
    t, h, w = token_grid(x, patch)
    cut = x.reshape(x.shape[0], x.shape[1], t, r, h, m, w, n)
    return cut.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(x.shape[0], t * h * w, -1)


def unpatchify(tokens: Tensor, grid: Triple, patch: Triple) -> Tensor:
    """Map (B, L, m*n*r*C) with channel fastest to (B, C, T, H, W)."""
    (t, h, w), (r, m, n) = grid, patch
    cut = tokens.reshape(tokens.shape[0], t, h, w, m, n, r, -1)
    return cut.permute(0, 7, 1, 6, 2, 4, 3, 5).reshape(
        tokens.shape[0], -1, t * r, h * m, w * n
    )


def with_masks(
    latent: Tensor, masks: tuple[Tensor | None, ...], channels: int | None = None
) -> Tensor:
    """Append one channel per mask (zeros for None) to (B, C, T, H, W).

    With *channels*, the latent is first zero-padded to that many channels.
    """
    if channels is not None and channels != latent.shape[1]:
        if channels < latent.shape[1]:
            raise ValueError(
                f"hint has {latent.shape[1]} channels, this branch takes at most "
                f"{channels}; was it encoded with another base's autoencoder?"
            )
        latent = F.pad(latent, (0, 0, 0, 0, 0, 0, 0, channels - latent.shape[1]))
    empty = torch.zeros_like(latent[:, :1])
    added = [
        empty if mask is None else mask.to(latent.dtype).expand_as(empty)
        for mask in masks
    ]
    return torch.cat([latent, *added], dim=1)
