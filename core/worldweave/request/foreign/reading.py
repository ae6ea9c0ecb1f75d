"""Read the JSON of others: one object, or one per line; and move its file names."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from worldweave.request.foreign.common import short
from worldweave.request.walk import placed_plain
from worldweave_registry import Problems, WorldweaveError


def read_text(path: Path) -> str:
    """Return the text of *path*. Raise WorldweaveError where there is none."""
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        reason = error.strerror or error
        raise WorldweaveError(
            f"cannot read {path}: {reason}; check the path"
        ) from error
    except ValueError as error:
        raise WorldweaveError(f"{path} is not text; give a spec in JSON") from error


def read_object(text: str, where: str) -> dict[str, Any]:
    """Read one JSON object, strictly: no key twice, no number beyond all bounds.

    Raise WorldweaveError, one line that begins with *where*.
    """
    try:
        plain = json.loads(
            text, object_pairs_hook=_without_doubles, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise WorldweaveError(
            f"{where} is not JSON: {error.msg} at {place}; correct it there"
        ) from error
    except RecursionError as error:
        raise WorldweaveError(
            f"{where} is nested too deeply; give a spec with plain fields"
        ) from error
    except WorldweaveError as error:
        raise WorldweaveError(f"{where}: {error}") from error
    except ValueError as error:  # Python reads no whole number of 5000 digits
        raise WorldweaveError(
            f"{where} has a number of too many digits; correct it"
        ) from error
    if not isinstance(plain, dict):
        raise WorldweaveError(
            f"{where} must be a JSON object, not {type(plain).__name__}; give a spec"
        )
    return plain


def read_lines(text: str, where: str) -> list[tuple[int, dict[str, Any]]]:
    """Read one JSON object per line, with the number of its line; skip empty lines.

    Raise Problems naming every line that is wrong.
    """
    found, problems = [], []
    # Not splitlines: JSON may hold the line separators of Unicode as they are.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append((number, read_object(line, f"{where}, line {number}")))
        except WorldweaveError as error:
            problems.append(str(error))
    if problems:
        raise Problems(problems)
    if not found:
        raise WorldweaveError(f"{where} is empty; give one JSON object per line")
    return found


def placed(request: dict[str, Any], origin: Path, folder: Path) -> dict[str, Any]:
    """Return *request* with file names that hold from *folder* as well.

    Relative names of *request* are taken from *origin*. Files below *folder* stay
    relative, others become absolute.
    """
    if origin.resolve() == folder.resolve():
        return request

    def place(name: str) -> str:
        target = os.path.abspath(origin / name)
        inside = os.path.relpath(target, folder.absolute())
        return target if inside.startswith(os.pardir) else inside

    moved: dict[str, Any] = placed_plain(request, place)
    return moved


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, value in pairs:
        if key in plain:
            raise WorldweaveError(f"key {short(key)} is given twice; keep one of them")
        plain[key] = value
    return plain


def _no_constant(name: str) -> Any:
    raise WorldweaveError(f"{name} is no number of JSON; correct it")
