"""Check the files: can they be read, are they long enough, is their pace even."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from worldweave.io.sizes import bucket
from worldweave.train.data.layout import VIDEOS, DataFolder
from worldweave.train.data.look_finding import Finding, shared
from worldweave.train.data.look_sample import Seen
from worldweave.train.data.look_viewing import Viewing
from worldweave.train.words import counted
from worldweave_registry import Base

#: A rate this many times the base's, or the inverse, is another speed to the eye.
_OTHER_RATE = 1.25
#: Uneven: so many of the intervals are odd, or one is so many times the usual.
_ODD_SHARE, _GAP = 0.05, 4.0
#: Squeezed so much that wheels are no circles, and that nothing is like itself.
_OVAL, _DISTORTED = 1.1, 1.4
_ENLARGED = 0.75


def windows_of(seen: Seen, chunk_frames: int) -> int:
    """Return how many different clips of a chunk can be cut from a sample."""
    if seen.video is None:
        return 0
    length = seen.video.frames
    if seen.control is not None:
        length = min(length, seen.control.frames)
    return max(0, length - chunk_frames + 1)


def file_findings(folder: DataFolder, seen: Sequence[Seen]) -> list[Finding]:
    """Tell which videos and controls cannot be read, and why."""
    damage = {path: why for each in seen for path, why in each.damage.items()}
    found = shared(
        "error",
        ".",
        {
            path.relative_to(folder.root).as_posix(): reason(why, path)
            for path, why in damage.items()
        },
        len(folder.samples) + sum(s.control is not None for s in folder.samples),
        "file",
        ("cannot be read", "cannot be read"),
        "Training would stop there.",
        "make or copy them again, or remove the samples",
        # Each has its own reason.
        shown=20,
    )
    names = tuple(each.sample.name for each in seen if each.damage)
    return [attrs.evolve(finding, samples=names) for finding in found]


def video_findings(seen: Sequence[Seen], base: Base) -> list[Finding]:
    """Tell what is odd about the videos themselves, for this base."""
    videos = {s.sample.name: s.video for s in seen if s.video is not None}
    return [
        *_short(videos, base),
        *_other_rates(videos, base),
        *_uneven(videos, VIDEOS, "video"),
        *_squeezed(videos, base),
        *_enlarged(videos, base),
        *_pictureless(videos),
    ]


def _short(videos: Mapping[str, Viewing], base: Base) -> list[Finding]:
    return shared(
        "error",
        VIDEOS,
        {
            n: counted(f.frames, "frame")
            for n, f in videos.items()
            if f.frames < base.chunk_frames
        },
        len(videos),
        "video",
        ("is too short", "are too short"),
        f"The base {base.name} makes {base.chunk_frames} frames at once, so it needs "
        f"at least {base.chunk_frames} to learn from.",
        "give longer videos, or remove the samples",
    )


def _other_rates(videos: Mapping[str, Viewing], base: Base) -> list[Finding]:
    odd = {}
    for name, film in videos.items():
        ratio = float(film.fps or base.fps) / base.fps
        if not 1 / _OTHER_RATE <= ratio <= _OTHER_RATE:
            odd[name] = f"{float(film.fps or 0):g}"
    return shared(
        "warning",
        VIDEOS,
        odd,
        len(videos),
        "video",
        ("has another frame rate", "have another frame rate"),
        f"The base {base.name} knows {base.fps:g} frames a second. Frames are taken as "
        "they come, so in these videos everything seems to move faster (fewer frames "
        "a second) or slower (more) than it knows.",
        f"convert them, for example: ffmpeg -i IN.mp4 -r {base.fps:g} OUT.mp4, and the "
        "controls likewise",
    )


def _uneven(films: Mapping[str, Viewing], subject: str, word: str) -> list[Finding]:
    odd = {}
    for name, film in films.items():
        pace = film.pace
        if pace is None or not pace.usual:
            continue
        if pace.longest > _GAP * pace.usual:
            odd[name] = f"a gap of {pace.longest:.2f} s"
        elif pace.odd_share > _ODD_SHARE:
            odd[name] = f"{pace.odd_share:.0%} of the frames"
    return shared(
        "warning",
        subject,
        odd,
        len(films),
        word,
        ("is shown at an uneven pace", "are shown at an uneven pace"),
        "Frames are missing or come late, as in recordings of phones and screens. "
        "Frames are taken as they come, so motion jumps there.",
        "convert them to an even pace, for example: ffmpeg -i IN.mp4 -fps_mode cfr "
        "OUT.mp4",
    )


def _squeezed(videos: Mapping[str, Viewing], base: Base) -> list[Finding]:
    much, little = {}, {}
    for name, film in videos.items():
        height, width = bucket(film.size, base.sizes)
        factor = (width / height) / film.aspect
        told = f"{film.size[1]}x{film.size[0]}"
        if max(factor, 1 / factor) > _DISTORTED:
            much[name] = told
        elif max(factor, 1 / factor) > _OVAL:
            little[name] = told
    sizes = ", ".join(f"{width}x{height}" for height, width in base.sizes)
    why = (
        f"The base {base.name} works at {sizes} (width x height), and a video is "
        "scaled to the nearest without cutting: circles become ovals."
    )
    mend = "crop them to the shape of the base before, and the controls likewise"
    verb = ("has another shape", "have another shape")
    total = len(videos)
    return [
        *shared("warning", VIDEOS, much, total, "video", verb, why, mend),
        *shared("note", VIDEOS, little, total, "video", verb, why, mend),
    ]


def _enlarged(videos: Mapping[str, Viewing], base: Base) -> list[Finding]:
    small = {}
    for name, film in videos.items():
        height, width = bucket(film.size, base.sizes)
        if max(film.size[0] / height, film.size[1] / width) < _ENLARGED:
            small[name] = f"{film.size[1]}x{film.size[0]}"
    return shared(
        "warning",
        VIDEOS,
        small,
        len(videos),
        "video",
        ("is smaller than the base works", "are smaller than the base works"),
        f"The base {base.name} works at {base.sizes[0][1]}x{base.sizes[0][0]}. They "
        "are enlarged, which makes no detail: the branch learns blurred pictures.",
        "give larger videos",
    )


def _pictureless(videos: Mapping[str, Viewing]) -> list[Finding]:
    return shared(
        "warning",
        VIDEOS,
        [name for name, film in videos.items() if film.flat == film.seen],
        len(videos),
        "video",
        ("shows one even colour", "show one even colour"),
        "There is nothing in it to learn from.",
        "record or convert it again, or remove the sample",
    )


def reason(error: str, path: Path) -> str:
    """Return what an error says of *path*, without the path and without advice that
    is for other readers.
    """
    said = (
        error.replace(str(path), "")
        .removeprefix("cannot read")
        .strip(" :")
        .replace(" ;", ";")
    )
    return said.removeprefix("is ").partition(", or read those")[0]
