"""Collect the polygons and rounded bars that make up a scene."""

# F frames, V vertices, P polygons

from __future__ import annotations

import math
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from worldweave_plugins.tinyworld.labels import class_index

Floats = NDArray[np.float64]
Colour = tuple[float, float, float]

# Layers are painted in this order; only buildings and movables are sorted.
FLAT, BUILDINGS, SHADOWS, MOVABLES = range(4)

# Corner i of a box lies at +x if bit 0 is set, +y if bit 1, +z if bit 2. The
# bottom is left out: the viewer is always above it. Normals point outwards.
BOX_FACES: Final = {
    "near": (0, 2, 3, 1),
    "far": (4, 5, 7, 6),
    "left": (0, 4, 6, 2),
    "right": (1, 3, 7, 5),
    "top": (2, 6, 7, 3),
}
CORNERS: Final = np.array(
    [[1 if i >> bit & 1 else -1 for bit in range(3)] for i in range(8)], dtype=float
)


@attrs.frozen(kw_only=True, eq=False)
class Coat:
    """What a polygon looks like, what it is, and when it is painted.

    ``colour`` 0..255 by daylight, which ``glows`` keeps at night; ``anchor``
    (F, 3) is the point a polygon is sorted by within its layer.
    """

    colour: Colour
    kind: str
    layer: int = MOVABLES
    instance: int = 0
    anchor: Floats | None = None
    hides_back: bool = False
    glows: bool = False


@attrs.frozen(kw_only=True, eq=False)
class Solids:
    """Polygons of a scene, in world metres, at every frame.

    ``points`` (F, V, 3); polygon p owns ``points[:, starts[p]:starts[p + 1]]``.
    Where ``radii[p]`` is positive its two points are the ends of a rounded bar.
    The other fields are those of ``Coat``, one row a polygon.
    """

    points: Floats
    starts: NDArray[np.int64]
    radii: Floats
    colours: Floats  # (P, 3)
    glows: NDArray[np.bool_]
    hides_back: NDArray[np.bool_]
    classes: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    layers: NDArray[np.int64]
    anchors: Floats  # (F, P, 3)


class Draft:
    """Collects polygons at the times it is made for, seconds (F,)."""

    def __init__(self, times: Floats) -> None:
        self.times = times
        self._points: list[Floats] = []
        self._coats: list[Coat] = []
        self._radii: list[float] = []

    def add(self, points: Floats, coat: Coat, *, radius: float = 0.0) -> None:
        """Add one polygon, points (F, n, 3); with a radius, a bar of two points."""
        self._points.append(points)
        self._coats.append(coat)
        self._radii.append(radius)

    def add_bar(self, start: Floats, end: Floats, radius: float, coat: Coat) -> None:
        """Add a rounded bar from start to end (F, 3), or a ball where they meet.

        A highlight makes it look round.
        """
        coat = attrs.evolve(coat, anchor=(start + end) / 2)
        shine = tuple(0.62 * channel + 0.38 * 255 for channel in coat.colour)
        toward_light = radius * np.array([-0.3, 0.38, 0.0])
        for offset, size, colour in (
            (np.zeros(3), radius, shade(coat.colour, 0.86)),
            (toward_light, 0.36 * radius, (shine[0], shine[1], shine[2])),
        ):
            ends = np.stack([start + offset, end + offset], axis=1)
            self.add(ends, attrs.evolve(coat, colour=colour), radius=size)

    def add_box(
        self,
        centre: Floats,
        half: tuple[float, float, float],
        coat: Coat,
        *,
        yaw: float = 0.0,
        taper: float = 1.0,
        top: Colour | None = None,
    ) -> None:
        """Add a box by its centre (F, 3) and half sizes.

        ``taper`` narrows its top, ``top`` gives that another colour.
        """
        corners = CORNERS * half
        corners[CORNERS[:, 1] > 0] *= (taper, 1.0, taper)
        cosine, sine = math.cos(yaw), math.sin(yaw)
        turn = np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])
        corners = corners @ turn.T
        anchor = centre if coat.anchor is None else coat.anchor
        coat = attrs.evolve(coat, anchor=anchor, hides_back=True)
        for name, indices in BOX_FACES.items():
            face = corners[list(indices)]
            colour = coat.colour if top is None or name != "top" else top
            colour = shade(colour, _light_on(face))
            self.add(centre[:, None] + face, attrs.evolve(coat, colour=colour))

    def finish(self) -> Solids:
        """Join what was added."""
        frames, coats = len(self.times), self._coats
        lengths = [points.shape[1] for points in self._points]
        nowhere = np.zeros((frames, 3))
        anchors = [nowhere if c.anchor is None else c.anchor for c in coats]
        return Solids(
            points=np.concatenate(self._points, axis=1),
            starts=np.concatenate([[0], np.cumsum(lengths)]),
            radii=np.array(self._radii),
            colours=np.array([coat.colour for coat in coats], dtype=float),
            glows=np.array([coat.glows for coat in coats]),
            hides_back=np.array([coat.hides_back for coat in coats]),
            classes=np.array([class_index(c.kind) for c in coats], dtype=np.uint8),
            instances=np.array([coat.instance for coat in coats], dtype=np.uint8),
            layers=np.array([coat.layer for coat in coats]),
            anchors=np.stack(anchors, axis=1),
        )


def shade(colour: Colour, light: float) -> Colour:
    """Multiply a colour, at most to full brightness."""
    red, green, blue = (min(255.0, channel * light) for channel in colour)
    return red, green, blue


def flat(left: float, right: float, near: Floats, far: Floats, height: float) -> Floats:
    """Return a level rectangle (F, 4, 3)."""
    points = np.empty((len(near), 4, 3))
    points[..., 0] = (left, right, right, left)
    points[..., 1] = height
    points[..., 2] = np.stack([near, near, far, far], axis=-1)
    return points


def upright(
    x: float, y: float, z: Floats, half_width: float, half_height: float
) -> Floats:
    """Return a rectangle that faces the viewer, by its centre, (F, 4, 3)."""
    points = np.empty((len(z), 4, 3))
    points[..., 0] = x + half_width * np.array([-1.0, -1.0, 1.0, 1.0])
    points[..., 1] = y + half_height * np.array([-1.0, 1.0, 1.0, -1.0])
    points[..., 2] = z[:, None]
    return points


def disc(x: Floats, z: Floats, radius: float) -> Floats:
    """Return a level disc at height 0, as twelve corners (F, 12, 3)."""
    angles = np.arange(12) * (math.pi / 6)
    points = np.zeros((len(z), 12, 3))
    points[..., 0] = x[:, None] + radius * np.cos(angles)
    points[..., 2] = z[:, None] + radius * np.sin(angles)
    return points


def along(x: float, y: float, z: Floats) -> Floats:
    """Return points (F, 3) at fixed x and y."""
    return np.stack([np.full(len(z), x), np.full(len(z), y), z], axis=-1)


def _light_on(face: Floats) -> float:
    """Light a face (4, 3): it comes from above, the left and the viewer."""
    normal = np.cross(face[1] - face[0], face[2] - face[0])
    x, y, z = normal / np.linalg.norm(normal)
    return float(np.clip(0.68 + 0.32 * y - 0.08 * x - 0.15 * z, 0.5, 1.0))
