"""Maps: from pictures to the token grid of each chunk."""

# T H W video frames, rows, columns; t h w tokens

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from worldweave.model.config import DiTConfig
from worldweave.request.sources import MapArray
from worldweave_registry import Base


@attrs.frozen(kw_only=True)
class TokenGrid:
    """How a chunk of video falls into tokens.

    frames: video frames of a chunk; stride: frames per latent frame after the
    first, which stands alone; rows, columns: tokens.
    """

    frames: int
    stride: int
    rows: int
    columns: int

    def frame_edges(self) -> list[tuple[int, int]]:
        """Return the [from, to) frames each latent frame holds."""
        later = range(1, self.frames, self.stride)
        return [(0, 1), *((start, start + self.stride) for start in later)]


def grid_of(base: Base, config: DiTConfig, size: tuple[int, int]) -> TokenGrid:
    """Return how a chunk of frames of *size* (H, W) falls into tokens of *base*."""
    time, space = base.strides
    _, patch_h, patch_w = config.patch
    return TokenGrid(
        frames=base.chunk_frames,
        stride=time,
        rows=size[0] // (space * patch_h),
        columns=size[1] // (space * patch_w),
    )


def is_dead(values: MapArray) -> bool:
    """Tell whether a map is zero everywhere: its branch is neither loaded nor run."""
    return not values.any()


def shrunk(values: MapArray, rows: int, columns: int) -> MapArray:
    """Average (T, H, W) over each token's share of the picture: (T, rows, columns).

    A number, (1, 1, 1), stays one. Frames stay apart: where a chunk begins and which
    frames share a latent frame is not known yet.
    """
    if values.shape[1:] in ((1, 1), (rows, columns)):
        return values
    height, width = values.shape[1:]
    small = np.empty((len(values), rows, columns), np.float32)
    down = _overlap(_cells(rows, height), height)
    across = _overlap(_cells(columns, width), width).T
    for frame, target in zip(values, small, strict=True):
        # Averages of values in low..high lie there too; rounding must not differ.
        target[...] = (down @ frame @ across).clip(frame.min(), frame.max())
    return small


def on_tokens(
    maps: Mapping[str, MapArray],
    start: int,
    total: int,
    grid: TokenGrid,
    *,
    released: bool = False,
) -> dict[str, Tensor]:
    """Return maps (1, t, h, w) for the chunk of frames from *start*.

    *total* is the length of the video; frames past it repeat the last one, as the
    video itself does. Resampling is the area average, so nothing small vanishes. They
    are not normalised yet: that comes last, on the very positions where residuals are
    added. With *released*, both are done as the released code does.
    """
    pieces = [_chunk(m, start, total, grid.frames) for m in maps.values()]
    if released and maps:
        return dict(zip(maps, _released(pieces, grid), strict=True))
    return {
        name: _area_average(piece, grid).unsqueeze(0)
        for name, piece in zip(maps, pieces, strict=True)
    }


def _chunk(values: MapArray, start: int, total: int, frames: int) -> MapArray:
    if len(values) == 1:
        return values
    index = np.minimum(np.arange(start, start + frames), total - 1)
    return values[index]


def _area_average(values: MapArray, grid: TokenGrid) -> Tensor:
    """Average (T or 1, H, W) over each token's share of time and space."""
    if values.shape == (1, 1, 1):
        # Untouched by arithmetic: a number stays that number, bit for bit.
        shape = (len(grid.frame_edges()), grid.rows, grid.columns)
        return torch.full(shape, float(values[0, 0, 0]), dtype=torch.float32)
    still = len(values) == 1
    times = (
        np.ones((len(grid.frame_edges()), 1))
        if still
        else _overlap(grid.frame_edges(), grid.frames)
    )
    rows = _overlap(_cells(grid.rows, values.shape[1]), values.shape[1])
    columns = _overlap(_cells(grid.columns, values.shape[2]), values.shape[2])
    average = np.einsum(
        "at,bh,cw,thw->abc", times, rows, columns, values, optimize=True
    )
    # Averages of values in low..high lie there too; rounding must not say otherwise.
    return torch.from_numpy(average.clip(values.min(), values.max()).astype(np.float32))


def _cells(count: int, size: int) -> list[tuple[float, float]]:
    return [(i * size / count, (i + 1) * size / count) for i in range(count)]


def _overlap(
    cells: Sequence[tuple[float, float]], size: int
) -> npt.NDArray[np.float64]:
    """Return (cells, size): the share of each cell that each unit interval fills."""
    low = np.arange(size)
    begin = np.array([cell[0] for cell in cells])[:, None]
    end = np.array([cell[1] for cell in cells])[:, None]
    shared = np.minimum(end, low + 1) - np.maximum(begin, low)
    share: npt.NDArray[np.float64] = shared.clip(min=0.0) / (end - begin)
    return share


def _released(pieces: Sequence[MapArray], grid: TokenGrid) -> list[Tensor]:
    """Bring maps of one chunk to one pixel size, then resample as released."""
    rows = max(piece.shape[1] for piece in pieces)
    columns = max(piece.shape[2] for piece in pieces)
    shape = (grid.frames, rows, columns)
    if rows == columns == 1:
        shape = (grid.frames, grid.rows, grid.columns)
    five_axes = [torch.from_numpy(piece)[None, None] for piece in pieces]
    alike = torch.cat([F.interpolate(m, shape, mode="trilinear") for m in five_axes])
    latent = (len(grid.frame_edges()), 2 * grid.rows, 2 * grid.columns)
    return [tokens[None].float() for tokens in released_tokens(alike[:, 0], latent)]


def released_tokens(maps: Tensor, latent: tuple[int, int, int]) -> Tensor:
    """Resample pixel maps (n, T, H, W) to tokens as the released code does.

    In bfloat16: normalise on pixels, then frame 0 by itself and the rest by
    trilinear interpolation without antialiasing, which reads two frames and four
    pixels per token (`resize_control_weight_map`). Only for compat="cosmos-transfer1".
    *latent* is (T, H, W) of the latent; returns (n, T, H/2, W/2).
    """
    frames, rows, columns = latent
    wide = maps.to(torch.bfloat16).clamp(min=0)
    wide = wide / wide.sum(dim=0, keepdim=True).clip(min=1)
    size = (rows // 2, columns // 2)
    video = wide.unsqueeze(0)
    first = F.interpolate(video[:, :, :1], (1, *size), mode="trilinear")
    if frames == 1:
        return first[0]
    rest = F.interpolate(video[:, :, 1:], (frames - 1, *size), mode="trilinear")
    return torch.cat([first, rest], dim=2)[0]
