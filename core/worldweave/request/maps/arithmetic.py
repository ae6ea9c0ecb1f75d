"""Compute with maps: products, the largest of several, inverses and soft edges."""

# T H W frames, rows, columns

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from worldweave.request.maps.shapes import Canvas, shares
from worldweave.request.sources import MapArray

_Picture = npt.NDArray[np.float64]  # (H, W)
#: Pixels; narrower ramps are lost where places are rounded.
_NARROWEST = 1e-3


def product(maps: Sequence[MapArray], canvas: Canvas) -> MapArray:
    """Multiply maps (T or 1, H, W) position by position.

    Maps of different sizes meet at the larger one where it is a multiple of the
    other, and at the canvas otherwise; numbers (1, 1, 1) have any size.
    """
    return _together(np.multiply.reduce, maps, canvas)


def maximum(maps: Sequence[MapArray], canvas: Canvas) -> MapArray:
    """Return the largest of maps (T or 1, H, W); sizes meet as in `product`."""
    return _together(np.maximum.reduce, maps, canvas)


def inverse(values: MapArray) -> MapArray:
    """Return 1 - *values*."""
    return np.float32(1.0) - values


def feather(values: MapArray, pixels: float, canvas: Canvas) -> MapArray:
    """Average each position over *pixels* of the canvas, across and down.

    A straight edge becomes a linear ramp that wide, centred on it. The borders of the
    picture go on outside, so what is constant stays, and nothing exceeds the values
    there were. A map of fewer rows or columns than the canvas comes in its size.
    Below a thousandth of a pixel nothing changes.
    """
    if pixels < _NARROWEST:
        return values
    size = (
        _feathered_length(values.shape[1], canvas.size[0]),
        _feathered_length(values.shape[2], canvas.size[1]),
    )
    widths = [pixels * mine / canvas.size[axis] for axis, mine in enumerate(size)]
    soft = np.empty((len(values), *size), np.float32)
    for frame, picture in enumerate(values):
        wide = _resized(picture.astype(np.float64), size)
        for axis, width in enumerate(widths):
            if size[axis] > 1:
                wide = _box_filter(wide, width, axis)
        # What a sum of parts rounds up, and down.
        soft[frame] = wide.clip(picture.min(), picture.max())
    return soft


def _together(
    combine: Callable[..., Any], maps: Sequence[MapArray], canvas: Canvas
) -> MapArray:
    """Combine maps frame by frame, in double precision, at the size they share."""
    frames = max(len(values) for values in maps)
    size = (
        _common_length([values.shape[1] for values in maps], canvas.size[0]),
        _common_length([values.shape[2] for values in maps], canvas.size[1]),
    )
    combined = np.empty((frames, *size), np.float32)
    for frame in range(frames):
        pictures = [
            _resized(values[frame % len(values)].astype(np.float64), size)
            for values in maps
        ]
        combined[frame] = combine(np.broadcast_arrays(*pictures))
    return combined.clip(0.0, 1.0)


def _common_length(lengths: Sequence[int], canvas: int) -> int:
    """Return the number of rows or columns at which those of all maps meet."""
    largest = max(lengths)
    return largest if all(largest % length == 0 for length in lengths) else canvas


def _feathered_length(length: int, canvas: int) -> int:
    return length if length == 1 else max(length, canvas)


def _resized(picture: _Picture, size: tuple[int, int]) -> _Picture:
    """Average over each new pixel's area; what is one long stays so, as it spreads."""
    for axis, (old, new) in enumerate(zip(picture.shape, size, strict=True)):
        if old in (1, new):
            continue
        if new % old == 0:
            picture = picture.repeat(new // old, axis)
            continue
        share = shares(np.arange(new + 1) * old / new, old) * (new / old)
        low, high = picture.min(), picture.max()
        picture = share.T @ picture if axis == 0 else picture @ share
        picture = picture.clip(low, high)
    return picture


def _box_filter(picture: _Picture, width: float, axis: int) -> _Picture:
    """Average *picture* over *width* pixels around the centre of each, along *axis*."""
    lines = picture if axis == 0 else picture.T
    total = np.concatenate([np.zeros((1, lines.shape[1])), lines.cumsum(axis=0)])
    centres: _Picture = np.arange(len(lines), dtype=np.float64) + 0.5

    def integral(at: _Picture) -> _Picture:
        # On a pixel's edge the pixel beyond must not count, not even by a rounding.
        at = at.round(9)
        # Beyond a border its last pixel goes on for ever.
        pixel = np.floor(at).clip(0, len(lines) - 1).astype(np.intp)
        inside: _Picture = total[pixel] + (at - pixel)[:, None] * lines[pixel]
        return inside

    after, before = integral(centres + width / 2), integral(centres - width / 2)
    soft: _Picture = (after - before) / width
    return soft if axis == 0 else soft.T
