"""Where the simulators put label pictures, and how their tables are read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs
import numpy as np

from worldweave.request.labels.classes import codes_of
from worldweave.request.labels.files import (
    Picture,
    Source,
    from_images,
    pngs,
    read_source,
)
from worldweave.request.labels.table import (
    Key,
    Table,
    build_table,
    load_json,
    read_entries,
    read_table,
)
from worldweave_registry import Problems, WorldweaveError

_First = TypeVar("_First")
_Second = TypeVar("_Second")

#: Number, name and CityScapes colour of CARLA's classes, as of CARLA 0.9.14.
CARLA_CLASSES: Final = (
    (0, "Unlabeled", (0, 0, 0)),
    (1, "Roads", (128, 64, 128)),
    (2, "SideWalks", (244, 35, 232)),
    (3, "Building", (70, 70, 70)),
    (4, "Wall", (102, 102, 156)),
    (5, "Fence", (190, 153, 153)),
    (6, "Pole", (153, 153, 153)),
    (7, "TrafficLight", (250, 170, 30)),
    (8, "TrafficSign", (220, 220, 0)),
    (9, "Vegetation", (107, 142, 35)),
    (10, "Terrain", (152, 251, 152)),
    (11, "Sky", (70, 130, 180)),
    (12, "Pedestrian", (220, 20, 60)),
    (13, "Rider", (255, 0, 0)),
    (14, "Car", (0, 0, 142)),
    (15, "Truck", (0, 0, 70)),
    (16, "Bus", (0, 60, 100)),
    (17, "Train", (0, 80, 100)),
    (18, "Motorcycle", (0, 0, 230)),
    (19, "Bicycle", (119, 11, 32)),
    (20, "Static", (110, 190, 160)),
    (21, "Dynamic", (170, 120, 50)),
    (22, "Other", (55, 90, 80)),
    (23, "Water", (45, 60, 150)),
    (24, "RoadLine", (157, 234, 50)),
    (25, "Ground", (81, 0, 81)),
    (26, "Bridge", (150, 100, 100)),
    (27, "RailTrack", (230, 150, 140)),
    (28, "GuardRail", (180, 165, 180)),
)

# Of raw videos none is brighter, as classes are 0..28 of red; of converted ones all
# but those that show nothing, with what compression adds to black.
_DARKEST = 48
_NOISE = 8


def plain(
    file: Path, classes: str | Mapping[str, Any] | None, what: str
) -> tuple[Source, Table]:
    """Open labels in our own format: any file `read_source` takes, and a table.

    The table is required; see `read_entries`. What is wrong with either is told.
    """
    return _both(lambda: _opened(file), lambda: read_table(classes, what))


def isaac(
    file: Path, classes: str | Mapping[str, Any] | None, what: str
) -> tuple[Source, Table]:
    """Open the folder that Isaac Replicator wrote, or one laid out like it.

    Either ``segmentation/`` (PNGs with a number at the end) or ``segmentation.mp4``,
    with ``segmentation_label/*.json``; or ``semantic_segmentation_0000.png`` with
    ``semantic_segmentation_labels_0000.json``. Each JSON maps "(r, g, b, a)" to
    {"class": name}; all of them make one table. Alpha counts only where it is all
    that tells two classes apart, as it does BACKGROUND and UNLABELLED; where the
    pictures have none, these two are one, BACKGROUND.

    Raise WorldweaveError for a missing or doubled number and for a colour that two
    files give to two classes. Unlike the released script, which gives unlisted
    colours to the nearest class, we refuse them.
    """
    if classes is not None:
        raise WorldweaveError(
            f'{what}: layout "isaac" brings its own classes; leave "classes" out, or '
            'use layout "plain"'
        )
    if not file.is_dir():
        raise WorldweaveError(f"{what}: {file} is no folder; give the one Isaac wrote")
    source, tables = _isaac_files(file, what)
    first = next(source.pictures)
    pictures = chain([first], source.pictures)
    has_alpha = first.ndim == 3 and first.shape[2] == 4
    stored = [entry for table in tables for entry in _isaac_entries(table)]
    entries: list[tuple[Key, str]] = [(colour, name) for colour, name in stored]
    if not has_alpha or not _differ_by_alpha(stored):
        entries = _without_alpha(stored)
    return attrs.evolve(source, pictures=pictures), build_table(entries, what=what)


def carla(
    file: Path, classes: str | Mapping[str, Any] | None, what: str
) -> tuple[Source, Table]:
    """Open pictures of CARLA's semantic segmentation camera: a folder, PNG or video.

    Raw ones hold the class in red, with zeros in green and blue or, as the instance
    camera writes them, the object's number; only lossless files keep them. Converted
    ones have the colours of the CityScapes palette. Which they are is seen from the
    first picture that is not all black. Numbers and colours are those of CARLA
    0.9.14; up to 0.9.13 they were others, so then give *classes*: numbers with names
    replace or add names, colours with names replace the palette.
    """
    no_table: tuple[list[tuple[Key, str]], str | None] = ([], None)
    source, (given, rest) = _both(
        lambda: _opened(file),
        lambda: no_table if classes is None else read_entries(classes, what),
    )
    numbers = {number: name for number, name, _ in CARLA_CLASSES}
    numbers.update({key: name for key, name in given if isinstance(key, int)})
    palette = {key: name for key, name in given if isinstance(key, tuple)} or {
        colour: numbers[number] for number, _, colour in CARLA_CLASSES
    }
    waiting = _until_bright(source)
    pictures: Iterator[Picture] = chain(waiting, source.pictures)
    if not source.is_exact:
        _refuse_raw_video(waiting, what)
    elif _is_raw(waiting[-1], palette, numbers):
        pictures = (_red(picture) for picture in pictures)
        source = attrs.evolve(source, pictures=pictures)
        return source, build_table(numbers.items(), rest=rest, what=what)
    source = attrs.evolve(source, pictures=pictures)
    return source, build_table(palette.items(), rest=rest, what=what)


def _both(
    first: Callable[[], _First], second: Callable[[], _Second]
) -> tuple[_First, _Second]:
    """Return what *first* and *second* read, or raise Problems of both."""
    problems: list[str] = []
    found = _read(first, problems), _read(second, problems)
    if found[0] is None or found[1] is None:
        raise Problems(problems)
    return found[0], found[1]


def _read(read: Callable[[], _First], problems: list[str]) -> _First | None:
    """Return what *read* does, or add to the problems why it does not."""
    try:
        return read()
    except Problems as error:
        problems += error.problems
    except WorldweaveError as error:
        problems.append(str(error))
    return None


def _opened(file: Path) -> Source:
    # Pictures are read when they are needed, which is after all else has been told.
    if not os.path.exists(file):
        raise WorldweaveError(f"there is no file {file}; check the path")
    return read_source(file)


def _isaac_files(folder: Path, what: str) -> tuple[Source, list[Path]]:
    """Return the pictures and the JSON files of their tables."""
    if (folder / "segmentation_label").is_dir():
        tables = sorted((folder / "segmentation_label").glob("*.json"))
        if (folder / "segmentation").is_dir():
            source = _numbered(folder / "segmentation", r".*?[0-9]+")
        else:
            source = read_source(folder / "segmentation.mp4")
    else:
        tables = sorted(folder.glob("semantic_segmentation_labels_*.json"))
        source = _numbered(folder, r"semantic_segmentation_[0-9]+")
    if not tables:
        raise WorldweaveError(
            f"{what}: {folder} holds no table of classes; expected "
            "segmentation_label/*.json or semantic_segmentation_labels_*.json"
        )
    return source, tables


def _numbered(folder: Path, pattern: str) -> Source:
    """Open the PNGs of a folder in the order of the numbers they end with."""
    by_number: dict[int, Path] = {}
    problems = []
    for file in sorted(pngs(folder, pattern)):
        number = int(_trailing(file.stem))
        other = by_number.setdefault(number, file)
        if other != file:
            problems.append(
                f"{folder}: {other.name} and {file.name} are both frame {number}; "
                "keep one"
            )
    numbers = sorted(by_number)
    missing = sorted(set(range(numbers[0], numbers[-1])) - set(numbers))
    if missing:
        shown = ", ".join(map(str, missing[:5])) + (", …" if missing[5:] else "")
        problems.append(
            f"{folder}: of the frames {numbers[0]} to {numbers[-1]} {len(missing)} are "
            f"missing ({shown}); every frame needs its picture"
        )
    if problems:
        raise Problems(problems)
    return from_images([by_number[number] for number in numbers])


def _trailing(stem: str) -> str:
    found = re.search(r"[0-9]+\Z", stem)
    return found[0] if found else "0"


def _isaac_entries(file: Path) -> Iterator[tuple[tuple[int, ...], str]]:
    problems = []
    for key, value in load_json(file).items():
        parts = re.fullmatch(r"\(\s*(\d+(?:\s*,\s*\d+){2,3})\s*\)", key, re.ASCII)
        colour = tuple(int(part) for part in parts[1].split(",")) if parts else ()
        name = value.get("class") if isinstance(value, dict) else None
        if not colour or max(colour) > 255:
            problems.append(
                f'{file}: {key!r} is no colour "(r, g, b, a)" of 0..255; write with '
                "colorize_semantic_segmentation=True"
            )
        elif not isinstance(name, str) or not name:
            problems.append(
                f'{file}: {key!r} is {value!r}; expected {{"class": "name"}}'
            )
        else:
            yield (*colour, 255)[:4], name
    if problems:
        raise Problems(problems)


def _differ_by_alpha(entries: list[tuple[tuple[int, ...], str]]) -> bool:
    names: dict[tuple[int, ...], str] = {}
    return any(names.setdefault(c[:3], name) != name for c, name in entries)


def _without_alpha(entries: list[tuple[tuple[int, ...], str]]) -> list[tuple[Key, str]]:
    """Drop alpha; what Replicator tells apart by nothing else becomes one class."""
    opaque: list[tuple[Key, str]] = [(c[:3], name) for c, name in entries]
    background = {c for c, name in opaque if name.upper() == "BACKGROUND"}
    return [
        (c, name)
        for c, name in opaque
        if c not in background or name.upper() != "UNLABELLED"
    ]


def _until_bright(source: Source) -> list[Picture]:
    """Take pictures up to the first that tells raw from converted."""
    waiting: list[Picture] = []
    for picture in source.pictures:
        waiting.append(picture)
        if picture.max() >= (1 if source.is_exact else _DARKEST):
            break
    return waiting


def _is_raw(
    picture: Picture,
    palette: Mapping[tuple[int, ...], str],
    numbers: Mapping[int, str],
) -> bool:
    """Tell whether red is a class; an object's number may stand beside it."""
    if picture.ndim == 2 or not picture[..., 1:3].any():
        return True
    codes = [red << 16 | green << 8 | blue for red, green, blue in palette]
    is_coloured = np.isin(codes_of(picture, False), codes).mean()
    has_number = np.isin(picture[..., 0], list(numbers)).mean()
    return bool(has_number > is_coloured)


def _refuse_raw_video(waiting: list[Picture], what: str) -> None:
    brightest = max(int(picture.max()) for picture in waiting)
    if _NOISE < brightest < _DARKEST:
        raise WorldweaveError(
            f"{what} look like raw class numbers in a video, where compression changes "
            "them; save PNGs, or convert them to the CityScapes palette first"
        )


def _red(picture: Picture) -> Picture:
    return picture if picture.ndim == 2 else picture[..., 0]
