"""Score videos of the tiny world by what its annotator sees in them.

The annotator is a small network that has learned from this world's renders: a
judge, not an oracle. Names of its scores end with "_tiny"; print the score of the
truth itself, the ceiling, beside every one of them.
"""

# T frames, H W pixels, N points

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from worldweave import Clip, WeightsError, WorldweaveError
from worldweave_plugins.tinyworld.annotator import (
    FARTHEST,
    NEAREST,
    Annotator,
    Seen,
    load,
)
from worldweave_plugins.tinyworld.facts import facts
from worldweave_plugins.tinyworld.labels import CLASSES, class_index
from worldweave_registry import resolve

if TYPE_CHECKING:
    from worldweave.base import ClipMetric, Frames

FOREGROUND: Final = ("car", "arm", "object")
SMALLEST_SHARE: Final = 0.001
"""Of a clip's pixels; a class with less is left out of the mask score."""
FEWEST_RETURNS: Final = 16
NEITHER: Final = float("nan")


def metrics() -> Mapping[str, ClipMetric]:
    """Return what the judge can tell, by modality: depth, seg, hdmap and lidar; and
    of the prompt: time and colour. All share one annotator.

    Raise WeightsError where its weights are missing or damaged.
    """
    from worldweave_plugins.tinyworld import WEIGHTS

    weights = next((w for w in WEIGHTS if w.part == "annotator"), None)
    if weights is None:
        raise WeightsError(
            "tiny-world ships no annotator; train one: worldweave train annotator "
            "--base tiny-world"
        )
    return metrics_of(load(resolve(weights)))


def metrics_of(annotator: Annotator) -> Mapping[str, ClipMetric]:
    """Return all metrics of one annotator."""
    eye = Eye(annotator)
    return {
        "depth": DepthError(eye=eye),
        "seg": MaskIoU(eye=eye),
        "hdmap": LaneIoU(eye=eye),
        "lidar": LidarError(eye=eye),
        "prompt_time": TimeObeyed(eye=eye),
        "prompt_colour": ColourObeyed(eye=eye),
    }


def foreground(clip: Clip) -> NDArray[np.float32]:
    """Return 1 where a clip shows a car, the arm or a thing, float32 (T, H, W)."""
    classes = _truth(clip, "classes", "the foreground")
    indices = [class_index(name) for name in FOREGROUND]
    return np.isin(classes, indices).astype(np.float32)


class Eye:
    """An annotator that remembers the last video: all metrics look at it in turn."""

    def __init__(self, annotator: Annotator) -> None:
        self.annotator = annotator
        self._last: tuple[Frames, Seen] | None = None

    def look(self, video: Frames) -> Seen:
        """Annotate *video*, uint8 (T, H, W, 3), which must not change afterwards."""
        if self._last is None or self._last[0] is not video:
            self._last = (video, self.annotator.look(video))
        return self._last[1]


@attrs.frozen(kw_only=True)
class Seeing:
    """A metric that goes by what the annotator sees."""

    eye: Eye = attrs.field(repr=False)


class DepthError(Seeing):
    """Root mean square of the difference of log depths, its mean taken out (Eigen et
    al. 2014): one scale for the whole clip is free. Pixels of the sky do not count;
    what is beyond 80 m is told as 80 m."""

    name = "depth_si_rmse_tiny"
    summary = "scale-invariant RMSE of log depth, as a small network sees it"
    higher_is_better = False

    def __call__(self, video: Frames, clip: Clip) -> float:
        """Compare a video uint8 (T, H, W, 3) with the clip's truth."""
        truth = _truth(clip, "depth", self.name)
        counts = np.isfinite(truth)
        if not counts.any():
            return NEITHER
        seen = self.eye.look(_fitting(video, clip)).depth
        return float(np.std(_log_ratio(seen[counts], truth[counts])))


class MaskIoU(Seeing):
    """Intersection over union of each class over the clip, averaged over the classes
    that fill at least a thousandth of the truth."""

    name = "mask_miou_tiny"
    summary = "mean IoU of the classes, as a small network sees it"
    higher_is_better = True

    def __call__(self, video: Frames, clip: Clip) -> float:
        """Compare a video uint8 (T, H, W, 3) with the clip's truth."""
        truth = _truth(clip, "classes", self.name)
        seen = self.eye.look(_fitting(video, clip)).classes
        share = np.bincount(truth.ravel(), minlength=len(CLASSES)) / truth.size
        present = np.flatnonzero(share >= SMALLEST_SHARE)
        return float(np.mean([_iou(seen == k, truth == k) for k in present]))


