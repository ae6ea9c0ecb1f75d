"""Every key of a Cosmos-Transfer2.5 spec has a verdict, and means what it meant."""

import pytest

from worldweave.request.foreign import flavour_of, translate
from worldweave.request.foreign.transfer25 import HINT_KEYS, HINTS, TOP

MAKERS = {"edge": True, "vis": True, "seg": False, "depth": False}
#: key, its value, verdict, what the request then holds, part of what is said.
CASES = [
    ("name", "robot", "dropped", {}, "--out"),
    ("prompt", "a lab", "became", {"prompt": "a lab"}, "a lab"),
    ("negative_prompt", "ugly", "became", {"negative_prompt": "ugly"}, "ugly"),
    ("prompt_path", "p.txt", "became", {"prompt": "of p.txt"}, "that file"),
    ("prompt_path", "gone.txt", "refused", {}, "check the path"),
    ("prompt_path", "bytes.txt", "refused", {}, "it is no text"),
    ("prompt_path", None, "dropped", {}, "nothing is asked for"),
    ("prompt_path", 5, "refused", {}, "no file name"),
    ("video_path", "b.mp4", "became", {"video": "b.mp4"}, "b.mp4"),
    ("max_frames", 50, "became", {"max_frames": 50}, "max_frames 50"),
    ("max_frames", 0, "refused", {}, "from 1"),
    ("num_conditional_frames", 2, "became", {"overlap": 2}, "overlap 2"),
    ("num_conditional_frames", 3, "refused", {}, "from 0 to 2"),
    ("sigma_max", "70", "became", {"sigma_max": 70.0}, "try it out"),
    ("sigma_max", "200", "became", {"sigma_max": 80.0}, "pure noise"),
    ("sigma_max", "300", "refused", {}, "'300'"),
    ("sigma_max", None, "dropped", {}, "null"),
    ("seed", 2025, "became", {"seed": 2025}, "2025"),
    ("num_steps", 35, "became", {"steps": 35}, "35"),
    ("guidance", 3, "became", {"guidance": 3}, "3"),
    ("guidance", 8, "refused", {}, "from 0 to 7"),
    ("resolution", "720", "dropped", {}, "frame size"),
    ("num_video_frames_per_chunk", 93, "dropped", {}, "at once"),
    ("keep_input_resolution", False, "dropped", {}, "frame size"),
    ("show_control_condition", True, "dropped", {}, "beside the video"),
    ("show_input", True, "dropped", {}, "beside the video"),
    ("context_frame_index", 3, "refused", {}, "style"),
    ("image_context_path", "a.png", "refused", {}, "style"),
    ("image_context_path", "", "dropped", {}, "nothing is asked for"),
    ("guided_generation_mask", "m.mp4", "refused", {}, "anchoring"),
    ("guided_generation_step_threshold", 25, "dropped", {}, "goes with"),
    ("guided_generation_foreground_labels", [2], "dropped", {}, "goes with"),
    ("prompt_embedding_path", "e.pt", "refused", {}, "give the text"),
    ("negative_prompt_embedding_path", "e.pt", "refused", {}, "give the text"),
    ("control_only", True, "refused", {}, "give a prompt"),
    ("output_dir", "out", "dropped", {}, "where it ran"),
    ("context_parallel_size", 8, "dropped", {}, "where it ran"),
    ("disable_guardrails", True, "dropped", {}, "where it ran"),
    ("offload_guardrail_models", True, "dropped", {}, "where it ran"),
    ("keep_going", True, "dropped", {}, "where it ran"),
    ("profile", True, "dropped", {}, "where it ran"),
    ("benchmark", True, "dropped", {}, "where it ran"),
    ("compile_tokenizer", "none", "dropped", {}, "where it ran"),
    ("enable_parallel_tokenizer", True, "dropped", {}, "where it ran"),
    ("parallel_tokenizer_grid", [1, 2], "dropped", {}, "where it ran"),
    ("model", "edge", "refused", {}, "2B"),
    ("checkpoint_path", "c.pt", "refused", {}, "2B"),
    ("experiment", "x", "refused", {}, "2B"),
    ("config_file", "x", "refused", {}, "2B"),
    *(
        (view, {"control_path": "a.mp4"}, "refused", {}, "several views")
        for view in (
            *("front_wide", "front_tele", "cross_left", "cross_right", "rear"),
            *("rear_left", "rear_right", "head_color", "hand_left", "hand_right"),
            "n_views",
        )
    ),
    ("input_video_path", "b.mp4", "refused", {}, "did you mean 'video_path'"),
    ("control_weight", 1.0, "refused", {}, "belongs inside a control"),
    ("guidence", 3, "refused", {}, "did you mean 'guidance'"),
    ("zzz", 3, "refused", {}, "leave it out"),
    ("depth", None, "dropped", {}, "null"),
    ("depth", {}, "refused", {}, "depth.control_path"),
    ("depth", [], "refused", {}, "no object"),
]
#: hint, key, its value, verdict, what the control then holds, what is said.
CONTROL_CASES = [
    ("edge", "control_path", "c.mp4", "became", {"video": "c.mp4"}, "c.mp4"),
    ("edge", "control_path", None, "dropped", {"map": 1.0}, "from the source"),
    ("edge", "control_path", 5, "refused", None, "no file name"),
    ("edge", "control_weight", 0.4, "became", {"map": 0.4}, "0.4"),
    ("edge", "control_weight", 0, "became", {"map": 0}, "off"),
    ("edge", "control_weight", None, "became", {"map": 1.0}, "released default"),
    ("edge", "control_weight", 4.0, "refused", None, "from 0 to 1"),
    ("edge", "control_weight", "x", "refused", None, "from 0 to 1"),
    (
        *("edge", "mask_path", "m.mp4", "became"),
        {"map": {"product": [1.0, {"file": "m.mp4"}]}},
        "white",
    ),
    ("edge", "mask_path", None, "dropped", {"map": 1.0}, "empty"),
    ("edge", "mask_path", 5, "refused", None, "no text"),
    (
        *("vis", "mask_prompt", "robot . table", "became"),
        {"map": {"product": [1.0, {"prompt": "robot . table"}]}},
        "seen",
    ),
    ("edge", "preset_edge_threshold", "low", "became", {"map": 1.0}, "threshold"),
    ("edge", "preset_edge_threshold", "none", "refused", {"map": 1.0}, "very_low"),
    ("edge", "preset_edge_threshold", None, "dropped", {"map": 1.0}, "null"),
    ("vis", "preset_blur_strength", "high", "became", {"map": 1.0}, "strength"),
    ("vis", "preset_edge_threshold", "low", "dropped", {"map": 1.0}, "inside vis"),
    ("edge", "control_prompt", "car", "dropped", {"map": 1.0}, "inside edge"),
    ("edge", "control_wieght", 1, "refused", {"map": 1.0}, "mean 'control_weight'"),
    ("edge", "input_control", "a", "refused", {"map": 1.0}, "mean 'control_path'"),
    ("edge", "control_weight_prompt", "a", "refused", {"map": 1.0}, "'mask_prompt'"),
    ("edge", "input_control_prompt", "a", "refused", {"map": 1.0}, "control_prompt"),
    ("edge", "sigma_max", 1, "dropped", {"map": 1.0}, "ignores it inside edge"),
]


