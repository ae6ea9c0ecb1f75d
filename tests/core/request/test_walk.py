"""Every file a request names is found, however deep, and moves with its folder."""

import json
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from worldweave import Control, Request
from worldweave.request.sources import (
    Box,
    Boxes,
    Feather,
    File,
    Inverse,
    Keyframe,
    Keyframes,
    Labels,
    Learned,
    Objects,
    Product,
    Prompt,
    Rule,
    Salient,
    maximum,
)
from worldweave.request.structure import from_plain, to_plain
from worldweave.request.walk import (
    anchored,
    inputs,
    maps_in,
    named_parts,
    parts,
    placed_plain,
)

LEAVES = st.one_of(
    st.floats(0, 1),
    st.sampled_from(["m.mp4", "n.npy", "o.png"]),
    st.sampled_from(["p.mp4", "q.npy"]).map(lambda name: File(file=name)),
    st.just(Rule(rule="file.mp4 -> 1; else -> 0")),
    st.just(Prompt(prompt="m.mp4")),
    st.just(Salient(foreground=1, background=0)),
    st.just(Boxes(boxes=[Box(box=(0, 0, 1, 1))])),
    st.just(Keyframes(keyframes=[Keyframe(time=0)])),
)
MAPS = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3).map(lambda m: Product(product=m))
        | st.lists(inner, min_size=1, max_size=3).map(lambda m: maximum(*m))
        | inner.map(lambda m: Inverse(invert=m))
        | inner.map(lambda m: Feather(feather=m, pixels=2))
    ),
    max_leaves=6,
)


def files_of(value):
    """By JSON, which knows nothing of how maps are walked."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [file for item in value for file in files_of(item)]
    if isinstance(value, dict):
        keys = ("file", "product", "max", "invert", "feather")
        return [f for key in keys if key in value for f in files_of(value[key])]
    return []


@given(MAPS)
def test_every_file_of_a_map_is_found_and_placed_and_no_other_text(value):
    request = Request(prompt="m.mp4", controls={"edge": Control(map=value)})
    wanted = files_of(to_plain(value))
    assert list(inputs(request).values()) == wanted
    placed = anchored(request, Path("/here"))
    assert list(inputs(placed).values()) == [f"/here/{name}" for name in wanted]
    assert placed.prompt == "m.mp4"
    back = json.dumps(to_plain(placed)).replace("/here/", "")
    assert back == json.dumps(to_plain(request))


@given(MAPS)
def test_files_of_json_are_placed_as_those_of_the_request_it_means(value):
    labels = Labels(file="l.mp4", classes="c.json")
    edge = Control(map=value, video="v.mp4", weights="w", options={"file": "x"})
    request = Request(
        prompt="m.mp4", video="in.mp4", labels=labels, controls={"edge": edge}
    )
    plain = to_plain(request)
    before = json.dumps(plain)
    placed = placed_plain(plain, lambda name: f"/here/{name}")
    assert placed == to_plain(anchored(request, Path("/here")))
    assert json.dumps(plain) == before
    short = {"labels": "l.mp4", "controls": {"edge": to_plain(value)}}
    placed = placed_plain(short, lambda name: f"/here/{name}")
    assert placed["labels"] == "/here/l.mp4"
    wanted = anchored(Request(controls={"edge": Control(map=value)}), Path("/here"))
    assert placed["controls"]["edge"] == to_plain(wanted.controls["edge"].map)


def test_what_is_no_request_is_left_to_be_refused():
    for plain in (
        5,
        {"video": 5, "labels": [], "controls": {"edge": None, "vis": [{"file": "x"}]}},
        {"controls": {"edge": {"map": {"product": 5, "file": None}, "weights": []}}},
        {"controls": ["edge"], "file": "x", "weights": "w"},
    ):
        assert placed_plain(plain, lambda name: f"/here/{name}") == plain


@given(MAPS)
def test_the_place_of_each_part_leads_to_it(value):
    for place, part in named_parts(value):
        key, _, at = place.rstrip("]").partition("[")
        held = getattr(value, key)
        assert (held[int(at)] if at else held) is part


@given(MAPS)
def test_a_walk_yields_the_whole_before_its_parts(value):
    found = list(maps_in(value))
    assert found[0] is value
    assert len(found) == 1 + sum(len(list(maps_in(part))) for part in parts(value))
    leaves = [each for each in found if not parts(each)]
    assert all(not isinstance(each, (Product, Inverse, Feather)) for each in leaves)


def test_every_file_has_the_name_of_what_it_is_for():
    array = np.zeros((2, 2))
    request = Request(
        video="in.mp4",
        labels=Labels(file="l.mp4", classes="c.json"),
        objects=Objects(masks="a car."),
        controls={
            "edge": Control(map=Product(product=("a.npy", "b.npy", array))),
            "vis": Control(map=Learned(learned="n.safetensors"), weights="w"),
            "seg": Control(map="s.mp4", video="v.mp4", options={"file": "x"}),
            "depth": Control(map=Learned()),
        },
    )
    found = inputs(request)
    assert found.pop("map edge 3") is array
    assert found == {
        "video": "in.mp4",
        "map edge": "a.npy",
        "map edge 2": "b.npy",
        "map vis": "n.safetensors",
        "weights vis": "w",
        "control seg": "v.mp4",
        "map seg": "s.mp4",
        "labels": "l.mp4",
        "classes": "c.json",
    }


def test_a_table_in_the_request_is_no_file_and_stays():
    table = {"car": [1, 2, 3], "*": "rest"}
    request = Request(labels=Labels(file="l.mp4", classes=table))
    placed = anchored(request, Path("/here"))
    assert placed.labels == Labels(file="/here/l.mp4", classes=table)
    assert inputs(request) == {"labels": "l.mp4"}
    assert anchored(Request(labels=Labels(file="l", classes="c.json")), Path("/a"))
    named = anchored(Request(labels=Labels(file="l", classes="c.json")), Path("/a"))
    assert named.labels.classes == "/a/c.json"


def test_what_comes_with_the_base_is_no_file():
    request = from_plain({"controls": {"edge": {"learned": "base", "scale": 0.5}}})
    placed = anchored(request, Path("/here"))
    assert placed.controls["edge"].map == Learned(scale=0.5)
    own = from_plain({"controls": {"edge": {"learned": "n.safetensors"}}})
    placed = anchored(own, Path("/here"))
    assert placed.controls["edge"].map == Learned(learned="/here/n.safetensors")


def test_absolute_names_and_what_is_in_memory_stay():
    array = np.zeros((2, 2))

    def function(t, y, x):
        return t

    request = Request(
        video="/there/in.mp4",
        controls={
            "edge": Control(map=array, options={"mode": "a.mp4"}),
            "vis": Control(map=function),
        },
    )
    placed = anchored(request, Path("/here"))
    assert placed.video == "/there/in.mp4"
    assert placed.controls["edge"].map is array
    assert placed.controls["edge"].options == {"mode": "a.mp4"}
    assert placed.controls["vis"].map is function
