"""What a prompt says of time and colours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldweave_plugins.tinyworld.facts import facts
from worldweave_plugins.tinyworld.sampling import sample


@pytest.mark.parametrize(
    ("prompt", "time"),
    [
        ("a street at night", "night"),
        ("a sunny road", "day"),
        ("a robot at sunset", "dusk"),
        ("A DAYTIME scene", "day"),
        ("a street", None),
        ("", None),
    ],
)
def test_the_time_of_day_is_read(prompt: str, time: str | None) -> None:
    assert facts(prompt).time == time


def test_colours_belong_to_the_noun_behind_them() -> None:
    told = facts("a red robotic arm with two green balls on a white table")
    assert told.colours == {"arm": "red", "object": "green"}
    assert facts("three white vehicles").colours == {"car": "white"}


def test_walls_and_materials_are_no_paint() -> None:
    assert facts("a street with grey houses").colours == {}


@given(seed=st.integers(0, 10_000))
def test_the_prompt_of_every_scene_tells_its_time_and_its_colours(seed: int) -> None:
    scene = sample(seed)
    told = facts(scene.prompt)
    assert told.time == scene.time
    wanted = {"car"} if scene.family == "street" else {"arm", "object"}
    assert set(told.colours) == wanted
