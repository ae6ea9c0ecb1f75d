"""What is wrong with a map that can be told before anything is read."""

from __future__ import annotations

import json
import math
import os
import re
import reprlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from worldweave.request.kinds import kind_problems
from worldweave.request.labels.rules import rule_problems
from worldweave.request.maps import shapes
from worldweave.request.maps.files import as_values
from worldweave.request.maps.timing import rate_problems
from worldweave.request.sources import (
    OF_THE_BASE,
    Boxes,
    Feather,
    File,
    Inverse,
    Keyframes,
    Learned,
    MapSource,
    MapValue,
    Maximum,
    Product,
    Prompt,
    Rule,
    Salient,
    is_number,
)
from worldweave.request.walk import maps_in, named_parts, parts
from worldweave_registry import WorldweaveError

_KINDS = "a number from 0 to 1, a file, an array, a function or a map object"
_ONE_FILE = "give one file"
#: Pixels; wider than any video is, and still far from where sums lose their digits.
_WIDEST = 1e5


def needs_model(value: MapValue) -> bool:
    """Tell whether a plugin has to look at the video to draw *value*."""
    return any(isinstance(part, Prompt) for part in maps_in(value))


def map_problems(name: str, value: MapValue) -> list[str]:
    """Say all that is wrong with the map of *name*, reading no file.

    Of a map that another is computed from its place is told: "product[1].feather".
    """
    what = f"map of {name!r}"
    problems = [
        f"{what}: a learned map cannot be computed with; leave the arithmetic out and "
        "give its scale"
        for part in maps_in(value)
        if isinstance(part, Learned) and part is not value
    ]
    problems += _problems(what, value)
    for place, part in _places(value):
        problems += _problems(f"{what}: {place}", part)
    return list(dict.fromkeys(problems))


def _places(value: MapValue) -> Iterator[tuple[str, Any]]:
    """Yield the maps *value* is computed from, however deep, each with its place."""
    for place, part in named_parts(value):
        yield place, part
        for inner, each in _places(part):
            yield f"{place}.{inner}", each


def _problems(what: str, value: Any) -> list[str]:
    """Say what is wrong with *value* itself, not with what it is made from."""
    if isinstance(value, (str, os.PathLike)):
        return _text_problems(what, str(value))
    if is_number(value):
        return _number_problems(what, value)
    if isinstance(value, (np.ndarray, Tensor)):
        return _array_problems(what, value)
    found = kind_problems(value) if isinstance(value, MapSource) else []
    return [f"{what}: {problem}" for problem in found or _form_problems(value)]


def _number_problems(what: str, value: Any) -> list[str]:
    if 0 <= value <= 1:
        return []
    return [f"{what} is {value}; give a number from 0 to 1"]


def _text_problems(what: str, text: str) -> list[str]:
    trouble = _trouble(text)
    if trouble is None:
        return []
    if trouble:
        return [f"{what} is {text!r}, which {trouble}; {_ONE_FILE}"]
    advice = "give a number from 0 to 1, check the path"
    if not text or re.search(r"[/\\]|\.\w+$", text):
        advice = "give a number from 0 to 1, or check the path"
    else:
        prompt = json.dumps({"prompt": text}, ensure_ascii=False)
        advice += f", or for a map from text write {prompt}"
    return [f"{what} is {text!r}, which is neither a number nor a file; {advice}"]


def _trouble(file: str) -> str | None:
    """Say why *file* cannot be read: "" where there is none; None where it can."""
    if not file:  # to Path this is the folder we are in
        return ""
    try:
        mode = Path(file).stat().st_mode
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return ""
    if stat.S_ISDIR(mode):
        return "is a folder"
    return None if stat.S_ISREG(mode) else "is not a regular file"


def _array_problems(what: str, array: object) -> list[str]:
    try:
        as_values(array, what)
    except WorldweaveError as error:
        return [str(error)]
    return []


def _form_problems(value: Any) -> list[str]:
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
    if isinstance(value, Feather):
        return _feather_problems(value)
    if isinstance(value, (Product, Maximum)) and not parts(value):
        return ["there is nothing to compute with; give one map or more"]
    if isinstance(value, (Prompt, Product, Maximum, Inverse)):
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


def _feather_problems(feather: Feather) -> list[str]:
    what = f"feather is {feather.pixels:g} pixels wide"
    if not 0 <= feather.pixels < math.inf:
        return [f"{what}; give 0 or more"]
    return [] if feather.pixels <= _WIDEST else [f"{what}; give {_WIDEST:.0f} or less"]


def _file_problems(file: File) -> list[str]:
    problems = []
    trouble = _trouble(file.file)
    if trouble is not None:
        problems.append(_cannot_be_read(file.file, trouble))
    if file.fps is not None:
        problems += rate_problems(file.fps)
    return problems


def _cannot_be_read(file: str, trouble: str) -> str:
    if trouble:
        return f"{file!r} {trouble}; {_ONE_FILE}"
    return f"there is no file {file!r}; check the path"


def _learned_problems(learned: Learned) -> list[str]:
    trouble = None if learned.learned == OF_THE_BASE else _trouble(learned.learned)
    if trouble is None:
        return []
    told = _cannot_be_read(learned.learned, trouble)
    return [f'{told}, or give "{OF_THE_BASE}" for the weights that come with the base']
