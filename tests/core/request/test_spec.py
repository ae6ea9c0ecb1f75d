"""A request is strict data: what goes in comes out, what is unknown is refused."""

import json
import re
from fractions import Fraction
from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave import Control, Problems, Request
from worldweave.request.maps.check import map_problems
from worldweave.request.sources import (
    Feather,
    File,
    Inverse,
    Labels,
    Objects,
    Product,
    Schedule,
    maximum,
)
from worldweave.request.spec import type_problems, value_problems
from worldweave.request.structure import from_json, from_plain, to_plain
from worldweave.request.walk import anchored

FIELDS = [field.name for field in attrs.fields(Request)]
CONTROL_FIELDS = [field.name for field in attrs.fields(Control)]

words = st.text(st.characters(exclude_characters="\0"), max_size=20)
files = st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=20)
keys = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8)
options = st.dictionaries(words, st.none() | st.booleans() | st.integers() | words)
controls = st.builds(
    Control,
    map=st.none() | st.floats(0, 1) | files,
    video=st.none() | files,
    options=options,
    weights=st.none() | files,
)
requests = st.builds(
    Request,
    base=words,
    prompt=words,
    negative_prompt=words,
    video=st.none() | files,
    controls=st.dictionaries(words, controls, max_size=3),
    steps=st.none() | st.integers(),
    guidance=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    seed=st.integers(),
    sigma_max=st.floats(allow_nan=False, allow_infinity=False),
    fps=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    overlap=st.integers(),
    max_frames=st.none() | st.integers(),
    compat=st.none() | words,
)


ANY_MAP = "give a number, a file, an array, a function or a form of worldweave.maps"


def path_of(key, dot=""):
    """How a key stands in a path: as it is, or quoted."""
    return dot + (key if re.fullmatch(r"[\w@-]+", key) else repr(key))


@settings(max_examples=50, deadline=None)
@given(requests)
def test_a_request_survives_json(request):
    text = json.dumps(to_plain(request))
    assert to_plain(from_json(text)) == to_plain(request)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(keys.filter(lambda key: key not in FIELDS), st.none()))
def test_unknown_fields_are_always_refused_by_name(extra):
    plain = {"seed": 1, **extra}
    if not extra:
        assert from_plain(plain).seed == 1
        return
    with pytest.raises(Problems) as caught:
        from_plain(plain, where="it")
    for said, key in zip(caught.value.problems, sorted(extra), strict=True):
        assert said.startswith(f"it: {path_of(key)} is unknown")


@settings(max_examples=50, deadline=None)
@given(keys.filter(lambda key: key not in CONTROL_FIELDS), st.none() | words)
def test_unknown_fields_of_a_control_are_always_refused_by_name(key, value):
    with pytest.raises(Problems) as caught:
        from_plain({"controls": {"edge": {"map": 1.0, key: value}}}, where="it")
    (problem,) = caught.value.problems
    assert problem.startswith(f"it: controls.edge{path_of(key, '.')} is unknown")


def test_an_empty_object_is_a_request_with_every_default():
    assert to_plain(from_plain({})) == to_plain(Request())


@pytest.mark.parametrize("value", [0.5, 1, 0, "road.mp4"])
def test_a_control_may_be_its_map_alone(value):
    short = from_plain({"controls": {"edge": value}})
    long = from_plain({"controls": {"edge": {"map": value}}})
    assert to_plain(short) == to_plain(long)
    assert short.controls["edge"].map == value


def test_relative_files_are_taken_from_the_folder_and_nothing_else_changes():
    request = Request(
        prompt="a.mp4",
        video="in.mp4",
        controls={
            "edge": Control(map="m.npy", video="e.mp4", weights="w.safetensors"),
            "vis": Control(map=0.5, options={"strength": "low"}),
            "seg": Control(map=np.ones((2, 2)), video="/there/s.mp4"),
        },
    )
    placed = anchored(request, Path("/here"))
    assert placed.prompt == "a.mp4"
    assert placed.video == "/here/in.mp4"
    edge, vis, seg = placed.controls.values()
    files = (edge.map, edge.video, edge.weights)
    assert files == ("/here/m.npy", "/here/e.mp4", "/here/w.safetensors")
    assert (vis.map, vis.video, vis.options) == (0.5, None, {"strength": "low"})
    assert seg.map is request.controls["seg"].map
    assert seg.video == "/there/s.mp4"


