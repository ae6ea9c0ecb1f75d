"""Read one control of a Cosmos-Transfer1 spec: its map, its video, its weights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from worldweave.request.foreign.common import (
    PRESETS,
    Draft,
    as_number,
    finish_control,
    is_empty,
    is_map_file,
    is_text,
    ready_problem,
    short,
    unknown,
)

HINTS = ("vis", "seg", "edge", "depth", "keypoint", "upscale", "hdmap", "lidar")
HINT_KEYS = (
    "control_weight",
    "input_control",
    "input_control_prompt",
    "control_weight_prompt",
    "ckpt_path",
)
ONE_VIEW = "several views in one video are not supported; make one request per view"
_DEFAULT_WEIGHT = 0.5
#: By hint: the top-level key that holds its strength, and our option for it.
STRENGTHS = {
    "vis": ("blur_strength", "strength"),
    "edge": ("canny_threshold", "threshold"),
}


def has_source(spec: Mapping[str, Any]) -> bool:
    """Say whether a spec has a source video."""
    return not is_empty(spec.get("input_video_path"))


def _weight_of(hint: Mapping[str, Any]) -> Any:
    weight = hint.get("control_weight")
    return _DEFAULT_WEIGHT if weight is None else weight


def _has_map(hint: Any) -> bool:
    return isinstance(hint, dict) and (
        is_map_file(hint.get("control_weight"))
        or not is_empty(hint.get("control_weight_prompt"))
    )


def sum_of_numbers(spec: Mapping[str, Any]) -> float | None:
    """Return the sum of all weights if each is one number for everywhere."""
    hints = [spec[key] for key in HINTS if spec.get(key) is not None]
    if any(_has_map(hint) or not isinstance(hint, dict) for hint in hints):
        return None
    numbers = [as_number(_weight_of(hint)) for hint in hints]
    if any(number is None or number < 0 for number in numbers):
        return None
    return float(sum(number for number in numbers if number is not None))


def read_hint(
    draft: Draft,
    name: str,
    hint: Any,
    total: float | None,
    makers: Mapping[str, bool] | None,
    elsewhere: Collection[str],
) -> None:
    """Read one control; leave it out where what it needs is refused.

    total: as of `sum_of_numbers`. elsewhere: keys of the top of a spec.
    """
    if hint is None:
        draft.dropped(name, "null, as without it")
        return
    if not isinstance(hint, dict):
        draft.refused(name, f"{short(hint)} is no object of a control; correct it")
        return
    inner = Draft(spec=hint)
    weight = _read_weight(draft, inner, name, total)
    if weight is not None:
        weight = _read_weight_prompt(inner, name, weight)
    video_is_fine = _read_input_control(inner, name)
    _read_rest(inner, name, elsewhere)
    ready = "video" in inner.request
    makes_one = not ready and weight != 0 and video_is_fine
    problem = ready_problem(
        name, makers, needs=f"{name}.input_control" if makes_one else None
    )
    if problem is None and makes_one and not has_source(draft.spec):
        problem = "there is no input_control and no input_video_path to make it from"
    if problem is not None:
        inner.refused(name, problem)
    if weight is None or not video_is_fine or problem is not None:
        finish_control(draft, name, inner, None)
        return
    control = {"map": weight, **inner.request}
    if name in STRENGTHS and not ready:
        key, option = STRENGTHS[name]
        if draft.spec.get(key) in PRESETS:
            control["options"] = {option: draft.spec[key]}
    finish_control(draft, name, inner, control)


def _read_weight(draft: Draft, inner: Draft, name: str, total: float | None) -> Any:
    """Return the map of a control, a number or a file; None where it is refused."""
    path, value = f"{name}.control_weight", _weight_of(inner.spec)
    number = as_number(value)
    if number is None:
        return _read_weight_file(inner, path, value)
    if number < 0:
        inner.refused(path, f"{short(value)} is below 0; give a number from 0 to 1")
        return None
    if number > 1 and total is None:
        inner.refused(
            path,
            f"{short(value)} is above 1, and beside a map there is no number that does "
            "the same; give one from 0 to 1",
        )
        return None
    if total is not None and any(_above_one(h) for h in hints_of(draft.spec).values()):
        inner.became(
            path,
            f"map {number / total:g}: its share of {total:g}, the sum of all "
            "weights; the released system divides by it too",
        )
        return number / total
    also = f", read from the text {short(value)}" if isinstance(value, str) else ""
    if inner.spec.get("control_weight") is None:
        also = ": not given, the released default"
    if number == 0:
        also += ": the control is off"
        beside = any(_has_map(hint) for hint in hints_of(draft.spec).values())
        if beside and not isinstance(value, str):
            also += "; beside a map the released code makes this number 1.0"
    inner.became(path, f"map {number:g}{also}")
    return number


def hints_of(spec: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the controls of a spec by name."""
    return {k: v for k, v in spec.items() if k in HINTS and isinstance(v, dict)}


