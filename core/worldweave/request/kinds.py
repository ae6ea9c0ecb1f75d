"""What in a form of a map, or in labels, is of a kind its field cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import attrs

from worldweave.request.plain import shown
from worldweave.request.sources import MapValue, is_number
from worldweave_registry import did_you_mean

_WORDS = {str: "text", bool: "True or False", int: "a whole number", dict: "a dict"}


def kind_problems(value: Any) -> list[str]:
    """Return a line for each wrong field of *value*, an attrs object, by type hints.

    A line begins with the path of the field: "boxes[0].value is '1'; give a number".
    Maps that a map is computed from are not looked at.
    """
    return list(_of_object(value, ""))


def told(name: str, value: Any) -> str:
    """Say on one line what *name* is."""
    return f"{name} is {shown(value)}"


def _of_object(value: Any, path: str) -> Iterator[str]:
    hints = get_type_hints(type(value))
    for field in attrs.fields(type(value)):
        name = path + field.name
        yield from _of_value(getattr(value, field.name), hints[field.name], name)


def _of_value(value: Any, hint: Any, name: str) -> Iterator[str]:
    if hint == MapValue:
        return
    kinds = get_args(hint)
    if type(None) in kinds:
        if value is None:
            return
        hint = Union[tuple(kind for kind in kinds if kind is not type(None))]  # noqa: UP007
        kinds = get_args(hint)
    if get_origin(hint) is tuple:
        yield from _of_list(value, kinds, name)
    elif get_origin(hint) is Literal:
        if not isinstance(value, str) or value not in kinds:
            near = did_you_mean(value, kinds) if isinstance(value, str) else ""
            yield f"{told(name, value)}; give {' or '.join(map(repr, kinds))}{near}"
    elif attrs.has(hint):
        if isinstance(value, hint):
            yield from _of_object(value, f"{name}.")
        else:
            yield f"{told(name, value)}; give a worldweave.maps.{hint.__name__}"
    else:
        one_of = [get_origin(kind) or kind for kind in kinds or (hint,)]
        if not any(_fits(value, kind) for kind in one_of):
            words = [_WORDS.get(kind, "a number") for kind in one_of]
            yield f"{told(name, value)}; give {' or '.join(words)}"


def _of_list(value: Any, kinds: tuple[Any, ...], name: str) -> Iterator[str]:
    count = None if kinds[1:] == (...,) else len(kinds)
    if not isinstance(value, tuple) or (count and len(value) != count):
        many = "a list" if count is None else f"a list of {count} numbers"
        yield f"{told(name, value)}; give {many}"
        return
    for at, each in enumerate(value):
        yield from _of_value(each, kinds[0], f"{name}[{at}]")


def _fits(value: Any, kind: type) -> bool:
    if kind is float:
        return is_number(value)
    return isinstance(value, kind)
