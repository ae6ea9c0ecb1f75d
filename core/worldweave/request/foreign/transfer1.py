"""Read a control spec of Cosmos-Transfer1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from worldweave.request.foreign.common import (
    PRESETS,
    Draft,
    Reader,
    Translation,
    as_number,
    dropping,
    file_to,
    number_to,
    read_all,
    refusing,
    short,
    text_to,
    unknown,
    whole_to,
)
from worldweave.request.foreign.transfer1_controls import (
    HINT_KEYS,
    HINTS,
    ONE_VIEW,
    has_source,
    hints_of,
    read_hint,
    sum_of_numbers,
)

BASE = "cosmos-transfer1-7b"
AV_BASE = "cosmos-transfer1-7b-sample-av"
_DRIVING = ("hdmap", "lidar")
_PURE_NOISE = 80.0

_ELSEWHERE = "says where it ran or what it kept, not what it made"
_OFFLOADING = "how memory is used decides worldweave, not the request"


def translate(
    spec: dict[str, Any],
    *,
    base: str | None = None,
    makers: Mapping[str, bool] | None = None,
) -> Translation:
    """Turn a spec into a request, as far as it can be had, and say all about it.

    base: in place of the one the spec stands for. makers: installed modalities, and
    whether each makes its control from a video; None: not checked.
    """
    draft = Draft(spec=spec)
    _choose_base(draft, base)
    total = sum_of_numbers(spec)
    for key, value in spec.items():
        if key in HINTS:
            read_hint(draft, key, value, total, makers, TOP)
        elif key in TOP:
            read_all(draft, TOP, key)
        else:
            _refuse_unknown(draft, key)
    _note_what_is_missing(draft, total)
    return draft.finished()


def _choose_base(draft: Draft, base: str | None) -> None:
    driving = [name for name in _DRIVING if name in draft.spec]
    chosen, why = BASE, "the model the released command runs"
    if base is not None:
        chosen, why = base, "as asked for"
    elif driving:
        chosen, why = AV_BASE, f"the driving model, for {' and '.join(driving)}"
    elif draft.spec.get("is_av_sample") is True:
        chosen, why = AV_BASE, "the driving model, for is_av_sample"
    draft.request["base"] = chosen
    draft.became("(base)", f"base {chosen}: {why}")


def _read_sigma(draft: Draft, key: str, value: Any) -> None:
    sigma = as_number(value)
    if sigma is not None and sigma >= _PURE_NOISE:
        draft.request["sigma_max"] = _PURE_NOISE
        # The guide promises pure noise from 80 on; the released code adds the noise
        # to the source all the same.
        also = "; the released code still adds the source"
        also = also if has_source(draft.spec) else ""
        draft.became(key, f"sigma_max 80: starts from pure noise{also}")
    elif sigma is not None and sigma > 0.002 and not has_source(draft.spec):
        draft.refused(
            key,
            f"{short(value)} starts from the source, but there is no "
            "input_video_path; give one, or 80",
        )
    else:
        number_to("sigma_max", 0.002, _PURE_NOISE, beyond=True)(draft, key, value)


def _read_flag_of_base(draft: Draft, key: str, value: Any) -> None:
    if value is True:
        draft.became(key, f"base {draft.request['base']}")
    elif value is False:
        draft.dropped(key, "false, as without it")
    else:
        draft.refused(key, f"{short(value)} is not true or false; correct it")


def _read_strength(hint: str, option: str, quirk: str) -> Reader:
    def read(draft: Draft, key: str, value: Any) -> None:
        if value not in PRESETS:
            draft.refused(key, f"{short(value)} is none of {', '.join(PRESETS)}")
        elif not isinstance(draft.spec.get(hint), dict):
            draft.dropped(key, f"there is no {hint} control to make")
        elif draft.spec[hint].get("input_control"):
            draft.dropped(key, f"{hint} has a ready control video")
        else:
            draft.became(key, f"controls.{hint}.options.{option} {value!r}; {quirk}")

    return read


#: Every key beside the hints: the command line's flags, and what the code looks for.
TOP: dict[str, Reader] = {
    "prompt": text_to("prompt"),
    "negative_prompt": text_to("negative_prompt"),
    "input_video_path": file_to("video"),
    "sigma_max": _read_sigma,
    "seed": whole_to("seed", 0, 2**31 - 1),
    "num_steps": whole_to("steps", 1, 1000),
    "guidance": number_to("guidance", 0, 100),
    "fps": number_to("fps", 0, 1000, beyond=True),
    "num_input_frames": whole_to("overlap", 1, 1),
    "blur_strength": _read_strength(
        "vis", "strength", "the released code draws how much smaller at random"
    ),
    "canny_threshold": _read_strength(
        "edge", "threshold", "the released code draws thresholds at random instead"
    ),
    "is_av_sample": _read_flag_of_base,
    "regional_prompts": refusing(
        "prompts for regions are not supported; say it all in prompt"
    ),
    "num_video_frames": dropping(
        "the released code does not use it; the video decides"
    ),
    "controlnet_specs": dropping("the name of this very spec"),
    "batch_input_path": refusing("give that file to import-spec with --batch"),
    "batch_size": dropping(_ELSEWHERE),
    "video_save_name": dropping("give the name to worldweave generate with --out"),
    "video_save_folder": dropping("give the folder to worldweave generate with --out"),
    "checkpoint_dir": dropping("weights are found through WORLDWEAVE_MODELS"),
    "tokenizer_dir": dropping("the released code does not use it"),
    "num_gpus": dropping(_ELSEWHERE),
    "offload_diffusion_transformer": dropping(_OFFLOADING),
    "offload_text_encoder_model": dropping(_OFFLOADING),
    "offload_guardrail_models": dropping("there are no guardrail models here"),
    "offload_prompt_upsampler": dropping("there is no prompt upsampler here"),
    "upsample_prompt": refusing(
        "there is no prompt upsampler; write the long prompt into prompt"
    ),
    "use_distilled": refusing(
        "the one-step model is not supported; leave it out to run the full one"
    ),
    "save_input_noise": dropping(_ELSEWHERE),
    "save_intermediates": dropping(_ELSEWHERE),
    "benchmark": dropping(_ELSEWHERE),
    "cutoff_frame": refusing("past and future frames of driving are not supported"),
    **dict.fromkeys(
        (
            *("prompts", "view_condition_video", "initial_condition_video"),
            *("prompt_left", "prompt_right", "prompt_back", "prompt_back_left"),
            *("prompt_back_right", "n_clip_max", "waymo_example"),
        ),
        refusing(ONE_VIEW),
    ),
}


def _refuse_unknown(draft: Draft, key: str) -> None:
    if key in HINT_KEYS:
        draft.refused(key, f"belongs inside a control: {HINTS[2]}.{key}, for example")
    else:
        draft.refused(key, unknown(key, [*HINTS, *TOP], "a Cosmos-Transfer1 spec"))


def _note_what_is_missing(draft: Draft, total: float | None) -> None:
    """Take over the released defaults that are not ours, and say so."""
    spec = draft.spec
    if spec.get("seed") is None:
        draft.request["seed"] = 1
        draft.became("(seed)", "seed 1: not given, the released default")
    if spec.get("sigma_max") is None and has_source(spec):
        draft.request["sigma_max"] = 70.0
        draft.became("(sigma_max)", "sigma_max 70: not given, the released default")
    texts = [key for key in ("prompt", "negative_prompt") if not spec.get(key)]
    if texts:
        draft.dropped(
            f"({', '.join(texts)})",
            "not given: the released system then uses texts of its own; here it is "
            "empty",
        )
    if not hints_of(spec):
        draft.refused("(controls)", f"there is none; give one of {', '.join(HINTS)}")
    elif total is not None and total > 1 and len(hints_of(spec)) > 1:
        draft.became("(sum)", f"the weights add up to {total:g}: they share one")
