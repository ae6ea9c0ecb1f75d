"""Score how well a video keeps the colour and light of its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import attrs
import cv2
import numpy as np
import numpy.typing as npt

from worldweave import WorldweaveError
from worldweave_plugins.vis.preprocess import Blur

if TYPE_CHECKING:
    from worldweave.base import Frames

# Wang et al. 2004, "Image quality assessment": window and constants for 0..255.
_WINDOW = (11, 11)
_SIGMA = 1.5
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2


@attrs.frozen(kw_only=True)
class BlurSSIM:
    """Structural similarity of a video and its reference, both blurred, up to 1.

    SSIM after Wang et al. 2004 on RGB in 0..255, frames mirrored at their border,
    in float64; the mean over pixels, channels and frames. strength: of the blur.
    """

    higher_is_better: ClassVar[bool] = True
    best: ClassVar[float] = 1.0
    strength: Literal["none", "very_low", "low", "medium", "high", "very_high"] = (
        "medium"
    )

    def __attrs_post_init__(self) -> None:
        Blur(strength=self.strength)  # so that a wrong strength is refused at once

    def __call__(self, video: Frames, reference: Frames) -> float:
        """Compare two videos uint8 (T, H, W, 3) of one shape."""
        if video.shape != reference.shape:
            raise WorldweaveError(
                f"the video is {video.shape} but its reference is {reference.shape}; "
                "bring both to one size and length"
            )
        blur = Blur(strength=self.strength)
        return float(
            np.mean(
                [
                    _ssim(made, wanted)
                    for made, wanted in zip(blur(video), blur(reference), strict=True)
                ]
            )
        )


def _ssim(one: Frames, other: Frames) -> float:
    """Return the mean structural similarity of two pictures (H, W, 3)."""
    x, y = one.astype(np.float64), other.astype(np.float64)
    mean_x, mean_y = _local_mean(x), _local_mean(y)
    variance_x = _local_mean(x * x) - mean_x**2
    variance_y = _local_mean(y * y) - mean_y**2
    covariance = _local_mean(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    return float(np.mean(light * structure))


def _local_mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(values, _WINDOW, _SIGMA), np.float64)
