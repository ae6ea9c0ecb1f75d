"""What a demonstration is about: clips the base makes itself, or a person's video."""

# T frames, H W rows and columns

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import attrs
import numpy as np

from worldweave.base import Clip, Frames
from worldweave.evaluate.clips import held_out
from worldweave.evaluate.regions import Mask, foreground_of
from worldweave.io import sizes
from worldweave.io import video as video_io
from worldweave.request.check import make_preprocessor
from worldweave.request.controls import report_of, run_preprocessor
from worldweave_registry import Base, Modality, WorldweaveError, one_line

#: How far, as a share of the half axes, the ellipse's edge fades on either side.
_SOFTNESS = 0.15


@attrs.frozen(kw_only=True, eq=False)
class Subject:
    """One video to follow, with everything known of it.

    name: of its folder. origin: what it is, in words. video: the file the pipeline
    reads, its first frames at least. frames uint8
    (T, H, W, 3) at the base's size. controls: by modality, like frames.
    foreground: float32 (T, H, W) in 0..1, and in words where it comes from. clip:
    what its maker knows, None for a person's video. unshown: by modality, why it
    takes no part.
    """

    name: str
    origin: str
    prompt: str
    video: Path
    frames: Frames
    fps: Fraction
    seen_size: tuple[int, int]
    controls: Mapping[str, Frames]
    foreground: Mask
    foreground_from: str
    clip: Clip | None
    unshown: Mapping[str, str]


def held_out_clips(base: Base, numbers: Iterable[int]) -> dict[int, Clip]:
    """Make the held-out clips of *base* with *numbers*, which count from 0.

    Raise WorldweaveError for a base that makes none.
    """
    if base.clips is None:
        raise WorldweaveError(
            f"base {base.name!r} makes no clips; give a video: worldweave demo my.mp4"
        )
    return {number: held_out(base, 1, first=number)[0] for number in numbers}


def from_clip(
    name: str,
    clip: Clip,
    prompt: str,
    base: Base,
    modalities: Iterable[Modality],
    folder: Path,
) -> Subject:
    """Return *clip* as a subject; its frames are to be saved in *folder*, exactly."""
    made, unshown = {}, {}
    for modality in modalities:
        if modality.name in clip.controls:
            made[modality.name] = clip.controls[modality.name]
            continue
        if modality.preprocessor is None:
            unshown[modality.name] = "the base's clips carry no control for it"
            continue
        try:
            made[modality.name] = _preprocessed(modality, clip.video)
        except WorldweaveError as error:
            unshown[modality.name] = one_line(error)
    foreground, origin = _foreground(base, clip)
    return Subject(
        name=name,
        origin=f"A clip {base.name} made itself and no training has seen",
        prompt=prompt,
        video=folder / "source.npy",
        frames=clip.video,
        fps=Fraction(base.fps).limit_denominator(1001),
        seen_size=clip.video.shape[1:3],
        controls=made,
        foreground=foreground,
        foreground_from=origin,
        clip=clip,
        unshown=unshown,
    )


def from_video(
    file: Path,
    prompt: str,
    base: Base,
    modalities: Iterable[Modality],
    *,
    frames: int,
) -> Subject:
    """Return the first *frames* of a video file as a subject.

    Raise WorldweaveError for what is no video of at least a chunk of *base*.
    """
    if frames < base.chunk_frames:
        raise WorldweaveError(
            f"frames is {frames}, but {base.name} makes {base.chunk_frames} at once; "
            "give that many or more"
        )
    seen_size = video_io.probe(file).size
    size = sizes.bucket(seen_size, base.sizes)
    read = video_io.read(
        file, max_frames=frames, fit=lambda each: sizes.resize(each, size, "video")
    )
    length = len(read.frames)
    if length < base.chunk_frames:
        what = "is a single picture" if length == 1 else f"has {length} frames"
        raise WorldweaveError(
            f"{file} {what}; the demonstration needs a video of at least "
            f"{base.chunk_frames} frames, as many as {base.name} makes at once"
        )
    made, unshown = {}, {}
    for modality in modalities:
        if modality.preprocessor is None:
            unshown[modality.name] = "it cannot be made from a video alone"
            continue
        try:
            made[modality.name] = _preprocessed(modality, read.frames)
        except WorldweaveError as error:
            unshown[modality.name] = one_line(error)
    if not made:
        reasons = "; ".join(f"{name}: {why}" for name, why in unshown.items())
        raise WorldweaveError(
            f"no control can be made from {file} ({reasons or 'no modality'}); "
            "see worldweave plugins"
        )
    width, height = seen_size[1], seen_size[0]
    return Subject(
        name="video",
        origin=f"{file.name}, its first {length} frames, brought from {width}x{height} "
        f"to {size[1]}x{size[0]}",
        prompt=prompt,
        video=file,
        frames=read.frames,
        fps=read.fps,
        seen_size=seen_size,
        controls=made,
        foreground=np.repeat(ellipse(size)[None], length, axis=0),
        foreground_from="an ellipse in the middle with a soft edge, whatever it shows",
        clip=None,
        unshown=unshown,
    )


def ellipse(size: tuple[int, int]) -> Mask:
    """Return (H, W) in 0..1: one in the middle, zero outside, soft between.

    Half the height and half the width of the picture lie inside.
    """
    height, width = size
    rows = (np.arange(height, dtype=np.float32) + 0.5) / height * 2 - 1
    columns = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1
    # 1 on the edge of the ellipse, whose half axes are half of the picture's.
    radius = 2 * np.hypot(rows[:, None], columns[None, :])
    fade = (1 + _SOFTNESS - radius) / (2 * _SOFTNESS)
    return fade.clip(0, 1).astype(np.float32)


def _preprocessed(modality: Modality, frames: Frames) -> Frames:
    preprocess = make_preprocessor(modality.name, modality, {})
    if preprocess is None:
        raise WorldweaveError(f"{modality.name!r} has no preprocessor")
    return run_preprocessor(
        modality.name, preprocess, frames, report=report_of(modality)
    )


def _foreground(base: Base, clip: Clip) -> tuple[Mask, str]:
    if base.foreground is None:
        still = ellipse(clip.video.shape[1:3])
        return (
            np.repeat(still[None], len(clip.video), axis=0),
            "an ellipse in the middle with a soft edge",
        )
    return foreground_of(
        base, clip
    ), "known exactly, because the base's own renderer drew the clip"
