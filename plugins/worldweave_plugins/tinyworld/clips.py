"""Make training clips of the tiny world: video, prompt, exact controls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from worldweave.base import Clip
from worldweave.io import video
from worldweave_plugins.tinyworld.labels import colour_classes
from worldweave_plugins.tinyworld.render import render, render_rgb
from worldweave_plugins.tinyworld.scene import FPS, sample

EXAMPLE_SEED: Final = 1_000_026  # two green cars by day
EXAMPLE_SIZE: Final = (192, 288)
EXAMPLE_FRAMES: Final = 33


def clips(seed: int, count: int) -> Iterator[Clip]:
    """Make ``count`` clips of 9 frames, 64 x 96, from seeds ``seed`` onwards."""
    for number in range(seed, seed + count):
        scene = sample(number)
        clip = render(scene)
        controls = {
            "depth": inverse_depth(clip.depth),
            "seg": colour_classes(clip.classes),
        }
        yield Clip(video=clip.rgb, prompt=scene.prompt, controls=controls)


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
