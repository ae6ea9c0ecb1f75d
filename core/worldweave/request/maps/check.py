"""What is wrong with a map that can be told before anything is read."""

from __future__ import annotations

import json
import math
import os
import reprlib
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from worldweave.request.labels.rules import rule_problems
from worldweave.request.maps import shapes
from worldweave.request.maps.files import as_values
from worldweave.request.sources import (
    Boxes,
    Feather,
    File,
    Inverse,
    Keyframes,
    Learned,
    MapValue,
    Maximum,
    Product,
    Prompt,
    Rule,
    Salient,
)
from worldweave.request.walk import maps_in, parts
from worldweave_registry import WorldweaveError

_KINDS = "a number from 0 to 1, a file, an array, a function or a map object"


def needs_model(value: MapValue) -> bool:
    """Tell whether a plugin has to look at the video to draw *value*."""
    return any(isinstance(part, Prompt) for part in maps_in(value))


def map_problems(name: str, value: MapValue) -> list[str]:
    """Say all that is wrong with the map of *name*, reading no file."""
    problems = [
        f"map of {name!r}: a learned map cannot be computed with; leave the "
        "arithmetic out and give its scale"
        for part in maps_in(value)
        if isinstance(part, Learned) and part is not value
    ]
    for part in maps_in(value):
        problems += _problems(name, part)
    return list(dict.fromkeys(problems))


def _problems(name: str, value: MapValue) -> list[str]:
    """Say what is wrong with *value* itself, not with what it is made from."""
    what = f"map of {name!r}"
    if isinstance(value, (str, os.PathLike)):
        return _text_problems(what, str(value))
    if _is_number(value):
        return _number_problems(what, value)
    if isinstance(value, (np.ndarray, Tensor)):
        return _array_problems(what, value)
    return [f"{what}: {problem}" for problem in _form_problems(value)]


def _is_number(value: object) -> bool:
    kinds = (int, float, np.integer, np.floating)
    return isinstance(value, kinds) and not isinstance(value, bool)


def _number_problems(what: str, value: Any) -> list[str]:
    if 0 <= value <= 1:
        return []
    return [f"{what} is {value}; give a number from 0 to 1"]


def _text_problems(what: str, text: str) -> list[str]:
    if _is_there(text):
        return []
    return [
        f"{what} is {text!r}, which is neither a number nor a file; give a number "
        "from 0 to 1, check the path, or for a map from text write "
        + json.dumps({"prompt": text}, ensure_ascii=False)
    ]


def _is_there(file: str) -> bool:
    try:
        return Path(file).is_file()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False


def _array_problems(what: str, array: object) -> list[str]:
    try:
        as_values(array, what)
    except WorldweaveError as error:
        return [str(error)]
    return []


def _form_problems(value: MapValue) -> list[str]:
    if isinstance(value, Boxes):
        return shapes.boxes_problems(value)
    if isinstance(value, Keyframes):
        return shapes.keyframes_problems(value)
    if isinstance(value, File):
        return _file_problems(value)
    if isinstance(value, Rule):
        return rule_problems(value.rule)
    if isinstance(value, Prompt) and not value.prompt.strip():
        return ["the prompt is empty; say what to look for"]
    if isinstance(value, Salient):
        return _in_0_to_1(foreground=value.foreground, background=value.background)
    if isinstance(value, Learned):
        return _in_0_to_1(scale=value.scale) + _learned_problems(value)
    if isinstance(value, Feather) and not 0 <= value.pixels < math.inf:
        return [f"feather is {value.pixels:g} pixels wide; give 0 or more"]
    if isinstance(value, (Product, Maximum)) and not parts(value):
        return ["there is nothing to compute with; give one map or more"]
    if isinstance(value, (Prompt, Feather, Product, Maximum, Inverse)):
        return []
    if callable(value):
        return []
    return [f"it is {reprlib.repr(value)}, a {type(value).__name__}; give {_KINDS}"]


def _in_0_to_1(**numbers: float) -> list[str]:
    return [
        f"{key} is {number:g}; give a number from 0 to 1"
        for key, number in numbers.items()
        if not 0 <= number <= 1
    ]


def _file_problems(file: File) -> list[str]:
    problems = []
    if not _is_there(file.file):
        problems.append(f"there is no file {file.file!r}; check the path")
    if file.fps is not None and not 0 < file.fps < math.inf:
        problems.append(f"fps is {file.fps:g}; give frames per second, above 0")
    return problems


def _learned_problems(learned: Learned) -> list[str]:
    if learned.learned == "base" or _is_there(learned.learned):
        return []
    return [
        f'there is no file {learned.learned!r}; check the path, or give "base" for '
        "the weights that come with the base"
    ]
