"""Paint where everything moves: the direction is the hue, the speed the brightness."""

from itertools import pairwise

import attrs
import cv2
import numpy as np


def motion(frames):
    """Map frames uint8 (T, H, W, 3) to pixels per frame (T, H, W, 2), x before y.

    Each frame tells the way to the next; the last has none and repeats the one before.
    """
    gray = [cv2.cvtColor(np.ascontiguousarray(f), cv2.COLOR_RGB2GRAY) for f in frames]
    ways = [
        cv2.calcOpticalFlowFarneback(now, then, None, 0.5, 3, 9, 3, 5, 1.1, 0)
        for now, then in pairwise(gray)
    ]
    ways = ways or [np.zeros((*gray[0].shape, 2), np.float32)]
    return np.stack([*ways, ways[-1]])[: len(frames)]


def _is_speed(flow, attribute, value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
        raise ValueError(f"reach is {value!r}; give a speed above 0, pixels per frame")
    if value == float("inf"):
        raise ValueError("reach is infinite, so nothing would be seen to move")


@attrs.frozen(kw_only=True)
class Flow:
    """Dense optical flow (Farneback). reach: pixels per frame that are full bright."""

    reach: float = attrs.field(default=2.0, validator=_is_speed)

    def __call__(self, frames):
        x, y = np.moveaxis(motion(frames), -1, 0)
        hue = (np.arctan2(y, x) / np.pi + 1) * 90
        bright = np.clip(np.hypot(x, y) / self.reach, 0, 1) * 255
        hsv = np.stack([hue % 180, np.full_like(hue, 255), bright], -1).astype(np.uint8)
        return np.stack([cv2.cvtColor(frame, cv2.COLOR_HSV2RGB) for frame in hsv])
