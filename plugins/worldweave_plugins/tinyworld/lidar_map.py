"""Draw what a laser scanner measures as the camera sees it, the control of lidar."""

# F frames, N rays

from __future__ import annotations

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from worldweave_plugins.tinyworld.lidar import RANGE, LidarSweep
from worldweave_plugins.tinyworld.projection import inverse, move, project
from worldweave_plugins.tinyworld.render import Rendering

Floats = NDArray[np.float32]

NEAREST: Final = 1.0
FARTHEST: Final = RANGE
DEPTH_STOPS: Final = (
    (32, 24, 160),
    (120, 32, 192),
    (232, 56, 104),
    (255, 128, 0),
    (144, 232, 48),
    (232, 255, 255),
)
"""RGB from FARTHEST to NEAREST metres, at even steps of the logarithm."""
STEPS: Final = 128  # so few that each is brighter than the one before
TOLERANCE: Final = 0.02  # of the depth


def lidar_truth(rendering: Rendering, sweep: LidarSweep) -> Floats:
    """Return where the camera sees each return: u, v, depth; float32 (F, N, 3).

    u and v are pixels, the centre of the first at 0.5; depth is metres along
    the camera's view axis. NaN where nothing came back, where it lies outside
    the picture, and where the camera sees something else: its depth is beyond
    those of the 3 x 3 pixels around it by more than 2 %.
    """
    frames, height, width = rendering.depth.shape
    points = move(inverse(rendering.poses) @ sweep.poses, sweep.points)
    pixels, depth = project(rendering.intrinsics, points), points[..., 2]
    is_inside = (depth > 0) & ((pixels >= 0) & (pixels < (width, height))).all(-1)
    where = np.where(is_inside[..., None], pixels, 0).astype(np.int64)
    place = (np.arange(frames)[:, None], where[..., 1], where[..., 0])
    near, far = (limit[place] for limit in _depth_around(rendering.depth))
    is_seen = (depth > near * (1 - TOLERANCE)) & (depth < far * (1 + TOLERANCE))
    truth = np.concatenate([pixels, depth[..., None]], axis=-1)
    truth[~(is_inside & is_seen)] = np.nan
    return truth


def lidar_control(rendering: Rendering, sweep: LidarSweep) -> NDArray[np.uint8]:
    """Paint each return that the camera sees on black, uint8 (F, H, W, 3).

    A return is one pixel where the picture has 64 rows, and grows with it; the
    nearer is painted over the farther. Colours are those of ``depth_colours``.
    """
    frames, height, width = rendering.depth.shape
    truth = lidar_truth(rendering, sweep)
    frame, number = np.nonzero(~np.isnan(truth[..., 2]))
    points = truth[frame, number]
    steps = _steps(points[:, 2])
    order = np.argsort(steps, kind="stable")  # the last one painted stays
    frame, points, colours = frame[order], points[order], _PALETTE[steps[order]]
    canvas = np.zeros((frames, height, width, 3), np.uint8)
    side = max(1, round(height / 64))
    corner = np.floor(points[:, 1::-1] - (side - 1) / 2).astype(np.int64)
    for offset in np.ndindex(side, side):
        row, column = np.clip(corner + offset, 0, (height - 1, width - 1)).T
        canvas[frame, row, column] = colours
    return canvas


def depth_colours(depth: Floats) -> NDArray[np.uint8]:
    """Colour metres (...) as RGB uint8 (..., 3): the nearer, the brighter.

    128 colours from ``FARTHEST`` to ``NEAREST`` along ``DEPTH_STOPS``, the same
    in every clip; what lies outside has the colour of that end.
    """
    colours: NDArray[np.uint8] = _PALETTE[_steps(depth)]
    return colours


def _steps(depth: Floats) -> NDArray[np.uint8]:
    """Number metres (...) from FARTHEST, 0, to NEAREST, 127."""
    share = np.log(FARTHEST / np.clip(depth, NEAREST, FARTHEST))
    share /= math.log(FARTHEST / NEAREST)
    steps: NDArray[np.uint8] = np.rint(share * (STEPS - 1)).astype(np.uint8)
    return steps


def _palette() -> NDArray[np.uint8]:
    places = np.linspace(0, len(DEPTH_STOPS) - 1, STEPS)
    channels = [
        np.interp(places, range(len(DEPTH_STOPS)), stops)
        for stops in zip(*DEPTH_STOPS, strict=True)
    ]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


_PALETTE: Final[NDArray[np.uint8]] = _palette()


def _depth_around(depth: Floats) -> tuple[Floats, Floats]:
    """Return the least and the greatest depth of the 3 x 3 pixels around each."""
    square = np.ones((3, 3), np.uint8)
    near, far = np.empty_like(depth), np.empty_like(depth)
    for frame, picture in enumerate(depth):
        cv2.erode(picture, square, near[frame])
        cv2.dilate(picture, square, far[frame])
    return near, far
