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
    from_plain,
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
    ({"learned": "base"}, Learned()),
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


def test_a_form_beside_a_map_is_an_unknown_key():
    line = problem({"controls": {"edge": {"map": 0.5, "rule": "a -> 1"}}})
    assert line.startswith("it: controls.edge.rule is unknown")


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
    "controls.edge.treshold": "treshold is unknown; did you mean 'options.threshold'?",
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
        ("a\0b", r"expected a file name, got 'a\x00b'"),
        ("", "map: expected a file name, got ''"),
        ({"file": ""}, "map.file: expected a file name, got ''"),
        ({"file": 3}, "map.file: expected a file name, got 3"),
        ({"learned": ""}, "map.learned: expected a file name, got ''"),
        ({"product": [1, ""]}, "map.product[1]: expected a file name, got ''"),
        (
            {"boxes": [[0, 0, 1, 1]]},
            'map.boxes[0]: expected an object such as {"box": [0, 0, 0.5, 1]}, got '
            "[0, 0, 1, 1]",
        ),
        (
            {"keyframes": [{"time": 0}, 0, "1"]},
            'map.keyframes[1]: expected an object such as {"time": 0, "value": 1}, '
            "got 0 (and 1 more)",
        ),
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


def test_a_map_nested_beyond_reason_is_told():
    plain = 0.5
    for _ in range(5000):
        plain = {"invert": plain}
    line = problem({"controls": {"edge": plain}})
    assert line == "it is nested too deeply; keep it within 100 levels"


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"video": ""}, "video: expected a file name, got ''"),
        ({"labels": ""}, "labels: expected a file name, got ''"),
        ({"labels": {"file": ""}}, "labels.file: expected a file name, got ''"),
        (
            {"controls": {"edge": {"video": ""}}},
            "controls.edge.video: expected a file name, got ''",
        ),
        (
            {"controls": {"edge": {"weights": ""}}},
            "controls.edge.weights: expected a file name, got ''",
        ),
    ],
)
def test_a_name_of_no_letters_is_no_file(field, said):
    assert problem(field) == f"it: {said}"


@pytest.mark.parametrize("classes", [3, "", [1], True, "a\0"])
def test_classes_are_a_file_or_a_table(classes):
    assert problem({"labels": {"file": "l.mp4", "classes": classes}}) == (
        "it: labels.classes: expected a file name or a table such as "
        f'{{"car": [255, 0, 0]}}, got {classes!r}'
    )


LONG = [1] * 200_000


@pytest.mark.parametrize(
    "plain",
    [
        {"seed": LONG},
        {"video": LONG},
        {"steps": {"a": LONG}},
        {"guidance": LONG},
        {"prompt": "\0" * 200_000},
        {"labels": {"file": "l", "classes": LONG}},
        {"labels": {"file": "l", "layout": "x" * 200_000}},
        {"objects": LONG},
        {"controls": LONG},
        {"controls": {"edge": LONG}},
        {"controls": {"edge": {"options": LONG}}},
        {"controls": {"edge": {"map": LONG}}},
        {"controls": {"edge": {"boxes": LONG}}},
        {"controls": {"edge": {"boxes": [{"box": LONG}]}}},
        {"controls": {"edge": {"prompt": "a", "allow_empty": LONG}}},
        {"controls": {"edge": {"map": {"k" * 200_000: 1}}}},
        {"controls": {"edge": {"map": {f"{i}": 1 for i in range(1000)}}}},
        {"controls": {"k" * 200_000: []}},
        {"k" * 200_000: 1},
        {"k" * 200_000 + "\n": 1},
    ],
)
def test_whatever_is_wrong_is_told_in_a_short_line(plain):
    assert len(problem(plain)) < 400


def test_no_more_problems_are_told_than_can_be_read():
    lines = problems({"controls": {"edge": {"product": [True] * 1000}}})
    assert len(lines) == 101
    assert lines[-1] == "it: there is more that is wrong; mend these first"
    lines = problems({f"key {number}": 1 for number in range(1000)})
    assert len(lines) == 101
    hundred = problems({f"key {number}": 1 for number in range(100)})
    assert len(hundred) == 100
    assert all("is unknown" in line for line in hundred)
