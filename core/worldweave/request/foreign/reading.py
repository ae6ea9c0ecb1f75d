"""Read the JSON of others: one object, or one per line; and move its file names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from worldweave.request import plain
from worldweave.request.walk import placed_plain
from worldweave_registry import Problems, WorldweaveError

_WANTED = "a spec in JSON"


def read_text(path: Path) -> str:
    """Return the text of *path*. Raise WorldweaveError where there is none."""
    return plain.read_text(path, _WANTED)


def prompt_text(path: Path) -> str:
    """Return the text of *path*. Raise OSError or ValueError where there is none."""
    return plain.bytes_of(path).decode("utf-8-sig")


def read_spec(path: Path) -> dict[str, Any]:
    """Return the JSON object of *path*. Raise WorldweaveError where there is none."""
    return plain.read_object(path, wanted=_WANTED)


def read_lines(text: str, where: str) -> list[tuple[int, dict[str, Any]]]:
    """Read one JSON object per line, with the number of its line; skip empty lines.

    Raise Problems naming every line that is wrong.
    """
    found: list[tuple[int, dict[str, Any]]] = []
    problems: list[str] = []
    # Not splitlines: JSON may hold the line separators of Unicode as they are.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            found.append((number, _object_of(line, f"{where}: line {number}")))
        except Problems as error:
            problems += error.problems
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


def _object_of(line: str, where: str) -> dict[str, Any]:
    return plain.as_object(plain.plain_of_line(line, where=where), where)