def texts(name):
    if name == "gone.txt":
        raise FileNotFoundError(2, "No such file or directory", name)
    return b"\xff".decode() if name == "bytes.txt" else f" of {name}\n"


def read(spec, **given):
    given = {"makers": MAKERS, "read_text": texts} | given
    return translate(spec, flavour="transfer2.5", **given)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}={case[1]!r:.20}")
def test_a_key_has_its_verdict(case, said, is_request):
    key, value, verdict, fields, part = case
    made = read({"video_path": "in.mp4", "edge": {}, key: value})
    note = said(made, key)
    assert note.verdict == verdict
    assert part in note.what
    assert made.request.items() >= fields.items()
    assert bool(made.refused) == (verdict == "refused")
    assert "base" not in made.request
    is_request(made)


@pytest.mark.parametrize(
    "case", CONTROL_CASES, ids=lambda case: f"{case[0]}.{case[1]}={case[2]!r:.20}"
)
def test_a_key_of_a_control_has_its_verdict(case, said, is_request):
    name, key, value, verdict, fields, part = case
    made = read({"video_path": "in.mp4", name: {key: value}})
    note = said(made, f"{name}.{key}")
    assert note.verdict == verdict
    assert part in note.what
    control = made.request.get("controls", {}).get(name)
    assert (control is None) == (fields is None)
    if fields is not None:
        assert control.items() >= fields.items()
    assert bool(made.refused) == (verdict == "refused")
    is_request(made)


def test_the_tables_leave_no_key_out():
    tried = {key for key, *_ in CASES} | {case[1] for case in CONTROL_CASES}
    assert {*TOP, *HINT_KEYS} <= tried


def test_the_documented_example_becomes_a_request(is_request, said):
    made = read(
        {
            "name": "robot_multicontrol",
            "prompt_path": "robot_prompt.txt",
            "video_path": "robot_input.mp4",
            "guidance": 3,
            "depth": {"control_path": "d.mp4", "control_weight": 0.5},
            "edge": {"control_path": "e.mp4", "preset_edge_threshold": "medium"},
            "seg": {"control_path": "s.mp4", "control_prompt": "robot"},
            "vis": {"control_weight": 0.5, "preset_blur_strength": "low"},
        }
    )
    assert not made.refused
    assert made.request == {
        "prompt": "of robot_prompt.txt",
        "video": "robot_input.mp4",
        "controls": {
            "depth": {"map": 0.5, "video": "d.mp4"},
            "edge": {"map": 1.0, "video": "e.mp4"},
            "seg": {"map": 1.0, "video": "s.mp4"},
            "vis": {"map": 0.5, "options": {"strength": "low"}},
        },
        "guidance": 3,
    }
    assert said(made, "edge.preset_edge_threshold").verdict == "dropped"
    assert said(made, "seg.control_prompt").verdict == "dropped"
    assert "add up to 3: they share one; the released system adds them" in (
        said(made, "(sum)").what
    )
    is_request(made)


