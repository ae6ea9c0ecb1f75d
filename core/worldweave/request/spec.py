"""One request as frozen data, and its strict JSON form."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import cattrs
import numpy as np
import numpy.typing as npt
from cattrs.errors import (
    AttributeValidationNote,
    ClassValidationError,
    IterableValidationError,
    IterableValidationNote,
)

from worldweave_registry import Problems, did_you_mean

#: A number for everywhere, a file, or an array (H, W) or (T, H, W) in 0..1.
MapValue: TypeAlias = float | str | npt.NDArray[Any]
#: A file, or uint8 frames (T, H, W, 3).
VideoValue: TypeAlias = str | npt.NDArray[np.uint8]

COMPAT = ("cosmos-transfer1",)


def _plain(value: Any) -> Any:
    """Let callers give paths, fractions and the scalars of NumPy."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Fraction):
        return float(value)
    return value.item() if isinstance(value, np.generic) else value


def _plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) for name, value in options.items()}


@attrs.frozen(kw_only=True, eq=False)
class Control:
    """How one modality takes part.

    map: its weight, 0..1; None for the modality's default. video: a ready control
    video; None to make it from the source. options: fields of its preprocessor.
    weights: a branch checkpoint other than the plugin's own.
    """

    map: MapValue | None = attrs.field(default=None, converter=_plain)
    video: VideoValue | None = attrs.field(default=None, converter=_plain)
    options: dict[str, Any] = attrs.field(factory=dict, converter=_plain_options)
    weights: str | None = attrs.field(default=None, converter=_plain)


@attrs.frozen(kw_only=True, eq=False)
class Request:
    """Everything that decides a video. What is None takes the base's default.

    prompt, negative_prompt: what to see, what not to. video: the source the
    controls are made from. controls: by modality. steps: denoising steps, 1 or
    more. guidance: 0 or more; strength g of c + g (c - u). seed: of all noise, 0 or
    more; chunk i uses seed + i. sigma_max: where denoising starts; below 80 it
    starts from the noised source instead of pure noise (SDEdit). fps: what the
    model is told; the file keeps the source's. overlap: frames a chunk takes over
    from the one before. compat: reproduce the released code's quirks.
    """

    base: str = "tiny-world"
    prompt: str = ""
    negative_prompt: str = ""
    video: VideoValue | None = attrs.field(default=None, converter=_plain)
    controls: dict[str, Control] = attrs.field(factory=dict)
    steps: int | None = attrs.field(default=None, converter=_plain)
    guidance: float | None = attrs.field(default=None, converter=_plain)
    seed: int = attrs.field(default=0, converter=_plain)
    sigma_max: float = attrs.field(default=80.0, converter=_plain)
    fps: float | None = attrs.field(default=None, converter=_plain)
    overlap: int = attrs.field(default=1, converter=_plain)
    max_frames: int | None = attrs.field(default=None, converter=_plain)
    compat: str | None = None


def value_problems(request: Request) -> list[str]:
    """Return what is wrong with the plain values of *request*, one line each."""
    found = []
    if request.steps is not None and not 1 <= request.steps <= 1000:
        found.append(f"steps is {request.steps}; give a whole number from 1 to 1000")
    if request.guidance is not None and not 0 <= request.guidance <= 100:
        found.append(f"guidance is {request.guidance}; give a number from 0 to 100")
    if not 0 <= request.seed < 2**31:
        found.append(
            f"seed is {request.seed}; give a whole number from 0 to 2147483647"
        )
    if not 0.002 < request.sigma_max <= 80.0:
        found.append(
            f"sigma_max is {request.sigma_max}; give a number above 0.002 and up to 80"
        )
    if request.sigma_max < 80.0 and request.video is None:
        found.append(
            f"sigma_max {request.sigma_max} starts from the source, but there is none; "
            "give a video or leave sigma_max at 80"
        )
    if request.fps is not None and not 0 < request.fps <= 1000:
        found.append(f"fps is {request.fps}; give a number above 0 and up to 1000")
    if request.max_frames is not None and request.max_frames < 1:
        found.append(f"max_frames is {request.max_frames}; give 1 or more")
    if request.compat is not None and request.compat not in COMPAT:
        found.append(f"compat is {request.compat!r}; the only one is {COMPAT[0]!r}")
    if request.video is None and not any(
        control.video is not None for control in request.controls.values()
    ):
        found.append("no video; give a source video or a control video")
    return found


#: Per field: what its value may be, in Python and in words.
_Kinds: TypeAlias = Mapping[str, tuple[tuple[type, ...], str]]
_TEXT, _WHOLE, _NUMBER = (str,), (int,), (int, float)
_KINDS: _Kinds = {
    **dict.fromkeys(("base", "prompt", "negative_prompt", "compat"), (_TEXT, "text")),
    **dict.fromkeys(
        ("steps", "seed", "overlap", "max_frames"), (_WHOLE, "a whole number")
    ),
    **dict.fromkeys(("guidance", "sigma_max", "fps"), (_NUMBER, "a number")),
    "video": ((str, np.ndarray), "a file or an array"),
}
_CONTROL_KINDS: _Kinds = {
    "map": ((*_NUMBER, str, np.ndarray), "a number, a file or an array"),
    "video": ((str, np.ndarray), "a file or an array"),
    "weights": (_TEXT, "a file"),
}


def type_problems(request: Request) -> list[str]:
    """Return what in *request* is of a kind its field cannot be, one line each.

    JSON never gets here with such values; callers from Python do.
    """
    found = _wrong_kinds(request, _KINDS, "{}")
    for name, control in request.controls.items():
        if isinstance(control, Control):
            found += _wrong_kinds(control, _CONTROL_KINDS, f"{{}} of {name!r}")
        else:
            found.append(f"control {name!r} is {control!r}; give a worldweave.Control")
    return found


