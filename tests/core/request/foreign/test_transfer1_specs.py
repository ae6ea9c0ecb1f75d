"""Every key of a Cosmos-Transfer1 spec has a verdict, and means what it meant."""

import pytest

from worldweave.request.foreign import translate
from worldweave.request.foreign.transfer1 import TOP
from worldweave.request.foreign.transfer1_controls import HINT_KEYS, HINTS

MAKERS = {
    **dict.fromkeys(("edge", "vis"), True),
    **dict.fromkeys(("seg", "depth", "hdmap", "lidar"), False),
}
#: key, its value, verdict, what the request then holds, part of what is said.
CASES = [
    ("prompt", "a street", "became", {"prompt": "a street"}, "a street"),
    ("prompt", "", "dropped", {}, "empty"),
    ("prompt", 3, "refused", {}, "no text"),
    ("prompt", "a\0b", "refused", {}, "no text"),
    ("prompt", "\ud800", "refused", {}, "no text"),
    ("prompt", None, "dropped", {}, "null"),
    ("negative_prompt", "ugly", "became", {"negative_prompt": "ugly"}, "ugly"),
    ("input_video_path", "a.mp4", "became", {"video": "a.mp4"}, "video 'a.mp4'"),
    ("input_video_path", 7, "refused", {}, "no file name"),
    ("num_input_frames", 1, "became", {"overlap": 1}, "overlap 1"),
    ("num_input_frames", 9, "refused", {}, "9"),
    ("sigma_max", 35, "became", {"sigma_max": 35}, "sigma_max 35"),
    ("sigma_max", "35", "became", {"sigma_max": 35.0}, "the text '35'"),
    ("sigma_max", 80, "became", {"sigma_max": 80.0}, "still adds the source"),
    ("sigma_max", 200, "became", {"sigma_max": 80.0}, "pure noise"),
    ("sigma_max", 0, "refused", {}, "above 0.002"),
    ("sigma_max", True, "refused", {}, "True"),
    ("blur_strength", "low", "dropped", {}, "no vis control"),
    ("blur_strength", "lowest", "refused", {}, "very_low"),
    ("canny_threshold", "high", "became", {}, "at random"),
    ("canny_threshold", ["high"], "refused", {}, "very_low"),
    ("controlnet_specs", "a.json", "dropped", {}, "this very spec"),
    ("is_av_sample", True, "became", {"base": "cosmos-transfer1-7b-sample-av"}, "av"),
    ("is_av_sample", False, "dropped", {"base": "cosmos-transfer1-7b"}, "false"),
    ("is_av_sample", "yes", "refused", {"base": "cosmos-transfer1-7b"}, "'yes'"),
    ("checkpoint_dir", "checkpoints", "dropped", {}, "WORLDWEAVE_MODELS"),
    ("tokenizer_dir", "Cosmos", "dropped", {}, "does not use"),
    ("video_save_name", "x", "dropped", {}, "--out"),
    ("video_save_folder", "x", "dropped", {}, "--out"),
    ("batch_input_path", "b.jsonl", "refused", {}, "--batch"),
    ("batch_input_path", "", "dropped", {}, "nothing is asked for"),
    ("batch_size", 4, "dropped", {}, "where it ran"),
    ("num_steps", 10, "became", {"steps": 10}, "steps 10"),
    ("num_steps", "10", "became", {"steps": 10}, "the text '10'"),
    ("num_steps", 2.5, "refused", {}, "whole number from 1 to 1000"),
    ("num_steps", 0, "refused", {}, "whole number from 1 to 1000"),
    ("guidance", 7.5, "became", {"guidance": 7.5}, "guidance 7.5"),
    ("guidance", -1, "refused", {}, "from 0 to 100"),
    ("guidance", "nan", "refused", {}, "'nan'"),
    ("guidance", 10**400, "refused", {}, "from 0 to 100"),
    ("fps", 30, "became", {"fps": 30}, "fps 30"),
    ("fps", 0, "refused", {}, "above 0"),
    ("seed", 3, "became", {"seed": 3}, "seed 3"),
    ("seed", -1, "refused", {}, "from 0 to 2147483647"),
    ("seed", {}, "refused", {}, "{}"),
    ("num_gpus", 8, "dropped", {}, "where it ran"),
    ("offload_diffusion_transformer", True, "dropped", {}, "memory"),
    ("offload_text_encoder_model", True, "dropped", {}, "memory"),
    ("offload_guardrail_models", True, "dropped", {}, "guardrail"),
    ("offload_prompt_upsampler", True, "dropped", {}, "upsampler"),
    ("upsample_prompt", True, "refused", {}, "long prompt"),
    ("upsample_prompt", False, "dropped", {}, "nothing is asked for"),
    ("use_distilled", True, "refused", {}, "one-step"),
    ("use_distilled", False, "dropped", {}, "nothing is asked for"),
    ("save_input_noise", True, "dropped", {}, "kept"),
    ("save_intermediates", True, "dropped", {}, "kept"),
    ("benchmark", True, "dropped", {}, "where it ran"),
    ("cutoff_frame", -1, "dropped", {}, "nothing is asked for"),
    ("cutoff_frame", 60, "refused", {}, "driving"),
    ("regional_prompts", [{"prompt": "a cat"}], "refused", {}, "regions"),
    ("regional_prompts", [], "dropped", {}, "nothing is asked for"),
    ("num_video_frames", 121, "dropped", {}, "does not use"),
    ("prompts", ["a", "b"], "refused", {}, "several views"),
    ("view_condition_video", "a.mp4", "refused", {}, "several views"),
    ("initial_condition_video", "a.mp4", "refused", {}, "several views"),
    *(
        (f"prompt_{view}", "a street", "refused", {}, "several views")
        for view in ("left", "right", "back", "back_left", "back_right")
    ),
    ("n_clip_max", 3, "refused", {}, "several views"),
    ("waymo_example", True, "refused", {}, "several views"),
    ("control_weight", 1, "refused", {}, "edge.control_weight"),
    ("promt", "day", "refused", {}, "did you mean 'prompt'"),
    ("zzz", {"a": 1}, "refused", {}, "leave it out"),
    ("edg", {}, "refused", {}, "did you mean 'edge'"),
    ("vis", 0.5, "refused", {}, "no object"),
    ("vis", None, "dropped", {}, "null"),
    ("keypoint", {}, "refused", {}, "no plugin here supplies 'keypoint'"),
    ("upscale", {"control_weight": 0}, "refused", {}, "no plugin here"),
    ("depth", {}, "refused", {}, "depth.input_control"),
    ("seg", {}, "refused", {}, "seg.input_control"),
]
#: Key of a control, its value, verdict, what the control then holds, what is said.
CONTROL_CASES = [
    ("control_weight", 0.7, "became", {"map": 0.7}, "map 0.7"),
    ("control_weight", "0.7", "became", {"map": 0.7}, "the text '0.7'"),
    ("control_weight", 0, "became", {"map": 0}, "off"),
    ("control_weight", 2.0, "became", {"map": 1.0}, "its share of 2"),
    ("control_weight", None, "became", {"map": 0.5}, "released default"),
    ("control_weight", "w.pt", "became", {"map": {"file": "w.pt"}}, "121 frames"),
    ("control_weight", "w.mp4", "became", {"map": {"file": "w.mp4"}}, ".pt only"),
    ("control_weight", -0.1, "refused", None, "below 0"),
    ("control_weight", "none", "refused", None, "neither a number"),
    ("control_weight", "", "refused", None, "neither a number"),
    ("control_weight", "inf", "refused", None, "neither a number"),
    ("control_weight", [0.5], "refused", None, "neither a number"),
    ("control_weight", False, "refused", None, "neither a number"),
    ("input_control", "c.mp4", "became", {"map": 0.5, "video": "c.mp4"}, "c.mp4"),
    ("input_control", "", "dropped", {"map": 0.5}, "from the source"),
    ("input_control", None, "dropped", {"map": 0.5}, "from the source"),
    ("input_control", ["a.mp4", "b.mp4"], "refused", None, "several views"),
    ("input_control", 5, "refused", None, "no file name"),
    ("input_control_prompt", "car", "dropped", {"map": 0.5}, "seg alone"),
    ("input_control_prompt", "", "dropped", {"map": 0.5}, "empty"),
    (
        "control_weight_prompt",
        "robot arm",
        "became",
        {"map": {"product": [0.5, {"prompt": "robot arm"}]}},
        "for seg alone",
    ),
    ("control_weight_prompt", "", "dropped", {"map": 0.5}, "empty"),
    ("control_weight_prompt", 5, "refused", None, "no text"),
    ("ckpt_path", "e.pt", "became", {"map": 0.5, "weights": "e.pt"}, "convert"),
    ("ckpt_path", "e.safetensors", "became", {"weights": "e.safetensors"}, "weights"),
    ("ckpt_path", "", "dropped", {"map": 0.5}, "own weights"),
    ("ckpt_path", 5, "refused", {"map": 0.5}, "no file name"),
    ("sigma_max", 80, "dropped", {"map": 0.5}, "ignores it inside a control"),
    ("control_wieght", 1, "refused", {"map": 0.5}, "did you mean 'control_weight'"),
    ("zzz", 1, "refused", {"map": 0.5}, "it may have: control_weight"),
]


