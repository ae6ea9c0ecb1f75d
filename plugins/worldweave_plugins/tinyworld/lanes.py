"""Tell where the lines of a road run."""

from __future__ import annotations

import math
from typing import Literal

import attrs
import numpy as np
from numpy.typing import NDArray

from worldweave_plugins.tinyworld.scene import Scene, Street
from worldweave_plugins.tinyworld.street import DASH_PERIOD, EDGE_INSET


@attrs.frozen(kw_only=True, eq=False)
class LaneLine:
    """The middle of one painted line, from near to far.

    ``kind`` is "edge" for the lines along both sides, "dash" for each dash of
    the broken line between the lanes. ``points`` float32 (n, 3), world metres.
    """

    kind: Literal["edge", "dash"]
    points: NDArray[np.float32]


def lanes(
    scene: Scene, *, start: float = 0.0, end: float = 100.0
) -> tuple[LaneLine, ...]:
    """Return the lines of a street from z = start to z = end, in world metres.

    Both edges come first, left and right, then the dashes. A table has none.
    """
    if not isinstance(scene.place, Street):
        return ()
    side = scene.place.half_width - EDGE_INSET
    edges = [_line("edge", x, start, end) for x in (-side, side)]
    numbers = range(math.floor(start / DASH_PERIOD), math.ceil(end / DASH_PERIOD))
    spans = [
        (max(start, i * DASH_PERIOD), min(end, (i + 0.5) * DASH_PERIOD))
        for i in numbers
    ]
    dashes = [_line("dash", 0.0, near, far) for near, far in spans if near < far]
    return (*edges, *dashes)


def _line(kind: Literal["edge", "dash"], x: float, near: float, far: float) -> LaneLine:
    points = np.array([(x, 0.0, near), (x, 0.0, far)], dtype=np.float32)
    return LaneLine(kind=kind, points=points)