def _wrong_kinds(
    holder: Request | Control,
    kinds: Mapping[str, tuple[tuple[type, ...], str]],
    what: str,
) -> list[str]:
    found = []
    for field in attrs.fields(type(holder)):
        value = getattr(holder, field.name)
        if field.name not in kinds or (value is None and field.default is None):
            continue
        accepted, words = kinds[field.name]
        # True is an int to Python, but no number to people.
        if isinstance(value, bool) or not isinstance(value, accepted):
            short = " ".join(reprlib.repr(value).split())
            found.append(f"{what.format(field.name)} is {short}; give {words}")
    return found


def from_json(text: str, *, where: str = "the request") -> Request:
    """Read a request from JSON. Raise Problems naming every field that is wrong."""
    try:
        plain = json.loads(text)
    except json.JSONDecodeError as error:
        raise Problems(
            [
                f"{where} is not JSON: {error.msg} at line {error.lineno}, "
                f"column {error.colno}; correct it there"
            ]
        ) from error
    except RecursionError as error:
        raise Problems(
            [f"{where} is nested too deeply; give a request with plain fields"]
        ) from error
    return from_plain(plain, where=where)


def from_plain(plain: Any, *, where: str = "the request") -> Request:
    """Read a request from dicts and lists. Raise Problems as `from_json` does."""
    if not isinstance(plain, dict):
        raise Problems([f"{where} must be a JSON object, not {type(plain).__name__}"])
    try:
        return _CONVERTER.structure(plain, Request)
    except ClassValidationError as error:
        raise Problems(_explain(error, where)) from error


def to_plain(request: Request) -> dict[str, Any]:
    """Return *request* as JSON can hold it; arrays become a note."""
    plain = attrs.asdict(request, recurse=True)
    note: dict[str, Any] = _without_arrays(plain)
    return note


def anchored(request: Request, folder: Path) -> Request:
    """Return *request* with its relative file names taken from *folder*."""

    def place(value: Any) -> Any:
        return str(folder / value) if isinstance(value, str) else value

    return attrs.evolve(
        request,
        video=place(request.video),
        controls={
            name: attrs.evolve(
                control,
                map=place(control.map),
                video=place(control.video),
                weights=place(control.weights),
            )
            for name, control in request.controls.items()
        },
    )


def _without_arrays(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return f"array {value.dtype} {'x'.join(map(str, value.shape))} in memory"
    if isinstance(value, dict):
        return {key: _without_arrays(item) for key, item in value.items()}
    return _plain(value)


def _control_from(value: Any, _: type) -> Control:
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        value = {"map": value}
    if not isinstance(value, dict):
        raise ValueError(f"expected a map or an object, got {value!r}")
    return _structure_control(value, Control)


def _number(value: Any, _: type) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a number, got {value!r}")
    return float(value)


def _whole(value: Any, _: type) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected a whole number, got {value!r}")
    return value


def _text(value: Any, _: type) -> str:
    # No prompt or file name can hold a null character.
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"expected text, got {value!r}")
    return value


def _number_or_file(value: Any, _: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    return _file(value, _, "a number or a file name")


def _file(value: Any, _: Any, expected: str = "a file name") -> Any:
    if value is None or (isinstance(value, str) and "\0" not in value):
        return value
    raise ValueError(f"expected {expected}, got {value!r}")


def _controls(value: Any, _: Any) -> dict[str, Control]:
    if not isinstance(value, dict):
        raise ValueError(f"expected an object of modalities, got {value!r}")
    structured: dict[str, Control] = _structure_controls(value, dict[str, Control])
    return structured


def _options(value: Any, _: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"expected an object of options, got {value!r}")
    return value


def _make_converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(int, _whole)
    converter.register_structure_hook(str, _text)
    converter.register_structure_hook_func(
        lambda kind: kind == (MapValue | None), _number_or_file
    )
    converter.register_structure_hook_func(
        lambda kind: kind == (VideoValue | None), _file
    )
    converter.register_structure_hook_func(
        lambda kind: kind == dict[str, Any], _options
    )
    return converter


_CONVERTER = _make_converter()
_structure_control = cattrs.gen.make_dict_structure_fn(
    Control, _CONVERTER, _cattrs_forbid_extra_keys=True
)
_CONVERTER.register_structure_hook(Control, _control_from)
_structure_controls = _CONVERTER.get_structure_hook(dict[str, Control])
_CONVERTER.register_structure_hook_func(
    lambda kind: kind == dict[str, Control], _controls
)


def _explain(error: BaseException, where: str) -> list[str]:
    """Turn cattrs' tree of errors into one line per wrong field."""
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        known = [field.name for field in attrs.fields(error.cl)]
        return [
            f"{where} has an unknown field {key!r}"
            + (did_you_mean(key, known) or f"; it may have: {', '.join(known)}")
            for key in sorted(error.extra_fields)
        ]
    if isinstance(error, (ClassValidationError, IterableValidationError)):
        return [
            line
            for child in error.exceptions
            for line in _explain(child, f"{where}{_place(child)}")
        ]
    return [f"{where}: {error.args[0] if error.args else error}"]


def _place(error: BaseException) -> str:
    """Return where in its parent the field or item lies that *error* is about."""
    for note in getattr(error, "__notes__", []):
        if isinstance(note, IterableValidationNote):
            return f" {note.index!r}"
        if isinstance(note, AttributeValidationNote):
            return f", {note.name}"
    return ""
