"""Render a scene: RGB frames with the classes, instances and depth behind them.

Rays are cast through the middle of every pixel for the labels, and four a pixel
for the picture, so that edges are smooth. Both see the same solids.
"""

# F frames, B scenes

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from worldweave_plugins.tinyworld.batch import join, spread
from worldweave_plugins.tinyworld.camera import (
    camera_intrinsics,
    pixel_rays,
    shadow_windows,
    solid_windows,
)
from worldweave_plugins.tinyworld.scene import FPS, Scene
from worldweave_plugins.tinyworld.shading import (
    coat_palette,
    label_palette,
    surface_numbers,
)
from worldweave_plugins.tinyworld.solids import Coats, Floats
from worldweave_plugins.tinyworld.stage import Stage, set_stage
from worldweave_plugins.tinyworld.trace import trace
from worldweave_registry import Problems

Frames = NDArray[np.uint8]

SUPERSAMPLE: Final = 2
AT_ONCE: Final = 64
"""Scenes that a GPU renders at once."""
PIXELS_AT_ONCE: Final = 2**19
SMALLEST, LARGEST = 8, 2160
LONGEST: Final = 10_000  # frames


@attrs.frozen(kw_only=True, eq=False)
class Rendering:
    """A clip with its ground truth.

    ``rgb`` uint8 (F, H, W, 3); ``classes`` uint8 (F, H, W), an index into
    ``CLASSES``; ``instances`` uint8 (F, H, W), 0 where nothing is counted;
    ``depth`` float32 (F, H, W), metres along the view axis, infinite in the sky.
    ``intrinsics`` float32 (3, 3) and ``poses`` float32 (F, 4, 4), world from
    camera: see ``worldweave_plugins.tinyworld.camera``.
    """

    rgb: Frames
    classes: Frames
    instances: Frames
    depth: NDArray[np.float32]
    intrinsics: NDArray[np.float32]
    poses: NDArray[np.float32]


def render(
    scene: Scene,
    *,
    size: tuple[int, int] = (64, 96),
    frames: int = 9,
    device: torch.device | str = "cpu",
) -> Rendering:
    """Render a clip with labels; ``size`` is (height, width).

    Raises Problems where the scene, the size or the number of frames cannot be.
    """
    return render_batch([scene], size=size, frames=frames, device=device)[0]


def render_rgb(
    scene: Scene,
    *,
    size: tuple[int, int] = (64, 96),
    frames: int = 9,
    device: torch.device | str = "cpu",
) -> Frames:
    """Render only the picture, uint8 (F, H, W, 3). Raises as ``render``."""
    pieces = [
        _picture([set_stage(scene, times)], size, device)[0].cpu().numpy()
        for times in _pieces(size, frames)
    ]
    return np.concatenate(pieces)


def render_batch(
    scenes: Sequence[Scene],
    *,
    size: tuple[int, int] = (64, 96),
    frames: int = 9,
    device: torch.device | str = "cpu",
) -> list[Rendering]:
    """Render several scenes as ``render`` does, on a GPU many at once."""
    # Solids are cut out of the picture scene by scene: on a CPU that saves most.
    together = 1 if torch.device(device).type == "cpu" else AT_ONCE
    return [
        rendering
        for group in _groups(scenes, together)
        for rendering in render_together(group, size=size, frames=frames, device=device)
    ]


def render_together(
    scenes: Sequence[Scene],
    *,
    size: tuple[int, int] = (64, 96),
    frames: int = 9,
    device: torch.device | str = "cpu",
) -> list[Rendering]:
    """Render several scenes in one pass over all their pixels."""
    pieces = [_render_piece(scenes, t, size, device) for t in _pieces(size, frames)]
    rgb, classes, instances, depth, poses = (
        np.concatenate(parts, axis=1) for parts in zip(*pieces, strict=True)
    )
    intrinsics = camera_intrinsics(size).astype(np.float32)
    return [
        Rendering(
            rgb=rgb[number],
            classes=classes[number],
            instances=instances[number],
            depth=depth[number],
            intrinsics=intrinsics,
            poses=poses[number],
        )
        for number in range(len(scenes))
    ]


def _groups(scenes: Sequence[Scene], most: int) -> Iterator[Sequence[Scene]]:
    for first in range(0, len(scenes), most):
        yield scenes[first : first + most]


