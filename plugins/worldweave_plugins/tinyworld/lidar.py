"""Scan a scene with a laser that turns above the camera."""

# B scenes, F frames, N rays

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from worldweave_plugins.tinyworld.batch import join
from worldweave_plugins.tinyworld.camera import camera_intrinsics, solid_windows
from worldweave_plugins.tinyworld.render import AT_ONCE
from worldweave_plugins.tinyworld.scene import FPS, Scene
from worldweave_plugins.tinyworld.solids import Floats, Solids
from worldweave_plugins.tinyworld.stage import Stage, set_stage
from worldweave_plugins.tinyworld.trace import Rays, Window, trace

BEAMS: Final = 24
AZIMUTHS: Final = 72
HALF_HEIGHT: Final = math.radians(22.0)
HALF_WIDTH: Final = math.radians(32.0)
"""A scan covers what the camera sees: so far up, down, left and right."""
RANGE: Final = 60.0
"""Metres; what is farther does not answer."""
MOUNT: Final = 0.1
"""Metres from the camera up to the sensor."""


@attrs.frozen(kw_only=True, eq=False)
class LidarSweep:
    """What a laser scanner measures in each frame.

    ``points`` float32 (F, N, 3), metres in the sensor's own axes, which are
    those of the camera: x right, y down, z ahead; NaN where nothing came back.
    ``valid`` bool (F, N), true where something did. ``poses`` float32 (F, 4, 4),
    world-from-sensor. N counts beam by beam from the top, each from the left.
    """

    points: NDArray[np.float32]
    valid: NDArray[np.bool_]
    poses: NDArray[np.float32]


def lidar(
    scene: Scene, *, frames: int = 9, device: torch.device | str = "cpu"
) -> LidarSweep:
    """Scan a scene, ``BEAMS`` x ``AZIMUTHS`` rays a frame, all at one moment.

    Angles are even; the first and the last lie at the borders. The sensor is
    ``MOUNT`` above the camera and turns with it. Neither the sky nor what is
    farther than ``RANGE`` answers.
    """
    return lidar_batch([scene], frames=frames, device=device)[0]


def lidar_batch(
    scenes: Sequence[Scene], *, frames: int = 9, device: torch.device | str = "cpu"
) -> list[LidarSweep]:
    """Scan several scenes, on a GPU all at once."""
    together = 1 if torch.device(device).type == "cpu" else AT_ONCE
    stages = [set_stage(scene, np.arange(frames) / FPS) for scene in scenes]
    return [
        sweep
        for first in range(0, len(stages), together)
        for sweep in _scan(stages[first : first + together], device)
    ]


def _scan(stages: Sequence[Stage], device: torch.device | str) -> Iterator[LidarSweep]:
    poses = np.concatenate([stage.poses for stage in stages])
    poses[:, :3, 3] -= MOUNT * poses[:, :3, 1]
    # A ray reaches one metre on the sensor's level, and falls with its beam.
    falls = np.tan(np.linspace(-HALF_HEIGHT, HALF_HEIGHT, BEAMS))
    turns = np.linspace(-HALF_WIDTH, HALF_WIDTH, AZIMUTHS)
    right, down, ahead = (poses[:, None, :3, axis] for axis in range(3))
    rays = Rays(
        origins=poses[:, :3, 3],
        rows=falls[:, None] * down,
        columns=np.sin(turns)[:, None] * right + np.cos(turns)[:, None] * ahead,
    )
    solids = join([stage.solids for stage in stages])
    windows = _windows(solids, poses, falls, turns)
    level = trace(solids, rays, windows=windows, device=device).distance.cpu().numpy()
    falls = falls[:, None]
    level[level * np.sqrt(1.0 + falls**2) > RANGE] = np.nan
    parts = (level * np.sin(turns), level * falls, level * np.cos(turns))
    points = np.stack(parts, axis=-1).astype(np.float32)
    points = points.reshape(len(stages), -1, BEAMS * AZIMUTHS, 3)
    poses = poses.reshape(len(stages), -1, 4, 4).astype(np.float32)
    for own, pose in zip(points, poses, strict=True):
        yield LidarSweep(points=own, valid=~np.isnan(own[..., 0]), poses=pose)


def _windows(
    solids: Solids, poses: Floats, falls: Floats, turns: Floats
) -> list[Window]:
    """Return the beams and azimuths in which each solid may show.

    They hold the window of a picture that is a little wider than the scan.
    """
    side = 1000
    focal = camera_intrinsics((side, side))[0, 0]
    narrowest = math.cos(HALF_WIDTH)
    windows: list[Window] = []
    for window in solid_windows(solids, poses, (side, side)):
        if window is None:
            windows.append(None)
            continue
        top, bottom, left, right = (
            (edge - side / 2) / focal
            for part in window
            for edge in (part.start - 1, part.stop + 1)
        )
        # A beam falls as the picture does, times the cosine of the azimuth.
        low, high = min(top, narrowest * top), max(bottom, narrowest * bottom)
        beams = np.searchsorted(falls, (low, high)).tolist()
        azimuths = np.searchsorted(np.tan(turns), (left, right)).tolist()
        windows.append((slice(*beams), slice(*azimuths)))
    return windows