def read(spec, **given):
    return translate(spec, flavour="transfer1", makers=MAKERS, **given)


def weigh(**hints):
    """Return the maps of a spec with a source."""
    made = read({"input_video_path": "in.mp4", **hints})
    controls = made.request.get("controls", {})
    return made, {name: control["map"] for name, control in controls.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}={case[1]!r:.20}")
def test_a_key_has_its_verdict(case, said, is_request):
    key, value, verdict, fields, part = case
    made = read({"input_video_path": "in.mp4", "edge": {}, key: value})
    note = said(made, key)
    assert (note.verdict, note.path) == (verdict, key)
    assert part in note.what
    assert made.request.items() >= fields.items()
    assert bool(made.refused) == (verdict == "refused")
    assert all("\n" not in note.what for note in made.notes)
    is_request(made)


@pytest.mark.parametrize(
    "case", CONTROL_CASES, ids=lambda case: f"{case[0]}={case[1]!r:.20}"
)
def test_a_key_of_a_control_has_its_verdict(case, said, is_request):
    key, value, verdict, fields, part = case
    made = read({"input_video_path": "in.mp4", "edge": {key: value}})
    note = said(made, f"edge.{key}")
    assert note.verdict == verdict
    assert part in note.what
    control = made.request.get("controls", {}).get("edge")
    assert (control is None) == (fields is None)
    if fields is not None:
        assert control.items() >= fields.items()
    assert said(made, "edge").verdict == ("dropped" if fields is None else "became")
    assert bool(made.refused) == (verdict == "refused")
    is_request(made)


