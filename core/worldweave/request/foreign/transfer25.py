"""Read an inference spec of Cosmos-Transfer2.5."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from worldweave.request.foreign.common import (
    PRESETS,
    Draft,
    Reader,
    Translation,
    as_number,
    dropping,
    file_to,
    finish_control,
    is_empty,
    is_text,
    number_to,
    read_all,
    ready_problem,
    refusing,
    short,
    text_to,
    unknown,
    whole_to,
)

HINTS = ("edge", "vis", "depth", "seg")
_DEFAULT_WEIGHT = 1.0
_PURE_NOISE = 80.0
_OPTIONS = {
    ("edge", "preset_edge_threshold"): "threshold",
    ("vis", "preset_blur_strength"): "strength",
}
HINT_KEYS = (
    "control_path",
    "control_weight",
    "mask_path",
    "mask_prompt",
    "control_prompt",
    *(key for _, key in _OPTIONS),
)
#: What Cosmos-Transfer1 calls the same; the released 2.5 ignores these in silence.
_OLD_NAMES = {
    "input_video_path": "video_path",
    "input_control": "control_path",
    "control_weight_prompt": "mask_prompt",
    "input_control_prompt": "control_prompt",
}
_SIZES = "the base decides frame size and frames at once"
_SHOWN = "the control videos are written beside the video"
_PICTURE = "a picture as a model of style is not supported; say it in prompt"
_ANCHORED = (
    "anchoring a region to the source is not supported; use maps of vis and edge"
)
_EMBEDDED = "texts that are encoded already are not supported; give the text"
_ELSEWHERE = "says where it ran, not what it made"
_ONE_VIEW = "several views in one video are not supported; make one request per view"

#: Returns the text of a file named in the spec.
ReadText = Callable[[str], str]


def translate(
    spec: dict[str, Any],
    *,
    base: str | None = None,
    makers: Mapping[str, bool] | None = None,
    read_text: ReadText | None = None,
) -> Translation:
    """Turn a spec into a request, as far as it can be had, and say all about it.

    base, makers: as for Cosmos-Transfer1. read_text: how a prompt_path is read;
    None: it is refused.
    """
    draft = Draft(spec=spec)
    if base is None:
        draft.dropped(
            "(base)",
            "the 2B model is not supported, so the request names no base; give one "
            "with --base",
        )
    else:
        draft.request["base"] = base
        draft.became("(base)", f"base {base}: as asked for; not the 2B model")
    for key, value in spec.items():
        if key in HINTS:
            _read_hint(draft, key, value, makers)
        elif key == "prompt_path":
            _read_prompt_path(draft, key, value, read_text)
        elif key in TOP:
            read_all(draft, TOP, key)
        else:
            _refuse_unknown(draft, key, value)
    _note_what_is_missing(draft)
    return draft.finished()


def _read_sigma(draft: Draft, key: str, value: Any) -> None:
    sigma = as_number(value)
    if sigma is not None and _PURE_NOISE <= sigma <= 200:
        draft.request["sigma_max"] = _PURE_NOISE
        draft.became(key, "sigma_max 80: pure noise here, as 200 is in the 2B model")
    elif sigma is not None and sigma > 0.002 and is_empty(draft.spec.get("video_path")):
        draft.refused(
            key,
            f"{short(value)} starts from the source, but there is no video_path; give "
            "one, or 200",
        )
    else:
        number_to(
            "sigma_max",
            0.002,
            _PURE_NOISE,
            beyond=True,
            also="; of another model, where the scale ends at 200: try it out",
        )(draft, key, value)


def _read_prompt_path(
    draft: Draft, key: str, value: Any, read_text: ReadText | None
) -> None:
    if is_empty(value):
        draft.dropped(key, f"{short(value)}: nothing is asked for")
        return
    if draft.spec.get("prompt") is not None:
        draft.dropped(key, "there is a prompt, which comes first")
        return
    if not is_text(value):
        draft.refused(key, f"{short(value)} is no file name; correct it")
        return
    try:
        prompt = None if read_text is None else read_text(value).strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        draft.refused(key, f"cannot read {short(value)}: {why}; check the path")
        return
    if prompt is None or not is_text(prompt):
        draft.refused(key, f"cannot read {short(value)} here; give its text as prompt")
        return
    draft.request["prompt"] = prompt
    draft.became(key, f"prompt {short(prompt)}, the text of that file")


#: Every key beside the hints and prompt_path.
TOP: dict[str, Reader] = {
    "name": dropping("names the result; give it to worldweave generate with --out"),
    "prompt": text_to("prompt"),
    "negative_prompt": text_to("negative_prompt"),
    "video_path": file_to("video"),
    "max_frames": whole_to("max_frames", 1, 10**9),
    "num_conditional_frames": whole_to("overlap", 0, 2),
    "sigma_max": _read_sigma,
    "seed": whole_to("seed", 0, 2**31 - 1),
    "num_steps": whole_to("steps", 1, 1000),
    "guidance": number_to("guidance", 0, 7),
    "resolution": dropping(_SIZES),
    "num_video_frames_per_chunk": dropping(_SIZES),
    "keep_input_resolution": dropping(_SIZES),
    "show_control_condition": dropping(_SHOWN),
    "show_input": dropping(_SHOWN),
    "context_frame_index": refusing(_PICTURE),
    "image_context_path": refusing(_PICTURE),
    "guided_generation_mask": refusing(_ANCHORED),
    "guided_generation_step_threshold": dropping("goes with guided_generation_mask"),
    "guided_generation_foreground_labels": dropping("goes with guided_generation_mask"),
    "prompt_embedding_path": refusing(_EMBEDDED),
    "negative_prompt_embedding_path": refusing(_EMBEDDED),
    "control_only": refusing("running without a text is not supported; give a prompt"),
    **dict.fromkeys(
        (
            *("output_dir", "context_parallel_size", "disable_guardrails"),
            *("offload_guardrail_models", "keep_going", "profile", "benchmark"),
            *("compile_tokenizer", "enable_parallel_tokenizer"),
            "parallel_tokenizer_grid",
        ),
        dropping(_ELSEWHERE),
    ),
    **dict.fromkeys(
        ("model", "checkpoint_path", "experiment", "config_file"),
        refusing("weights of the 2B model are not supported; leave it out"),
    ),
    **dict.fromkeys(
        (
            *("front_wide", "front_tele", "cross_left", "cross_right"),
            *("rear", "rear_left", "rear_right"),
            *("head_color", "hand_left", "hand_right", "n_views"),
        ),
        refusing(_ONE_VIEW),
    ),
}


def _read_hint(
    draft: Draft, name: str, hint: Any, makers: Mapping[str, bool] | None
) -> None:
    """Read one control; leave it out where what it needs is refused."""
    if hint is None:
        draft.dropped(name, "null, as without it")
        return
    if not isinstance(hint, dict):
        draft.refused(name, f"{short(hint)} is no object of a control; correct it")
        return
    inner = Draft(spec=hint)
    weight = _read_weight(inner, name)
    weight = _read_masks(inner, name, weight)
    video_is_fine = _read_control_path(inner, name)
    for key, value in hint.items():
        _read_other(inner, name, key, value)
    makes_one = "video" not in inner.request and weight != 0 and video_is_fine
    problem = ready_problem(
        name, makers, needs=f"{name}.control_path" if makes_one else None
    )
    if problem is None and makes_one and is_empty(draft.spec.get("video_path")):
        problem = "there is no control_path and no video_path to make it from"
    if problem is not None:
        inner.refused(name, problem)
    broken = weight is None or not video_is_fine or problem is not None
    finish_control(
        draft, name, inner, None if broken else {"map": weight, **inner.request}
    )


def _read_weight(inner: Draft, name: str) -> float | None:
    path, value = f"{name}.control_weight", inner.spec.get("control_weight")
    if value is None:
        inner.became(path, f"map {_DEFAULT_WEIGHT:g}: not given, the released default")
        return _DEFAULT_WEIGHT
    number = as_number(value)
    if number is None or not 0 <= number <= 1:
        inner.refused(path, f"{short(value)} is no number from 0 to 1; correct it")
        return None
    off = ": the control is off" if number == 0 else ""
    also = f", read from the text {short(value)}" if isinstance(value, str) else ""
    inner.became(path, f"map {number:g}{also}{off}")
    return number


def _read_masks(inner: Draft, name: str, weight: float | None) -> Any:
    """Return *weight* where the mask is white, or is what the mask's prompt says."""
    masks = {"mask_path": "file", "mask_prompt": "prompt"}
    given = [key for key in masks if not is_empty(inner.spec.get(key))]
    for key in masks:
        if key in inner.spec and key not in given:
            inner.dropped(f"{name}.{key}", "empty, as without it")
    result: Any = weight
    for key in given:
        path, value = f"{name}.{key}", inner.spec[key]
        if len(given) > 1:
            inner.refused(
                path, "mask_path and mask_prompt exclude each other; keep one"
            )
            result = None
        elif not is_text(value):
            inner.refused(path, f"{short(value)} is no text; correct it")
            result = None
        elif weight == 0:
            inner.dropped(path, "the weight is 0 all over")
        elif weight is not None:
            where = "that is white" if key == "mask_path" else "that is seen"
            inner.became(path, f"map: the weight in all of {short(value)} {where}")
            result = {"product": [weight, {masks[key]: value}]}
    return result


