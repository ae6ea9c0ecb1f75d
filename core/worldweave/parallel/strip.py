"""This rank's tokens as a latent of their own, one row of patches.

A DiT works token by token but for its self-attention and for knowing where a token is.
So it takes the tokens of a rank, wherever they lie in the video, for a video one patch
high and as many wide: nothing in it has to know.
"""

# B batch, C channel, T H W latent positions, t h w tokens, L = t h w,
# N tokens of a rank (padding included), r m n positions within a patch

from __future__ import annotations

from torch import Tensor

from worldweave.model.patches import Triple, patchify
from worldweave_kernels.parallel import Share


def strip(x: Tensor, share: Share, patch: Triple) -> Tensor:
    """Return this rank's part of (B, C, T, H, W) as (B, C, r, m, N n)."""
    r, m, n = patch
    rows = share.cut(patchify(x, patch), 1)
    patches = rows.reshape(len(x), share.size, -1, r, m, n)
    cut = patches.permute(0, 2, 3, 4, 1, 5)
    return cut.reshape(len(x), x.shape[1], r, m, -1)


def whole(rows: Tensor, grid: Triple, patch: Triple) -> Tensor:
    """Return the latent (B, C, T, H, W) of all tokens (B, L, C r m n): `patchify` back.

    *grid* is (t, h, w).
    """
    (t, h, w), (r, m, n) = grid, patch
    cut = rows.reshape(len(rows), t, h, w, -1, r, m, n)
    return cut.permute(0, 4, 1, 5, 2, 6, 3, 7).reshape(
        len(rows), -1, t * r, h * m, w * n
    )


def strip_tokens(x: Tensor, share: Share) -> Tensor:
    """Return this rank's part of (B, t, h, w, ...) as (B, 1, 1, N, ...)."""
    return share.cut(x.flatten(1, 3), 1)[:, None, None]
