"""Put the solids of several scenes side by side, so that one pass renders them."""

# B scenes, F frames, S polyhedra, N capsules, D shadows

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import attrs
import numpy as np
from numpy.typing import NDArray

from worldweave_plugins.tinyworld.solids import PLANES, Coats, Solids

T = TypeVar("T", bound=np.generic)
TINY: Final = 1e-9  # metres


def join(scenes: Sequence[Solids]) -> Solids:
    """Join the solids of B scenes along the frames, (B F, ...).

    A scene with fewer solids than another gets some that no ray can meet.
    """
    if len(scenes) == 1:
        return scenes[0]
    solids = max(scene.normals.shape[1] for scene in scenes)
    bars = max(scene.radii.shape[1] for scene in scenes)
    shadows = max(scene.spots.shape[1] for scene in scenes)
    # A plane without a normal is none; a capsule without a radius and a shadow
    # without a size likewise.
    return Solids(
        normals=_join([scene.normals for scene in scenes], solids),
        offsets=_join([scene.offsets for scene in scenes], solids),
        centres=_join([scene.centres for scene in scenes], solids),
        reaches=_join([scene.reaches for scene in scenes], solids),
        starts=_join([scene.starts for scene in scenes], bars),
        ends=_join([scene.ends for scene in scenes], bars),
        radii=_join([scene.radii for scene in scenes], bars),
        spots=_join([scene.spots for scene in scenes], shadows),
        spreads=_join([scene.spreads for scene in scenes], shadows, fill=TINY),
        is_round=_join([scene.is_round for scene in scenes], shadows),
        stripes=np.concatenate([scene.stripes for scene in scenes]),
        receivers=np.concatenate([scene.receivers for scene in scenes]),
    )


def spread(coats: Coats, scene: Solids, joined: Solids) -> Coats:
    """Give the coats of a scene the numbers that its solids have after ``join``."""
    faces, kept = PLANES * scene.normals.shape[1], PLANES * joined.normals.shape[1]
    missing = 2 * (joined.radii.shape[1] - scene.radii.shape[1])

    def place(values: NDArray[T]) -> NDArray[T]:
        gap = np.zeros((kept - faces, *values.shape[1:]), values.dtype)
        rest = np.zeros((missing, *values.shape[1:]), values.dtype)
        return np.concatenate([values[:faces], gap, values[faces:], rest])

    return attrs.evolve(
        coats,
        colours=place(coats.colours),
        classes=place(coats.classes),
        instances=place(coats.instances),
        glows=place(coats.glows),
    )


def _join(parts: Sequence[NDArray[T]], count: int, *, fill: float = 0.0) -> NDArray[T]:
    """Join arrays (F, n, ...) along F, filled up to ``count`` along n."""
    padded = []
    for part in parts:
        frames, given = part.shape[:2]
        gap = np.full((frames, count - given, *part.shape[2:]), fill, part.dtype)
        padded.append(np.concatenate([part, gap], axis=1))
    return np.concatenate(padded)
