"""Blur every frame: first along surfaces, then by losing resolution."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import attrs
import cv2
import numpy as np
import torch
from torch.nn.functional import interpolate

from worldweave import WorldweaveError

if TYPE_CHECKING:
    from worldweave.base import Frames


class Preset(NamedTuple):
    """One strength: the bilateral filter, and two ways of losing resolution.

    diameter (pixels), sigma_color (levels), sigma_space (pixels): OpenCV's
    bilateral filter. before: it runs on frames this many times smaller. after:
    its result is made this many times smaller and large again.
    """

    diameter: int
    sigma_color: int
    sigma_space: int
    before: int
    after: int


# As in the released system's presets.
PRESETS = {
    "none": Preset(1, 1, 1, 1, 1),
    "very_low": Preset(15, 100, 50, 1, 4),
    "low": Preset(15, 100, 50, 4, 4),
    "medium": Preset(30, 150, 100, 2, 10),
    "high": Preset(50, 300, 150, 1, 16),
    "very_high": Preset(50, 300, 150, 4, 16),
}


def _is_preset(blur: Blur, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value not in tuple(PRESETS):  # a tuple also takes what has no hash
        raise WorldweaveError(
            f"strength is {value!r}; choose one of {', '.join(PRESETS)}"
        )


def _is_factor(blur: Blur, attribute: attrs.Attribute[Any], value: Any) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if value is not None and not (is_whole and value > 0):
        raise WorldweaveError(f"factor is {value!r}; give a whole number above 0")


@attrs.frozen(kw_only=True)
class Blur:
    """Map frames uint8 (T, H, W, 3) to blurred ones of the same shape.

    strength: how much detail is lost; "none" leaves a faint 3x3 smoothing.

    Runs at the frames' own size, and a strength means pixels of 720p video: the
    same strength takes far more from a 96x64 video, where "low" keeps a picture
    of 24x16. A side never becomes smaller than one pixel.

    The way down and up is bicubic with antialiasing as in torchvision, in float32
    and rounded to uint8 after each way. factor: how much smaller, in place of the
    strength's. The released system draws it at random: `released` does that, only
    for compat="cosmos-transfer1".
    """

    per_frame: ClassVar[bool] = True
    strength: Literal["none", "very_low", "low", "medium", "high", "very_high"] = (
        attrs.field(default="medium", validator=_is_preset)
    )
    factor: int | None = attrs.field(default=None, validator=_is_factor)

    @classmethod
    def released(cls, seed: int) -> Blur:
        """Return the blur the released system draws with *seed* (seed 1: factor 6)."""
        return cls(factor=random.Random(seed).randint(4, 17))

    def __call__(self, frames: Frames) -> Frames:
        preset = PRESETS[self.strength]
        blurred = np.empty_like(frames)
        for frame, target in zip(frames, blurred, strict=True):
            smooth = _bilateral(np.ascontiguousarray(frame), preset)
            target[...] = _down_and_up(smooth, self.factor or preset.after)
        return blurred


def _bilateral(frame: Frames, preset: Preset) -> Frames:
    """Smooth (H, W, 3) along surfaces, at a smaller size where the preset says so."""
    height, width = frame.shape[:2]
    diameter, sigma_color, sigma_space, before, _ = preset
    if before > 1:
        smaller = max(1, width // before), max(1, height // before)
        frame = _as_frames(cv2.resize(frame, smaller, interpolation=cv2.INTER_AREA))
    smooth = cv2.bilateralFilter(frame, diameter, sigma_color, sigma_space)
    if before > 1:
        smooth = cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR)
    return _as_frames(smooth)


def _down_and_up(frame: Frames, factor: int) -> Frames:
    """Take (H, W, 3) to one *factor*-th of its size and back."""
    if factor == 1:
        return frame
    height, width = frame.shape[:2]
    pixels = torch.from_numpy(frame).permute(2, 0, 1)[None]
    for size in (
        (max(1, height // factor), max(1, width // factor)),
        (height, width),
    ):
        scaled = interpolate(pixels.float(), size, mode="bicubic", antialias=True)
        pixels = scaled.clamp(0, 255).round().to(torch.uint8)
    return _as_frames(pixels[0].permute(1, 2, 0).numpy())


def _as_frames(picture: object) -> Frames:
    # OpenCV's stubs do not say that uint8 in gives uint8 out.
    return np.asarray(picture, np.uint8)