def _above_one(hint: Mapping[str, Any]) -> bool:
    number = as_number(_weight_of(hint))
    return number is not None and number > 1


def _read_weight_file(inner: Draft, path: str, value: Any) -> Any:
    if not is_map_file(value):
        inner.refused(
            path,
            f"{short(value)} is neither a number from 0 to 1 nor a file of a map; "
            "correct it",
        )
        return None
    quirk = "the released system squeezed it to 121 frames"
    if not value.lower().endswith(".pt"):
        quirk = "the released system reads .pt only"
    inner.became(
        path,
        f"map from {short(value)}, frame by frame; {quirk}; where it is shorter than "
        'the video add "length": "hold" or "loop" to the map',
    )
    return {"file": value}


def _read_weight_prompt(inner: Draft, name: str, weight: Any) -> Any:
    """Return *weight* times what the prompt finds, if there is a prompt."""
    path = f"{name}.control_weight_prompt"
    prompt = inner.spec.get("control_weight_prompt")
    if "control_weight_prompt" not in inner.spec:
        return weight
    if is_empty(prompt):
        inner.dropped(path, "empty, as without it")
        return weight
    if not is_text(prompt):
        inner.refused(path, f"{short(prompt)} is no text; correct it")
        return None
    if weight == 0:
        inner.dropped(path, "the weight is 0, whatever it finds")
        return weight
    quirk = "the released code heeds it for seg alone"
    if name == "seg":
        quirk = "the released code takes 1 for a weight without a decimal point"
        if isinstance(weight, dict):
            quirk = "the released code leaves the file out then"
    inner.became(path, f"map: the weight where {short(prompt)} is seen; {quirk}")
    return {"product": [weight, {"prompt": prompt}]}


def _read_input_control(inner: Draft, name: str) -> bool:
    """Read the ready control video; return False where it is refused."""
    path, value = f"{name}.input_control", inner.spec.get("input_control")
    if "input_control" not in inner.spec:
        return True
    if is_empty(value):
        inner.dropped(path, "empty: the control is made from the source")
        return True
    if not is_text(value):
        several = isinstance(value, list)
        inner.refused(path, ONE_VIEW if several else f"{short(value)} is no file name")
        return False
    inner.request["video"] = value
    inner.became(path, f"controls.{name}.video {short(value)}")
    return True


def _read_rest(inner: Draft, name: str, elsewhere: Collection[str]) -> None:
    """Read the keys that decide neither map nor video."""
    for key, value in inner.spec.items():
        path = f"{name}.{key}"
        if key == "ckpt_path":
            _read_weights(inner, path, value)
        elif key == "input_control_prompt":
            _read_control_prompt(inner, path, name, value)
        elif key in elsewhere:
            inner.dropped(
                path,
                f"the released code ignores it inside a control; give {key} at the top "
                "if it is meant",
            )
        elif key not in HINT_KEYS:
            inner.refused(path, unknown(key, HINT_KEYS, "a control"))


def _read_weights(inner: Draft, path: str, value: Any) -> None:
    if is_empty(value):
        inner.dropped(path, "empty: the plugin's own weights")
    elif not is_text(value):
        inner.refused(path, f"{short(value)} is no file name; correct it")
    else:
        inner.request["weights"] = value
        convert = ""
        if value.lower().endswith(".pt"):
            convert = "; run worldweave convert on it first and name what it wrote"
        inner.became(path, f"weights {short(value)}{convert}")


def _read_control_prompt(inner: Draft, path: str, name: str, value: Any) -> None:
    if is_empty(value):
        inner.dropped(path, "empty, as without it")
    elif name != "seg":
        inner.dropped(path, "the released code heeds it for seg alone")
    elif inner.spec.get("input_control"):
        inner.dropped(path, "there is a ready control video, so nothing is looked for")
    else:
        inner.refused(
            path,
            "seg cannot be made from words here; make its control video with the "
            "released tools and name it as seg.input_control",
        )