def test_the_tables_leave_no_key_out():
    tried = {key for key, *_ in CASES} | {key for key, *_ in CONTROL_CASES}
    assert {*TOP, *HINT_KEYS} <= tried


@pytest.mark.parametrize("name", HINTS)
def test_every_hint_becomes_a_control_where_it_is_installed(name, is_request):
    spec = {name: {"input_control": "c.mp4", "control_weight": 1}}
    made = translate(spec, makers={name: False})
    assert made.request["controls"] == {name: {"map": 1, "video": "c.mp4"}}
    assert not made.refused
    assert "installed" not in str(translate(spec).notes)  # without a list: no check
    is_request(made)


def test_a_single_control_is_one_control(is_request, said):
    made = read(
        {"prompt": "a street", "input_video_path": "in.mp4", "edge": {}, "fps": 24}
    )
    assert made.request == {
        "base": "cosmos-transfer1-7b",
        "prompt": "a street",
        "video": "in.mp4",
        "controls": {"edge": {"map": 0.5}},
        "seed": 1,
        "sigma_max": 70.0,
        "fps": 24,
    }
    assert said(made, "(sigma_max)").verdict == "became"
    assert said(made, "(negative_prompt)").verdict == "dropped"
    is_request(made)


def test_the_uniform_example_keeps_its_numbers(is_request):
    hints = {
        name: {"control_weight": 0.25, "input_control": f"{name}.mp4"}
        for name in ("vis", "edge", "depth", "seg")
    }
    made, maps = weigh(**hints)
    assert maps == dict.fromkeys(hints, 0.25)
    assert "(sum)" not in [note.path for note in made.notes]
    is_request(made)


