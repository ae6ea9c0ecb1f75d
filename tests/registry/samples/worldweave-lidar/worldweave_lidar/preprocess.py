"""Colour a video by range."""

from __future__ import annotations

from typing import ClassVar, Literal

import attrs
import cv2
import numpy as np

PALETTES = {"turbo": cv2.COLORMAP_TURBO, "jet": cv2.COLORMAP_JET}


@attrs.frozen(kw_only=True)
class RangeImage:
    """Colour each frame by range, uint8 (T, H, W, 3) to the same.

    palette: how near and far look. reach: how fast it fades; none: not at all.
    """

    per_frame: ClassVar[bool] = True
    palette: Literal["turbo", "jet"] = "turbo"
    reach: float | None = None

    def __call__(self, frames):
        near = (255 - frames.max(axis=-1)) * (self.reach or 1.0)
        near = near.clip(0, 255).astype(np.uint8)
        palette = PALETTES[self.palette]
        return np.stack([cv2.applyColorMap(frame, palette) for frame in near])
