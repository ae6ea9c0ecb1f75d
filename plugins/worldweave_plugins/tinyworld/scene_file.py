"""Read and write scenes as plain JSON, for people to edit."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs
import cattrs
from cattrs.errors import AttributeValidationNote, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override

from worldweave.io.files import atomic_path
from worldweave_plugins.tinyworld.ranges import RULE, Counted, complaints
from worldweave_plugins.tinyworld.scene import (
    Arm,
    Building,
    Camera,
    Car,
    Pace,
    Scene,
    Street,
    Table,
    Thing,
)
from worldweave_plugins.tinyworld.scene_check import check
from worldweave_registry import Problems, WorldweaveError, did_you_mean

Hook = Callable[[Any, Any], Any]
PLACES: Final = {"street": Street, "table": Table}
LARGEST: Final = 1_000_000
"""Bytes; a scene of all its parts takes a fiftieth of that."""


def read_scene(path: Path) -> Scene:
    """Read a scene.

    Raises Problems that name every wrong value by its path, with what it may
    be, and WorldweaveError where the file cannot be read.
    """
    try:
        if path.stat().st_size > LARGEST:
            raise WorldweaveError(f"{path} is no scene: it has over {LARGEST} bytes")
        plain = json.loads(path.read_text("utf-8"))
    except OSError as error:
        reason = f"{error.strerror}; check the path"
        raise WorldweaveError(f"cannot read {path}: {reason}") from error
    except json.JSONDecodeError as error:
        raise WorldweaveError(
            f"{path} is not JSON: {error.msg} at line {error.lineno}, "
            f"column {error.colno}; correct it there"
        ) from error
    except (ValueError, RecursionError) as error:
        raise WorldweaveError(
            f"{path} is not a scene in JSON; write one with write_scene"
        ) from error
    try:
        return scene_from_plain(plain)
    except Problems as error:
        raise Problems([f"{path}: {line}" for line in error.problems]) from error


def write_scene(path: Path, scene: Scene) -> None:
    """Write a scene so that ``read_scene`` returns an equal one.

    Raises Problems where the scene cannot be, WorldweaveError where the file
    cannot be written.
    """
    check(scene)
    with atomic_path(path) as temporary:
        temporary.write_text(
            json.dumps(scene_to_plain(scene), indent=2) + "\n", "utf-8"
        )


def scene_from_plain(plain: Any) -> Scene:
    """Build a scene from dicts, lists and numbers. Raises as ``read_scene``."""
    try:
        scene = _CONVERTER.structure(plain, Scene)
    except (cattrs.BaseValidationError, ValueError) as error:
        raise Problems(_explain(error, "")) from error
    check(scene)
    return scene


def scene_to_plain(scene: Scene) -> dict[str, Any]:
    """Return a scene as dicts, lists and numbers; its place tells its family."""
    plain = attrs.asdict(
        scene, value_serializer=lambda _, __, v: list(v) if isinstance(v, tuple) else v
    )
    plain["place"] = {"family": scene.family, **plain["place"]}
    return plain


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook_func(
        lambda kind: kind == Street | Table, _place_reader(converter)
    )
    for kind in (Pace, Car, Building, Camera, Arm, Thing, Street, Table, Scene):
        hooks: dict[str, Any] = {
            field.name: override(struct_hook=_reader(converter, field.metadata[RULE]))
            for field in attrs.fields(kind)
            if RULE in field.metadata
        }
        build = make_dict_structure_fn(
            kind, converter, _cattrs_forbid_extra_keys=True, **hooks
        )
        converter.register_structure_hook(kind, _of_object(build))
    return converter


def _reader(converter: cattrs.Converter, rule: Any) -> Hook:
    if not isinstance(rule, Counted):
        return lambda value, _: rule.read(value)

    def read_parts(value: Any, kind: Any) -> Any:
        rule.refuse(value)
        return converter.structure(value, kind)

    return read_parts


def _of_object(build: Hook) -> Hook:
    def read(value: Any, kind: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"is {reprlib.repr(value)}; give an object")
        return build(value, kind)

    return read


def _place_reader(converter: cattrs.Converter) -> Hook:
    def read(value: Any, _: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError(f"is {reprlib.repr(value)}; give an object")
        family = value.get("family")
        if not isinstance(family, str) or family not in PLACES:
            shown = reprlib.repr(family) if "family" in value else "missing"
            raise ValueError(f"has a family that is {shown}; give one of: {_FAMILIES}")
        rest = {key: item for key, item in value.items() if key != "family"}
        return converter.structure(rest, PLACES[family])

    return read


def _explain(error: BaseException, path: str) -> list[str]:
    """Turn cattrs' tree of errors into one line for each wrong value."""
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        known = [field.name for field in attrs.fields(error.cl)]
        return [
            f"{path or 'the scene'} has an unknown field {key!r}"
            + (did_you_mean(key, known) or f"; it may have: {', '.join(known)}")
            for key in sorted(error.extra_fields)
        ]
    if isinstance(error, cattrs.BaseValidationError):
        return [
            line
            for child in error.exceptions
            for line in _explain(child, _place(child, path))
        ]
    if isinstance(error, KeyError):
        return [f"{path} is missing; add it"]
    if isinstance(error, ValueError):
        return complaints(path or "the scene", error)
    return [f"{path or 'the scene'} cannot be read: {error}"]


def _place(error: BaseException, path: str) -> str:
    """Return the path of the field or entry that an error is about."""
    for note in getattr(error, "__notes__", []):
        if isinstance(note, IterableValidationNote):
            return f"{path}[{note.index}]"
        if isinstance(note, AttributeValidationNote):
            return f"{path}.{note.name}" if path else str(note.name)
    return path


_FAMILIES: Final = ", ".join(PLACES)
_CONVERTER: Final = _make_converter()
