"""Say what a value of a scene may be, once, where its field is declared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, get_args

import attrs

RULE: Final = "rule"
"""Where the rule of a field lies in its metadata."""


@attrs.frozen
class Range:
    """A number from low to high; ``unit`` is for people."""

    low: float
    high: float
    unit: str = ""

    def read(self, value: object) -> float:
        """Return the number. Raise ValueError that tells what was expected."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # Not as a float: a whole number may be too large for one.
        if not is_number or not self.low <= value <= self.high:  # type: ignore[operator]
            raise ValueError(f"is {_short(value)}; give {self}")
        return float(value)  # type: ignore[arg-type]

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g} {self.unit}".rstrip()


@attrs.frozen
class Several:
    """As many numbers as there are ranges."""

    ranges: tuple[Range, ...]

    def read(self, value: object) -> tuple[float, ...]:
        """Return the numbers. Raise ValueError that names each wrong one."""
        if not isinstance(value, list | tuple) or len(value) != len(self.ranges):
            raise ValueError(f"is {_short(value)}; give {len(self.ranges)} numbers")
        numbers, wrong = [], []
        for at, (item, within) in enumerate(zip(value, self.ranges, strict=True)):
            try:
                numbers.append(within.read(item))
            except ValueError as error:
                wrong.append(f"[{at}] {error}")
        if wrong:
            raise ValueError(*wrong)
        return tuple(numbers)


@attrs.frozen
class Choice:
    """One of some names."""

    names: tuple[str, ...]

    def read(self, value: object) -> str:
        """Return the name. Raise ValueError that tells which there are."""
        if value not in self.names:
            raise ValueError(
                f"is {_short(value)}; give one of: {', '.join(self.names)}"
            )
        return str(value)


@attrs.frozen
class Text:
    """Any text of at most ``longest`` characters."""

    longest: int

    def read(self, value: object) -> str:
        """Return the text. Raise ValueError that tells what was expected."""
        if not isinstance(value, str) or len(value) > self.longest:
            raise ValueError(
                f"is {_short(value)}; give text of up to {self.longest} characters"
            )
        return value


@attrs.frozen
class Counted:
    """A list of parts of one kind, within a length."""

    fewest: int
    most: int

    def refuse(self, value: object) -> None:
        """Raise ValueError where *value* is no list of such a length."""
        if not isinstance(value, list | tuple):
            raise ValueError(f"is {_short(value)}; give a list")
        if not self.fewest <= len(value) <= self.most:
            raise ValueError(
                f"has {len(value)} entries; give {self.fewest} to {self.most}"
            )


def number(low: float, high: float, unit: str = "") -> Any:
    """Declare a field that holds a number from low to high."""
    return attrs.field(metadata={RULE: Range(low, high, unit)})


def numbers(*limits: tuple[float, float], unit: str = "") -> Any:
    """Declare a field that holds one number for each (low, high)."""
    ranges = tuple(Range(low, high, unit) for low, high in limits)
    return attrs.field(metadata={RULE: Several(ranges)})


def choice(names: Iterable[str]) -> Any:
    """Declare a field that holds one of some names."""
    return attrs.field(metadata={RULE: Choice(tuple(names))})


def text(longest: int) -> Any:
    """Declare a field that holds text."""
    return attrs.field(metadata={RULE: Text(longest)})


def parts(fewest: int, most: int) -> Any:
    """Declare a field that holds fewest to most parts, each with fields of its own."""
    return attrs.field(metadata={RULE: Counted(fewest, most)})


def range_problems(holder: Any, where: str = "") -> list[str]:
    """Return what is wrong with the fields of *holder* and its parts, one line each."""
    found = []
    for field in attrs.fields(attrs.resolve_types(type(holder))):
        value, rule = getattr(holder, field.name), field.metadata.get(RULE)
        path = f"{where}{field.name}"
        kinds = [k for k in (field.type, *get_args(field.type)) if attrs.has(k)]
        try:
            if rule is None:
                found += _part_problems(value, kinds, path)
            elif isinstance(rule, Counted):
                rule.refuse(value)
                for at, part in enumerate(value):
                    found += _part_problems(part, kinds, f"{path}[{at}]")
            else:
                rule.read(value)
        except ValueError as error:
            found += complaints(path, error)
    return found


def _part_problems(part: Any, kinds: Sequence[type], path: str) -> list[str]:
    if not isinstance(part, tuple(kinds)):
        names = " or ".join(kind.__name__ for kind in kinds)
        return [f"{path} is {_short(part)}; give {names}"]
    return range_problems(part, f"{path}.")


def complaints(path: str, error: ValueError) -> list[str]:
    """Return what a rule said, after the path of the value, one line each."""
    return [
        f"{path}{line}" if line.startswith("[") else f"{path} {line}"
        for line in map(str, error.args)
    ]


def _short(value: object) -> str:
    shown = "nan" if isinstance(value, float) and math.isnan(value) else repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
