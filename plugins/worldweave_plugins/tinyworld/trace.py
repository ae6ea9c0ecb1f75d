"""Cast rays at solids and find what each meets first, on CPU or GPU.

Everything is computed with inverse distances. Seen from one point, that of a
plane is linear in the direction of the ray, and that of nothing is zero.
"""

# F frames, R rows, C columns, K vectors; S polyhedra, N capsules

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import attrs
import numpy as np
import torch
from torch import Tensor

from worldweave_plugins.tinyworld.solids import PLANES, Floats, Solids

Window = tuple[slice, slice] | None
"""The rows and columns in which a solid may show; None: in none."""

NOTHING: Final = -1
"""The number that a ray finds that meets nothing."""
TOWARD_LIGHT: Final = np.array([-0.3, 0.38, -0.875])
"""From the middle of a capsule to that of its highlight: left, up, to the viewer."""
SHINE: Final = 0.93
"""Cosine between the normals in the middle and at the rim of a highlight."""
FARTHER: Final = 1e9  # a limit that limits nothing
TINY: Final = 1e-9


@attrs.frozen(kw_only=True, eq=False)
class Rays:
    """Rays from one point a frame, in world axes.

    Ray (r, c) of a frame goes from ``origins`` (F, 3) in the direction
    ``rows[:, r] + columns[:, c]``, (F, R, 3) and (F, C, 3), of any length.
    """

    origins: Floats
    rows: Floats
    columns: Floats

    @classmethod
    def towards(cls, origins: Floats, directions: Floats) -> Rays:
        """Cast rays from origins (F, 3) in directions (F, N, 3); R = N, C = 1."""
        nowhere = np.zeros((len(origins), 1, 3))
        return cls(origins=origins, rows=directions, columns=nowhere)


@attrs.frozen(kw_only=True, eq=False)
class Hits:
    """What each ray meets first, float32 and int32 (F, R, C).

    ``inverse`` is one over the distance in lengths of the ray's direction, 0
    where it meets nothing; ``numbers`` names what it meets as ``Solids`` does,
    or is NOTHING.
    """

    inverse: Tensor
    numbers: Tensor

    @property
    def distance(self) -> Tensor:
        """Return the distance in lengths of the ray's direction, or infinity."""
        return 1.0 / self.inverse


def trace(
    solids: Solids,
    rays: Rays,
    *,
    windows: Sequence[Window] | None = None,
    device: torch.device | str = "cpu",
) -> Hits:
    """Find what every ray meets first.

    ``windows``: where each polyhedron, then each capsule, may show, to save
    work; the caller vouches for them. Without, anywhere.
    """
    shape = (len(rays.origins), rays.rows.shape[1], rays.columns.shape[1])
    hits = Hits(
        inverse=torch.zeros(shape, device=device),
        numbers=torch.full(shape, NOTHING, dtype=torch.int32, device=device),
    )
    count = solids.normals.shape[1]
    anywhere: list[Window] = [(slice(None), slice(None))]
    places = windows or anywhere * (count + solids.radii.shape[1])
    fan = Fan(rays, device)
    _trace_polyhedra(hits, fan, solids, places[:count])
    _trace_capsules(hits, fan, solids, places[count:])
    return hits


def cut(pictures: Tensor, window: tuple[slice, slice]) -> Tensor:
    """Return the window of pictures (F, R, C), without a copy."""
    rows, columns = window
    return pictures[:, rows, columns]


class Fan:
    """The products of vectors with all rays.

    A product with ray (r, c) is one with row r plus one with column c, so that
    a whole picture of products costs one addition a pixel.
    """

    def __init__(self, rays: Rays, device: torch.device | str) -> None:
        self.origins = rays.origins
        self.device = device
        # The fourth entry multiplies a constant: once, with the row.
        one, zero = np.ones(rays.rows.shape), np.zeros(rays.columns.shape)
        self._rows = self.put(np.concatenate([rays.rows, one[..., :1]], axis=-1)).mT
        self._columns = self.put(
            np.concatenate([rays.columns, zero[..., :1]], axis=-1)
        ).mT

    def put(self, values: Floats) -> Tensor:
        """Copy values to the device as float32."""
        return torch.from_numpy(np.asarray(values, np.float32)).to(self.device)

    def products(self, vectors: Floats) -> Products:
        """Multiply vectors (F, K, 4), a constant last, with every ray."""
        vectors_there = self.put(vectors)
        return Products(vectors_there @ self._rows, vectors_there @ self._columns)

    @cached_property
    def squares(self) -> Tensor:
        """The squared length of every direction, (F, R, C)."""
        rows, columns = self._rows[:, :3], self._columns[:, :3]
        mixed = 2.0 * rows.mT @ columns
        alone = rows.square().sum(1)[:, :, None] + columns.square().sum(1)[:, None]
        return mixed + alone


