"""Tell what options a class has: their names, types, defaults and what they mean."""

from __future__ import annotations

import enum
import inspect
import re
import types
import typing
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import attrs

from worldweave_registry import let_interrupts_pass

_SIMPLE: dict[Any, str] = {
    type(None): "none",
    None: "none",
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path of a file",
    Any: "anything",
}


def options_of(kind: Any) -> list[dict[str, Any]]:
    """Return name, type, default, is_required and about of each option of a class.

    The options are its attrs fields. What one means is the ``help`` in the metadata
    of its field, or what the docstring says after its name and a colon.
    """
    if not (isinstance(kind, type) and attrs.has(kind)):
        return []
    fields = [field for field in attrs.fields(kind) if field.init]
    names = [field.alias or field.name for field in fields]
    told, hints = _told(kind, names), _hints(kind)
    return [
        {
            "name": name,
            "type": in_words(hints.get(field.name, field.type)),
            "default": _default(field),
            "is_required": field.default is attrs.NOTHING,
            "about": str(field.metadata.get("help", told.get(name, ""))),
        }
        for name, field in zip(names, fields, strict=True)
    ]


def first_words(kind: Any) -> str:
    """Return the first paragraph of a docstring, on one line."""
    doc = inspect.getdoc(kind) or ""
    return " ".join(doc.split("\n\n")[0].split())


def in_words(hint: Any) -> str:
    """Say a type as a user would: ``int | None`` is "whole number or none"."""
    simple = _SIMPLE.get(hint) if isinstance(hint, (type, type(None))) else None
    if hint is Any or simple is not None:
        return simple or "anything"
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return _one_of(inside)
    if origin is typing.Annotated:
        return in_words(inside[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(in_words(each) for each in inside)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "mapping"
    if isinstance(origin, type) and issubclass(origin, (Sequence, Set, Iterable)):
        if origin is tuple and Ellipsis not in inside:
            return f"list of {len(inside)}: {', '.join(map(in_words, inside))}"
        return f"list of {in_words(inside[0])}"
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return _one_of([member.value for member in hint])
    # An annotation that only a type checker can resolve stays text.
    return hint if isinstance(hint, str) else getattr(hint, "__name__", str(hint))


def _one_of(choices: Iterable[Any]) -> str:
    listed = ", ".join(map(str, choices))
    return f"one of {listed}" if ", " in listed else listed


def _hints(kind: type) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(kind, include_extras=True)
    except BaseException as error:
        let_interrupts_pass(error)
        return {}  # names that only a type checker knows; the text must do


def _default(field: attrs.Attribute[Any]) -> Any:
    default: Any = field.default
    if default is attrs.NOTHING:
        return None
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]
        return "made anew" if default.takes_self else default.factory()
    return default


def _told(kind: type, names: Iterable[str]) -> dict[str, str]:
    """Read "name: what it means." and "low, high: what both mean." in a docstring."""
    doc = inspect.getdoc(kind) or ""
    name = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    if not name:
        return {}
    heading = re.compile(
        rf"(?:^[ \t]*(?::param )?|[.;]\s+)((?:{name})(?:,\s+(?:{name}))*):\s+", re.M
    )
    told: dict[str, str] = {}
    for paragraph in re.split(r"\n\s*\n", doc):
        found = list(heading.finditer(paragraph))
        ends = [*(match.start() for match in found[1:]), len(paragraph)]
        for match, end in zip(found, ends, strict=False):
            meaning = " ".join(paragraph[match.end() : end].split()).rstrip(".;")
            for each in re.split(r",\s+", match[1]):
                told.setdefault(each, meaning)
    return told
