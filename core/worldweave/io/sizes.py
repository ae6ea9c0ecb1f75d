"""Bring frames to a base's size and length, and to the range its autoencoder takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from worldweave.base import Frames

Kind = Literal["video", "control", "labels"]

# As in the released system. Labels may not mix: a colour is a class.
_INTERPOLATION: dict[Kind, int] = {
    "video": cv2.INTER_AREA,
    "control": cv2.INTER_LINEAR,
    "labels": cv2.INTER_NEAREST,
}


def bucket(size: tuple[int, int], sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the one of *sizes* whose width / height is nearest to that of *size*.

    All are (H, W). Of equals the first wins.
    """
    if not sizes:
        raise ValueError("there are no sizes to choose from; a base names at least one")
    height, width = size
    return min(sizes, key=lambda other: abs(other[1] / other[0] - width / height))


def resize(frames: Frames, size: tuple[int, int], kind: Kind) -> Frames:
    """Scale (T, H, W, 3) to (T, *size, 3), each axis by its own factor.

    A "video" is averaged over areas, a "control" interpolated linearly, "labels"
    keep their exact colours. Frames that have the size already come back as they
    are.
    """
    if frames.shape[1:3] == size:
        return frames
    height, width = size
    scaled = np.empty((len(frames), height, width, 3), np.uint8)
    for source, target in zip(frames, scaled, strict=True):
        target[...] = cv2.resize(
            np.ascontiguousarray(source),
            (width, height),
            interpolation=_INTERPOLATION[kind],
        )
    return scaled


def fit_length(frames: Frames, length: int) -> Frames:
    """Cut (T, H, W, 3) to *length* frames, or repeat the last one up to it."""
    if len(frames) == 0 or length < 1:
        raise ValueError(
            f"cannot make {length} frames of {len(frames)}; both must be at least one"
        )
    missing = max(0, length - len(frames))
    return np.concatenate([frames[:length], np.repeat(frames[-1:], missing, axis=0)])


def to_unit(frames: Frames, device: torch.device | str = "cpu") -> Tensor:
    """Map uint8 (T, H, W, 3) to float32 (1, 3, T, H, W) in -1..1: x / 255 * 2 - 1.

    They go to *device* as they are, a quarter of the bytes; the work is done there.
    """
    # torch takes no array that runs backwards, and warns of what cannot be written.
    plain = np.require(frames, requirements=["C", "W"])
    video = torch.from_numpy(plain).to(device).permute(3, 0, 1, 2).contiguous()
    # On a GPU torch multiplies by 1 / 255 instead where a number is not there, too.
    levels = torch.full((), 255.0, device=device)
    return video[None].float().div_(levels).mul_(2).sub_(1)


def to_frames(video: Tensor) -> Frames:
    """Map float (1, 3, T, H, W) in -1..1 to uint8 (T, H, W, 3); beyond is clamped.

    Rounds to the nearest level, so it undoes `to_unit`. The released system
    truncates, which darkens by half a level each time. Raises ValueError for
    values that are not finite: they would silently become black.
    """
    if not torch.isfinite(video).all():
        raise ValueError(
            "the decoded video has values that are not finite; "
            "compute in float32 or check the weights"
        )
    (picture,) = video.detach().float().clamp(-1, 1)
    levels = ((picture + 1) * 127.5).round().to(torch.uint8)
    return np.ascontiguousarray(levels.permute(1, 2, 3, 0).cpu().numpy())
