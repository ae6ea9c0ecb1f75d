"""JSON and YAML become a request, or every wrong field is named with its path."""

import json

import numpy as np
import pytest

from worldweave import Control, Problems, Request
from worldweave.request.sources import (
    FORMS,
    Box,
    Boxes,
    Feather,
    File,
    Inverse,
    Keyframe,
    Keyframes,
    Labels,
    Learned,
    Maximum,
    Objects,
    Product,
    Prompt,
    Rule,
    Salient,
    Schedule,
)
from worldweave.request.structure import (
    from_json,
    from_plain,
    from_yaml,
    read_request,
    to_plain,
)

#: Each form as it is written, and what it is.
WRITTEN = [
    (0.5, 0.5),
    (1, 1.0),
    ("m.mp4", "m.mp4"),
    (
        {"file": "m.npy", "match": "time", "fps": 12, "length": "loop"},
        File(file="m.npy", match="time", fps=12.0, length="loop"),
    ),
    (
        {"boxes": [{"box": [0, 0.5, 1, 1], "start": 1, "end": 2}], "outside": 0.1},
        Boxes(boxes=[Box(box=(0, 0.5, 1, 1), start=1.0, end=2.0)], outside=0.1),
    ),
    (
        {"keyframes": [{"time": 0}, {"time": 2, "value": 0.5}]},
        Keyframes(keyframes=[Keyframe(time=0.0), Keyframe(time=2.0, value=0.5)]),
    ),
    ({"rule": "car -> 1; else -> 0"}, Rule(rule="car -> 1; else -> 0")),
    (
        {"prompt": "the car", "allow_empty": True},
        Prompt(prompt="the car", allow_empty=True),
    ),
    ({"foreground": 1, "background": 0}, Salient(foreground=1.0, background=0.0)),
    ({"learned": "base", "scale": 0.5}, Learned(scale=0.5)),
    ({"product": [0.5, "m.png"]}, Product(product=(0.5, "m.png"))),
    ({"max": [{"rule": "a -> 1"}, 0.2]}, Maximum(max=(Rule(rule="a -> 1"), 0.2))),
    ({"invert": {"prompt": "a"}}, Inverse(invert=Prompt(prompt="a"))),
    (
        {"feather": {"invert": "m.mp4"}, "pixels": 8},
        Feather(feather=Inverse(invert="m.mp4"), pixels=8.0),
    ),
]


def problems(plain):
    with pytest.raises(Problems) as caught:
        from_plain(plain, where="it")
    assert all("\n" not in line for line in caught.value.problems)
    return caught.value.problems


def problem(plain):
    (line,) = problems(plain)
    return line


def of_text(read, text):
    with pytest.raises(Problems) as caught:
        read(text, where="it")
    (line,) = caught.value.problems
    return line


# --- forms -------------------------------------------------------------------


@pytest.mark.parametrize(("written", "meant"), WRITTEN)
def test_every_form_is_read_short_and_long_and_survives(written, meant):
    short = from_plain({"controls": {"edge": written}}).controls["edge"].map
    long = from_plain({"controls": {"edge": {"map": written}}}).controls["edge"].map
    assert short == long == meant
    assert type(short) is type(meant)
    again = json.loads(json.dumps(to_plain(meant)))
    assert from_plain({"controls": {"edge": again}}).controls["edge"].map == meant


def test_every_form_has_an_example_here():
    kinds = {type(meant) for _, meant in WRITTEN}
    assert kinds >= set(FORMS.values())


def test_a_control_may_have_fields_beside_its_map():
    plain = {"map": {"rule": "a -> 1"}, "schedule": {"linear": [1, 0]}, "weights": "w"}
    control = from_plain({"controls": {"edge": plain}}).controls["edge"]
    assert control.map == Rule(rule="a -> 1")
    assert control.schedule == Schedule(linear=(1.0, 0.0))
    assert control.weights == "w"


def test_labels_and_objects_are_read():
    table = {"arm": [1, 2, 3]}
    request = from_plain(
        {
            "labels": {"file": "l.mp4", "classes": table, "length": "hold"},
            "objects": {"masks": "a car."},
        }
    )
    assert request.labels == Labels(file="l.mp4", classes=table, length="hold")
    assert request.objects == Objects(masks="a car.")
    assert from_plain({"labels": "l.mp4"}).labels == Labels(file="l.mp4")
    assert from_plain({"labels": None, "objects": None}).labels is None


def test_only_what_differs_from_the_default_is_told_of_a_map():
    assert to_plain(Boxes(boxes=[Box(box=(0, 0, 1, 1))])) == {
        "boxes": [{"box": [0, 0, 1, 1]}]
    }
    kept = to_plain(Control(map=Rule(rule="a -> 1")))
    assert kept["map"] == {"rule": "a -> 1"}
    assert kept["video"] is None


