"""From flags and a JSON or YAML file to one request, and to the plugins it may use."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldweave_registry import Catalog, Problems, discover
from worldweave_registry.licenses import VARIABLE

if TYPE_CHECKING:
    from worldweave.request.spec import Request


def found(licenses: str | None) -> Catalog:
    """Return the installed plugins, of which only those under *licenses* may be used.

    None: what WORLDWEAVE_LICENSES says, or all of them.
    """
    if licenses is None:
        return discover()
    others = {name: value for name, value in os.environ.items() if name != VARIABLE}
    return discover(others).allowing(licenses, told_by="--licenses")


def make_request(
    spec: Path | None,
    flags: Mapping[str, Any],
    *,
    maps: Iterable[str],
    videos: Iterable[str],
    options: Iterable[str],
    weights: Iterable[str],
    licenses: str | None = None,
) -> Request:
    """Return the request of *spec* with everything given by flags replaced.

    Relative file names in *spec* are taken from its folder. Raise Problems naming
    every flag and field that is wrong; to name options, only plugins under
    *licenses* are imported.
    """
    from worldweave.request.structure import from_plain, read_request, to_plain
    from worldweave.request.walk import anchored

    catalog = partial(found, licenses)
    plain: dict[str, Any] = {}
    if spec is not None:
        plain = to_plain(anchored(read_request(spec, catalog), spec.parent))
    plain |= {key: value for key, value in flags.items() if value is not None}
    controls: dict[str, Any] = {
        name: dict(value) for name, value in plain.get("controls", {}).items()
    }
    problems = [
        *_set_maps(controls, maps),
        *_set_files(controls, "--control-video", "video", videos),
        *_set_files(controls, "--weights", "weights", weights),
        *_set_options(controls, options),
    ]
    try:
        request = from_plain(plain | {"controls": controls}, catalog=catalog)
    except Problems as error:
        raise Problems([*problems, *error.problems]) from error
    if problems:
        raise Problems(problems)
    return request


def _set_maps(controls: dict[str, Any], arguments: Iterable[str]) -> list[str]:
    """Read NAME[=MAP] into *controls*; return what is wrong."""
    problems: list[str] = []
    seen = set()
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not name or (equals and not value):
            problems.append(
                f"--control {argument!r} is not NAME or NAME=MAP, such as edge=0.6"
            )
            continue
        if name in seen:
            problems.append(f"--control {name} is given twice; keep one of them")
        seen.add(name)
        controls.setdefault(name, {})
        if value:
            try:
                controls[name]["map"] = _map_of(value, f"--control {name}")
            except Problems as error:
                problems += error.problems
    return problems


def _set_files(
    controls: dict[str, Any], flag: str, field: str, arguments: Iterable[str]
) -> list[str]:
    """Read NAME=FILE into *controls*; return what is wrong."""
    problems: list[str] = []
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name and value:
            controls.setdefault(name, {})[field] = value
        else:
            problems.append(
                f"{flag} {argument!r} is not NAME=FILE, such as edge={field}.file"
            )
    return problems


def _set_options(controls: dict[str, Any], arguments: Iterable[str]) -> list[str]:
    """Read NAME.OPTION=VALUE into *controls*; return what is wrong."""
    problems: list[str] = []
    for argument in arguments:
        path, equals, value = argument.partition("=")
        name, _, field = path.partition(".")
        if equals and name and field:
            control = controls.setdefault(name, {})
            try:
                literal = _literal(value, f"--option {path}")
            except Problems as error:
                problems += error.problems
                continue
            control["options"] = {**control.get("options", {}), field: literal}
        else:
            problems.append(
                f"--option {argument!r} is not NAME.OPTION=VALUE, such as "
                "edge.threshold=low"
            )
    return problems


def _map_of(value: str, flag: str) -> Any:
    """Read a number, a form of a map as JSON, or a file name."""
    if value.lstrip().startswith("{"):
        return _json(value, flag)
    try:
        return float(value)
    except ValueError:
        return value


def _literal(value: str, flag: str) -> Any:
    """Read numbers, true, false and null as JSON does; anything else is text.

    What begins as a list or an object must be one.
    """
    if value.lstrip().startswith(("{", "[")):
        return _json(value, flag)
    try:
        return _json(value, flag)
    except Problems:
        return value


def _json(value: str, flag: str) -> Any:
    from worldweave.request.plain import plain_of_line, shown

    return plain_of_line(value, where=f"{flag}: {shown(value)}")