def test_arrays_become_a_note():
    clip = np.zeros((3, 4, 5, 3), np.uint8)
    request = Request(video=clip, controls={"vis": Control(map=np.ones((4, 5)))})
    plain = to_plain(request)
    assert plain["video"] == "array uint8 3x4x5x3 in memory"
    assert plain["controls"]["vis"]["map"] == "array float64 4x5 in memory"
    json.dumps(plain)


def test_numbers_of_numpy_paths_and_fractions_are_taken_as_plain_ones():
    request = Request(
        video=Path("in.mp4"),
        seed=np.int64(3),
        fps=Fraction(30000, 1001),
        guidance=np.float32(0.5),
        controls={"edge": Control(map=np.float32(0.5), options={"low": np.int32(7)})},
    )
    assert type_problems(request) == []
    plain = json.loads(json.dumps(to_plain(request)))
    assert (plain["video"], plain["seed"], plain["guidance"]) == ("in.mp4", 3, 0.5)
    assert plain["fps"] == 30000 / 1001
    assert plain["controls"]["edge"]["map"] == 0.5
    assert plain["controls"]["edge"]["options"] == {"low": 7}


def test_a_request_does_not_share_its_controls_or_classes_with_the_caller():
    mine, classes = {"edge": Control(map=0.5)}, {"car": [0, 0, 142]}
    request = Request(controls=mine, labels=Labels(file="l.png", classes=classes))
    mine["vis"] = Control(map=0.5)
    classes["car"].append(7)
    classes["sky"] = [1, 2, 3]
    assert list(request.controls) == ["edge"]
    assert request.labels.classes == {"car": [0, 0, 142]}


def test_a_request_does_not_share_its_options_with_the_caller():
    mine = {"threshold": "low"}
    control = Control(options=mine)
    mine["threshold"] = "high"
    assert control.options == {"threshold": "low"}


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("steps", 2.5, "steps is 2.5; give a whole number"),
        ("steps", True, "steps is True; give a whole number"),
        ("seed", None, "seed is None; give a whole number"),
        ("seed", "3", "seed is '3'; give a whole number"),
        ("guidance", "much", "guidance is 'much'; give a number"),
        ("prompt", None, "prompt is None; give text"),
        ("base", 7, "base is 7; give text"),
        ("video", 7, "video is 7; give a file or an array"),
        ("compat", 1, "compat is 1; give text"),
        ("controls", {"edge": 0.5}, "control 'edge' is 0.5; give a worldweave.Control"),
        (
            "controls",
            {"edge": Control(map=[1, 2])},
            f"map of 'edge' is [1, 2]; {ANY_MAP}",
        ),
        (
            "controls",
            {"edge": Control(map=True)},
            f"map of 'edge' is True; {ANY_MAP}",
        ),
        ("controls", None, "controls is None; give a dict of controls by modality"),
        ("controls", [1], "controls is [1]; give a dict of controls by modality"),
        (
            "controls",
            {"edge": Control(options=["low"])},
            "options of 'edge' is ['low']; give a dict of options",
        ),
        (
            "controls",
            {"edge": Control(schedule=Schedule(linear=(1, "0")))},
            "schedule of 'edge': linear[1] is '0'; give a number",
        ),
        (
            "controls",
            {"edge": Control(schedule=Schedule(interval=0.5))},
            "schedule of 'edge': interval is 0.5; give a list of 2 numbers",
        ),
        (
            "labels",
            Labels(file="l.png", layout="issac"),
            "labels.layout is 'issac'; give 'plain' or 'isaac' or 'carla'; "
            "did you mean 'isaac'?",
        ),
        ("labels", Labels(file=None), "labels.file is None; give text"),
        (
            "labels",
            Labels(file="l.png", classes=["car"]),
            "labels.classes is ['car']; give text or a dict",
        ),
        ("objects", Objects(masks=3), "objects.masks is 3; give text"),
        (
            "controls",
            {"edge": Control(weights=3)},
            "weights of 'edge' is 3; give a file",
        ),
    ],
)
def test_values_of_a_wrong_kind_are_named(field, value, said):
    assert type_problems(Request(**{field: value})) == [said]


def test_tensors_are_taken_for_maps_as_arrays_are():
    values = torch.rand(4, 5, requires_grad=True)
    array = values.detach().numpy()
    request = Request(
        controls={
            "edge": Control(map=values),
            "vis": Control(map=Product(product=(0.5, values))),
            "seg": Control(map=1 - Product(product=[values.bfloat16()])),
            "depth": Control(map=Feather(feather=values, pixels=3)),
        }
    )
    assert type_problems(request) == []
    edge, vis, seg, depth = (control.map for control in request.controls.values())
    assert np.array_equal(edge, array)
    assert vis == Product(product=(0.5, array))
    assert seg.invert.product[0].dtype == np.float32
    assert depth.feather.tolist() == array.tolist()
    json.dumps(to_plain(request))


