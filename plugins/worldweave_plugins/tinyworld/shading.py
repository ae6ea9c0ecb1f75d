"""Colour what rays meet: stripes on the floor, shadows, light of the day, sky."""

# F frames, R rows, C columns, N numbers, D shadows

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from worldweave_plugins.tinyworld.labels import class_index
from worldweave_plugins.tinyworld.solids import STRIPES, Coats, Floats, Solids
from worldweave_plugins.tinyworld.street import DASH_PERIOD
from worldweave_plugins.tinyworld.trace import Hits, Rays, Window, cut

DASH_RANGE: Final = 60.0  # metres; farther dashes would only flicker

LIGHT: Final = {
    "day": (1.0, 1.0, 1.0),
    "dusk": (0.96, 0.74, 0.66),
    "night": (0.5, 0.54, 0.72),
}
SKY: Final = {
    "day": ((86, 150, 226), (196, 222, 244)),
    "dusk": ((96, 66, 120), (250, 150, 84)),
    "night": ((8, 10, 28), (34, 40, 76)),
}
"""RGB at the top of the picture and half way down."""


def surface_numbers(
    hits: Hits,
    solids: Solids,
    rays: Rays,
    *,
    floor: Window,
    shadows: Sequence[Window],
) -> Tensor:
    """Return what each ray shows: a row of a palette, int32 (F, R, C).

    Numbers are those of the solids, after all those the same ones in shadow,
    and then the rows of the sky. ``floor`` and ``shadows`` are the windows in
    which the floor and each shadow may show. Uses up ``hits.numbers``.
    """
    numbers, count = hits.numbers, solids.numbers
    place = _Places(hits, rays)
    if floor is not None:
        _add_stripes(cut(numbers, floor), place, solids, floor)
    for shadow, window in enumerate(shadows):
        if window is not None:
            _add_shadow(numbers, place, solids, shadow, window, count)
    device = numbers.device
    rows = 2 * count + torch.arange(numbers.shape[1], device=device, dtype=torch.int32)
    return torch.where(numbers < 0, rows[:, None], numbers)


def coat_palette(coats: Coats, time: str, rows: int) -> Floats:
    """Return the RGB of every number, 0..255, with ``rows`` rows of sky, (N, 3)."""
    light = np.where(coats.glows[:, None], 1.0, np.array(LIGHT[time]))
    lit = coats.colours * light
    return np.concatenate([lit, coats.shadow * lit, _sky(time, rows)])


def label_palette(coats: Coats, rows: int) -> NDArray[np.uint8]:
    """Return the class and the instance of every number, (N, 2)."""
    sky = np.array([class_index("sky"), 0], dtype=np.uint8)
    labels = np.stack([coats.classes, coats.instances], axis=-1)
    return np.concatenate([labels, labels, np.tile(sky, (rows, 1))])


def _sky(time: str, rows: int) -> Floats:
    top, horizon = (np.array(colour, dtype=float) for colour in SKY[time])
    share = np.clip(np.arange(rows) / (rows / 2), 0.0, 1.0)[:, None]
    sky: Floats = (1.0 - share) * top + share * horizon
    return sky


class _Places:
    """Where in the world rays end: x or z, by window."""

    def __init__(self, hits: Hits, rays: Rays) -> None:
        self.inverse = hits.inverse
        device = hits.inverse.device
        self._origins, self._rows, self._columns = (
            torch.from_numpy(np.asarray(part, np.float32)).to(device)
            for part in (rays.origins, rays.rows, rays.columns)
        )

    def at(self, axis: int, window: tuple[slice, slice]) -> Tensor:
        """Return the coordinate along an axis, (F, r, c); NaN where nothing is met."""
        rows, columns = window
        direction = (
            self._rows[:, rows, None, axis] + self._columns[:, None, columns, axis]
        )
        metres = direction / self.inverse[:, rows, columns]
        return metres.add_(self._origins[:, None, None, axis])

    def put(self, values: Floats) -> Tensor:
        """Copy values (F,) to the device, to stand beside (F, r, c)."""
        there = torch.from_numpy(np.asarray(values, np.float32))
        return there.to(self.inverse.device)[:, None, None]


def _add_stripes(
    numbers: Tensor, place: _Places, solids: Solids, window: tuple[slice, slice]
) -> None:
    """Turn the number 0 of the floor into that of its stripe, in place."""
    is_floor = numbers == 0
    across = place.at(0, window).abs_()
    stripe = torch.zeros_like(numbers)
    for border in range(STRIPES):
        stripe += across > place.put(solids.stripes[:, border])
    along = place.at(2, window)
    is_gap = torch.remainder(along, DASH_PERIOD) >= DASH_PERIOD / 2
    is_gap |= cut(place.inverse, window) < 1.0 / DASH_RANGE
    stripe += (stripe == 0) & is_gap
    numbers.copy_(torch.where(is_floor, stripe, numbers))


def _add_shadow(
    numbers: Tensor,
    place: _Places,
    solids: Solids,
    shadow: int,
    window: tuple[slice, slice],
    count: int,
) -> None:
    """Add ``count`` to the numbers that lie in a shadow, in place."""
    here = cut(numbers, window)
    spot, spread = solids.spots[:, shadow], solids.spreads[:, shadow]
    across, along = (
        (place.at(axis, window) - place.put(spot[:, i])) / place.put(spread[:, i])
        for i, axis in ((0, 0), (1, 2))
    )
    is_round = place.put(solids.is_round[:, shadow].astype(float)) > 0
    far = torch.where(
        is_round,
        across.square() + along.square(),
        torch.maximum(across.abs(), along.abs()),
    )
    receives = (here >= 0) & (here < place.put(solids.receivers.astype(float)))
    here.add_(count * (receives & (far < 1.0)))
