"""The JSON Schema of a request, made from the classes a request is read into."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

import attrs

from worldweave.request.sources import (
    FORMS,
    Box,
    Boxes,
    Feather,
    File,
    Keyframe,
    Keyframes,
    Labels,
    Learned,
    MapValue,
    Maximum,
    Objects,
    Product,
    Salient,
    Schedule,
)
from worldweave.request.spec import COMPAT, Control, Request, VideoValue

Schema: TypeAlias = dict[str, Any]

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_PART = {"minimum": 0, "maximum": 1}
_RATE = {"exclusiveMinimum": 0}
_SOME = {"minItems": 1}
#: What the checks of values allow, where it can be said of one field alone.
LIMITS: Mapping[tuple[type, str], Schema] = {
    (Request, "steps"): {"minimum": 1, "maximum": 1000},
    (Request, "guidance"): {"minimum": 0, "maximum": 100},
    (Request, "seed"): {"minimum": 0, "maximum": 2**31 - 1},
    (Request, "sigma_max"): {"exclusiveMinimum": 0.002, "maximum": 80},
    (Request, "fps"): {**_RATE, "maximum": 1000},
    (Request, "overlap"): {"minimum": 0},
    (Request, "max_frames"): {"minimum": 1},
    (Request, "compat"): {"enum": [*COMPAT, None]},
    (File, "fps"): {**_RATE, "maximum": 1000},
    (Labels, "fps"): {**_RATE, "maximum": 1000},
    (Box, "box"): {"items": {"type": "number", **_PART}},
    (Box, "value"): _PART,
    (Box, "start"): {"minimum": 0},
    (Box, "end"): _RATE,
    (Boxes, "boxes"): _SOME,
    (Boxes, "outside"): _PART,
    (Keyframe, "time"): {"minimum": 0},
    (Keyframe, "value"): _PART,
    (Keyframe, "box"): {"items": {"type": "number", **_PART}},
    (Keyframes, "keyframes"): _SOME,
    (Keyframes, "outside"): _PART,
    (Salient, "foreground"): _PART,
    (Salient, "background"): _PART,
    (Learned, "scale"): _PART,
    (Product, "product"): _SOME,
    (Maximum, "max"): _SOME,
    (Feather, "pixels"): {"minimum": 0, "maximum": 100000},
    (Schedule, "linear"): {"items": {"type": "number", **_PART}},
    (Schedule, "interval"): {"items": {"type": "number", "minimum": 0}},
}

_CLASSES: tuple[type, ...] = (
    Control,
    *FORMS.values(),
    Box,
    Keyframe,
    Labels,
    Objects,
    Schedule,
)
# No prompt or file name can hold a null character.
_TEXT: Schema = {"type": "string", "pattern": "^[^\\u0000]*$"}
_FILE: Schema = {"type": "string", "pattern": "^[^\\u0000]+$"}
_ANY_OBJECT: Schema = {"type": "object"}


def json_schema() -> Schema:
    """Return the schema of a request, draft 2020-12.

    What it accepts, `from_plain` accepts, and the other way round, but for whole
    numbers written 2.0, which JSON Schema takes for 2, and for LIMITS, which are
    checked later than the structure.
    """
    return {
        "$schema": DRAFT,
        "title": "A request of worldweave",
        **_of_class(Request),
        "$defs": {
            "map": _of_map(),
            "control": {
                "description": "How a modality takes part, or its map alone.",
                "oneOf": [*_of_map()["oneOf"], _ref("Control")],
            },
            "labels": {
                "description": "A video of classes, or its file name alone.",
                "oneOf": [_FILE, _ref("Labels")],
            },
            **{kind.__name__: _of_class(kind) for kind in _CLASSES},
        },
    }


def _of_map() -> Schema:
    """Return the schema of a map: a number, a file name, or one of the forms."""
    return {
        "description": "Values in 0..1: a number, a file name, or one of the forms.",
        "oneOf": [
            {"type": "number", **_PART},
            _FILE,
            *(_ref(form.__name__) for form in FORMS.values()),
        ],
    }


def _of_class(kind: type) -> Schema:
    """Return the schema of an object that has the fields of *kind* and no others."""
    about, told = _documented(kind)
    hints = get_type_hints(kind)
    key = next((key for key, form in FORMS.items() if form is kind), None)
    properties, required = {}, []
    for field in attrs.fields(kind):
        schema = _of_hint(hints[field.name])
        if field.metadata.get("file"):
            schema = _of_file(schema)
        schema |= LIMITS.get((kind, field.name), {})
        if text := told.get(field.name):
            schema["description"] = text
        if field.default is attrs.NOTHING or field.name == key:
            required.append(field.name)
        elif isinstance(field.default, (str, int, float)):
            schema["default"] = field.default
        properties[field.name] = schema
    made = {
        "description": about,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    return made if required else {k: v for k, v in made.items() if k != "required"}


def _of_file(schema: Schema) -> Schema:
    """Return *schema* where its texts are file names."""
    made = schema | _FILE | {"type": schema["type"]} if "pattern" in schema else schema
    if "anyOf" in made:
        made = made | {"anyOf": [_of_file(choice) for choice in made["anyOf"]]}
    return made


_SPECIAL: list[tuple[Any, Schema]] = [
    (MapValue, {"$ref": "#/$defs/map"}),
    (VideoValue, _TEXT),
    (Labels, {"$ref": "#/$defs/labels"}),
    (dict[str, Any], _ANY_OBJECT),
    (
        dict[str, Control],
        {
            "type": "object",
            "propertyNames": _TEXT,
            "additionalProperties": {"$ref": "#/$defs/control"},
        },
    ),
    (str, _TEXT),
    (bool, {"type": "boolean"}),
    (int, {"type": "integer"}),
    (float, {"type": "number"}),
]


def _of_hint(hint: Any) -> Schema:
    """Return the schema of what a field of type *hint* takes from JSON."""
    for kind, schema in _SPECIAL:
        if hint == kind:
            return dict(schema)
    inner = get_args(hint)
    if get_origin(hint) is Literal:
        return {"enum": list(inner)}
    if get_origin(hint) is tuple:
        if inner[1:] == (...,):
            return {"type": "array", "items": _of_hint(inner[0])}
        many = {"minItems": len(inner), "maxItems": len(inner)}
        return {"type": "array", "items": _of_hint(inner[0]), **many}
    if get_origin(hint) in (Union, types.UnionType):
        return _of_union(inner)
    return _ref(hint.__name__)


def _of_union(kinds: tuple[Any, ...]) -> Schema:
    if type(None) not in kinds:
        return {"anyOf": [_of_hint(kind) for kind in kinds]}
    rest: Any = Union[tuple(kind for kind in kinds if kind is not type(None))]  # noqa: UP007
    return _or_null(_of_hint(rest))


def _or_null(schema: Schema) -> Schema:
    if "enum" in schema:
        return {"enum": [*schema["enum"], None]}
    if "type" in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [*schema.get("anyOf", [schema]), {"type": "null"}]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _documented(kind: type) -> tuple[str, dict[str, str]]:
    """Return what the docstring of *kind* says of it, and of each of its fields.

    A field's line is "name: text." or "name, name: text.", until the next; "as of
    `Other`" is what the docstring of that class says.
    """
    names = "|".join(field.name for field in attrs.fields(kind))
    head = re.compile(rf"(?:^|(?<=\. ))((?:{names})(?:, (?:{names}))*): ")
    about, *rest = head.split(_one_line(inspect.getdoc(kind) or ""))
    told = {}
    for heads, text in zip(rest[::2], rest[1::2], strict=True):
        for name in heads.split(", "):
            told[name] = _capital(_elsewhere(name, text.strip()))
    return about.strip(), told


def _elsewhere(name: str, text: str) -> str:
    other = re.fullmatch(r"as of `(\w+)`\.", text)
    if other is None:
        return text
    by_name = {kind.__name__: kind for kind in _CLASSES}
    return _documented(by_name[other[1]])[1][name]


def _one_line(text: str) -> str:
    """Return *text* on one line, in the words of JSON."""
    text = re.sub(r"\bNone\b", "null", " ".join(text.split()))
    return re.sub(r"\*(\w+)\*|``", lambda m: f"`{m[1]}`" if m[1] else "`", text)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
