"""Draw lane lines and boxes, the control of hdmap."""

# F frames, S strokes

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from worldweave_plugins.tinyworld.boxes import boxes, corners
from worldweave_plugins.tinyworld.lanes import lanes
from worldweave_plugins.tinyworld.projection import inverse, move, project
from worldweave_plugins.tinyworld.render import Rendering
from worldweave_plugins.tinyworld.scene import FPS, Scene

Floats = NDArray[np.float32]
Colour = tuple[int, int, int]

MAP_COLOURS: Final[dict[str, Colour]] = {
    "edge": (0, 255, 0),
    "dash": (255, 255, 0),
    "car": (64, 128, 255),
    "table": (255, 128, 0),
    "arm": (255, 0, 255),
    "object": (0, 255, 255),
}
"""RGB of lane lines by kind, of boxes by class."""

FRONT_COLOUR: Final[Colour] = (255, 255, 255)
"""RGB of the face in front: where a car drives, where the next link of an arm is."""

HAS_FRONT: Final = frozenset({"car", "arm"})
REACH: Final = 80.0  # metres of lane lines before and behind the camera
NEAR: Final = 0.3  # metres; what is nearer is cut off
SHIFT: Final = 4  # cv2 places ends to 1/16 pixel

# The corners are numbered by bits, so that an edge joins two that differ in one.
EDGES: Final = np.array(
    [(i, i | bit) for bit in (1, 2, 4) for i in range(8) if not i & bit]
)
IS_FRONT: Final = (EDGES & 4).all(axis=1)


@attrs.frozen(kw_only=True, eq=False)
class _Strokes:
    """Straight strokes of one colour.

    ``ends`` float32 (F, S, 2, 3), world metres; ``distance`` (F,) is how far off
    they count as: the farthest are drawn first.
    """

    ends: Floats
    colour: Colour
    distance: Floats


def hdmap_control(scene: Scene, rendering: Rendering) -> NDArray[np.uint8]:
    """Draw lane lines and the wire-frames of boxes on black, uint8 (F, H, W, 3).

    Colours are ``MAP_COLOURS``, never mixed, and nothing hides anything. Lane
    lines come first; over them the boxes, from far to near; of a car or a link
    of an arm the face in front comes last, in ``FRONT_COLOUR``. A stroke is as
    wide as 1/144 of the picture, at least one pixel.
    """
    canvas = np.zeros_like(rendering.rgb)
    poses = rendering.poses
    groups = [*_lane_strokes(scene, poses), *_box_strokes(scene, poses)]
    if not groups:
        return canvas
    ends, is_ahead = _in_picture(rendering, groups)
    splits = np.cumsum([group.ends.shape[1] for group in groups])[:-1]
    order = np.argsort([-group.distance for group in groups], axis=0, kind="stable")
    thickness = max(1, round(canvas.shape[2] / 144))
    for frame, picture in enumerate(canvas):
        lines = np.split(ends[frame], splits)
        shown = np.split(is_ahead[frame], splits)
        for number in order[:, frame]:
            colour = groups[number].colour
            drawn = lines[number][shown[number]]
            cv2.polylines(picture, drawn, False, colour, thickness, cv2.LINE_8, SHIFT)
    return canvas


def _lane_strokes(scene: Scene, poses: Floats) -> Iterator[_Strokes]:
    way = poses[:, 2, 3]
    start, end = float(way.min()) - REACH, float(way.max()) + REACH
    lines = lanes(scene, start=start, end=end)
    for kind in ("edge", "dash"):
        ends = [line.points[[0, -1]] for line in lines if line.kind == kind]
        if ends:
            yield _Strokes(
                ends=np.broadcast_to(ends, (len(poses), len(ends), 2, 3)),
                colour=MAP_COLOURS[kind],
                distance=np.full(len(poses), np.inf, np.float32),
            )


def _box_strokes(scene: Scene, poses: Floats) -> Iterator[_Strokes]:
    for box in boxes(scene, np.arange(len(poses)) / FPS):
        ends = corners(box)[:, EDGES]
        distance = np.linalg.norm(box.poses[:, :3, 3] - poses[:, :3, 3], axis=-1)
        is_front = IS_FRONT & (box.name in HAS_FRONT)
        sides, front = MAP_COLOURS[box.name], FRONT_COLOUR
        yield _Strokes(ends=ends[:, ~is_front], colour=sides, distance=distance)
        yield _Strokes(ends=ends[:, is_front], colour=front, distance=distance)


def _in_picture(
    rendering: Rendering, groups: list[_Strokes]
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Return the ends of all strokes as cv2 takes them, and which are ahead.

    (F, S, 2, 2) in 1/16 pixels from the centre of the first, and (F, S).
    """
    ends = np.concatenate([group.ends for group in groups], axis=1)
    frames, count = ends.shape[:2]
    seen = move(inverse(rendering.poses), ends.reshape(frames, -1, 3))
    seen, is_ahead = _clip(seen.reshape(frames, count, 2, 3))
    pixels = (project(rendering.intrinsics, seen) - 0.5) * (1 << SHIFT)
    return np.rint(pixels).astype(np.int32), is_ahead


def _clip(ends: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Cut strokes off at NEAR; False for those that lie behind it whole."""
    depth = ends[..., 2]
    is_ahead = depth > NEAR
    # Where an end is not ahead, go towards the other one until it is.
    step = depth[..., ::-1] - depth
    share = (NEAR - depth) / np.where(step == 0, 1, step)
    share = np.where(is_ahead, 0, share.clip(0, 1))[..., None]
    clipped = ends + share * (ends[..., ::-1, :] - ends)
    clipped[..., 2] = np.maximum(clipped[..., 2], NEAR)
    return clipped.astype(np.float32), is_ahead[..., 0] | is_ahead[..., 1]
