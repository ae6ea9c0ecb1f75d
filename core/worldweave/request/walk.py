"""Every file a request names, however deep: found, and taken from another folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from worldweave.request.sources import (
    COMPUTED,
    FORMS,
    OF_THE_BASE,
    Labels,
    Learned,
    MapSource,
    Maximum,
    Product,
)
from worldweave.request.spec import Control, Request


def anchored(request: Request, folder: Path) -> Request:
    """Return *request* with its relative file names taken from *folder*."""
    placed: Request = _changed(request, lambda name: str(folder / name))
    return placed


def placed_plain(plain: Any, place: Callable[[str], str]) -> Any:
    """Return a request as JSON has it, with *place* applied to all its file names.

    Short forms are known as well; what cannot be read stays as it is.
    """
    if not isinstance(plain, dict):
        return plain
    made = plain | _placed_files(plain, Request, place)
    labels, controls = made.get("labels"), made.get("controls")
    if isinstance(labels, str):
        made["labels"] = place(labels)
    elif isinstance(labels, dict):
        made["labels"] = labels | _placed_files(labels, Labels, place)
    if isinstance(controls, dict):
        made["controls"] = {
            name: _placed_control(control, place) for name, control in controls.items()
        }
    return made


def inputs(request: Request) -> dict[str, Any]:
    """Return every file name and array of *request*, by what it is for.

    "video", "control edge", "map edge", "weights edge", "labels", "classes"; where a
    map names several, "map edge", "map edge 2" and so on.
    """
    found: dict[str, Any] = {}
    _note(found, "video", request.video)
    for name, control in request.controls.items():
        _note(found, f"control {name}", control.video)
        _note(found, f"map {name}", control.map)
        _note(found, f"weights {name}", control.weights)
    if request.labels is not None:
        _note(found, "labels", request.labels.file)
        _note(found, "classes", request.labels.classes)
    return found


def maps_in(value: Any) -> Iterator[Any]:
    """Yield *value* and every map it is computed from."""
    yield value
    for part in parts(value):
        yield from maps_in(part)


def parts(value: Any) -> tuple[Any, ...]:
    """Return the maps that *value* is computed from."""
    return tuple(part for _, part in named_parts(value))


def named_parts(value: Any) -> list[tuple[str, Any]]:
    """Return `parts`, each with its place in *value*: "product[1]", "feather"."""
    for key in COMPUTED:
        if isinstance(value, FORMS[key]):
            held = getattr(value, key)
            if not isinstance(value, (Product, Maximum)):
                return [(key, held)]
            # What is no list is told of by the checks.
            several = held if isinstance(held, tuple) else ()
            return [(f"{key}[{at}]", part) for at, part in enumerate(several)]
    return []


def _note(found: dict[str, Any], what: str, value: Any) -> None:
    for each in _leaves(value):
        name, count = what, 1
        while name in found:
            count += 1
            name = f"{what} {count}"
        found[name] = each


def _leaves(value: Any) -> Iterator[Any]:
    """Yield the files and arrays in *value*: a file name, an array or a form."""
    if isinstance(value, (str, np.ndarray)):
        yield value
    elif isinstance(value, Learned) and value.learned != OF_THE_BASE:
        yield value.learned
    elif isinstance(value, MapSource):
        for field in _fields(value):
            if field.metadata.get("file") and not isinstance(value, Learned):
                yield getattr(value, field.name)
        for part in parts(value):
            yield from _leaves(part)


def _fields(value: Any) -> tuple[attrs.Attribute[Any], ...]:
    fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(type(value))
    return fields


def _changed(value: Any, place: Callable[[str], str], is_file: bool = False) -> Any:
    """Return *value* with *place* applied to all its file names."""
    if isinstance(value, str):
        return place(value) if is_file else value
    if isinstance(value, tuple):
        return tuple(_changed(item, place, is_file) for item in value)
    if isinstance(value, dict) and not is_file:
        return {key: _changed(item, place) for key, item in value.items()}
    if isinstance(value, Learned) and value.learned == OF_THE_BASE:
        return value
    if not attrs.has(type(value)):
        return value
    # A text among the maps that a map is computed from is a file name too.
    return attrs.evolve(
        value,
        **{
            field.name: _changed(
                getattr(value, field.name),
                place,
                bool(field.metadata.get("file"))
                or (isinstance(value, MapSource) and field.name in COMPUTED),
            )
            for field in _fields(value)
        },
    )


def _placed_control(control: Any, place: Callable[[str], str]) -> Any:
    is_short = not isinstance(control, dict) or any(key in control for key in FORMS)
    if is_short and not (isinstance(control, dict) and "map" in control):
        return _placed_map(control, place)
    made = control | _placed_files(control, Control, place)
    if "map" in control:
        made["map"] = _placed_map(control["map"], place)
    return made


def _placed_map(value: Any, place: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return place(value)
    if not isinstance(value, dict):
        return value
    made = dict(value)
    for key in FORMS:
        if key in value:
            made |= _placed_files(value, FORMS[key], place)
    if value.get("learned") == OF_THE_BASE:
        made["learned"] = OF_THE_BASE
    for key in COMPUTED:
        if isinstance(value.get(key), list):
            made[key] = [_placed_map(part, place) for part in value[key]]
        elif key in value:
            made[key] = _placed_map(value[key], place)
    return made


def _placed_files(
    plain: dict[str, Any], kind: type, place: Callable[[str], str]
) -> dict[str, str]:
    """Return the fields of *plain*, an object of *kind*, that are file names."""
    return {
        field.name: place(plain[field.name])
        for field in attrs.fields(kind)
        if field.metadata.get("file") and isinstance(plain.get(field.name), str)
    }
