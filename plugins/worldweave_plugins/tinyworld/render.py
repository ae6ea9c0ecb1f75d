"""Paint a scene: RGB frames with the classes, instances and depth behind them.

Everything is a convex polygon, painted from far to near. One image of polygon
numbers then gives every label, so labels and RGB agree on what hides what.
"""

# F frames, V vertices, P polygons

from __future__ import annotations

import math
from typing import Final

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray

from worldweave_plugins.tinyworld.labels import class_index
from worldweave_plugins.tinyworld.scene import FPS, Camera, Scene, Street
from worldweave_plugins.tinyworld.solids import (
    BUILDINGS,
    MOVABLES,
    Draft,
    Floats,
    Solids,
)
from worldweave_plugins.tinyworld.street import add_street
from worldweave_plugins.tinyworld.table import add_table

Frames = NDArray[np.uint8]

FOCAL: Final = 0.8  # of the picture's width: 64 degrees across
NEAR: Final = 0.3  # metres
SWAY: Final = 1.5  # radians per second: hardly bends 9 frames, holds 1000
SUPERSAMPLE: Final = 2
LABEL_SAMPLES: Final = 3  # odd, so that the middle sample is a pixel's centre
SHIFT: Final = 4  # cv2 places corners to 1/16 pixel
HALF_CIRCLE: Final = np.linspace(-math.pi / 2, math.pi / 2, 9)

LIGHT: Final = {
    "day": (1.0, 1.0, 1.0),
    "dusk": (0.96, 0.74, 0.66),
    "night": (0.42, 0.46, 0.62),
}
SKY: Final = {
    "day": ((86, 150, 226), (196, 222, 244)),
    "dusk": ((96, 66, 120), (250, 150, 84)),
    "night": ((8, 10, 28), (34, 40, 76)),
}
"""RGB at the top of the picture and half way down."""


@attrs.frozen(kw_only=True, eq=False)
class Rendering:
    """A clip with its ground truth.

    ``rgb`` uint8 (F, H, W, 3); ``classes`` uint8 (F, H, W), an index into
    ``CLASSES``; ``instances`` uint8 (F, H, W), 0 where nothing is counted;
    ``depth`` float32 (F, H, W), metres along the view axis, infinite in the sky.
    """

    rgb: Frames
    classes: Frames
    instances: Frames
    depth: NDArray[np.float32]


@attrs.frozen(kw_only=True, eq=False)
class _View:
    """The solids of a scene as the viewer sees them.

    ``points`` (F, V, 3) right, up, ahead in metres; ``pixels`` (F, V, 2), of no
    use where a point is not ahead; ``focal`` and ``centre`` in pixels.
    """

    shapes: Solids
    points: Floats
    pixels: Floats
    focal: float
    centre: Floats
    order: NDArray[np.int64]  # (F, P), painting order
    visible: NDArray[np.bool_]  # (F, P)


def render(
    scene: Scene, *, size: tuple[int, int] = (64, 96), frames: int = 9
) -> Rendering:
    """Render a clip with labels; ``size`` is (height, width)."""
    view = _look(scene, size, frames)
    outlines = [_outlines(view, frame) for frame in range(frames)]
    numbers = np.stack([_paint_numbers(outline, size) for outline in outlines])
    shapes = view.shapes
    # The number of what no polygon covers is -1, the last entry: the sky.
    classes = np.append(shapes.classes, class_index("sky")).astype(np.uint8)
    instances = np.append(shapes.instances, 0).astype(np.uint8)
    return Rendering(
        rgb=_paint(scene, view, outlines, size),
        classes=classes[numbers],
        instances=instances[numbers],
        depth=_depth(view, numbers, size),
    )


def render_rgb(
    scene: Scene, *, size: tuple[int, int] = (64, 96), frames: int = 9
) -> Frames:
    """Render only the picture, uint8 (F, H, W, 3)."""
    view = _look(scene, size, frames)
    outlines = [_outlines(view, frame) for frame in range(frames)]
    return _paint(scene, view, outlines, size)