@pytest.mark.parametrize(
    "value", [torch.rand(2, 2).to_sparse(), torch.rand(2, 2, dtype=torch.complex64)]
)
def test_a_tensor_that_is_no_map_is_refused_wherever_it_stands(value):
    (said,) = type_problems(Request(controls={"edge": Control(map=value)}))
    assert said.startswith("map of 'edge' is tensor(")
    assert "\n" not in said
    (said,) = map_problems("edge", Product(product=(value,)))
    assert said.startswith("map of 'edge': product[0] is a tensor of ")


def test_paths_and_numbers_are_plain_however_deep_they_stand():
    value = maximum(
        Path("a.png"),
        Product(product=[np.float32(0.5), Fraction(1, 2), File(file=Path("b.png"))]),
        Feather(feather=Path("c.png"), pixels=np.int64(3)),
        1 - Product(product=(Path("d.png"),)),
    )
    request = Request(
        labels=Labels(file=Path("l.png"), classes=Path("t.json")),
        controls={"edge": Control(map=value)},
    )
    assert type_problems(request) == []
    plain = json.loads(json.dumps(to_plain(request)))
    assert to_plain(from_plain(plain)) == plain
    assert plain["controls"]["edge"]["map"] == {
        "max": [
            "a.png",
            {"product": [0.5, 0.5, {"file": "b.png"}]},
            {"feather": "c.png", "pixels": 3},
            {"invert": {"product": ["d.png"]}},
        ]
    }
    placed = to_plain(anchored(request, Path("/here")))
    assert json.dumps(placed).count("/here/") == 6


def test_maps_that_hold_arrays_are_compared_by_what_is_in_them():
    ones = np.ones((2, 2))
    for make in (
        lambda array: maximum(array, 0.5),
        lambda array: Product(product=(0.5, array)),
        lambda array: 1 - Product(product=(array,)),
        lambda array: Feather(feather=array, pixels=3),
    ):
        assert make(ones) == make(ones.copy())
        assert make(ones) != make(2 * ones)
        assert make(ones) != make(np.ones((2, 2), np.float32))
        assert make(ones) != make(0.5)
        assert hash(make(ones)) == hash(make(ones.copy()))


@pytest.mark.parametrize("other", [np.ones((1, 2)), 2, "1", None, True, [1]])
def test_only_one_less_a_map_is_an_inverse(other):
    with pytest.raises(TypeError, match="unsupported operand"):
        other - File(file="m.png")


@pytest.mark.parametrize("one", [1, 1.0, np.float32(1), np.int64(1)])
def test_one_less_a_map_is_its_inverse(one):
    assert one - File(file="m.png") == Inverse(invert=File(file="m.png"))


def test_a_long_wrong_value_stays_on_one_line():
    (said,) = type_problems(Request(video=torch.zeros(4, 4)))
    assert said.startswith("video is tensor(")
    assert "\n" not in said


def test_every_limit_of_a_value_is_allowed_and_nothing_beyond():
    video = {"video": "in.mp4"}
    for name, low, high, step in (
        ("steps", 1, 1000, 1),
        ("seed", 0, 2**31 - 1, 1),
        ("guidance", 0.0, 100.0, 1e-6),
        ("sigma_max", 0.0021, 80.0, 1e-3),
        ("fps", 1e-6, 1000.0, 1e-6),
        ("max_frames", 1, 10**6, 1),
    ):
        for value in (low, high):
            assert value_problems(Request(**video, **{name: value})) == []
        beyond = [low - step] if name == "max_frames" else [low - step, high + step]
        for value in beyond:
            (said,) = value_problems(Request(**video, **{name: value}))
            assert said.startswith(f"{name} is {value}; give ")


@pytest.mark.parametrize("name", ["guidance", "sigma_max", "fps"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused(name, value):
    found = value_problems(Request(video="in.mp4", **{name: value}))
    assert f"{name} is {value}; give" in found[0]


def test_a_ready_control_will_do_for_a_video():
    controls = {"edge": Control(video="edge.mp4")}
    assert value_problems(Request(controls=controls)) == []
    assert value_problems(Request(controls={"edge": Control()})) == [
        "no video; give a source video or a control video"
    ]
