"""Pair the files of a data folder: videos, their captions, their controls.

A data folder holds ``videos/``, ``captions/`` and one folder per modality, such as
``thermal/``. What belongs together has one name: ``videos/drive/0001.mp4``,
``captions/drive/0001.txt``, ``thermal/drive/0001.mp4``. Nothing is opened here.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import attrs

from worldweave_registry import Problems, WorldweaveError

VIDEOS, CAPTIONS = "videos", "captions"
VIDEO_ENDINGS = (".mp4", ".mov", ".mkv", ".webm", ".avi")
#: Of controls. A .npy holds uint8 (T, H, W, 3), exactly, and no frame rate.
CONTROL_ENDINGS = (*VIDEO_ENDINGS, ".npy")
CAPTION_ENDINGS = (".txt",)
#: Of caption files: far more than any prompt, far less than a mistaken video.
_LARGEST_CAPTION = 64 * 1024
_ARRANGEMENT = (
    "a data folder holds videos/NAME.mp4, captions/NAME.txt and {modality}/NAME.mp4"
)


@attrs.frozen(kw_only=True)
class Sample:
    """One video to train on, by its path in ``videos/`` without the ending."""

    name: str
    video: Path
    caption: Path | None
    control: Path | None


@attrs.frozen(kw_only=True)
class DataFolder:
    """The samples of a folder, sorted by name, and the files that belong to none."""

    root: Path
    modality: str
    samples: tuple[Sample, ...]
    orphans: tuple[Path, ...]
    """Captions and controls without a video, and files of kinds not read here."""


def read_layout(root: Path, modality: str) -> DataFolder:
    """Pair the files in *root* for *modality*, by name alone.

    Raises Problems where there are no videos, where a folder has nearly the right
    name, and where two files have one name; each line says what was found instead.
    """
    _refuse_no_folder(root)
    problems = _misnamed(root, modality)
    if VIDEOS not in _folders(root) and not problems:
        problems = [_no_videos_folder(root, modality)]
    if problems:
        raise Problems(problems)
    videos, other_videos, doubles = _by_name(root / VIDEOS, VIDEO_ENDINGS)
    captions, other_captions, more = _by_name(root / CAPTIONS, CAPTION_ENDINGS)
    problems = [*doubles, *more]
    controls, other_controls, more = _by_name(root / modality, CONTROL_ENDINGS)
    problems += more
    if not videos:
        problems.append(_no_videos(root, other_videos))
    if problems:
        raise Problems(problems)
    lonely = [
        path
        for files in (captions, controls)
        for name, path in files.items()
        if name not in videos
    ]
    loose = [path for path in _files(root, deep=False) if _is_video(path)]
    return DataFolder(
        root=root,
        modality=modality,
        samples=tuple(
            Sample(
                name=name,
                video=videos[name],
                caption=captions.get(name),
                control=controls.get(name),
            )
            for name in sorted(videos)
        ),
        orphans=tuple(
            sorted([*lonely, *loose, *other_videos, *other_captions, *other_controls])
        ),
    )


def read_caption(path: Path | None) -> str:
    """Return the prompt of a caption file on one line; "" where there is none.

    Raises WorldweaveError where the file cannot be read or is not UTF-8 text.
    """
    if path is None:
        return ""
    if path.exists() and not path.is_file():
        raise WorldweaveError(f"{path} is not a regular file; give a text file")
    try:
        with open(path, "rb") as file:
            stored = file.read(_LARGEST_CAPTION + 1)
    except OSError as error:
        raise WorldweaveError(
            f"cannot read {path}: {error.strerror}; check the file"
        ) from error
    if len(stored) > _LARGEST_CAPTION:
        raise WorldweaveError(
            f"{path} is larger than {_LARGEST_CAPTION} bytes, which no prompt is; "
            "give a text file with one description"
        )
    try:
        text = stored.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise WorldweaveError(
            f"{path} is not UTF-8 text; save it again with the encoding UTF-8"
        )
    return " ".join(text.split())


def modality_folders(root: Path) -> tuple[str, ...]:
    """Return the names of all folders in *root* but ``videos`` and ``captions``."""
    _refuse_no_folder(root)
    return tuple(name for name in _folders(root) if name not in (VIDEOS, CAPTIONS))


def sample_name(path: Path, folder: Path) -> str:
    """Return the name of the sample that *path*, a file in *folder*, belongs to."""
    return PurePosixPath(path.relative_to(folder)).with_suffix("").as_posix()


def _refuse_no_folder(root: Path) -> None:
    if root.is_dir():
        return
    if root.exists():
        raise WorldweaveError(
            f"{root} is a file, not a folder; give the folder that holds {VIDEOS}/"
        )
    raise WorldweaveError(f"there is no folder {root}; check the path")


def _misnamed(root: Path, modality: str) -> list[str]:
    """Say which folders would be overlooked for a capital letter or a plural s."""
    present = _folders(root)
    return [
        f"{root / other} would not be read; rename it to {wanted}"
        for wanted in (VIDEOS, CAPTIONS, modality)
        if wanted not in present
        for other in present
        if other not in (VIDEOS, CAPTIONS, modality)
        and other.lower().rstrip("s") == wanted.lower().rstrip("s")
    ]


def _no_videos_folder(root: Path, modality: str) -> str:
    """Say how to arrange what was found where ``videos/`` is missing."""
    how = _ARRANGEMENT.format(modality=modality)
    above = root.resolve()
    if above.name == VIDEOS or (above.parent / VIDEOS).is_dir():
        return (
            f"{root} holds no folder {VIDEOS}; it seems to be one of the folders "
            f"inside a data folder: give the folder above it, {above.parent}"
        )
    loose = [path for path in _files(root, deep=False) if _is_video(path)]
    if loose:
        return (
            f"{root} holds {len(loose)} videos itself, such as {loose[0].name}; move "
            f"them into {root / VIDEOS}: {how}"
        )
    found = _found_in(root)
    if not found:
        return f"{root} is empty; {how}"
    return f"{root} holds no folder {VIDEOS}, only {found}; {how}"


def _no_videos(root: Path, others: Iterable[Path]) -> str:
    kinds = _kinds(others)
    instead = f", only {kinds}" if kinds else " and no other file"
    endings = ", ".join(VIDEO_ENDINGS)
    return (
        f"{root / VIDEOS} holds no video{instead}; put the videos to train on there, "
        f"as {endings}"
    )


def _found_in(root: Path) -> str:
    folders = [f"the folder {name}" for name in _folders(root)]
    found = [*folders[:5], *(["more folders"] if len(folders) > 5 else [])]
    kinds = _kinds(_files(root, deep=False))
    return ", ".join([*found, *([kinds] if kinds else [])])


def _kinds(files: Iterable[Path]) -> str:
    """Return ``"12 .png, 1 .zip"``."""
    counts = Counter(path.suffix.lower() or "without ending" for path in files)
    return ", ".join(f"{count} {ending}" for ending, count in counts.most_common(5))


def _by_name(
    folder: Path, endings: tuple[str, ...]
) -> tuple[dict[str, Path], list[Path], list[str]]:
    """Return the files with these endings by name, the others, and the problems."""
    by_name: defaultdict[str, list[Path]] = defaultdict(list)
    others = []
    for path in _files(folder):
        if path.suffix.lower() in endings:
            by_name[sample_name(path, folder)].append(path)
        else:
            others.append(path)
    problems = [
        f"{' and '.join(map(str, paths))} have one name; keep one of them"
        for paths in by_name.values()
        if len(paths) > 1
    ]
    taken = {name: paths[0] for name, paths in by_name.items()}
    strange = [path for path in others if not _is_companion(path, folder, taken)]
    return taken, strange, problems


def _is_companion(path: Path, folder: Path, taken: Mapping[str, Path]) -> bool:
    """Tell what may lie about: a read-me, or the thumbnail beside its video.

    A text beside a video is no companion but a caption in the wrong folder.
    """
    if path.stem.lower() in ("readme", "license", "licence"):
        return True
    return path.suffix.lower() != ".txt" and sample_name(path, folder) in taken


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_ENDINGS


def _folders(root: Path) -> list[str]:
    return sorted(
        entry.name for entry in _entries(root) if entry.is_dir() and _is_shown(entry)
    )


def _files(folder: Path, *, deep: bool = True) -> list[Path]:
    """Return every file in *folder* that is not hidden, sorted.

    Links to folders are followed, but no folder is entered twice on one way down:
    a link to a folder above would never end.
    """
    if not folder.is_dir():
        return []
    found: list[Path] = []
    waiting: list[tuple[Path, tuple[str, ...]]] = [
        (folder, (os.path.realpath(folder),))
    ]
    while waiting:
        current, way = waiting.pop()
        for entry in _entries(current):
            if not _is_shown(entry):
                continue
            if not entry.is_dir():
                found.append(entry)
            elif deep and (place := os.path.realpath(entry)) not in way:
                waiting.append((entry, (*way, place)))
    return sorted(found)


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as error:
        raise WorldweaveError(
            f"cannot list {folder}: {error.strerror}; check its permissions"
        ) from error


def _is_shown(path: Path) -> bool:
    """Tell apart what a person put there from what a file manager leaves behind."""
    return not path.name.startswith((".", "__MACOSX")) and path.name.lower() not in (
        "thumbs.db",
        "desktop.ini",
    )