class Products:
    """Products of K vectors with rows (F, K, R) and with columns (F, K, C)."""

    def __init__(self, rows: Tensor, columns: Tensor) -> None:
        self._rows = rows
        self._columns = columns

    def at(self, number: int, window: tuple[slice, slice]) -> Tensor:
        """Return those of one vector, (F, r, c)."""
        rows, columns = window
        return (
            self._rows[:, number, rows, None] + self._columns[:, number, None, columns]
        )


def _trace_polyhedra(
    hits: Hits, fan: Fan, solids: Solids, windows: Sequence[Window]
) -> None:
    """Cut each ray with half-spaces: its last entrance must precede all exits."""
    entrances, exits = _plane_limits(solids, fan.origins)
    first, last = fan.products(entrances), fan.products(exits)
    enters, leaves = (
        limits[..., :3].any((0, 2)).reshape(-1, PLANES) for limits in (entrances, exits)
    )
    names = torch.arange(PLANES * len(windows), dtype=torch.int32, device=fan.device)
    for solid, window in enumerate(windows):
        planes = (PLANES * solid + np.flatnonzero(enters[solid])).tolist()
        if window is None or not planes:
            continue
        entrance = first.at(planes[0], window)
        number = names[planes[0]]
        for plane in planes[1:]:
            limit = first.at(plane, window)
            number = torch.where(limit < entrance, names[plane], number)
            entrance = torch.minimum(entrance, limit)
        is_hit = entrance > cut(hits.inverse, window)
        for plane in (PLANES * solid + np.flatnonzero(leaves[solid])).tolist():
            is_hit &= entrance >= last.at(plane, window)
        _keep(hits, window, is_hit, entrance, number)


def _plane_limits(solids: Solids, origins: Floats) -> tuple[Floats, Floats]:
    """Return vectors (F, 6 S, 4) to where rays enter and leave half-spaces.

    Their products with a ray are inverse distances. A plane that a ray from
    this side cannot enter or leave limits nothing.
    """
    from_centre = origins[:, None] - solids.centres
    ahead = solids.offsets - (solids.normals @ from_centre[..., None])[..., 0]
    ahead = np.where(np.abs(ahead) < TINY, TINY, ahead)
    inverse = solids.normals / ahead[..., None]
    enters = ahead < 0.0
    # Who stands inside of a solid does not see it.
    is_seen = enters.any(-1, keepdims=True)
    entrances = np.zeros((*inverse.shape[:-1], 4))
    entrances[..., :3] = np.where(enters[..., None], inverse, 0.0)
    entrances[..., 3] = np.where(enters | ~is_seen, 0.0, FARTHER)
    exits = np.zeros_like(entrances)
    exits[..., :3] = np.where(enters[..., None], 0.0, inverse)
    flat = (len(origins), -1, 4)
    return entrances.reshape(flat), exits.reshape(flat)


def _trace_capsules(
    hits: Hits, fan: Fan, solids: Solids, windows: Sequence[Window]
) -> None:
    """Meet the two balls at the ends of each capsule, and the tube between them."""
    if not windows:
        return
    bars = _Bars(fan, solids)
    first = PLANES * solids.normals.shape[1]
    names = torch.arange(
        first, first + 2 * len(windows), dtype=torch.int32, device=fan.device
    )
    for bar, window in enumerate(windows):
        if window is None:
            continue
        inverse = bars.start(bar, window)
        if bars.is_long[bar]:
            inverse = torch.fmax(inverse, bars.end(bar, window))
            inverse = torch.fmax(inverse, bars.tube(bar, window))
        is_hit = inverse > cut(hits.inverse, window)
        shines = bars.shines(bar, window, inverse)
        number = torch.where(shines, names[2 * bar + 1], names[2 * bar])
        _keep(hits, window, is_hit, inverse, number)