def _pieces(size: tuple[int, int], frames: int) -> list[Floats]:
    """Return the times of the frames, seconds, in pieces that fit into memory."""
    problems = [
        f"the {name} of the picture is {length} pixels; give a whole number from "
        f"{SMALLEST} to {LARGEST}"
        for name, length in zip(("height", "width"), size, strict=True)
        if not SMALLEST <= length <= LARGEST
    ]
    if not 1 <= frames <= LONGEST:
        problems.append(f"{frames} frames cannot be rendered; ask for 1 to {LONGEST}")
    if problems:
        raise Problems(problems)
    times = np.arange(frames) / FPS
    most = max(1, PIXELS_AT_ONCE // (size[0] * size[1]))
    return [times[first : first + most] for first in range(0, frames, most)]


def _render_piece(
    scenes: Sequence[Scene],
    times: Floats,
    size: tuple[int, int],
    device: torch.device | str,
) -> tuple[NDArray[Any], ...]:
    """Return the fields of a Rendering with a batch dimension, (B, F, ...)."""
    stages = [set_stage(scene, times) for scene in scenes]
    shown = [_picture(stages, size, device), *_labels(stages, size, device)]
    poses = np.stack([stage.poses for stage in stages]).astype(np.float32)
    return *(part.cpu().numpy() for part in shown), poses


def _picture(
    stages: Sequence[Stage], size: tuple[int, int], device: torch.device | str
) -> Tensor:
    """Return uint8 (B, F, H, W, 3): each pixel is the mean of four colours."""
    fine = (SUPERSAMPLE * size[0], SUPERSAMPLE * size[1])
    look = _look(stages, fine, device)
    palettes = [
        coat_palette(coats, stage.time, fine[0])
        for coats, stage in zip(look.coats, stages, strict=True)
    ]
    palette = np.concatenate(palettes).astype(np.float32) / SUPERSAMPLE**2
    colours = torch.from_numpy(palette).to(device)
    total = torch.full((), 0.5, device=device)  # to round, not to cut off
    for row in range(SUPERSAMPLE):
        for column in range(SUPERSAMPLE):
            part = look.numbers[:, row::SUPERSAMPLE, column::SUPERSAMPLE]
            total = total + F.embedding(part.contiguous(), colours)
    return total.to(torch.uint8).view(len(stages), -1, *size, 3)


def _labels(
    stages: Sequence[Stage], size: tuple[int, int], device: torch.device | str
) -> tuple[Tensor, Tensor, Tensor]:
    """Return classes and instances uint8 and depth float32, (B, F, H, W)."""
    look = _look(stages, size, device)
    palettes = [label_palette(coats, size[0]) for coats in look.coats]
    palette = torch.from_numpy(np.concatenate(palettes)).to(device)
    labels = [palette[:, part][look.numbers] for part in range(2)]
    classes, instances, depth = (
        part.view(len(stages), -1, *size) for part in (*labels, look.depth)
    )
    return classes, instances, depth


@attrs.frozen(kw_only=True, eq=False)
class _Look:
    """What every ray shows, (B F, H, W): a row of the palettes, and its depth.

    ``coats`` are those of each scene, in the order of the numbers.
    """

    numbers: Tensor
    depth: Tensor
    coats: list[Coats]


def _look(
    stages: Sequence[Stage], size: tuple[int, int], device: torch.device | str
) -> _Look:
    solids = join([stage.solids for stage in stages])
    poses = np.concatenate([stage.poses for stage in stages])
    rays = pixel_rays(poses, size)
    windows = solid_windows(solids, poses, size)
    hits = trace(solids, rays, windows=windows, device=device)
    numbers = surface_numbers(
        hits,
        solids,
        rays,
        floor=windows[0],
        shadows=shadow_windows(solids, poses, size),
    )
    # Palettes of the scenes follow each other.
    rows = 2 * solids.numbers + size[0]
    first = torch.arange(0, rows * len(stages), rows, device=device, dtype=torch.int32)
    frames = len(poses) // len(stages)
    return _Look(
        numbers=numbers + first.repeat_interleave(frames)[:, None, None],
        depth=hits.distance,
        coats=[spread(stage.coats, stage.solids, solids) for stage in stages],
    )
