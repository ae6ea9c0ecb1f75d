"""The videos of a data folder and their controls, of which any window can be read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import attrs

from worldweave.base import Clip, Frames
from worldweave.io import sizes
from worldweave.io.windows import Film
from worldweave.train.data.layout import DataFolder, Sample, read_caption
from worldweave_registry import Base, Modality, Problems, WorldweaveError

#: The share of the videos that monitors look at and training never does.
HELD_OUT = 0.05


@attrs.frozen(kw_only=True, eq=False)
class Footage:
    """One video, its prompt, and its control where that is a file.

    size: the (H, W) of the base's that windows are brought to.
    """

    name: str
    prompt: str
    video: Film
    control: Film | None
    size: tuple[int, int]

    def window(self, start: int, count: int, modality: Modality) -> Clip:
        """Read *count* frames from frame *start* on, of the control as well.

        Both are scaled as generation does it: a video over areas, the colours of a
        label video unmixed.
        """
        kind: sizes.Kind = "labels" if modality.is_label_video else "control"
        controls = {}
        if self.control is not None:
            controls[modality.name] = self._read(self.control, start, count, kind)
        return Clip(
            video=self._read(self.video, start, count, "video"),
            prompt=self.prompt,
            controls=controls,
        )

    def _read(self, film: Film, start: int, count: int, kind: sizes.Kind) -> Frames:
        return film.read(start, count, lambda f: sizes.resize(f, self.size, kind))


def open_footage(
    folder: DataFolder, modality: Modality, base: Base
) -> tuple[Footage, ...]:
    """Open every video of *folder* for a training of *modality* on *base*.

    Raise Problems naming every file that cannot be read, every video that is too
    short, and every control that is missing or does not belong to its video.
    """
    footage: list[Footage] = []
    problems: list[str] = []
    for sample in folder.samples:
        try:
            one = _open(sample, base)
        except WorldweaveError as error:
            problems.append(str(error))
            continue
        problems += _problems(one, modality, base)
        footage.append(one)
    if problems:
        raise Problems(problems)
    return tuple(footage)


def _open(sample: Sample, base: Base) -> Footage:
    video = Film.open(sample.video)
    return Footage(
        name=sample.name,
        prompt=read_caption(sample.caption),
        video=video,
        control=None if sample.control is None else Film.open(sample.control),
        size=sizes.bucket(video.size, base.sizes),
    )


def _problems(footage: Footage, modality: Modality, base: Base) -> list[str]:
    video, control = footage.video, footage.control
    found = []
    if video.frames < base.chunk_frames:
        found.append(
            f"{video.path} has {video.frames} frames and base {base.name!r} makes "
            f"{base.chunk_frames} at once; give a longer video or remove it"
        )
    if control is None and modality.preprocessor is None:
        found.append(
            f"{video.path} has no control and {modality.name!r} has no preprocessor "
            f"to make one; add {modality.name}/{footage.name}.mp4 or remove the video"
        )
    if control is not None and control.frames != video.frames:
        found.append(
            f"{control.path} has {control.frames} frames but {video.path} has "
            f"{video.frames}; give a control for every frame"
        )
    return found


def held_out(names: Sequence[str]) -> tuple[str, ...]:
    """Return which of *names* monitors look at and training never does.

    One in twenty, by a hash of the name, so that others stay what they are where
    videos are added; one at least of two or more, and never all.
    """
    if len(names) < 2:
        return ()
    ranked = sorted(names, key=_place)
    chosen = [name for name in ranked if _place(name) < HELD_OUT]
    return tuple(chosen[: len(names) - 1] or ranked[:1])


def fingerprint(folder: DataFolder) -> str:
    """Return 12 digits that tell the files of *folder* from others, by name and size.

    Raise WorldweaveError for a file that is gone.
    """
    listing = [
        f"{role} {path.relative_to(folder.root).as_posix()} {_size(path)}\n"
        for sample in folder.samples
        for role, path in (
            ("video", sample.video),
            ("caption", sample.caption),
            ("control", sample.control),
        )
        if path is not None
    ]
    return hashlib.sha256("".join(listing).encode()).hexdigest()[:12]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise WorldweaveError(
            f"cannot read {path}: {error.strerror}; check the file"
        ) from error


def _place(name: str) -> float:
    """Return a number in 0..1 that only the name decides."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
