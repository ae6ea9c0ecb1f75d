"""A contact sheet: several videos side by side, a few moments of each."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from worldweave.base import Frames

CAPTION = 28
TITLE = 40
GAP = 4
INK = (30, 30, 30)
PAPER = 255


def contact_sheet(
    videos: Mapping[str, Frames],
    *,
    moments: int = 4,
    above: Mapping[str, Frames] | None = None,
) -> Frames:
    """Return one picture (H, W, 3): a column per video under its name.

    The videos have one length and size; small ones are shown enlarged. *moments*
    frames, evenly spaced from first to last, run downwards. *above* has, for some
    of the names, a video whose middle frame stands over the column.
    """
    length, height, width = next(iter(videos.values())).shape[:3]
    scale = max(1, round(192 / width))
    size = (width * scale, height * scale)
    index = np.linspace(0, length - 1, min(moments, length)).round().astype(int)
    columns = []
    for name, frames in videos.items():
        cells = [_caption(name, size[0])]
        if above is not None and name in above:
            cells.append(_cell(above[name][length // 2], size))
        elif above is not None:
            blank = np.full((size[1], size[0], 3), PAPER, np.uint8)
            cells.append(_padded(blank))
        cells += [_cell(frame, size) for frame in frames[index]]
        columns.append(np.concatenate(cells))
    return np.concatenate(columns, axis=1)


def titled(sheet: Frames, title: str) -> Frames:
    """Return *sheet* (H, W, 3) with a line of text over it."""
    return np.concatenate([_text(title, (TITLE, sheet.shape[1]), 0.6), sheet])


def _cell(frame: Frames, size: tuple[int, int]) -> Frames:
    big = cv2.resize(frame, size, interpolation=cv2.INTER_NEAREST)
    return _padded(np.asarray(big, np.uint8))


def _caption(text: str, width: int) -> Frames:
    return _padded(_text(text, (CAPTION, width), 0.45))


def _text(text: str, size: tuple[int, int], scale: float) -> Frames:
    """Return a strip of *size* (H, W) with *text* in it, as much as fits."""
    strip = np.full((*size, 3), PAPER, np.uint8)
    at = (2, size[0] - 9)
    cv2.putText(strip, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, INK, 1, cv2.LINE_AA)
    return strip


def _padded(picture: Frames) -> Frames:
    return np.pad(picture, ((0, GAP), (0, GAP), (0, 0)), constant_values=PAPER)