def _read_control_path(inner: Draft, name: str) -> bool:
    """Read the ready control video; return False where it is refused."""
    path, value = f"{name}.control_path", inner.spec.get("control_path")
    if "control_path" not in inner.spec:
        return True
    if is_empty(value):
        inner.dropped(path, "empty: the control is made from the source")
        return True
    if not is_text(value):
        inner.refused(path, f"{short(value)} is no file name; correct it")
        return False
    inner.request["video"] = value
    inner.became(path, f"controls.{name}.video {short(value)}")
    return True


def _read_other(inner: Draft, name: str, key: str, value: Any) -> None:
    """Read a key that decides neither map nor video."""
    path = f"{name}.{key}"
    is_ready = not is_empty(inner.spec.get("control_path"))
    if (name, key) in _OPTIONS:
        _read_preset(inner, path, _OPTIONS[name, key], value, is_ready=is_ready)
    elif key == "control_prompt" and name == "seg":
        _read_control_prompt(inner, path, value, is_ready=is_ready)
    elif key in _OLD_NAMES:
        inner.refused(
            path,
            f"Cosmos-Transfer1's name, which the released 2.5 ignores; did you mean "
            f"{_OLD_NAMES[key]!r}?",
        )
    elif key in TOP or key in HINT_KEYS[4:]:
        inner.dropped(path, f"the released code ignores it inside {name}")
    elif key not in HINT_KEYS:
        known = list(HINT_KEYS[:4])
        known += [k for hint, k in _OPTIONS if hint == name]
        inner.refused(
            path, unknown(key, known, f"{name}, which the released 2.5 ignores")
        )


