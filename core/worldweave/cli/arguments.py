"""From flags and a JSON file to one request."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldweave_registry import Problems

if TYPE_CHECKING:
    from worldweave.request.spec import Request


def make_request(
    spec: Path | None,
    flags: Mapping[str, Any],
    *,
    maps: Iterable[str],
    videos: Iterable[str],
    options: Iterable[str],
    weights: Iterable[str],
) -> Request:
    """Return the request of *spec* with everything given by flags replaced.

    Relative file names in *spec* are taken from its folder. Raise Problems naming
    every flag and field that is wrong.
    """
    from worldweave.request.spec import anchored, from_plain, to_plain

    plain: dict[str, Any] = {}
    if spec is not None:
        plain = to_plain(
            anchored(from_plain(_read(spec), where=str(spec)), spec.parent)
        )
    plain |= {key: value for key, value in flags.items() if value is not None}
    controls: dict[str, Any] = {
        name: dict(value) for name, value in plain.get("controls", {}).items()
    }
    problems: list[str] = []
    for argument in maps:
        name, _, value = argument.partition("=")
        controls.setdefault(name, {})
        if value:
            controls[name]["map"] = _number_or_text(value)
    for flag, field, arguments in (
        ("--control-video", "video", videos),
        ("--weights", "weights", weights),
    ):
        for argument in arguments:
            name, equals, value = argument.partition("=")
            if not equals or not name or not value:
                problems.append(f"{flag} {argument!r} is not NAME=FILE")
            else:
                controls.setdefault(name, {})[field] = value
    for argument in options:
        path, equals, value = argument.partition("=")
        name, dot, field = path.partition(".")
        if not (equals and dot and name and field):
            problems.append(
                f"--option {argument!r} is not NAME.OPTION=VALUE, such as "
                "edge.threshold=low"
            )
        else:
            control = controls.setdefault(name, {})
            control["options"] = {**control.get("options", {}), field: _literal(value)}
    if problems:
        raise Problems(problems)
    return from_plain(plain | {"controls": controls})


def _read(spec: Path) -> Any:
    try:
        return json.loads(spec.read_text())
    except OSError as error:
        raise Problems(
            [f"cannot read {spec}: {error.strerror}; check the path"]
        ) from error
    except ValueError as error:
        raise Problems([f"{spec} is not JSON: {error}"]) from error


def _number_or_text(value: str) -> float | str:
    try:
        return float(value)
    except ValueError:
        return value


def _literal(value: str) -> Any:
    """Read numbers, true, false and null as JSON does; anything else is text."""
    try:
        return json.loads(value)
    except ValueError:
        return value
