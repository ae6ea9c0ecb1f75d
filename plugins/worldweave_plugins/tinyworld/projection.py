"""Move points between the world, a sensor and the picture."""

# F frames, N points

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def inverse(poses: Floats) -> Floats:
    """Turn world-from-sensor (F, 4, 4) into sensor-from-world; rigid or mirrored."""
    turned = poses[:, :3, :3].transpose(0, 2, 1)
    inverted = poses.copy()
    inverted[:, :3, :3] = turned
    inverted[:, :3, 3] = -(turned @ poses[:, :3, 3:])[..., 0]
    return inverted


def move(poses: Floats, points: Floats) -> Floats:
    """Take points (F, N, 3), or (N, 3) for all frames, through poses (F, 4, 4)."""
    moved: Floats = points @ poses[:, :3, :3].transpose(0, 2, 1) + poses[:, None, :3, 3]
    return moved


def project(intrinsics: Floats, points: Floats) -> Floats:
    """Return where points (..., 3) in camera axes lie in the picture, (..., 2).

    In pixels, the centre of the first at 0.5. Of no use for what is not ahead.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        level = points[..., :2] / points[..., 2:]
    pixels: Floats = level * (intrinsics[0, 0], intrinsics[1, 1]) + intrinsics[:2, 2]
    return pixels.astype(np.float32)


def unproject(intrinsics: Floats, pixels: Floats, depth: Floats) -> Floats:
    """Return the point in camera axes (..., 3) that lies at pixels (..., 2).

    ``depth`` (...) is metres along the view axis.
    """
    level = (pixels - intrinsics[:2, 2]) / (intrinsics[0, 0], intrinsics[1, 1])
    points = np.concatenate([level * depth[..., None], depth[..., None]], axis=-1)
    return points.astype(np.float32)