def _read_preset(
    inner: Draft, path: str, option: str, value: Any, *, is_ready: bool
) -> None:
    if value is None:
        inner.dropped(path, "null, as without it")
    elif value not in PRESETS:
        inner.refused(path, f"{short(value)} is none of {', '.join(PRESETS)}")
    elif is_ready:
        inner.dropped(path, "there is a ready control video, so nothing is made")
    else:
        inner.request["options"] = {option: value}
        inner.became(path, f"options.{option} {value!r}")


def _read_control_prompt(
    inner: Draft, path: str, value: Any, *, is_ready: bool
) -> None:
    if is_empty(value):
        inner.dropped(path, "empty, as without it")
    elif is_ready:
        inner.dropped(path, "there is a ready control video, so nothing is looked for")
    else:
        inner.refused(
            path,
            "seg cannot be made from words here; make its control video with the "
            "released tools and name it as seg.control_path",
        )


def _refuse_unknown(draft: Draft, key: str, value: Any) -> None:
    if key in _OLD_NAMES:
        draft.refused(
            key, f"Cosmos-Transfer1's name; did you mean {_OLD_NAMES[key]!r}?"
        )
    elif key in HINT_KEYS:
        draft.refused(key, f"belongs inside a control: {HINTS[0]}.{key}, for example")
    else:
        known = [*HINTS, "prompt_path", *TOP]
        draft.refused(key, unknown(key, known, "a Cosmos-Transfer2.5 spec"))


def _note_what_is_missing(draft: Draft) -> None:
    hints = [
        draft.spec[name] for name in HINTS if isinstance(draft.spec.get(name), dict)
    ]
    if not draft.spec.get("negative_prompt"):
        draft.dropped(
            "(negative_prompt)",
            "not given: the released system then uses a text of its own; here it is "
            "empty",
        )
    if not hints:
        draft.refused("(controls)", f"there is none; give one of {', '.join(HINTS)}")
        return
    weights = [as_number(hint.get("control_weight", _DEFAULT_WEIGHT)) for hint in hints]
    total = sum(weight for weight in weights if weight is not None)
    if total > 1 and len(hints) > 1:
        masked = any(hint.get("mask_path") or hint.get("mask_prompt") for hint in hints)
        other = (
            "as in the released system" if masked else "the released system adds them"
        )
        draft.became(
            "(sum)", f"the weights add up to {total:g}: they share one; {other}"
        )