def test_with_a_mask_the_released_system_shares_too(said):
    made = read({"video_path": "a.mp4", "edge": {"mask_path": "m.mp4"}, "vis": {}})
    assert said(made, "(sum)").what.endswith("as in the released system")


def test_up_to_one_nothing_is_said_of_the_sum():
    half = {"control_weight": 0.5}
    made = read({"video_path": "a.mp4", "edge": half, "vis": half})
    assert "(sum)" not in [note.path for note in made.notes]


def test_both_masks_of_one_control_are_refused(said):
    made = read(
        {"video_path": "a.mp4", "edge": {"mask_path": "m.mp4", "mask_prompt": "arm"}}
    )
    assert "exclude each other" in said(made, "edge.mask_path").what
    assert "exclude each other" in said(made, "edge.mask_prompt").what
    assert "controls" not in made.request


def test_a_mask_beside_the_weight_0_is_dropped(said):
    made = read(
        {"video_path": "a.mp4", "edge": {"control_weight": 0, "mask_prompt": "arm"}}
    )
    assert made.request["controls"]["edge"] == {"map": 0}
    assert said(made, "edge.mask_prompt").verdict == "dropped"


def test_the_prompt_comes_before_its_file(said):
    made = read(
        {"video_path": "a.mp4", "edge": {}, "prompt": "day", "prompt_path": "gone.txt"}
    )
    assert made.request["prompt"] == "day"
    assert said(made, "prompt_path").verdict == "dropped"


def test_a_prompt_file_that_may_not_be_read_is_refused(said):
    spec = {"video_path": "a.mp4", "edge": {}, "prompt_path": "p.txt"}
    made = read(spec, read_text=None)
    assert "give its text as prompt" in said(made, "prompt_path").what


def test_seg_is_not_made_from_words(said):
    made = read({"video_path": "a.mp4", "seg": {"control_prompt": "car"}})
    assert said(made, "seg.control_prompt").verdict == "refused"


def test_without_a_source_a_control_cannot_be_made(said):
    made = read({"edge": {}})
    assert "no control_path and no video_path" in said(made, "edge").what


def test_without_a_source_noise_is_where_it_starts(said):
    spec = {"edge": {"control_path": "e.mp4"}}
    assert (
        "give one, or 200" in said(read({**spec, "sigma_max": "70"}), "sigma_max").what
    )
    assert read({**spec, "sigma_max": "200"}).request["sigma_max"] == 80


@pytest.mark.parametrize("spec", [{}, {"name": "x"}, {"edge": None}])
def test_a_spec_without_a_control_is_none(spec, said):
    assert said(read(spec), "(controls)").verdict == "refused"


def test_the_base_is_the_one_asked_for(said):
    made = read({"video_path": "a.mp4", "edge": {}}, base="tiny-world")
    assert made.request["base"] == "tiny-world"
    assert "not supported" in said(read({}), "(base)").what


@pytest.mark.parametrize("name", HINTS)
@pytest.mark.parametrize("key", ["control_path", "mask_path", "mask_prompt"])
def test_a_key_only_25_has_tells_the_flavour(name, key, said):
    spec = {"input_video_path": "in.mp4", name: {key: "x"}}
    assert flavour_of(spec) == "transfer2.5"
    assert f"2.5, by its key '{name}.{key}'" in said(translate(spec), "(spec)").what


@pytest.mark.parametrize(
    ("spec", "flavour"),
    [
        ({}, "transfer1"),
        ({"edge": {"control_weight": 1}, "prompt": "x"}, "transfer1"),
        ({"input_video_path": "a", "edge": {"input_control": "b"}}, "transfer1"),
        ({"video_path": "a", "edge": {}}, "transfer2.5"),
        ({"prompt_path": "a", "edge": {}}, "transfer2.5"),
    ],
)
def test_the_flavour_is_told_by_the_keys(spec, flavour, said):
    assert flavour_of(spec) == flavour
    what = said(translate(spec), "(spec)").what
    assert ("Cosmos-Transfer2.5" in what) == (flavour == "transfer2.5")


def test_the_flavour_asked_for_comes_before_the_keys(said):
    spec = {"video_path": "a.mp4", "edge": {}}
    made = translate(spec, flavour="transfer1")
    assert said(made, "(spec)").what == "read as Cosmos-Transfer1, as asked for"
    assert "video_path" in [note.path for note in made.refused]
