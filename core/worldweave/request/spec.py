"""One request as frozen data, and what its plain values may be."""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType
from typing import Any, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from worldweave.request.kinds import kind_problems, told
from worldweave.request.sources import (
    FILE,
    Labels,
    MapSource,
    MapValue,
    Objects,
    Schedule,
    plain,
    plain_map,
)

#: A file, or uint8 frames (T, H, W, 3).
VideoValue: TypeAlias = str | npt.NDArray[np.uint8]

COMPAT = ("cosmos-transfer1",)


# What cannot be converted stays as it is, to be told by `type_problems`.


def _plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(options, Mapping):
        return options
    return {name: plain(value) for name, value in options.items()}


def _own_dict(controls: Mapping[str, Control]) -> dict[str, Control]:
    return dict(controls) if isinstance(controls, Mapping) else controls


@attrs.frozen(kw_only=True, eq=False)
class Control:
    """How one modality takes part.

    map: its values, 0..1, from anything `worldweave.request.sources` knows; None for
    the modality's default. video: a ready control video; None to make it from the
    source. options: fields of its preprocessor. weights: a branch checkpoint other
    than the plugin's own. schedule: how the map depends on the denoising step; None:
    not at all.
    """

    map: MapValue | None = attrs.field(default=None, converter=plain_map, metadata=FILE)
    video: VideoValue | None = attrs.field(default=None, converter=plain, metadata=FILE)
    options: dict[str, Any] = attrs.field(factory=dict, converter=_plain_options)
    weights: str | None = attrs.field(default=None, converter=plain, metadata=FILE)
    schedule: Schedule | None = None


@attrs.frozen(kw_only=True, eq=False)
class Request:
    """Everything that decides a video. What is None takes the base's default.

    base: which base. prompt: what to see. negative_prompt: what not to see. video: the
    source the controls are made from. controls: by modality. labels: a video of
    classes, for rules. objects: what is salient. steps: denoising steps, 1 or more.
    guidance: 0 or more; strength g of c + g (c - u). seed: of all noise, 0 or more;
    chunk i uses seed + i. sigma_max: where denoising starts; below 80 it starts from
    the noised source instead of pure noise (SDEdit). fps: what the model is told; the
    file keeps the source's. overlap: frames a chunk takes over from the one before.
    max_frames: use no more frames of the videos. compat: reproduce the released code's
    quirks.
    """

    base: str = "tiny-world"
    prompt: str = ""
    negative_prompt: str = ""
    video: VideoValue | None = attrs.field(default=None, converter=plain, metadata=FILE)
    controls: dict[str, Control] = attrs.field(factory=dict, converter=_own_dict)
    labels: Labels | None = None
    objects: Objects | None = None
    steps: int | None = attrs.field(default=None, converter=plain)
    guidance: float | None = attrs.field(default=None, converter=plain)
    seed: int = attrs.field(default=0, converter=plain)
    sigma_max: float = attrs.field(default=80.0, converter=plain)
    fps: float | None = attrs.field(default=None, converter=plain)
    overlap: int = attrs.field(default=1, converter=plain)
    max_frames: int | None = attrs.field(default=None, converter=plain)
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
    "controls": ((dict,), "a dict of controls by modality"),
    "labels": ((Labels,), "a worldweave.maps.Labels"),
    "objects": ((Objects,), "a worldweave.maps.Objects"),
}
_CONTROL_KINDS: _Kinds = {
    "map": (
        (*_NUMBER, str, np.ndarray, MapSource, FunctionType),
        "a number, a file, an array, a function or a form of worldweave.maps",
    ),
    "video": ((str, np.ndarray), "a file or an array"),
    "options": ((dict,), "a dict of options"),
    "weights": (_TEXT, "a file"),
    "schedule": ((Schedule,), "a worldweave.maps.Schedule"),
}


def type_problems(request: Request) -> list[str]:
    """Return what in *request* is of a kind its field cannot be, one line each.

    JSON never gets here with such values; callers from Python do. What maps are made
    from is looked at by `worldweave.request.maps.check.map_problems`.
    """
    found = _wrong_kinds(request, _KINDS, "{}")
    for what, part in (("labels", request.labels), ("objects", request.objects)):
        if isinstance(part, (Labels, Objects)):
            found += [f"{what}.{problem}" for problem in kind_problems(part)]
    controls = request.controls if isinstance(request.controls, dict) else {}
    for name, control in controls.items():
        if not isinstance(control, Control):
            what = told(f"control {name!r}", control)
            found.append(f"{what}; give a worldweave.Control")
            continue
        found += _wrong_kinds(control, _CONTROL_KINDS, f"{{}} of {name!r}")
        if isinstance(control.schedule, Schedule):
            wrong = kind_problems(control.schedule)
            found += [f"schedule of {name!r}: {problem}" for problem in wrong]
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
        is_function = FunctionType in accepted and callable(value)
        fits = isinstance(value, accepted) or is_function
        if isinstance(value, bool) or not fits:
            found.append(f"{told(what.format(field.name), value)}; give {words}")
    return found
