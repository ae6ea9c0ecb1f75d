"""Maps: from a request's value to blending weights on the token grid of each chunk."""

# T H W video frames, rows, columns; t h w tokens

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from worldweave.io import video as video_io
from worldweave.model.fusion import normalize
from worldweave.request.spec import MapValue
from worldweave_registry import WorldweaveError

MapArray = npt.NDArray[np.float32]


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


def read_map(name: str, value: MapValue, frames: int) -> MapArray:
    """Return the map of modality *name* as float32 (T or 1, H, W) in 0..1.

    A number is one voxel. Files: image or video (luma / 255), .npy (float 0..1,
    uint8 0..255). Raise WorldweaveError for a shape, length or range that does not
    fit a video of *frames*.
    """
    if isinstance(value, (int, float)):
        return np.full((1, 1, 1), value, np.float32)
    array = _read_file(name, Path(value)) if isinstance(value, str) else value
    values = _as_map(name, array)
    if len(values) not in (1, frames):
        raise WorldweaveError(
            f"map of {name!r} has {len(values)} frames but the video has {frames}; "
            "give one map per frame or a single image"
        )
    return values


def _read_file(name: str, path: Path) -> npt.NDArray[Any]:
    if path.suffix == ".npy":
        try:
            return np.asarray(np.load(path, allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            raise WorldweaveError(
                f"map of {name!r}: {path} cannot be read as .npy ({error}); "
                "save it again with numpy.save"
            ) from error
    luma = np.array([0.299, 0.587, 0.114], np.float32) / np.float32(255.0)
    return np.stack([frame @ luma for frame in video_io.read(path).frames])


def _as_map(name: str, array: npt.NDArray[Any]) -> MapArray:
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or 0 in array.shape:
        raise WorldweaveError(
            f"map of {name!r} has shape {array.shape}; give (H, W) or (T, H, W)"
        )
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255.0)
    if array.dtype == np.bool_ or np.issubdtype(array.dtype, np.floating):
        values = array.astype(np.float32)
    else:
        raise WorldweaveError(
            f"map of {name!r} holds {array.dtype}; "
            "give floats in 0..1 or uint8 in 0..255"
        )
    low, high = float(values.min()), float(values.max())
    # Luma of white is a rounding error above one.
    if not (low >= 0.0 and high <= 1.0 + 1e-5):
        raise WorldweaveError(
            f"map of {name!r} holds values from {low:g} to {high:g}; "
            "they must lie in 0..1"
        )
    return values.clip(0.0, 1.0)


def is_dead(values: MapArray) -> bool:
    """Tell whether a map is zero everywhere: its branch is neither loaded nor run."""
    return not values.any()


def on_tokens(
    maps: dict[str, MapArray],
    start: int,
    total: int,
    grid: TokenGrid,
    *,
    released: bool = False,
) -> dict[str, Tensor]:
    """Return normalised maps (1, t, h, w) for the chunk of frames from *start*.

    *total* is the length of the video; frames past it repeat the last one, as the
    video itself does. Resampling is the area average, so nothing small vanishes;
    normalisation follows it, on the very positions where residuals are added.
    With *released*, both are done as the released code does.
    """
    if released and maps:
        pieces = [_chunk(m, start, total, grid.frames) for m in maps.values()]
        return dict(zip(maps, _released(pieces, grid), strict=True))
    averaged = [
        _area_average(_chunk(values, start, total, grid.frames), grid)
        for values in maps.values()
    ]
    return {
        name: values.unsqueeze(0)
        for name, values in zip(maps, normalize(averaged), strict=True)
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
