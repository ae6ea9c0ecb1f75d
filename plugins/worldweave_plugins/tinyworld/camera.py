"""Place the camera, and find where in the picture a solid may show."""

# F frames, S solids, P points

from __future__ import annotations

import math
from typing import Final

import numpy as np

from worldweave_plugins.tinyworld.scene import Camera
from worldweave_plugins.tinyworld.solids import Floats, Solids
from worldweave_plugins.tinyworld.trace import Rays, Window

FOCAL: Final = 0.8  # of the picture's width: 64 degrees across
NEAR: Final = 0.3  # metres; a window is trusted only beyond
SWAY: Final = 1.5  # radians per second: hardly bends 9 frames, holds 1000
CORNERS: Final = np.array(
    [[1 if i >> bit & 1 else -1 for bit in range(3)] for i in range(8)], dtype=float
)


def camera_poses(camera: Camera, times: Floats) -> Floats:
    """Return where the camera is at times (F,), world-from-camera, (F, 4, 4).

    The columns are right, down, ahead and the position. The world's axes (x
    right, y up, z away) are left-handed and the camera's right-handed, so the
    determinant is -1.
    """
    sway = np.sin(SWAY * times) / SWAY
    passed = np.stack([sway, sway, times], axis=-1)
    yaw = camera.yaw + camera.yaw_rate * sway
    cosine, sine, zero = np.cos(yaw), np.sin(yaw), np.zeros(len(times))
    falling, level = math.sin(camera.pitch), math.cos(camera.pitch)
    right = np.stack([cosine, zero, -sine], axis=-1)
    up = np.stack([sine * falling, zero + level, cosine * falling], axis=-1)
    ahead = np.stack([sine * level, zero - falling, cosine * level], axis=-1)
    poses = np.zeros((len(times), 4, 4))
    poses[:, :3, 0] = right
    poses[:, :3, 1] = -up
    poses[:, :3, 2] = ahead
    poses[:, :3, 3] = np.array(camera.position) + passed * np.array(camera.velocity)
    poses[:, 3, 3] = 1.0
    return poses


def camera_intrinsics(size: tuple[int, int]) -> Floats:
    """Return the matrix (3, 3) from camera axes to pixels of a picture (H, W).

    The middle of the first pixel is at (0.5, 0.5).
    """
    height, width = size
    focal = FOCAL * width
    return np.array(
        [[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]]
    )


def pixel_rays(poses: Floats, size: tuple[int, int]) -> Rays:
    """Cast a ray through the middle of each pixel of a picture (H, W).

    Directions are one metre long along the view axis, so that a distance is a
    depth.
    """
    height, width = size
    focal = FOCAL * width
    across = (np.arange(width) + 0.5 - width / 2) / focal
    down = (np.arange(height) + 0.5 - height / 2) / focal
    right, low, ahead = (poses[:, None, :3, axis] for axis in range(3))
    return Rays(
        origins=poses[:, :3, 3],
        rows=ahead + down[:, None] * low,
        columns=across[:, None] * right,
    )


def solid_windows(solids: Solids, poses: Floats, size: tuple[int, int]) -> list[Window]:
    """Return where each polyhedron, then each capsule, may show in any frame.

    It holds the boxes around them; what comes nearer than ``NEAR`` may show
    anywhere. The floor shows below its horizon.
    """
    ends = np.stack([solids.starts, solids.ends], axis=2)
    balls = ends[..., None, :] + solids.radii[..., None, None, None] * CORNERS
    boxes = solids.centres[:, :, None] + solids.reaches[:, :, None] * CORNERS
    is_endless = np.isinf(solids.reaches[0]).any(-1)
    boxes[:, is_endless] = 0.0
    windows = _windows(boxes, poses, size)
    for solid in np.flatnonzero(is_endless):
        windows[solid] = (slice(0, size[0]), slice(0, size[1]))
    windows[0] = _floor_window(poses, size)
    return windows + _windows(balls.reshape(*balls.shape[:2], 16, 3), poses, size)


def shadow_windows(
    solids: Solids, poses: Floats, size: tuple[int, int]
) -> list[Window]:
    """Return where each shadow may show in any frame."""
    points = np.zeros((*solids.spots.shape[:2], 8, 3))
    flat = solids.spots[:, :, None] + solids.spreads[:, :, None] * CORNERS[:, :2]
    points[..., [0, 2]] = flat
    return _windows(points, poses, size)


def _floor_window(poses: Floats, size: tuple[int, int]) -> Window:
    """Return the rows whose rays fall, of a camera that does not roll."""
    falls = pixel_rays(poses, size).rows[..., 1] < 0.0
    rows = np.flatnonzero(falls.any(0))
    return (slice(int(rows[0]), size[0]), slice(0, size[1])) if len(rows) else None


def _windows(points: Floats, poses: Floats, size: tuple[int, int]) -> list[Window]:
    """Return the windows that hold all points (F, S, P, 3) of each solid."""
    from_camera = points - poses[:, None, None, :3, 3]
    seen = from_camera @ poses[:, None, :3, :3]
    depth = seen[..., 2]
    pixels = FOCAL * size[1] * seen[..., :2] / np.maximum(depth, NEAR)[..., None]
    limits = np.array([size[1], size[0]])
    # A pixel's middle must lie between the outermost corners.
    low = np.floor(pixels.min((0, 2)) + limits / 2 - 0.5)
    high = np.ceil(pixels.max((0, 2)) + limits / 2 + 0.5)
    is_near = depth.min((0, 2)) < NEAR
    low = np.where(is_near[:, None], 0, np.clip(low, 0, limits)).astype(int)
    high = np.where(is_near[:, None], limits, np.clip(high, 0, limits)).astype(int)
    is_seen = (low < high).all(-1) & (depth.max((0, 2)) > NEAR)
    return [
        (slice(top, bottom), slice(left, right)) if seen_here else None
        for (left, top), (right, bottom), seen_here in zip(
            low.tolist(), high.tolist(), is_seen.tolist(), strict=True
        )
    ]
