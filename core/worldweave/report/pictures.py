"""Make the pictures of a report frame by frame, so that no clip is held twice."""

# T frames, H W rows and columns, h w rows and columns of the token grid

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from worldweave.base import Frames
from worldweave.report import colours
from worldweave.report.run import Values

#: Pixels across and down that a clip in a report has at most.
WIDEST = 480
HIGHEST = 960


def shown_size(frames: Frames) -> tuple[int, int]:
    """Return the (H, W) to which *frames* (T, H, W, 3) are scaled down, if at all."""
    height, width = frames.shape[1:3]
    factor = min(1.0, WIDEST / width, HIGHEST / height)
    if factor == 1.0:
        return height, width
    # H.264 would repeat the last row or column of an odd side.
    return _even(height * factor), _even(width * factor)


def scaled(frames: Frames, size: tuple[int, int], length: int) -> Iterator[Frames]:
    """Yield *length* frames (H, W, 3) of *size*; the last one stays where they end."""
    for at in range(length):
        frame = np.ascontiguousarray(frames[min(at, len(frames) - 1)])
        if frame.shape[:2] != size:
            frame = np.asarray(
                cv2.resize(frame, size[::-1], interpolation=cv2.INTER_AREA), np.uint8
            )
        yield frame


def overlay(values: Values, under: Frames) -> Iterator[Frames]:
    """Yield *values* (T, h, w) in the colours of the ramp over frames *under*."""
    size = shown_size(under)
    pictures = scaled(under, size, len(values))
    for value, picture in zip(values, pictures, strict=True):
        colour = colours.of_values(value)
        yield colours.over_grey(_in_blocks(colour, size), picture)


def who_decides(maps: Sequence[Values], under: Frames) -> Iterator[Frames]:
    """Yield the modalities' hues mixed by their *maps* (T, h, w) over *under*."""
    size = shown_size(under)
    for at, picture in enumerate(scaled(under, size, len(maps[0]))):
        mixed = colours.of_shares([values[at] for values in maps])
        yield colours.over_grey(_in_blocks(mixed, size), picture)


def _in_blocks(
    colour: npt.NDArray[np.generic], size: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Enlarge (h, w, 3) to *size*, each token a block of one colour."""
    wide = colour.astype(np.float32)
    blocks = cv2.resize(wide, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(blocks, np.float32)


def _even(side: float) -> int:
    return max(2, 2 * round(side / 2))
