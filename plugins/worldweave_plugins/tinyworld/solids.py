"""Collect the solids that make up a scene: what the rays of a sensor can meet."""

# F frames, S polyhedra, C capsules, D shadows

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from worldweave_plugins.tinyworld.labels import class_index

Floats = NDArray[np.float64]
Colour = tuple[float, float, float]

PLANES: Final = 6
"""Half-spaces of a polyhedron, and numbers it owns; a capsule owns two."""
STRIPES: Final = PLANES - 1
"""Borders |x| between the six stripes of a floor."""


@attrs.frozen(kw_only=True)
class Coat:
    """What a surface looks like and what it is.

    ``colour`` 0..255 by daylight, which ``glows`` keeps at night; ``instance``
    is 0 for what is not counted.
    """

    colour: Colour
    kind: str
    instance: int = 0
    glows: bool = False


@attrs.frozen(kw_only=True, eq=False)
class Solids:
    """What a scene is made of, in world metres, at every frame.

    Polyhedron s is where ``normals @ (point - centre) <= offsets`` for its six
    planes; its faces are numbered 6 s to 6 s + 5. Polyhedron 0 is the floor,
    whose six numbers are stripes along z: ``stripes`` (F, 5) are the borders
    |x| between them; the first is dashed. ``reaches`` (F, S, 3) is how far a
    polyhedron extends from its centre, infinite where it never ends. Capsule c
    holds all points within ``radii`` of the line from ``starts`` to ``ends``;
    its body is numbered 6 S + 2 c, its highlight one more.

    Shadow d darkens the surfaces below ``receivers`` (F,) that lie in a
    rectangle, or where ``is_round`` an ellipse, in x and z.
    """

    normals: Floats  # (F, S, 6, 3), unit length; 0 where a plane is not used
    offsets: Floats  # (F, S, 6)
    centres: Floats  # (F, S, 3)
    reaches: Floats  # (F, S, 3)
    starts: Floats  # (F, C, 3)
    ends: Floats  # (F, C, 3)
    radii: Floats  # (F, C)
    spots: Floats  # (F, D, 2): x and z of the middle
    spreads: Floats  # (F, D, 2): half sizes
    is_round: NDArray[np.bool_]  # (F, D)
    stripes: Floats  # (F, 5)
    receivers: NDArray[np.int64]  # (F,)

    @property
    def numbers(self) -> int:
        """Return how many numbers all faces, bodies and highlights have."""
        return PLANES * int(self.normals.shape[1]) + 2 * int(self.radii.shape[1])


@attrs.frozen(kw_only=True, eq=False)
class Coats:
    """The coat of each number, (N, ...), and what is left of it in shadow."""

    colours: Floats  # (N, 3)
    classes: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    glows: NDArray[np.bool_]
    shadow: float


