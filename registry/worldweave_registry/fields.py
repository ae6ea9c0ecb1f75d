"""Fields of descriptions: accept what plugins write, refuse what cannot be."""

from __future__ import annotations

import math
import numbers
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NoReturn, TypeAlias, TypeVar, cast

import attrs

from worldweave_registry.errors import DescriptionError

T = TypeVar("T")
Validator: TypeAlias = "Callable[[Any, attrs.Attribute[Any], Any], None]"


class Frozen(Mapping[str, T]):
    """A dict that cannot change, so a description can be hashed and pickled."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, T]) -> None:
        self._items = dict(items)

    def __getitem__(self, key: str) -> T:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


# A converter passes on what it cannot convert: the validator of the field
# then refuses it, naming the description and the field.


def as_metadata(value: Mapping[str, str]) -> Mapping[str, str]:
    return Frozen(value) if isinstance(value, Mapping) else value


def as_tuple(value: Iterable[T]) -> tuple[T, ...]:
    if isinstance(value, Iterable) and not isinstance(value, str):
        return tuple(value)
    return cast("tuple[T, ...]", value)


def as_sizes(value: Iterable[Iterable[int]]) -> tuple[tuple[int, int], ...]:
    sizes: Any = as_tuple(value)
    if isinstance(sizes, tuple):
        sizes = tuple(as_tuple(size) for size in sizes)
    return cast("tuple[tuple[int, int], ...]", sizes)


def as_strides(value: Iterable[int]) -> tuple[int, int]:
    return cast("tuple[int, int]", as_tuple(value))


def as_betas(value: Iterable[float]) -> tuple[float, float]:
    return cast("tuple[float, float]", as_tuple(value))


def as_choices(value: Mapping[str, Iterable[Any]]) -> Mapping[str, tuple[Any, ...]]:
    if not isinstance(value, Mapping):
        return value
    return Frozen({name: _as_choice(each) for name, each in value.items()})


def _as_choice(value: Iterable[Any]) -> tuple[Any, ...]:
    # What has no order of its own would make every run draw something else.
    if isinstance(value, (list, tuple, range)):
        return tuple(value)
    return cast("tuple[Any, ...]", value)


def lower(value: str | None) -> str | None:
    return value.lower() if isinstance(value, str) else value


def refuse(
    instance: object, attribute: attrs.Attribute[Any], value: object, expected: str
) -> NoReturn:
    """Raise a DescriptionError that names the description and the field."""
    who = type(instance).__name__
    name = getattr(instance, "name", None)
    if attribute.name != "name" and isinstance(name, str):
        who += f" {name!r}"
    raise DescriptionError(
        f"{who} has {attribute.name} {reprlib.repr(value)}; expected {expected}"
    )


def check(accepts: Callable[[Any], bool], expected: str) -> Validator:
    """Return an attrs validator that refuses what *accepts* does not."""

    def validate(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not accepts(value):
            refuse(instance, attribute, value, expected)

    return validate


def _matches(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and bool(compiled.fullmatch(value))


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return real and math.isfinite(value)


def _is_size(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(_is_whole(edge) and edge > 0 for edge in value)
    )


def _are_sizes(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(map(_is_size, value))


def _is_text_to_text(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(text, str) for pair in value.items() for text in pair
    )


def _are_strides(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(_is_whole(each) and each > 0 for each in value)
    )


def _are_betas(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and all(_is_number(each) and 0 <= each < 1 for each in value)
    )


def _are_choices(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(each, tuple) and each
        for name, each in value.items()
    )


def _are_training_names(value: Any) -> bool:
    is_name = _matches(r"[a-z][a-z0-9_]*")
    return isinstance(value, Mapping) and all(
        is_name(name) and name not in ("base", "maps") for name in value
    )


def each_is(kind: type) -> Validator:
    """Return a validator for a tuple whose items are all of *kind*."""
    return check(
        lambda value: (
            isinstance(value, tuple) and all(isinstance(item, kind) for item in value)
        ),
        f"a list of {kind.__name__}",
    )


def one_of(*choices: str) -> Validator:
    """Return a validator for a text that is one of *choices*."""
    return check(lambda value: value in choices, " or ".join(map(repr, choices)))


line = check(_is_line, "one line of text")
_modality_name = check(
    _matches(r"[a-z][a-z0-9_]*"),
    "lower-case letters, digits and _, a letter first, such as 'hd_map'",
)
#: What `worldweave train` takes for something else than a modality.
_TRAINED_OTHERWISE = {
    "base": "'worldweave train base' trains the base itself",
    "maps": "'worldweave train maps' trains learned maps",
}


def modality_name(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Refuse what cannot be the name of a modality."""
    _modality_name(instance, attribute, value)
    if value in _TRAINED_OTHERWISE:
        refuse(instance, attribute, value, f"another: {_TRAINED_OTHERWISE[value]}")


base_name = check(
    _matches(r"[a-z][a-z0-9]*([._-][a-z0-9]+)*"),
    "lower-case letters and digits, joined by - . or _, such as 'tiny-world'",
)
sha256 = check(_matches(r"[0-9a-f]{64}"), "64 hexadecimal digits")
positive_whole = check(
    lambda value: _is_whole(value) and value > 0, "a whole number above 0"
)
whole = check(
    lambda value: _is_whole(value) and value >= 0, "a whole number, 0 or more"
)
number = check(_is_number, "a finite number")
positive = check(
    lambda value: _is_number(value) and value > 0, "a finite number above 0"
)
not_negative = check(
    lambda value: _is_number(value) and value >= 0, "a finite number, 0 or more"
)
truth = check(lambda value: isinstance(value, bool), "True or False")
share = check(
    lambda value: _is_number(value) and 0 <= value <= 1, "a number from 0 to 1"
)
below_one = check(
    lambda value: _is_number(value) and 0 <= value < 1, "a number from 0 to below 1"
)
betas = check(_are_betas, "two numbers from 0 to below 1, such as (0.9, 0.98)")
choices = check(
    _are_choices,
    "a mapping from options to the values to draw from, such as "
    "{'threshold': ['low', 'high']}, each a list, a tuple or a range: their order must "
    "be the same every time",
)
sizes = check(_are_sizes, "a list of (height, width) in pixels, such as [(704, 1280)]")
strides = check(
    _are_strides, "(frames, pixels) of a latent position, whole and 1 or more"
)
text_to_text = check(_is_text_to_text, "a mapping from text to text")
training_names = check(
    _are_training_names,
    "a mapping whose names are lower-case letters, digits and _, a letter first, "
    "and not 'base' or 'maps'",
)