def test_the_example_of_prompts_for_regions_means_them(said):
    made, maps = weigh(
        vis={"control_weight": 0.5, "control_weight_prompt": "robotic arms"},
        edge={"control_weight": 0.5, "control_weight_prompt": "robotic arms"},
        depth={"control_weight": 0.5, "input_control": "d.mp4"},
        seg={
            "control_weight": 0.5,
            "input_control": "s.mp4",
            "control_weight_prompt": "a table",
        },
    )
    arms = {"product": [0.5, {"prompt": "robotic arms"}]}
    table = {"product": [0.5, {"prompt": "a table"}]}
    assert maps == {"vis": arms, "edge": arms, "depth": 0.5, "seg": table}
    assert "seg alone" in said(made, "vis.control_weight_prompt").what
    assert "seg alone" not in said(made, "seg.control_weight_prompt").what
    assert not made.refused


def test_a_prompt_narrows_a_file_too(said):
    made, maps = weigh(
        seg={
            "control_weight": "w.pt",
            "input_control": "s.mp4",
            "control_weight_prompt": "arm",
        }
    )
    assert maps == {"seg": {"product": [{"file": "w.pt"}, {"prompt": "arm"}]}}
    assert "leaves the file out" in said(made, "seg.control_weight_prompt").what


def test_a_prompt_beside_the_weight_0_is_not_looked_for(said):
    made, maps = weigh(edge={"control_weight": 0, "control_weight_prompt": "arm"})
    assert maps == {"edge": 0}
    assert said(made, "edge.control_weight_prompt").verdict == "dropped"


def test_the_robot_example_says_that_its_sigma_is_ignored(said):
    made, maps = weigh(
        seg={"input_control": "s.mp4", "control_weight": "seg.pt", "sigma_max": 80},
        edge={"control_weight": "edge.pt"},
    )
    assert maps == {"seg": {"file": "seg.pt"}, "edge": {"file": "edge.pt"}}
    assert said(made, "seg.sigma_max").verdict == "dropped"
    assert made.request["sigma_max"] == 70
    assert not made.refused


def test_the_lidar_example_of_many_views_is_refused_and_its_0_told(said):
    made = read(
        {
            "lidar": {
                "control_weight": 0,
                "input_control": ["front.mp4", "rear.mp4"],
                "ckpt_path": "nvidia/v2w_lidar_control.pt",
            }
        }
    )
    assert [note.path for note in made.refused] == ["lidar.input_control"]
    assert "controls" not in made.request
    assert made.request["base"] == "cosmos-transfer1-7b-sample-av"
    assert said(made, "lidar.control_weight").verdict == "dropped"


def test_the_driving_example_runs_on_the_driving_model(said):
    made, maps = weigh(
        hdmap={"control_weight": 0.3, "input_control": "h.mp4"},
        lidar={"control_weight": 0.7, "input_control": "l.mp4"},
    )
    assert maps == {"hdmap": 0.3, "lidar": 0.7}
    assert made.request["base"] == "cosmos-transfer1-7b-sample-av"
    assert "hdmap and lidar" in said(made, "(base)").what
    assert not made.refused


def test_the_base_asked_for_comes_before_the_spec(said):
    spec = {"lidar": {"input_control": "l.mp4"}}
    assert read(spec, base="tiny-world").request["base"] == "tiny-world"


def test_without_a_source_noise_is_where_it_starts(is_request, said):
    spec = {
        "input_video_path": "",
        "sigma_max": 80,
        "depth": {"input_control": "d.mp4", "control_weight": 1.0},
    }
    made = read(spec)
    assert "video" not in made.request
    assert made.request["sigma_max"] == 80
    assert "source" not in said(made, "sigma_max").what
    assert not made.refused
    is_request(made)
    del spec["sigma_max"]
    assert "sigma_max" not in read(spec).request  # ours is 80
    low = read({**spec, "sigma_max": 40})
    assert "give one, or 80" in said(low, "sigma_max").what
    assert "sigma_max" not in low.request


