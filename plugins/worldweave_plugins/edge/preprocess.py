"""Draw the Canny edges of every frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs
import cv2
import numpy as np

from worldweave import WorldweaveError

if TYPE_CHECKING:
    from worldweave.base import Frames

# The two thresholds of each strength, as in the released system's presets.
PRESETS: dict[str, tuple[int, int]] = {
    "very_low": (20, 50),
    "low": (50, 100),
    "medium": (100, 200),
    "high": (200, 300),
    "very_high": (300, 400),
}
# Two Sobel filters of size 3 on 8 bits, each 4 * 255 at most, added.
_STEEPEST = 2040


def _is_preset(canny: Canny, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value not in tuple(PRESETS):  # a tuple also takes what has no hash
        raise WorldweaveError(
            f"threshold is {value!r}; choose one of {', '.join(PRESETS)}, "
            "or set low and high"
        )


def _is_gradient(canny: Canny, attribute: attrs.Attribute[Any], value: Any) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if value is not None and not (is_whole and 0 <= value <= _STEEPEST):
        raise WorldweaveError(
            f"{attribute.name} is {value!r}; give a whole number from 0 to {_STEEPEST}"
        )


@attrs.frozen(kw_only=True)
class Canny:
    """Map frames uint8 (T, H, W, 3) to their edges, white on black, same shape.

    threshold: the higher, the fewer edges. low, high: set the two thresholds of
    Canny's hysteresis directly, in place of *threshold*; an edge starts where
    the gradient |dx| + |dy| of one colour channel is above high, and runs on
    while it is above low.

    Runs at the frames' own size. The released system ignores the strength asked
    for and draws random thresholds: `released` does that, only for
    compat="cosmos-transfer1".
    """

    per_frame: ClassVar[bool] = True
    threshold: Literal["very_low", "low", "medium", "high", "very_high"] = attrs.field(
        default="medium", validator=_is_preset
    )
    low: int | None = attrs.field(default=None, validator=_is_gradient)
    high: int | None = attrs.field(default=None, validator=_is_gradient)

    def __attrs_post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise WorldweaveError(
                f"low is {self.low} and high is {self.high}; set both or neither"
            )
        if self.low is not None and self.high is not None and self.low > self.high:
            raise WorldweaveError(
                f"low is {self.low} and high is {self.high}; low must not be above high"
            )

    @classmethod
    def released(cls, seed: int) -> Canny:
        """Return the filter the released system draws with *seed* (seed 1: 57, 119)."""
        random = np.random.RandomState(seed)
        low = random.randint(20, 100)
        return cls(low=low, high=min(255, low + random.randint(50, 150)))

    def __call__(self, frames: Frames) -> Frames:
        low, high = PRESETS[self.threshold]
        if self.low is not None and self.high is not None:
            low, high = self.low, self.high
        edges = np.empty_like(frames)
        for frame, drawn in zip(frames, edges, strict=True):
            contour = cv2.Canny(np.ascontiguousarray(frame), low, high)
            drawn[...] = contour[..., None]
        return edges