class LaneIoU(Seeing):
    """Intersection over union of the lane lines, both widened by one pixel on every
    side: they are one pixel wide. Clips without lines have no score (NaN)."""

    name = "lane_iou_tiny"
    summary = "IoU of lane lines, widened by 1 px, as a small network sees it"
    higher_is_better = True

    def __call__(self, video: Frames, clip: Clip) -> float:
        """Compare a video uint8 (T, H, W, 3) with the clip's truth."""
        truth = _truth(clip, "lanes", self.name)
        if not truth.any():
            return NEITHER
        seen = self.eye.look(_fitting(video, clip)).classes == class_index("line")
        return _iou(_widen(seen), _widen(truth))


class LidarError(Seeing):
    """Mean absolute difference of log depths at the LiDAR's returns, after the best
    single scale for the clip. Clips with few returns have no score (NaN)."""

    name = "lidar_error_tiny"
    summary = "mean |log depth| error at LiDAR returns, as a small network sees it"
    higher_is_better = False

    def __call__(self, video: Frames, clip: Clip) -> float:
        """Compare a video uint8 (T, H, W, 3) with the clip's truth."""
        returns = _truth(clip, "lidar", self.name)
        frames, points = np.nonzero(np.isfinite(returns).all(-1))
        if len(frames) < FEWEST_RETURNS:
            return NEITHER
        u, v, depth = returns[frames, points].T
        seen = self.eye.look(_fitting(video, clip)).depth
        rows = v.astype(int).clip(0, seen.shape[1] - 1)
        columns = u.astype(int).clip(0, seen.shape[2] - 1)
        ratio = _log_ratio(seen[frames, rows, columns], depth)
        return float(np.abs(ratio - np.median(ratio)).mean())


class TimeObeyed(Seeing):
    """1 where the video shows the time of day that the prompt names, else 0; NaN
    where it names none."""

    name = "time_obeyed_tiny"
    summary = "is it the prompt's time of day, as a small network sees it"
    higher_is_better = True

    def __call__(self, video: Frames, clip: Clip) -> float:
        """Compare a video uint8 (T, H, W, 3) with the clip's prompt."""
        time = facts(clip.prompt).time
        if time is None:
            return NEITHER
        return float(self.eye.look(_fitting(video, clip)).time == time)


class ColourObeyed(Seeing):
    """The share of the colours named by the prompt (of cars, arm, things) that the
    video shows: what is missing has no colour. NaN where none is named."""

    name = "colour_obeyed_tiny"
    summary = "share of the prompt's colours shown, as a small network sees it"
    higher_is_better = True

    def __call__(self, video: Frames, clip: Clip) -> float:
        """Compare a video uint8 (T, H, W, 3) with the clip's prompt."""
        wanted = facts(clip.prompt).colours
        if not wanted:
            return NEITHER
        shown = self.eye.look(_fitting(video, clip)).paints
        return float(np.mean([shown.get(k) == colour for k, colour in wanted.items()]))


def _truth(clip: Clip, key: str, what: str) -> NDArray[Any]:
    if key not in clip.truth:
        raise WorldweaveError(
            f"{what} needs the truth {key!r} of a clip, which has only "
            f"{sorted(clip.truth)}; give a clip that tiny-world has made"
        )
    return clip.truth[key]


def _fitting(video: Frames, clip: Clip) -> Frames:
    if video.shape != clip.video.shape:
        raise WorldweaveError(
            f"the video is {video.shape} but its clip is {clip.video.shape}; "
            "bring both to one size and length"
        )
    return video


def _log_ratio(
    seen: NDArray[np.float32], truth: NDArray[np.float32]
) -> NDArray[np.float64]:
    near = np.clip(truth.astype(np.float64), NEAREST, FARTHEST)
    ratio: NDArray[np.float64] = np.log(seen.astype(np.float64)) - np.log(near)
    return ratio


def _iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    union = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / union if union else 1.0


def _widen(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    square = np.ones((3, 3), np.uint8)
    wide = [cv2.dilate(mask.astype(np.uint8), square) for mask in masks]
    return np.stack(wide).astype(bool)