def test_a_control_that_nothing_can_be_made_from_is_refused(said):
    made = read({"edge": {"control_weight": 1}, "seg": {"input_control": "s.mp4"}})
    assert "no input_control and no input_video_path" in said(made, "edge").what
    assert said(made, "edge.control_weight").what == "left out with edge"
    assert list(made.request["controls"]) == ["seg"]


def test_a_control_that_is_off_needs_no_video(is_request):
    made, maps = weigh(edge={}, depth={"control_weight": 0})
    assert maps == {"edge": 0.5, "depth": 0}
    assert not made.refused


def test_numbers_above_one_are_shared_as_the_released_system_does(said):
    made, maps = weigh(edge={"control_weight": 3}, vis={"control_weight": "1"})
    assert maps == {"edge": 0.75, "vis": 0.25}
    assert "its share of 4" in said(made, "vis.control_weight").what
    _, maps = weigh(edge={"control_weight": 1.5}, vis={})
    assert maps == {"edge": 0.75, "vis": 0.25}


def test_numbers_up_to_one_stay_and_share_one(said):
    made, maps = weigh(edge={"control_weight": 1}, vis={"control_weight": 0.6})
    assert maps == {"edge": 1, "vis": 0.6}
    assert "add up to 1.6" in said(made, "(sum)").what


@pytest.mark.parametrize(
    "map_", [{"control_weight": "w.pt"}, {"control_weight_prompt": "arm"}]
)
def test_a_number_above_one_beside_a_map_is_refused(map_, said):
    made, maps = weigh(edge={"control_weight": 2}, vis=map_)
    assert "beside a map" in said(made, "edge.control_weight").what
    assert list(maps) == ["vis"]


@pytest.mark.parametrize(("zero", "is_told"), [(0, True), (0.0, True), ("0.0", False)])
def test_0_beside_a_map_stays_0(zero, is_told, said):
    made, maps = weigh(edge={"control_weight": zero}, vis={"control_weight": "w.pt"})
    assert maps["edge"] == 0
    told = "makes this number 1.0" in said(made, "edge.control_weight").what
    assert told is is_told


def test_strengths_become_options_of_what_is_made(is_request, said):
    spec = {
        "input_video_path": "in.mp4",
        "blur_strength": "very_low",
        "canny_threshold": "high",
        "vis": {},
        "edge": {"input_control": "e.mp4"},
    }
    made = read(spec)
    assert made.request["controls"]["vis"]["options"] == {"strength": "very_low"}
    assert "options" not in made.request["controls"]["edge"]
    assert "ready control video" in said(made, "canny_threshold").what
    edge = read({**spec, "edge": {}}).request["controls"]["edge"]
    assert edge["options"] == {"threshold": "high"}
    is_request(made)


def test_seg_is_not_made_from_words(said):
    made, _ = weigh(seg={"input_control_prompt": "car"})
    assert said(made, "seg.input_control_prompt").verdict == "refused"
    made, maps = weigh(seg={"input_control_prompt": "car", "input_control": "s.mp4"})
    assert said(made, "seg.input_control_prompt").verdict == "dropped"
    assert maps == {"seg": 0.5}


@pytest.mark.parametrize("spec", [{}, {"prompt": "x"}, {"edge": 5}])
def test_a_spec_without_a_control_is_none(spec, said):
    assert said(read(spec), "(controls)").verdict == "refused"


def test_a_request_that_shows_nothing_is_refused(said):
    made = read({"edge": {"control_weight": 0}})
    assert said(made, "(video)").verdict == "refused"


def test_the_spec_is_not_changed():
    spec = {"input_video_path": "in.mp4", "edge": {"control_weight": 2}}
    read(spec)
    assert spec == {"input_video_path": "in.mp4", "edge": {"control_weight": 2}}
