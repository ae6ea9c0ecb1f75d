"""A scene survives a file; a file that is wrong is refused with all that is."""

import json
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave_plugins.tinyworld.render import render_rgb
from worldweave_plugins.tinyworld.sampling import sample
from worldweave_plugins.tinyworld.scene_file import (
    LARGEST,
    read_scene,
    scene_from_plain,
    scene_to_plain,
    write_scene,
)
from worldweave_registry import Problems, WorldweaveError


@settings(max_examples=25)
@given(st.integers(0, 2_000_000))
def test_a_scene_is_equal_after_a_round_trip(seed: int) -> None:
    scene = sample(seed)
    assert scene_from_plain(json.loads(json.dumps(scene_to_plain(scene)))) == scene


def test_a_written_scene_can_be_edited_read_and_rendered(tmp_path: Path) -> None:
    path = tmp_path / "scene.json"
    scene = sample(4, "street")
    write_scene(path, scene)
    assert read_scene(path) == scene
    plain = json.loads(path.read_text())
    plain["time"] = "day" if scene.time == "night" else "night"
    plain["place"]["cars"] = []
    path.write_text(json.dumps(plain))
    edited = read_scene(path)
    assert edited.time == plain["time"]
    assert (render_rgb(edited, frames=1) != render_rgb(scene, frames=1)).mean() > 0.5


def test_the_file_tells_the_family(tmp_path: Path) -> None:
    for family in ("street", "table"):
        write_scene(tmp_path / "scene.json", sample(1, family))
        plain = json.loads((tmp_path / "scene.json").read_text())
        assert plain["place"]["family"] == family


def broken(**changes: Any) -> dict[str, Any]:
    """Return scene 3 as plain data, its fields replaced by path."""
    plain = scene_to_plain(sample(3, "street"))
    for path, value in changes.items():
        *parents, last = path.split("__")
        place: Any = plain
        for parent in parents:
            place = place[int(parent) if parent.isdecimal() else parent]
        place[last] = value
    return plain


@pytest.mark.parametrize(
    ("plain", "problem"),
    [
        (broken(time="noon"), "time is 'noon'; give one of: day, dusk, night"),
        (broken(camera__yaw="left"), "camera.yaw is 'left'; give a number from"),
        (broken(camera__yaw=10**400), "camera.yaw is 1000"),
        (broken(camera__position=[0, 2]), "camera.position is [0, 2]; give 3 numbers"),
        (
            broken(camera__position=[0, True, 0]),
            "camera.position[1] is True; give a number from 0.3 to 20 m",
        ),
        (
            broken(place__cars__0__width=-2),
            "place.cars[0].width is -2; give a number from 1 to 3 m",
        ),
        (broken(place__cars__0__x=9), "place.cars[0] leaves the road"),
        (broken(place__cars="none"), "place.cars is 'none'; give a list"),
        (broken(place__cars=[1]), "place.cars[0] is 1; give an object"),
        (broken(place__colour=None), "place.colour is None; give one of: red"),
        (
            broken(place__color="red"),
            "place has an unknown field 'color'; did you mean",
        ),
        (
            broken(place__cars__0__pace=None),
            "place.cars[0].pace is None; give an object",
        ),
        (broken(place__family="zoo"), "place has a family that is 'zoo'; give one of"),
        (broken(place=[]), "place is []; give an object"),
        (broken(prompt=7), "prompt is 7; give text of up to 300 characters"),
        (7, "the scene is 7; give an object"),
    ],
)
def test_a_wrong_value_is_named_by_its_path(plain: Any, problem: str) -> None:
    with pytest.raises(Problems) as caught:
        scene_from_plain(plain)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(problem)


def test_all_that_is_wrong_is_told_at_once_with_the_file(tmp_path: Path) -> None:
    plain = broken(time="noon", camera__pitch=9, place__wall="mud", more=1)
    del plain["prompt"], plain["place"]["half_width"]
    path = tmp_path / "scene.json"
    path.write_text(json.dumps(plain))
    with pytest.raises(Problems) as caught:
        read_scene(path)
    found = [line.removeprefix(f"{path}: ") for line in caught.value.problems]
    assert sorted(line.split(";")[0] for line in found) == [
        "camera.pitch is 9",
        "place.half_width is missing",
        "place.wall is 'mud'",
        "prompt is missing",
        "the scene has an unknown field 'more'",
        "time is 'noon'",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not JSON: .* line 1, column 1"),
        ('{"time": }', "is not JSON"),
        ("[" * 100_000, "is not a scene in JSON"),
        ("\ud800", "is not a scene in JSON"),
        (" " * (LARGEST + 1), "is no scene: it has over"),
        ('{"time": NaN}', "time is nan; give one of"),
        # Newer Pythons do not read so many digits.
        (f'{{"time": 1{"0" * 5000}}}', "is not a scene in JSON|time is 1000"),
    ],
)
def test_a_file_that_is_no_scene_is_refused(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "scene.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(WorldweaveError, match=problem):
        read_scene(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        WorldweaveError, match=r"cannot read .*none\.json.*check the path"
    ):
        read_scene(tmp_path / "none.json")


def test_a_scene_that_cannot_be_is_not_written(tmp_path: Path) -> None:
    scene = attrs.evolve(sample(3), prompt="x" * 301)
    with pytest.raises(Problems, match="prompt is 'xxx"):
        write_scene(tmp_path / "scene.json", scene)
    assert list(tmp_path.iterdir()) == []


def test_numbers_are_kept_exactly(tmp_path: Path) -> None:
    scene = sample(11)
    write_scene(tmp_path / "scene.json", scene)
    again = read_scene(tmp_path / "scene.json")
    np.testing.assert_array_equal(
        render_rgb(again, frames=2), render_rgb(scene, frames=2)
    )
