"""Foreground and background: score each by itself, with any metric."""

# T frames, H W rows and columns

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from worldweave.base import Clip, Frames
from worldweave.blame import blamed
from worldweave_registry import Base, PluginError, WorldweaveError

Mask = npt.NDArray[np.float32]
FOREGROUND = "foreground"
BACKGROUND = "background"
REGIONS = (FOREGROUND, BACKGROUND)


def foreground_of(base: Base, clip: Clip) -> Mask:
    """Return the foreground of *clip*, (T, H, W) in 0..1, as its base tells it."""
    if base.foreground is None:
        raise WorldweaveError(
            f"base {base.name!r} cannot tell the foreground of its clips, so regions "
            "cannot be scored; choose another table"
        )
    make: Any = base.foreground.load()
    with blamed(f"the foreground of base {base.name!r}", base.foreground.report):
        mask = np.asarray(make(clip), np.float32)
    fits = mask.shape == clip.video.shape[:3] and mask.min() >= 0 and mask.max() <= 1
    if not fits:
        raise PluginError(
            f"{base.foreground.path} gave a mask {mask.shape} from {mask.min():g} to "
            f"{mask.max():g} for a clip {clip.video.shape}; it must be (T, H, W) in "
            f"0..1; {base.foreground.report}"
        )
    return mask


def graft(video: Frames, truth: Frames, mask: Mask, region: str) -> Frames:
    """Return *video* in the region and *truth* everywhere else.

    So every metric scores a region by itself: whatever is lost against the truth's
    own score is lost in the region.
    """
    inside = mask >= 0.5
    chosen = inside if region == FOREGROUND else ~inside
    return np.where(chosen[..., None], video, truth)


def variation(videos: list[Frames], chosen: npt.NDArray[np.bool_] | None) -> float:
    """Return how much videos of different seeds differ: the mean absolute difference
    of two of them over the *chosen* pixels (T, H, W; None: all), as a share of 255.

    0 for no pixel or a single video.
    """
    pairs = [
        np.abs(one.astype(np.int16) - other.astype(np.int16)).mean(-1)
        for i, one in enumerate(videos)
        for other in videos[i + 1 :]
    ]
    if not pairs or (chosen is not None and not chosen.any()):
        return 0.0
    return (
        float(
            np.mean([p.mean() if chosen is None else p[chosen].mean() for p in pairs])
        )
        / 255
    )
