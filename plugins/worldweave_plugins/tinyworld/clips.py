"""Make training clips of the tiny world: video, prompt, exact controls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from worldweave.base import Clip
from worldweave.io import video
from worldweave_plugins.tinyworld.labels import class_index, colour_classes
from worldweave_plugins.tinyworld.render import (
    AT_ONCE,
    Rendering,
    render,
    render_batch,
    render_rgb,
)
from worldweave_plugins.tinyworld.sampling import sample
from worldweave_plugins.tinyworld.scene import FPS, Scene
from worldweave_plugins.tinyworld.sensors import (
    LidarSweep,
    hdmap_control,
    lidar,
    lidar_batch,
    lidar_control,
    lidar_truth,
)

EXAMPLE_SEED: Final = 1_001_062  # two green cars by day
EXAMPLE_SIZE: Final = (192, 288)
EXAMPLE_FRAMES: Final = 33


def clips(
    seed: int, count: int, *, device: torch.device | str = "cpu"
) -> Iterator[Clip]:
    """Make ``count`` clips of 9 frames, 64 x 96, from seeds ``seed`` onwards.

    Clip n shows the scene of its seed, however many are made. Its controls are
    "depth", "seg", "hdmap" and "lidar"; its ``truth``:

    * "depth" float32 (F, H, W), metres, infinite in the sky;
    * "classes" uint8 (F, H, W), an index into ``CLASSES``;
    * "instances" uint8 (F, H, W), 0 where nothing is counted;
    * "lanes" bool (F, H, W), true on painted lines;
    * "lidar" float32 (F, N, 3): u and v in pixels and depth in metres of each
      return that the camera sees, NaN where there is none.
    """
    for first in range(seed, seed + count, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, seed + count))
        scenes = [sample(number) for number in numbers]
        renderings = render_batch(scenes, device=device)
        sweeps = lidar_batch(scenes, device=device)
        yield from map(_clip, scenes, renderings, sweeps)


def film(
    scene: Scene,
    *,
    size: tuple[int, int] = (64, 96),
    frames: int = 9,
    device: torch.device | str = "cpu",
) -> Clip:
    """Make the clip of one scene at any (height, width) and length."""
    rendering = render(scene, size=size, frames=frames, device=device)
    return _clip(scene, rendering, lidar(scene, frames=frames, device=device))


def _clip(scene: Scene, rendering: Rendering, sweep: LidarSweep) -> Clip:
    return Clip(
        video=rendering.rgb,
        prompt=scene.prompt,
        controls={
            "depth": inverse_depth(rendering.depth),
            "seg": colour_classes(rendering.classes),
            "hdmap": hdmap_control(scene, rendering),
            "lidar": lidar_control(rendering, sweep),
        },
        truth={
            "depth": rendering.depth,
            "classes": rendering.classes,
            "instances": rendering.instances,
            "lanes": rendering.classes == class_index("line"),
            "lidar": lidar_truth(rendering, sweep),
        },
    )


def inverse_depth(depth: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Show depth (F, H, W) in metres as RGB, near bright, over the whole clip.

    The root of the inverse: plain inverse depth leaves all but the nearest
    metres black.
    """
    shown = np.sqrt(1.0 / np.maximum(depth, 0.3))
    low, high = float(shown.min()), float(shown.max())
    grey = (shown - low) * (255.0 / max(high - low, 1e-6))
    return np.repeat(grey.round().astype(np.uint8)[..., None], 3, axis=-1)


def write_example(path: Path) -> None:
    """Write a street drive of 33 frames, 192 x 288, as a video file."""
    scene = sample(EXAMPLE_SEED, "street")
    frames = render_rgb(scene, size=EXAMPLE_SIZE, frames=EXAMPLE_FRAMES)
    video.write(path, frames, FPS)