def _look(scene: Scene, size: tuple[int, int], frames: int) -> _View:
    height, width = size
    times = np.arange(frames) / FPS
    shapes = _solids(scene, times)
    position, axes = _pose(scene.camera, times)
    points = (shapes.points - position[:, None]) @ axes.transpose(0, 2, 1)
    anchors = (shapes.anchors - position[:, None]) @ axes.transpose(0, 2, 1)
    focal = FOCAL * width
    centre = np.array([width / 2, height / 2])
    ahead = np.maximum(points[..., 2:], NEAR)
    pixels = centre + focal * points[..., :2] * (1.0, -1.0) / ahead
    first = shapes.starts[:-1]
    corner = points[:, first]
    last = shapes.starts[1:] - 1
    normal = np.cross(points[:, first + 1] - corner, points[:, last] - corner)
    faces_away = (normal * corner).sum(-1) > 0
    farthest = np.maximum.reduceat(points[..., 2], first, axis=1)
    visible = (farthest > NEAR) & ~(shapes.hides_back & faces_away)
    is_sorted = (shapes.layers == BUILDINGS) | (shapes.layers == MOVABLES)
    distance = np.where(is_sorted, np.linalg.norm(anchors, axis=-1), 0.0)
    layers = np.broadcast_to(shapes.layers, distance.shape)
    return _View(
        shapes=shapes,
        points=points,
        pixels=pixels,
        focal=focal,
        centre=centre,
        order=np.lexsort((-distance, layers), axis=-1),
        visible=visible,
    )


def _solids(scene: Scene, times: Floats) -> Solids:
    draft = Draft(times)
    if isinstance(scene.place, Street):
        add_street(draft, scene.place, scene.camera.velocity[2] * times)
    else:
        add_table(draft, scene.place)
    return draft.finish()


def _pose(camera: Camera, times: Floats) -> tuple[Floats, Floats]:
    """Return positions (F, 3) and rows right, up, ahead (F, 3, 3)."""
    sway = np.sin(SWAY * times) / SWAY
    passed = np.stack([sway, sway, times], axis=-1)
    position = np.array(camera.position) + passed * np.array(camera.velocity)
    yaw = camera.yaw + camera.yaw_rate * sway
    cosine, sine, zero = np.cos(yaw), np.sin(yaw), np.zeros(len(times))
    down, level = math.sin(camera.pitch), math.cos(camera.pitch)
    right = np.stack([cosine, zero, -sine], axis=-1)
    up = np.stack([sine * down, zero + level, cosine * down], axis=-1)
    ahead = np.stack([sine * level, zero - down, cosine * level], axis=-1)
    return position, np.stack([right, up, ahead], axis=1)


def _outlines(view: _View, frame: int) -> list[tuple[int, Floats]]:
    """Return (polygon number, corners in pixels (n, 2)) in painting order."""
    outlines = []
    starts, radii = view.shapes.starts.tolist(), view.shapes.radii.tolist()
    crosses = np.minimum.reduceat(view.points[frame, :, 2], starts[:-1]) <= NEAR
    order = view.order[frame]
    for number in order[view.visible[frame, order]].tolist():
        span = slice(starts[number], starts[number + 1])
        if radii[number]:
            corners = _bar_outline(view, frame, span, radii[number])
        elif crosses[number]:
            corners = _clip(view.points[frame, span])
            corners = (
                view.centre + view.focal * corners[:, :2] * (1.0, -1.0) / corners[:, 2:]
            )
        else:
            corners = view.pixels[frame, span]
        outlines.append((number, corners))
    return outlines


def _bar_outline(view: _View, frame: int, span: slice, radius: float) -> Floats:
    """Wrap two discs in one outline: half a circle at each end."""
    start, end = view.pixels[frame, span]
    sizes = view.focal * radius / np.maximum(view.points[frame, span, 2], NEAR)
    heading = math.atan2(end[1] - start[1], end[0] - start[0])
    angles = heading + HALF_CIRCLE
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return np.concatenate([end + sizes[1] * arc, start - sizes[0] * arc])


def _clip(points: Floats) -> Floats:
    """Cut off the part of a polygon (n, 3) that is nearer than NEAR."""
    kept = []
    for point, following in zip(points, np.roll(points, -1, axis=0), strict=True):
        if point[2] > NEAR:
            kept.append(point)
        if (point[2] > NEAR) != (following[2] > NEAR):
            share = (NEAR - point[2]) / (following[2] - point[2])
            kept.append(point + share * (following - point))
    return np.array(kept)


def _paint(
    scene: Scene,
    view: _View,
    outlines: list[list[tuple[int, Floats]]],
    size: tuple[int, int],
) -> Frames:
    height, width = size
    shapes = view.shapes
    light = np.where(shapes.glows[:, None], 1.0, np.array(LIGHT[scene.time]))
    colours = (shapes.colours * light).tolist()
    sky = _sky(scene, size)
    out = np.empty((len(outlines), height, width, 3), dtype=np.uint8)
    for frame, outline in enumerate(outlines):
        canvas = sky.copy()
        for number, corners in outline:
            fixed = _fixed_point(corners, SUPERSAMPLE)
            cv2.fillConvexPoly(canvas, fixed, colours[number], cv2.LINE_AA, SHIFT)
        cv2.resize(canvas, (width, height), out[frame], interpolation=cv2.INTER_AREA)
    return out


