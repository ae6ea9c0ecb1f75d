"""A contact sheet: several videos side by side, a few moments of each."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from worldweave.base import Frames

CAPTION = 28
GAP = 4
INK = (30, 30, 30)
PAPER = 255


def contact_sheet(videos: Mapping[str, Frames], *, moments: int = 4) -> Frames:
    """Return one picture (H, W, 3): a column per video under its name.

    The videos have one length and size; small ones are shown enlarged. *moments*
    frames, evenly spaced from first to last, run downwards.
    """
    length, height, width = next(iter(videos.values())).shape[:3]
    scale = max(1, round(192 / width))
    index = np.linspace(0, length - 1, min(moments, length)).round().astype(int)
    columns = []
    for name, frames in videos.items():
        cells = [_caption(name, width * scale)]
        for frame in frames[index]:
            big = cv2.resize(
                frame, (width * scale, height * scale), interpolation=cv2.INTER_NEAREST
            )
            cells.append(_padded(np.asarray(big, np.uint8)))
        columns.append(np.concatenate(cells))
    return np.concatenate(columns, axis=1)


def _caption(text: str, width: int) -> Frames:
    strip = np.full((CAPTION, width, 3), PAPER, np.uint8)
    cv2.putText(
        strip,
        text,
        (2, CAPTION - 9),
        cv2.FONT_HERSHEY_SIMPLEX,
        0.45,
        INK,
        1,
        cv2.LINE_AA,
    )
    return _padded(strip)


def _padded(picture: Frames) -> Frames:
    return np.pad(picture, ((0, GAP), (0, GAP), (0, 0)), constant_values=PAPER)