class Draft:
    """Collects solids at the times it is made for, seconds (F,)."""

    def __init__(self, times: Floats) -> None:
        self.times = times
        self._planes: list[tuple[Floats, Floats, Floats, Floats]] = []
        self._capsules: list[tuple[Floats, Floats, float]] = []
        self._shadows: list[tuple[Floats, tuple[float, float], bool]] = []
        self._face_coats: list[Coat] = []
        self._capsule_coats: list[Coat] = []

    def add_floor(self, height: float, coats: Sequence[Coat]) -> None:
        """Add the floor, first of all: six coats, from the middle outwards."""
        self._add_half_space((0.0, 1.0, 0.0), height, coats)

    def add_wall(self, z: float, coat: Coat) -> None:
        """Add a wall across the view that fills everything beyond z."""
        self._add_half_space((0.0, 0.0, -1.0), -z, [coat] * PLANES)

    def add_capsule(
        self, start: Floats, end: Floats, radius: float, coat: Coat
    ) -> None:
        """Add a rounded bar from start to end (F, 3), or a ball where they meet.

        A highlight makes it look round.
        """
        shine = tuple(0.62 * channel + 0.38 * 255 for channel in coat.colour)
        self._capsules.append((start, end, radius))
        self._capsule_coats += [
            attrs.evolve(coat, colour=shade(coat.colour, 0.86)),
            attrs.evolve(coat, colour=(shine[0], shine[1], shine[2])),
        ]

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

        ``taper`` narrows its top, ``top`` gives that another colour. Its first
        face is the top.
        """
        normals, offsets = _box_planes(half, taper)
        turn = turn_about_y(yaw)
        normals = normals @ turn.T
        self._planes.append((normals, offsets, centre, np.abs(turn) @ half))
        for number, normal in enumerate(normals):
            colour = coat.colour if top is None or number > 0 else top
            light = 1.0 if coat.glows else light_on(normal)
            self._face_coats.append(attrs.evolve(coat, colour=shade(colour, light)))

    def add_shadow(
        self, middle: Floats, half: tuple[float, float], *, is_round: bool
    ) -> None:
        """Darken what lies under middle (F, 3), half sizes along x and z."""
        self._shadows.append((middle[:, [0, 2]], half, is_round))

    def finish(
        self, *, stripes: Sequence[float], receivers: int, shadow: float
    ) -> tuple[Solids, Coats]:
        """Join what was added."""
        frames = len(self.times)
        planes, capsules, shadows = self._planes, self._capsules, self._shadows
        nothing = np.zeros((frames, 0, 3))
        solids = Solids(
            normals=_repeat([plane[0] for plane in planes], frames),
            offsets=_repeat([plane[1] for plane in planes], frames),
            centres=np.stack([plane[2] for plane in planes], axis=1),
            reaches=_repeat([plane[3] for plane in planes], frames),
            starts=np.stack([bar[0] for bar in capsules], 1) if capsules else nothing,
            ends=np.stack([bar[1] for bar in capsules], 1) if capsules else nothing,
            radii=_repeat([bar[2] for bar in capsules], frames),
            spots=np.stack([s[0] for s in shadows], axis=1)
            if shadows
            else nothing[..., :2],
            spreads=_repeat([s[1] for s in shadows], frames).reshape(frames, -1, 2),
            is_round=_repeat([s[2] for s in shadows], frames).astype(bool),
            stripes=_repeat(stripes, frames),
            receivers=np.full(frames, receivers),
        )
        coats = self._face_coats + self._capsule_coats
        return solids, Coats(
            colours=np.array([coat.colour for coat in coats]),
            classes=np.array([class_index(c.kind) for c in coats], dtype=np.uint8),
            instances=np.array([coat.instance for coat in coats], dtype=np.uint8),
            glows=np.array([coat.glows for coat in coats]),
            shadow=shadow,
        )

    def _add_half_space(
        self, normal: Colour, offset: float, coats: Sequence[Coat]
    ) -> None:
        normals, offsets = np.zeros((PLANES, 3)), np.ones(PLANES)
        normals[0], offsets[0] = normal, offset
        centre = np.zeros((len(self.times), 3))
        self._planes.append((normals, offsets, centre, np.full(3, math.inf)))
        self._face_coats += coats


def shade(colour: Colour, light: float) -> Colour:
    """Multiply a colour, at most to full brightness."""
    red, green, blue = (min(255.0, channel * light) for channel in colour)
    return red, green, blue


def light_on(normal: Floats) -> float:
    """Return the light on a face: from above, the left and the viewer, 0.5..1."""
    x, y, z = normal
    return float(min(1.0, max(0.5, 0.68 + 0.32 * y - 0.08 * x - 0.15 * z)))


def turn_about_y(yaw: float) -> Floats:
    """Return the rotation (3, 3) that turns +x towards -z by yaw radians."""
    cosine, sine = math.cos(yaw), math.sin(yaw)
    return np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])


def along(x: float, y: float, z: Floats) -> Floats:
    """Return points (F, 3) at fixed x and y."""
    return np.stack([np.full(len(z), x), np.full(len(z), y), z], axis=-1)


def _box_planes(
    half: tuple[float, float, float], taper: float
) -> tuple[Floats, Floats]:
    """Return normals (6, 3) and offsets (6,): top, near, far, left, right, bottom."""
    width, height, depth = half
    up, side = width * (1.0 - taper), depth * (1.0 - taper)
    normals = np.array(
        [
            (0.0, 1.0, 0.0),
            (0.0, side, -2.0 * height),
            (0.0, side, 2.0 * height),
            (-2.0 * height, up, 0.0),
            (2.0 * height, up, 0.0),
            (0.0, -1.0, 0.0),
        ]
    )
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    # A point of each face: the middle of its edge at the bottom, or of the top.
    points = np.array(
        [
            (0.0, height, 0.0),
            (0.0, -height, -depth),
            (0.0, -height, depth),
            (-width, -height, 0.0),
            (width, -height, 0.0),
            (0.0, -height, 0.0),
        ]
    )
    return normals, (normals * points).sum(-1)


def _repeat(values: Sequence[object], frames: int) -> Floats:
    """Return the values at every frame, (F, ...)."""
    array = np.array(values, dtype=float)
    return np.broadcast_to(array, (frames, *array.shape))