def _sky(scene: Scene, size: tuple[int, int]) -> Frames:
    height, width = (SUPERSAMPLE * length for length in size)
    top, horizon = (np.array(colour, dtype=float) for colour in SKY[scene.time])
    share = np.clip(np.arange(height) / (height / 2), 0.0, 1.0)[:, None]
    rows = (1.0 - share) * top + share * horizon
    return np.repeat(rows[:, None], width, axis=1).round().astype(np.uint8)


def _paint_numbers(
    outline: list[tuple[int, Floats]], size: tuple[int, int]
) -> NDArray[np.int16]:
    """Number each pixel's polygon, -1 for none, int16 (H, W).

    cv2 also fills every pixel that an outline touches. Painting finer and
    reading the centres keeps that to a third of a pixel.
    """
    height, width = (LABEL_SAMPLES * length for length in size)
    numbers = np.full((height, width), -1, dtype=np.int16)
    for number, corners in outline:
        fixed = _fixed_point(corners, LABEL_SAMPLES)
        cv2.fillConvexPoly(numbers, fixed, number, cv2.LINE_8, SHIFT)
    middle = slice(LABEL_SAMPLES // 2, None, LABEL_SAMPLES)
    return numbers[middle, middle]


def _fixed_point(corners: Floats, scale: int) -> NDArray[np.int32]:
    # cv2 puts whole numbers at the centres of pixels, we at their corners.
    fixed: NDArray[np.int32] = np.rint((corners * scale - 0.5) * (1 << SHIFT)).astype(
        np.int32
    )
    return fixed


def _depth(
    view: _View, numbers: NDArray[np.int16], size: tuple[int, int]
) -> NDArray[np.float32]:
    """Read each pixel's depth off the plane of the polygon it shows.

    The inverse depth of a plane is linear in the picture.
    """
    rows, columns = np.mgrid[: size[0], : size[1]]
    rays = np.stack(
        [
            (columns + 0.5 - view.centre[0]) / view.focal,
            (view.centre[1] - rows - 0.5) / view.focal,
            np.ones(size),
        ],
        axis=-1,
    )
    starts = view.shapes.starts[:-1]
    depth = np.empty(numbers.shape, dtype=np.float32)
    for frame, shown in enumerate(numbers):
        planes = np.concatenate([_planes(view, frame), np.zeros((1, 3))])
        inverse = (planes[shown] * rays).sum(-1)
        ends = view.points[frame, :, 2]
        nearest = np.minimum.reduceat(ends, starts) - view.shapes.radii
        farthest = np.maximum.reduceat(ends, starts)
        # At its border a polygon covers pixels whose centre lies outside it;
        # a steep plane must not run away there.
        low = np.append(1.0 / np.maximum(farthest, NEAR), 0.0)
        high = np.append(1.0 / np.maximum(nearest, NEAR), 0.0)
        with np.errstate(divide="ignore"):
            depth[frame] = 1.0 / np.clip(inverse, low[shown], high[shown])
    return depth


def _planes(view: _View, frame: int) -> Floats:
    """Return (P, 3) such that its product with a ray is the inverse depth."""
    first, last = view.shapes.starts[:-1], view.shapes.starts[1:] - 1
    points, radii = view.points[frame], view.shapes.radii
    corner = points[first]
    is_bar = radii > 0
    along, across = points[first + 1] - corner, points[last] - corner
    # A bar is a flat ribbon through its axis, across the view.
    sideways = np.cross(along, corner)
    level = np.abs(sideways).sum(-1) < 1e-9
    along = np.where((is_bar & level)[:, None], (1.0, 0.0, 0.0), along)
    sideways = np.where(level[:, None], (0.0, 1.0, 0.0), sideways)
    across = np.where(is_bar[:, None], sideways, across)
    # ... and bulges towards the viewer: half a radius is its mean.
    corner = corner - np.where(is_bar, 0.5 * radii, 0.0)[:, None] * (0.0, 0.0, 1.0)
    normal = np.cross(along, across)
    offset = (normal * corner).sum(-1, keepdims=True)
    planes: Floats = normal / np.where(np.abs(offset) < 1e-9, 1e-9, offset)
    return planes
