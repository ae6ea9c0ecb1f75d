"""JSON and YAML to plain dicts and lists, nothing in them lost or guessed."""

from __future__ import annotations

import errno
import json
import os
import re
import reprlib
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from worldweave_registry import Problems

YAML_SUFFIXES = (".yaml", ".yml")
#: How many objects and lists may lie within each other; Python itself stops at some
#: hundred, wherever that happens to be.
DEEPEST = 100

_LONGEST = 160
_MOST_TOLD = 20
_SHORT = reprlib.Repr()
_SHORT.maxlevel = 3
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


def shown(value: Any) -> str:
    """Show *value* on one line, cut where it is long."""
    return cut(re.sub(r"\s*\n\s*", " ", _SHORT.repr(value)))


def cut(text: str) -> str:
    """Return *text*, without its end where it is too long for a message."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def bytes_of(file: Path) -> bytes:
    """Return what a regular file holds. Raise OSError where it is none."""
    mode = file.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    # A pipe or a device could keep us waiting, or never end.
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    return file.read_bytes()


def read_bytes(file: Path) -> bytes:
    """Return what a regular file holds. Raise Problems where it is none."""
    try:
        return bytes_of(file)
    except OSError as error:
        reason = error.strerror or error
        raise Problems([f"cannot read {file}: {reason}; check the path"]) from error


def read_text(file: Path, wanted: str = "a request in JSON") -> str:
    """Return the text of a file, without the mark that some editors put before it.

    wanted: what to give instead of a file that holds no text.
    """
    return text_of(read_bytes(file), where=str(file), wanted=wanted)


def text_of(data: bytes, *, where: str, wanted: str) -> str:
    """Return UTF-8 as text. Raise Problems for what is none."""
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise Problems(
            [
                f"{where} is not text (UTF-8) at byte {error.start + 1}; give "
                f"{wanted}, saved as UTF-8"
            ]
        ) from error


def read_plain(file: Path) -> Any:
    """Return what a request in JSON or YAML holds, as dicts and lists."""
    if file.suffix.lower() in YAML_SUFFIXES:
        text = read_text(file, "a request in YAML")
        return plain_of_yaml(text, where=str(file))
    return plain_of_json(read_text(file), where=str(file))


def read_object(file: Path, *, wanted: str) -> dict[str, Any]:
    """Return the one object that a JSON file holds; *wanted* as for `read_text`."""
    where = str(file)
    return as_object(plain_of_json(read_text(file, wanted), where=where), where)


def as_object(plain: Any, where: str) -> dict[str, Any]:
    """Return *plain*. Raise Problems where it is no object."""
    if not isinstance(plain, dict):
        raise Problems([f"{where} must be a JSON object, not {type(plain).__name__}"])
    return plain


def plain_of_json(text: str, *, where: str) -> Any:
    """Parse JSON. Raise Problems for what is none and for a key given twice."""
    text = text.removeprefix("\ufeff")
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        plain = dict(items)
        if len(plain) < len(items):
            seen: set[str] = set()
            # `add` gives None: what was not seen before is noted, and not kept.
            twice.extend(k for k, _ in items if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        return plain

    try:
        plain = json.loads(text, object_pairs_hook=pairs, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise Problems(
            [f"{where} is not JSON: {error.msg} at {place}; correct it there"]
        ) from error
    except RecursionError as error:
        raise too_deep(where) from error
    except _ConstantError as error:
        raise Problems([_constant(text, where)]) from error
    except ValueError as error:
        raise too_many_digits(where) from error
    if twice:
        told = list(dict.fromkeys(twice))[:_MOST_TOLD]
        raise Problems([given_twice(where, key) for key in told])
    refuse_deep(plain, where)
    return plain


def plain_of_line(text: str, *, where: str) -> Any:
    """Parse JSON of which *where* tells the line already."""
    try:
        return plain_of_json(text, where=where)
    except Problems as error:
        raise Problems(
            problem.replace(" at line 1, column", " at column")
            for problem in error.problems
        ) from error


def plain_of_yaml(text: str, *, where: str) -> Any:
    """Parse YAML, plain data only, as `plain_of_json` does."""
    from worldweave.request.yaml_text import load

    plain = load(text.removeprefix("\ufeff"), where)
    refuse_deep(plain, where)
    return plain


def refuse_deep(plain: Any, where: str) -> None:
    """Raise Problems where *plain* is nested beyond reason."""
    level: Iterable[Any] = [plain]
    for _ in range(DEEPEST):
        # Each once, by what it is: aliases of YAML give the same list many times.
        level = {id(part): part for holder in level for part in parts(holder)}.values()
        level = [part for part in level if isinstance(part, (dict, list, tuple))]
        if not level:
            return
    raise too_deep(where)


def parts(plain: Any) -> Iterable[Any]:
    """Return what an object or a list holds."""
    if isinstance(plain, dict):
        return plain.values()
    return plain if isinstance(plain, (list, tuple)) else ()


def given_twice(where: str, key: str) -> str:
    """Say that *key* stands twice in one object."""
    return f"{where}: {shown(key)} is given twice in one object; keep one of them"


def too_deep(where: str) -> Problems:
    """Return what to raise for *where* that is nested beyond reason."""
    return Problems([f"{where} is nested too deeply; keep it within {DEEPEST} levels"])


def too_many_digits(where: str) -> Problems:
    """Return what to raise for a whole number that Python does not read."""
    return Problems([f"{where} has a number of too many digits; correct it"])


class _ConstantError(ValueError):
    """NaN or an infinity, which Python reads and JSON does not have."""


def _no_constant(name: str) -> Any:
    raise _ConstantError(name)


def _constant(text: str, where: str) -> str:
    """Say where the first NaN or infinity stands that is not within a text."""
    tokens = re.finditer(r'"(?:[^"\\]|\\.)*"|NaN|-?Infinity', text)
    found = next(token for token in tokens if not token[0].startswith('"'))
    line = text.count("\n", 0, found.start()) + 1
    column = found.start() - text.rfind("\n", 0, found.start())
    return (
        f"{where} is not JSON: {found[0]} is no number of JSON at line {line}, "
        f"column {column}; correct it there"
    )
