"""What is wrong with the fields of a request: a line for each, with its path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice

import attrs
import cattrs
from cattrs.errors import (
    AttributeValidationNote,
    ClassValidationError,
    IterableValidationError,
    IterableValidationNote,
)

from worldweave.request.check import option_names
from worldweave.request.plain import shown
from worldweave.request.spec import Control
from worldweave_registry import Catalog, WorldweaveError, did_you_mean

#: How many lines are told; nobody mends more at once.
MOST = 100
_LONGEST_KEY = 60


def explain(
    error: BaseException, where: str, catalog: Callable[[], Catalog]
) -> list[str]:
    """Turn cattrs' tree of errors into one line per wrong field, with its path.

    catalog: tells the plugins whose options may be suggested.
    """
    told = list(islice(_lines(error, where, "", catalog), MOST + 1))
    if len(told) > MOST:
        told[MOST:] = [f"{where}: there is more that is wrong; mend these first"]
    return told


def _lines(
    error: BaseException, where: str, path: str, catalog: Callable[[], Catalog]
) -> Iterator[str]:
    at = f"{where}: {path[1:]}" if path else where
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        yield from _unknown(error, where, path, catalog)
    elif isinstance(error, (ClassValidationError, IterableValidationError)):
        for child in error.exceptions:
            yield from _lines(child, where, path + _place(child), catalog)
    elif isinstance(error, KeyError):  # its place is the field that is not there
        parent = path.rpartition(".")[0]
        yield f"{where}: {parent[1:] or 'it'} lacks {error.args[0]!r}; add it"
    else:
        yield f"{at}: {error.args[0] if error.args else error}"


def _unknown(
    error: cattrs.ForbiddenExtraKeysError,
    where: str,
    path: str,
    catalog: Callable[[], Catalog],
) -> Iterator[str]:
    known = [field.name for field in attrs.fields(error.cl)]
    if error.cl is Control:
        name = path.rpartition(".")[2]
        known += [f"options.{o}" for o in _options_of(name, catalog)]
    rest = f"; it may be: {', '.join(known)}"
    for key in sorted(map(str, error.extra_fields)):
        near = _near(key, known) if len(key) <= _LONGEST_KEY else ""
        yield f"{where}: {(path + _step(key))[1:]} is unknown{near or rest}"


def _near(key: str, known: list[str]) -> str:
    """Return which of *known*, paths in the object, *key* may have been meant as."""
    by_name = {path.rpartition(".")[2]: path for path in reversed(known)}
    near = did_you_mean(key, by_name)
    for name in sorted(by_name, key=len, reverse=True):
        if repr(name) in near:
            return near.replace(repr(name), repr(by_name[name]))
    return near


def _options_of(name: str, catalog: Callable[[], Catalog]) -> list[str]:
    """Return the options of the modality called *name*, where that may be used."""
    try:
        preprocessor = catalog().find(name).preprocessor
        return [] if preprocessor is None else option_names(preprocessor.load())
    except WorldweaveError:
        return []


def _step(key: str) -> str:
    """Return the part of a path that leads to *key*, cut where that is long."""
    is_plain = len(key) <= _LONGEST_KEY and re.fullmatch(r"[\w@-]+", key)
    return "." + (key if is_plain else shown(key))


def _place(error: BaseException) -> str:
    """Return the part of a path to the field or item that *error* is about."""
    for note in getattr(error, "__notes__", []):
        if isinstance(note, IterableValidationNote):
            index = note.index
            return f"[{index}]" if isinstance(index, int) else _step(str(index))
        if isinstance(note, AttributeValidationNote):
            return _step(str(note.name))
    return ""