class _Bars:
    """Capsules as seen from one point a frame.

    ``start``, ``end`` and ``tube`` return the inverse distances (F, r, c) at
    which rays meet the balls at the ends and the tube between them; NaN or at
    most 0 where they do not, as for who stands inside.
    """

    def __init__(self, fan: Fan, solids: Solids) -> None:
        self._fan = fan
        radii = solids.radii
        start = fan.origins[:, None] - solids.starts
        end = fan.origins[:, None] - solids.ends
        axis = solids.ends - solids.starts
        length = (axis * axis).sum(-1)
        along = (axis * start).sum(-1)
        # How far outside the ball, or the endless tube, the point is: squares.
        start_gap = _if_outside((start * start).sum(-1) - radii**2, radii)
        end_gap = _if_outside((end * end).sum(-1) - radii**2, radii)
        tube_gap = _if_outside(
            length * ((start * start).sum(-1) - radii**2) - along**2, radii
        )
        aside = length[..., None] * start - along[..., None] * axis
        # The highlight lies around the line on the tube that faces the light.
        facing = (axis @ TOWARD_LIGHT) / np.maximum(length, TINY)
        light = TOWARD_LIGHT - facing[..., None] * axis
        light /= np.maximum(np.linalg.norm(light, axis=-1, keepdims=True), TINY)
        self.is_long: list[bool] = (length > TINY).any(0).tolist()
        self._starts = fan.products(_with_zero(start / start_gap[..., None]))
        self._start_squares = self._put(1.0 / start_gap)
        self._ends = fan.products(_with_zero(end / end_gap[..., None]))
        self._end_squares = self._put(1.0 / end_gap)
        self._tubes = fan.products(_with_zero(aside / tube_gap[..., None]))
        self._tube_squares = self._put(length / tube_gap)
        self._axes = fan.products(_with_zero(axis))
        self._axis_squares = self._put(1.0 / tube_gap)
        self._along = self._put(along)
        self._lengths = self._put(length)
        self._lights = fan.products(_with_zero(light))
        self._rims = self._put(SHINE * radii - (start * light).sum(-1))

    def start(self, bar: int, window: tuple[slice, slice]) -> Tensor:
        squares = cut(self._fan.squares, window) * self._start_squares[:, bar]
        return _meet(self._starts.at(bar, window), squares)

    def end(self, bar: int, window: tuple[slice, slice]) -> Tensor:
        squares = cut(self._fan.squares, window) * self._end_squares[:, bar]
        return _meet(self._ends.at(bar, window), squares)

    def tube(self, bar: int, window: tuple[slice, slice]) -> Tensor:
        axis = self._axes.at(bar, window)
        squares = cut(self._fan.squares, window) * self._tube_squares[:, bar]
        squares = squares - axis.square() * self._axis_squares[:, bar]
        tube = _meet(self._tubes.at(bar, window), squares)
        # Where it is met, from the start of the axis: times length and inverse.
        place = tube * self._along[:, bar] + axis
        is_between = (place > 0.0) & (place < tube * self._lengths[:, bar])
        return torch.where(is_between, tube, 0.0)

    def shines(self, bar: int, window: tuple[slice, slice], inverse: Tensor) -> Tensor:
        """Return whether what is met at ``inverse`` lies in the highlight."""
        return self._lights.at(bar, window) > inverse * self._rims[:, bar]

    def _put(self, values: Floats) -> Tensor:
        return self._fan.put(values)[:, :, None, None]


def _if_outside(gap: Floats, radii: Floats) -> Floats:
    return np.where((gap > TINY) & (radii > 0.0), gap, np.nan)


def _meet(half: Tensor, last: Tensor) -> Tensor:
    """Solve x^2 + 2 half x + last = 0 for its larger root; NaN where none is real."""
    # torch.sqrt of a negative number takes ten times as long on a CPU.
    square = half.square() - last
    return square * torch.rsqrt(square) - half


def _with_zero(vectors: Floats) -> Floats:
    return np.concatenate([vectors, np.zeros_like(vectors[..., :1])], axis=-1)


def _keep(
    hits: Hits,
    window: tuple[slice, slice],
    is_hit: Tensor,
    inverse: Tensor,
    number: Tensor,
) -> None:
    nearest, numbers = cut(hits.inverse, window), cut(hits.numbers, window)
    nearest.copy_(torch.where(is_hit, inverse, nearest))
    numbers.copy_(torch.where(is_hit, number, numbers))