def test_what_is_in_memory_becomes_a_note():
    maps = [np.ones((2, 3), np.float32), lambda t, y, x: t]
    said = [to_plain(Request(controls={"e": Control(map=m)})) for m in maps]
    assert [each["controls"]["e"]["map"] for each in said] == [
        "array float32 2x3 in memory",
        "function <lambda> in memory",
    ]
    deep = Product(product=(0.5, np.zeros((2, 2))))
    assert to_plain(deep)["product"][1] == "array float64 2x2 in memory"


# --- paths -------------------------------------------------------------------

UNKNOWN = {
    "sede": "it: sede is unknown; did you mean 'seed'?",
    "controls.edge.treshold": "it: controls.edge.treshold is unknown; did you mean 'options.threshold'?",
    "controls.edge.wieghts": "did you mean 'weights'",
    "controls.edge.map.lenght": "did you mean 'length'",
    "controls.edge.schedule.lineal": "did you mean 'linear'",
    "labels.layuot": "did you mean 'layout'",
    "objects.mask": "did you mean 'masks'",
    "controls.fog lamp.x": "it: controls.'fog lamp'.x is unknown",
}


@pytest.mark.parametrize(("path", "said"), UNKNOWN.items())
def test_an_unknown_key_is_told_with_its_path(path, said):
    *parents, last = path.split(".")
    required = {"labels": {"file": "l"}, "map": {"file": "m"}}
    plain = {last: 1}
    for parent in reversed(parents):
        plain = {parent: {**required.get(parent, {}), **plain}}
    line = problem(plain)
    assert said in line
    assert "is unknown" in line
    if "'" not in said.split(" is")[0]:
        assert line.startswith(f"it: {path} ")


def test_deep_in_lists_the_place_is_told():
    boxes = {"boxes": [{"box": [0, 0, 1, 1]}, {"box": [0, 0, 1, 1], "vlaue": 1}]}
    plain = {"feather": {"max": [0.5, boxes]}, "pixels": 1}
    line = problem({"controls": {"edge": {"map": plain}}})
    assert line.startswith("it: controls.edge.map.feather.max[1].boxes[1].vlaue is")
    assert "did you mean 'value'" in line


def test_options_hint_where_they_belong():
    line = problem({"controls": {"edge": {"blur": 3}}})
    assert line.endswith("schedule, options.threshold, options.low, options.high")


def test_all_problems_come_at_once():
    lines = problems(
        {
            "sede": 1,
            "seed": "one",
            "steps": 2.5,
            "prompt": 3,
            "labels": {"layout": "isac", "file": "x"},
            "controls": {
                "edge": {"treshold": 1, "map": True},
                "vis": {"rule": "a -> 1", "file": "m"},
                "seg": {"map": {"boxes": [{"value": 1}]}},
                "depth": [1],
            },
        }
    )
    said = "\n".join(lines)
    for part in (
        "it: sede is unknown",
        "it: seed: expected a whole number, got 'one'",
        "it: steps: expected a whole number, got 2.5",
        "it: prompt: expected text, got 3",
        "it: labels.layout: it is 'isac'; give 'plain' or 'isaac' or 'carla'"
        "; did you mean 'isaac'?",
        "it: controls.edge.treshold is unknown",
        "it: controls.edge.map: expected a number, a file name or an object",
        "it: controls.vis.map: an object of 'rule', 'file' is no form of a map",
        "it: controls.seg.map.boxes[0] lacks 'box'; add it",
        "it: controls.depth: expected a map or an object, got [1]",
    ):
        assert part in said
    assert len(lines) == 10


@pytest.mark.parametrize(
    ("map_", "said"),
    [
        (True, "expected a number, a file name or an object"),
        (float("nan"), "it is nan; give a number from 0 to 1"),
        (float("inf"), "it is inf; give a number from 0 to 1"),
        (10**400, "give a number from 0 to 1"),
        ([0.5], "expected a number, a file name or an object"),
        ({}, "an object of nothing is no form of a map"),
        ({"rulle": "a"}, "did you mean 'rule'"),
        ({"rule": 3}, "map.rule: expected text, got 3"),
        ({"boxes": {"box": 1}}, "map.boxes: expected a list, got"),
        ({"boxes": [{"box": [0, 0, 1]}]}, "boxes[0].box: expected a list of 4 numbers"),
        ({"boxes": [{"box": [0, 0, 1, "1"]}]}, "expected a number, got '1'"),
        ({"prompt": "a", "allow_empty": 1}, "expected true or false, got 1"),
        ({"file": "m", "match": "tmie"}, "give 'frames' or 'time'"),
        ({"feather": 0.5}, "lacks 'pixels'; add it"),
        ({"keyframes": [{"time": float("nan")}]}, "keyframes[0].time: it is nan"),
        ("a\0b", "expected a number, a file name"),
    ],
)
def test_a_wrong_map_is_told_with_its_path(map_, said):
    line = problem({"controls": {"edge": {"map": map_}}})
    assert line.startswith("it: controls.edge.map")
    assert said in line


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ({"linear": [1]}, "schedule.linear: expected a list of 2 numbers, got [1]"),
        ({"interval": 3}, "schedule.interval: expected a list of 2 numbers, got 3"),
        ("linear", "schedule: expected an object, got 'linear'"),
    ],
)
def test_a_wrong_schedule_is_told_with_its_path(schedule, said):
    assert said in problem({"controls": {"edge": {"map": 1, "schedule": schedule}}})


