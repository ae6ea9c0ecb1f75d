"""What the options of a preprocessor promise: they are told, and refuse nonsense."""

from __future__ import annotations

import enum
import inspect
import math
import re
import types
import typing
from collections.abc import Iterator
from typing import Any

import attrs

from worldweave.testing.checks.listing import parts_can_be_imported
from worldweave.testing.kit import check, each_once, fail
from worldweave.testing.subject import NotApplicable, Subject
from worldweave.train.random_options import RandomOptions
from worldweave_registry import (
    Problems,
    WorldweaveError,
    let_interrupts_pass,
    one_line,
)

#: A text that no list of choices has and that is no number.
WORD = "nonsense"


class _Foreign:
    """Something that no option can mean."""

    # As a list in a request has none, and a dict of presets would stumble over it.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "an object of a foreign class"


@check(
    "the options are the fields of a frozen attrs class, each by keyword",
    needs=(parts_can_be_imported,),
)
def options_are_declared(subject: Subject) -> None:
    """Compare what the class declares with what it takes."""
    kind = _kind(subject)
    if not (isinstance(kind, type) and attrs.has(kind)):
        fail(
            f"{kind!r} is no attrs class, so nobody can see its options",
            "decorate it with @attrs.frozen(kw_only=True) and make each option a "
            "field with a default, in place of __init__",
        )
    wrong = list(_undeclared(kind))
    if wrong:
        fail("; ".join(says for says, _ in wrong), each_once(mend for _, mend in wrong))


def _undeclared(kind: type) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with how options are declared, and what to do about it."""
    fields = _options(kind)
    decorate = "decorate the class with @attrs.frozen(kw_only=True)"
    if not _is_frozen(kind(), fields[0].name if fields else "any"):
        yield "its options can be changed after it is built", decorate
    for field in fields:
        if field.name == "per_frame":
            yield (
                "'per_frame' is an option, which users may set",
                "promise it for the class: per_frame: ClassVar[bool] = True",
            )
            continue
        if not field.kw_only:
            yield f"option {field.name!r} can be given by position", decorate
        if field.alias != field.name:
            yield (
                f"option {field.name!r} is called {field.alias!r} where it is built",
                f"name the field as users do, without underscore: {field.alias}",
            )
    for name in inspect.signature(kind).parameters:
        if name not in [field.alias for field in fields]:
            yield (
                f"it is built with {name!r}, which is no field",
                "make every argument of __init__ a field, in place of __init__",
            )


def _is_frozen(made: object, name: str) -> bool:
    try:
        setattr(made, name, None)
    except attrs.exceptions.FrozenError:
        return True
    except Exception:
        return False  # a validator that speaks when a field is set
    return False


@check(
    "every option refuses, by its name and when it is set, what nobody can mean",
    needs=(options_are_declared,),
)
def options_refuse_nonsense(subject: Subject) -> None:
    """Build the preprocessor with one senseless option at a time.

    A foreign object for each; where there are choices, a number or True and False,
    a stray word; for a number also NaN, infinity, True and False. Free text may say
    anything.
    """
    kind = _kind(subject)
    fields = _options(kind)
    if not fields:
        raise NotApplicable("it has no options")
    wrong = []
    for field in fields:
        accepted = []
        for value in _nonsense(_hint(kind, field), field.default):
            problem = _refusal_problem(kind, field.name, value)
            if problem is None:
                accepted.append(repr(value))
            elif problem:
                wrong.append(problem)
        if accepted:
            wrong.append(f"option {field.name!r} accepts {', '.join(accepted)}")
    if wrong:
        fail(
            "; ".join(wrong),
            "give each option a validator that raises an error with its name, the "
            "value and what is expected, such as attrs.validators.in_(...), or "
            "instance_of(...) with ge(...) and le(...); correct nothing silently, and "
            "mind that True is an int and equal to 1",
        )


def _refusal_problem(kind: Any, name: str, value: object) -> str | None:
    """Return what is wrong with how *value* is refused, "" for nothing, None if not."""
    try:
        kind(**{name: value})
    except (TypeError, ValueError, WorldweaveError) as error:
        if re.search(rf"\b{re.escape(name)}\b", one_line(error)):
            return ""
        return f"{name}={value!r} raises {one_line(error)!r}, which does not name it"
    except BaseException as error:
        let_interrupts_pass(error)
        return (
            f"{name}={value!r} raises {one_line(error)!r}, expected a TypeError, "
            "ValueError or WorldweaveError"
        )
    return None


def _nonsense(hint: object, default: object) -> Iterator[object]:
    """Yield what nobody can mean by an option of this type and default."""
    yield _Foreign()
    allowed = list(_alternatives(hint)) or [type(default)]
    is_number = any(each in (int, float) for each in allowed)
    has_choices = any(
        not isinstance(each, type) or issubclass(each, enum.Enum) for each in allowed
    )
    if is_number:
        # An option whose default is infinity means it.
        for value in (math.nan, math.inf, -math.inf):
            if repr(value) != repr(default):
                yield value
        if bool not in allowed:
            # To Python they are the numbers 1 and 0; nobody means that.
            yield from (True, False)
    if (is_number or has_choices or bool in allowed) and str not in allowed:
        yield WORD


def _alternatives(hint: object) -> Iterator[object]:
    """Yield the types a hint allows and the values it lists; nothing if it is none."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for each in inside:
            yield from _alternatives(each)
    elif origin is typing.Literal:
        yield from inside
    elif isinstance(origin or hint, type) and hint is not Any:
        yield origin or hint


def _hint(kind: type, field: attrs.Attribute[Any]) -> object:
    """Return the type of a field; None where it is not said or cannot be read here."""
    holder = type(
        "Holder",
        (),
        {"__annotations__": {field.name: field.type}, "__module__": kind.__module__},
    )
    try:
        return typing.get_type_hints(holder).get(field.name)
    except Exception:
        return None  # a name that only type checkers import


@check(
    "every draw of the recipe's random options builds a preprocessor",
    needs=(parts_can_be_imported,),
)
def random_options_are_accepted(subject: Subject) -> None:
    """Look at the random options as the training does before it starts."""
    recipe = subject.recipe()
    if not recipe.random_options:
        raise NotApplicable("its recipe draws no random options")
    lazy = subject.modality.preprocessor
    if lazy is not None and not attrs.has(lazy.load()):
        raise NotApplicable(
            f"nothing to look at before {options_are_declared.name} passes"
        )
    try:
        RandomOptions.of(subject.modality, recipe)
    except Problems as error:
        fail(
            one_line(error),
            "name options of the preprocessor in random_options, and only values "
            "that it takes together",
        )


def _kind(subject: Subject) -> Any:
    """Return the class of preprocessors; NotApplicable where there is none."""
    if subject.modality.preprocessor is None:
        raise NotApplicable("it has no preprocessor, so no options")
    return subject.modality.preprocessor.load()


def _options(kind: Any) -> list[attrs.Attribute[Any]]:
    return [field for field in attrs.fields(kind) if field.init]


CHECKS = (
    options_are_declared,
    options_refuse_nonsense,
    random_options_are_accepted,
)
