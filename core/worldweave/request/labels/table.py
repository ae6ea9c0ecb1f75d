"""The table that says which colour or number of a label picture is which class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from worldweave.request.plain import read_object, shown
from worldweave_registry import Problems, WorldweaveError

#: A colour (r, g, b) or (r, g, b, a), or a number.
Key: TypeAlias = "tuple[int, ...] | int"

_HEX = re.compile(r"#[0-9a-fA-F]{6}")
_MOST_CLASSES = 65535  # numbers of classes are uint16
_FORMS = 'give {"car": [0, 0, 142]}, {"car": "#00008e"}, {"14": "car"} or {"car": 14}'


@attrs.frozen(kw_only=True)
class Table:
    """Class names, each once, and which name (an index) a colour or a number has.

    rest: the index of the class of every colour or number that is not listed.
    """

    names: tuple[str, ...]
    colours: Mapping[tuple[int, ...], int]
    numbers: Mapping[int, int]
    rest: int | None = None


def build_table(
    entries: Iterable[tuple[Key, str]], *, rest: str | None = None, what: str
) -> Table:
    """Give every class name one index; *what* names the table in messages.

    A name may have many colours and numbers. Raise Problems for a colour or a number
    of two classes, and for no class at all.
    """
    names: dict[str, int] = {}
    keys: dict[Key, str] = {}
    problems = []
    for key, name in entries:
        names.setdefault(name, len(names))
        other = keys.setdefault(key, name)
        if other != name:
            problems.append(
                f"{what}: {_shown(key)} is both {other!r} and {name!r}; "
                "give each class its own"
            )
    if rest is not None:
        names.setdefault(rest, len(names))
    if not keys:
        problems.append(f"{what} lists no classes; {_FORMS}")
    if len({isinstance(key, int) for key in keys}) == 2:
        problems.append(f"{what} mixes colours and numbers; use one of them")
    if len(names) > _MOST_CLASSES:
        problems.append(f"{what} lists {len(names)} classes; {_MOST_CLASSES} are most")
    if problems:
        raise Problems(problems)
    return Table(
        names=tuple(names),
        colours={k: names[n] for k, n in keys.items() if isinstance(k, tuple)},
        numbers={k: names[n] for k, n in keys.items() if isinstance(k, int)},
        rest=None if rest is None else names[rest],
    )


def read_entries(
    classes: str | Mapping[str, Any], what: str
) -> tuple[list[tuple[Key, str]], str | None]:
    """Return the (colour or number, name) pairs of a table, and the name of "*".

    *classes* is a JSON file or what one holds, in one of three forms: name -> colour
    ([r, g, b], "#rrggbb" or a list of those), number -> name, name -> number. In any
    of them the key "*" names the class of what is not listed. Raise Problems naming
    every entry that is none of this.
    """
    if isinstance(classes, str):
        listed = load_json(Path(classes))
    else:
        listed = _with_text_keys(classes, what)
    rest = listed.pop("*", None)
    entries: list[tuple[Key, str]] = []
    problems = []
    if rest is not None and not _is_name(rest):
        problems.append(f'{what}: "*" is {shown(rest)}; give the name of a class')
    by_number = all(_is_number(key) and _is_name(v) for key, v in listed.items())
    has_colours = all(isinstance(v, str) and _HEX.fullmatch(v) for v in listed.values())
    for key, value in listed.items():
        found = _entry(key, value, by_number and not has_colours)
        if not found:
            told = f"{shown(key)}: {shown(value)}"
            problems.append(f"{what}: {told} is {_mistake(value)}")
        entries += found
    if problems:
        raise Problems(problems)
    return entries, rest


def read_table(classes: str | Mapping[str, Any] | None, what: str) -> Table:
    """Return the table that a request gives; see `read_entries`."""
    if classes is None:
        raise WorldweaveError(
            f'{what} need "classes", a table of their colours or numbers; {_FORMS}'
        )
    where = f"the classes of {what}"
    entries, rest = read_entries(classes, where)
    return build_table(entries, rest=rest, what=where)


def load_json(file: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds; a key given twice is an error."""
    if not file.exists():
        raise WorldweaveError(f"there is no file {file}; check the path")
    return read_object(file, wanted="a table in JSON")


def _with_text_keys(classes: Mapping[Any, Any], what: str) -> dict[str, Any]:
    """Return a table as JSON has it; Python may have numbers for keys."""
    listed: dict[str, Any] = {}
    problems = []
    for key, value in classes.items():
        is_whole = isinstance(key, Integral) and not isinstance(key, bool)
        if not isinstance(key, str) and not is_whole:
            problems.append(f"{what}: {shown(key)} is no key of a table; {_FORMS}")
        elif str(key) in listed:
            problems.append(f"{what}: {shown(str(key))} is given twice; keep one")
        else:
            listed[str(key)] = value
    if problems:
        raise Problems(problems)
    return listed


def _entry(key: str, value: Any, by_number: bool) -> list[tuple[Key, str]]:
    """Return the pairs of one entry of a table, none where it cannot be read."""
    if by_number:
        return [(int(key), value)]
    if not _is_name(key):
        return []
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return [(value, key)]
    colours = [_colour(value)]
    if colours == [None] and isinstance(value, list):
        colours = [_colour(one) for one in value]
    if None in colours:
        return []
    return [(colour, key) for colour in colours if colour is not None]


def _mistake(value: Any) -> str:
    """Say why an entry with *value* cannot be read."""
    if isinstance(value, (list, tuple)) and len(value) == 3:
        parts = [part for part in value if type(part) is int]
        if len(parts) == 3 and not all(0 <= part <= 255 for part in parts):
            return "no colour; give red, green and blue, each 0..255"
    return f"no class; {_FORMS}"


def _colour(value: Any) -> tuple[int, ...] | None:
    if isinstance(value, str) and _HEX.fullmatch(value):
        return tuple(bytes.fromhex(value[1:]))
    if isinstance(value, (list, tuple)) and len(value) == 3:
        is_byte = (type(part) is int and 0 <= part <= 255 for part in value)
        return tuple(value) if all(is_byte) else None
    return None


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _is_number(key: str) -> bool:
    return re.fullmatch(r"[0-9]{1,9}", key) is not None


def _shown(key: Key) -> str:
    return f"colour {key}" if isinstance(key, tuple) else f"number {key}"