@pytest.mark.parametrize("plain", [None, [], "text", 3])
def test_a_request_is_an_object(plain):
    assert "it must be a JSON object, not" in problem(plain)


# --- text --------------------------------------------------------------------

YAML = """
# A street that keeps its cars.
prompt: a street at night
video: in.mp4
steps: 12
labels: {file: labels.mp4, classes: {car: [0, 0, 142]}}
controls:
  edge: 0.5
  vis:
    map:
      rule: car -> 1; else -> 0
    schedule: {linear: [1, 0.5]}
"""


def test_yaml_says_what_json_says():
    plain = {
        "prompt": "a street at night",
        "video": "in.mp4",
        "steps": 12,
        "labels": {"file": "labels.mp4", "classes": {"car": [0, 0, 142]}},
        "controls": {
            "edge": 0.5,
            "vis": {
                "map": {"rule": "car -> 1; else -> 0"},
                "schedule": {"linear": [1, 0.5]},
            },
        },
    }
    assert to_plain(from_yaml(YAML)) == to_plain(from_json(json.dumps(plain)))


@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".YAML"])
def test_a_file_is_yaml_by_its_name(tmp_path, suffix):
    (tmp_path / f"r{suffix}").write_text(YAML)
    assert read_request(tmp_path / f"r{suffix}").steps == 12
    (tmp_path / "r.json").write_text(YAML)
    with pytest.raises(Problems, match=r"r\.json is not JSON"):
        read_request(tmp_path / "r.json")


def test_anchors_and_merges_of_yaml_work():
    text = (
        "controls:\n  edge: &a {map: 0.5, weights: w}\n  vis:\n    <<: *a\n    map: 0.1"
    )
    controls = from_yaml(text).controls
    assert (controls["edge"].map, controls["vis"].map) == (0.5, 0.1)
    assert controls["vis"].weights == "w"


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (from_json, '{"seed": 1, "seed": 2}'),
        (from_json, '{"controls": {"edge": {"map": 1, "map": 0}}}'),
        (from_yaml, "seed: 1\nprompt: a\nseed: 2"),
        (from_yaml, "controls:\n  edge: {map: 1, map: 0}"),
        (from_yaml, "controls:\n  edge:\n    boxes:\n    - {box: [0,0,1,1], box: 3}"),
    ],
)
def test_a_key_given_twice_is_refused_at_any_depth(read, text):
    line = of_text(read, text)
    key = "box" if "box:" in text else "map" if "map" in text else "seed"
    assert line == f"it: {key!r} is given twice in one object; keep one of them"


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (
            from_json,
            '{"seed": }',
            "it is not JSON: Expecting value at line 1, column 10",
        ),
        (from_json, "", "it is not JSON"),
        (from_json, '{"seed": 1' + "0" * 5000 + "}", "it is not JSON"),
        (from_json, "[" * 100_000, "nested too deeply"),
        (from_yaml, "a: [1, 2", "it is not YAML"),
        (from_yaml, "a: b: c", "at line 1, column 5; correct it"),
        (from_yaml, "seed: !!python/object/apply:os.system ['false']", "is not YAML"),
        (from_yaml, "prompt: 2024-13-45", "it is not YAML"),
        (from_yaml, "[" * 5000, "nested too deeply"),
        (from_yaml, "? [a]\n: 1", "it is not YAML"),
        (from_yaml, "", "must be a JSON object"),
        (from_yaml, "3: 4", "it: 3 is unknown"),
        (from_yaml, "controls: {edge: {3: 4}}", "controls.edge.3 is unknown"),
    ],
)
def test_text_that_is_no_request_is_told_in_one_line(read, text, said):
    line = of_text(read, text)
    assert said in line
    assert "\n" not in line
    assert len(line) < 400


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    for name, said in (("gone.json", "cannot read"), ("bytes.json", "is not text")):
        with pytest.raises(Problems, match=said):
            read_request(tmp_path / name)


def test_a_map_nested_beyond_reason_is_told():
    plain = 0.5
    for _ in range(5000):
        plain = {"invert": plain}
    line = problem({"controls": {"edge": plain}})
    assert line == "it is nested too deeply; give a request with plain fields"
