"""Requests from JSON and YAML, strict at any depth, and back to plain values."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import attrs
import cattrs
import numpy as np
from cattrs.errors import (
    ClassValidationError,
    IterableValidationError,
    IterableValidationNote,
)

from worldweave.request import sources
from worldweave.request.explain import explain
from worldweave.request.plain import (
    as_object,
    plain_of_json,
    plain_of_yaml,
    read_plain,
    refuse_deep,
    shown,
)
from worldweave.request.sources import FORMS, MapValue
from worldweave.request.spec import Control, Request, VideoValue
from worldweave_registry import Catalog, Problems, did_you_mean, discover

_MOST_KEYS = 4
_EXAMPLES = {
    sources.Box: '{"box": [0, 0, 0.5, 1]}',
    sources.Keyframe: '{"time": 0, "value": 1}',
}


def read_request(file: Path, catalog: Callable[[], Catalog] = discover) -> Request:
    """Read a request from a file, YAML where its name ends so, JSON otherwise.

    File names in it are taken as they are: see `worldweave.request.walk.anchored`.
    catalog: as in `from_plain`.
    """
    return from_plain(read_plain(file), where=str(file), catalog=catalog)


def from_json(text: str, *, where: str = "the request") -> Request:
    """Read a request from JSON. Raise Problems naming every field that is wrong."""
    return from_plain(plain_of_json(text, where=where), where=where)


def from_yaml(text: str, *, where: str = "the request") -> Request:
    """Read a request from YAML, as `from_json` does."""
    return from_plain(plain_of_yaml(text, where=where), where=where)


def from_plain(
    plain: Any,
    *,
    where: str = "the request",
    catalog: Callable[[], Catalog] = discover,
) -> Request:
    """Read a request from dicts and lists. Raise Problems as `from_json` does.

    catalog: tells the plugins that may be imported to say which options there are.
    """
    refuse_deep(as_object(plain, where), where)
    try:
        return _CONVERTER.structure(plain, Request)
    except ClassValidationError as error:
        raise Problems(explain(error, where, catalog)) from error


def to_plain(value: Any) -> Any:
    """Return a request, or a part of one, as JSON can hold it.

    Of the forms of a map only what differs from its default is kept. Arrays and
    functions become a note.
    """
    if isinstance(value, np.ndarray):
        return f"array {value.dtype} {'x'.join(map(str, value.shape))} in memory"
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if attrs.has(type(value)):
        is_whole = isinstance(value, (Request, Control))
        return {
            field.name: to_plain(getattr(value, field.name))
            for field in attrs.fields(type(value))
            # The key that tells which form it is stays, whatever it says.
            if is_whole
            or field.name in FORMS
            or getattr(value, field.name) is not field.default
        }
    if callable(value):
        return f"function {getattr(value, '__name__', '?')} in memory"
    return value


def _control_from(value: Any, _: Any) -> Control:
    is_short = isinstance(value, (int, float, str)) and not isinstance(value, bool)
    # Beside a map the key of a form is one that a control does not have.
    is_form = isinstance(value, dict) and "map" not in value and _forms_in(value)
    if is_short or is_form:
        value = {"map": value}
    if not isinstance(value, dict):
        raise ValueError(f"expected a map or an object, got {shown(value)}")
    control: Control = _structure_control(value, Control)
    return control


def _forms_in(value: Mapping[str, Any]) -> list[str]:
    """Return the forms of a map that have their key in *value*."""
    return [key for key in FORMS if key in value]


def _map_from(value: Any, _: Any) -> Any:
    if isinstance(value, str):
        return _file(value, None)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not _is_finite(value):
            raise ValueError(f"it is {shown(value)}; give a number from 0 to 1")
        return float(value)
    if not isinstance(value, dict):
        raise ValueError(
            f"expected a number, a file name or an object such as "
            f'{{"rule": "road -> 1; else -> 0"}}, got {shown(value)}'
        )
    forms = _forms_in(value)
    if len(forms) != 1:
        first = next(iter(value), None)
        near = "" if forms or first is None else did_you_mean(str(first), FORMS)
        raise ValueError(
            f"an object of {_keys_of(value)} is no form of a map; it has exactly one "
            f"of: {', '.join(FORMS)}{near}"
        )
    return _CONVERTER.structure(value, FORMS[forms[0]])


def _keys_of(value: Mapping[str, Any]) -> str:
    """Return the keys of *value*, no more than a line holds."""
    keys = [shown(str(key)) for key in islice(value, _MOST_KEYS)]
    keys += ["..."] if len(value) > _MOST_KEYS else []
    return ", ".join(keys) or "nothing"


def _number(value: Any, _: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number:
        raise ValueError(f"expected a number, got {shown(value)}")
    if not _is_finite(value):
        raise ValueError(f"it is {shown(value)}; give a finite number")
    return float(value)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _whole(value: Any, _: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected a whole number, got {shown(value)}")
    return value


def _truth(value: Any, _: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, got {shown(value)}")
    return value


def _text(value: Any, _: Any) -> str:
    # No prompt or file name can hold a null character.
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"expected text, got {shown(value)}")
    return value


def _choice(value: Any, kind: Any) -> str:
    choices = get_args(kind)
    if value not in choices:
        near = did_you_mean(value, choices) if isinstance(value, str) else ""
        one_of = " or ".join(map(repr, choices))
        raise ValueError(f"it is {shown(value)}; give {one_of}{near}")
    chosen: str = value
    return chosen


def _optional(structure: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda value, kind: None if value is None else structure(value, kind)


def _optional_choice(value: Any, kind: Any) -> str | None:
    return None if value is None else _choice(value, get_args(kind)[0])


def _is_file(value: Any) -> bool:
    return isinstance(value, str) and value != "" and "\0" not in value


def _file(value: Any, _: Any) -> Any:
    if _is_file(value):
        return value
    raise ValueError(f"expected a file name, got {shown(value)}")


def _classes(value: Any, _: Any) -> Any:
    if value is None or isinstance(value, dict) or _is_file(value):
        return value
    raise ValueError(
        'expected a file name or a table such as {"car": [255, 0, 0]}, got '
        + shown(value)
    )


def _items(value: Any, kind: Any) -> tuple[Any, ...]:
    """Structure a list, of any length or of as many items as *kind* has."""
    item, *rest = get_args(kind)
    count = None if rest == [...] else 1 + len(rest)
    if not isinstance(value, (list, tuple)) or (count and len(value) != count):
        many = "a list" if count is None else f"a list of {count} numbers"
        raise ValueError(f"expected {many}, got {shown(value)}")
    if count is not None:
        return tuple(_number(each, float) for each in value)
    if item in _EXAMPLES:
        _refuse_no_objects(value, _EXAMPLES[item])
    structured: list[Any] = _CONVERTER.structure(value, list[item])  # type: ignore[valid-type]
    return tuple(structured)


def _refuse_no_objects(items: Sequence[Any], example: str) -> None:
    """Raise an error about the first of *items* that is no object."""
    wrong = [at for at, item in enumerate(items) if not isinstance(item, dict)]
    if not wrong:
        return
    at, *others = wrong
    more = f" (and {len(others)} more)" if others else ""
    error = ValueError(
        f"expected an object such as {example}, got {shown(items[at])}{more}"
    )
    error.__notes__ = [IterableValidationNote("", at, dict)]
    raise IterableValidationError("", [error], list)  # pyright: ignore[reportCallIssue]


def _options(value: Any, _: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"expected an object of options, got {shown(value)}")
    return value


def _controls(value: Any, _: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"expected an object of modalities, got {shown(value)}")
    return _structure_controls(value, dict[str, Control])


def _labels(value: Any, kind: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, str):
        value = {"file": _file(value, None)}
    return _part(value, sources.Labels)


def _part(value: Any, kind: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, got {shown(value)}")
    return _CONVERTER.structure(value, kind)


def _is_choice(kind: Any) -> bool:
    return str(get_origin(kind)) == "typing.Literal"


def _is_optional_of(test: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def is_so(kind: Any) -> bool:
        inner = get_args(kind)
        return len(inner) == 2 and inner[1] is type(None) and test(inner[0])

    return is_so


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(int, _whole)
    converter.register_structure_hook(bool, _truth)
    converter.register_structure_hook(str, _text)
    hint = get_type_hints(sources.Labels)["classes"]
    hooks: list[tuple[Any, Callable[[Any, Any], Any]]] = [
        (MapValue, _map_from),
        (MapValue | None, _optional(_map_from)),
        (VideoValue | None, _optional(_file)),
        (hint, _classes),
        (dict[str, Any], _options),
        (sources.Labels | None, _labels),
        (sources.Objects | None, _optional(lambda v, _: _part(v, sources.Objects))),
        (sources.Schedule | None, _optional(lambda v, _: _part(v, sources.Schedule))),
    ]
    for wanted, hook in hooks:
        converter.register_structure_hook_func(partial(operator.eq, wanted), hook)
    converter.register_structure_hook_func(_is_choice, _choice)
    converter.register_structure_hook_func(
        _is_optional_of(_is_choice), _optional_choice
    )
    converter.register_structure_hook_func(_is_tuple, _items)
    converter.register_structure_hook_func(
        _is_optional_of(_is_tuple),
        _optional(lambda value, kind: _items(value, get_args(kind)[0])),
    )
    for kind in (sources.File, sources.Learned, sources.Labels):
        converter.register_structure_hook(kind, _structure_fn(kind, converter))
    return converter


def _structure_fn(kind: type, converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """Return what structures a *kind*, of whose texts some are file names."""
    hints = get_type_hints(kind)
    hooks = {str: _file, str | None: _optional(_file)}
    names: dict[str, Any] = {
        field.name: cattrs.override(struct_hook=hooks[hints[field.name]])
        for field in attrs.fields(kind)
        if field.metadata.get("file") and hints[field.name] in hooks
    }
    make: Any = cattrs.gen.make_dict_structure_fn
    structure: Callable[[Any, Any], Any] = make(
        kind, converter, _cattrs_forbid_extra_keys=True, **names
    )
    return structure


_CONVERTER = _make_converter()
_structure_control = _structure_fn(Control, _CONVERTER)
_CONVERTER.register_structure_hook(Control, _control_from)
_structure_controls = _CONVERTER.get_structure_hook(dict[str, Control])
_CONVERTER.register_structure_hook_func(
    lambda kind: kind == dict[str, Control], _controls
)
