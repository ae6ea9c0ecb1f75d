"""A scene that cannot be is refused, with all that is wrong and what would be right."""

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave_plugins.tinyworld.ranges import range_problems
from worldweave_plugins.tinyworld.render import render
from worldweave_plugins.tinyworld.sampling import sample
from worldweave_plugins.tinyworld.scene import Scene, Street, Table, Thing
from worldweave_plugins.tinyworld.scene_check import check, scene_problems
from worldweave_registry import Problems


def street(**changes: object) -> Scene:
    scene = sample(3, "street")
    return attrs.evolve(scene, place=attrs.evolve(scene.place, **changes))


def table(**changes: object) -> Scene:
    scene = sample(3, "table")
    return attrs.evolve(scene, place=attrs.evolve(scene.place, **changes))


STREET, TABLE = street().place, table().place
assert isinstance(STREET, Street)
assert isinstance(TABLE, Table)
CAR, BUILDING, ARM = STREET.cars[0], STREET.buildings[0], TABLE.arm
THING = Thing(x=1.2, z=2.0, size=0.25, yaw=0.3, speed=0.0)


@pytest.mark.parametrize(
    ("scene", "problem"),
    [
        (street(colour="pink"), "place.colour is 'pink'; give one of: red, yellow"),
        (
            street(half_width=-1.0),
            "place.half_width is -1.0; give a number from 2.5 to",
        ),
        (street(cars=(CAR,) * 10), "place.cars has 10 entries; give 0 to 9"),
        (street(cars=CAR), "place.cars is Car"),
        (
            street(cars=(attrs.evolve(CAR, x=9.0),)),
            "place.cars[0] leaves the road; give x from -",
        ),
        (street(cars=(CAR, CAR)), "place.cars[0] and place.cars[1] overlap; move"),
        (
            street(buildings=(attrs.evolve(BUILDING, x=-5.0, half_width=4.0),)),
            "place.buildings[0] stands on the road; give abs(x) of at least",
        ),
        (street(cars=(attrs.evolve(CAR, pace=None),)), "place.cars[0].pace is None; "),
        (street(cars=(BUILDING,)), "place.cars[0] is Building"),
        (attrs.evolve(sample(3), camera=None), "camera is None; give Camera"),
        (attrs.evolve(sample(3), place=CAR), "place is Car"),
        (table(shape="cone"), "place.shape is 'cone'; give one of: box, ball"),
        (table(wall_distance=3.0, back=4.0), "place.wall_distance is 3, inside the"),
        (
            table(things=(attrs.evolve(THING, x=3.0),)),
            "place.things[0] is not on the table; give x from -",
        ),
        (
            table(things=(attrs.evolve(THING, z=9.0),)),
            "place.things[0] is not on the table; give z from 0.85 to ",
        ),
        (
            table(things=(THING, attrs.evolve(THING, z=2.2))),
            "place.things[0] and place.things[1] overlap; move",
        ),
        (
            table(arm=attrs.evolve(ARM, x=THING.x, z=THING.z), things=(THING,)),
            "place.arm and place.things[0] overlap; move",
        ),
        (
            table(arm=attrs.evolve(ARM, lengths=(0.9,))),
            "place.arm.lengths is (0.9,); give 2 numbers",
        ),
        (
            table(arm=attrs.evolve(ARM, swings=(0.1, float("nan"), 0.1))),
            "place.arm.swings[1] is nan; give a number from 0 to 1.5 rad",
        ),
    ],
)
def test_what_is_wrong_is_named_by_its_path_with_what_would_be_right(
    scene: Scene, problem: str
) -> None:
    [found] = scene_problems(scene)
    assert found.startswith(problem)


def test_a_viewer_stays_above_the_ground_and_on_the_road() -> None:
    scene = street()
    sinking = attrs.evolve(scene.camera, position=(0.0, 1.0, 0.0), velocity=(0, 2.0, 0))
    [problem] = scene_problems(attrs.evolve(scene, camera=sinking))
    assert "camera sinks to -0.33 m" in problem
    aside = attrs.evolve(scene.camera, position=(6.0, 2.0, 0.0))
    [problem] = scene_problems(attrs.evolve(scene, camera=aside))
    assert "camera gets 6." in problem


def test_everything_that_is_wrong_is_told_at_once() -> None:
    car = attrs.evolve(CAR, width=0.0, length=float("inf"))
    scene = attrs.evolve(street(cars=(car,), wall="mud"), time="noon")
    with pytest.raises(Problems) as caught:
        check(scene)
    assert [line.split()[0] for line in caught.value.problems] == [
        "time",
        "place.wall",
        "place.cars[0].length",
        "place.cars[0].width",
    ]


def test_true_is_no_number_and_a_whole_one_is() -> None:
    assert range_problems(attrs.evolve(CAR, z=7)) == []
    assert range_problems(attrs.evolve(CAR, z=True)) == [
        "z is True; give a number from 2 to 32 m"
    ]


@settings(max_examples=60)
@given(
    st.sampled_from(["x", "z", "size", "yaw", "speed"]),
    st.one_of(st.floats(), st.text(max_size=3), st.none(), st.lists(st.integers())),
)
def test_whatever_a_thing_is_given_it_is_refused_or_rendered(
    name: str, value: object
) -> None:
    scene = table(things=(attrs.evolve(THING, **{name: value}),))
    if scene_problems(scene):
        with pytest.raises(Problems, match=r"place\.(things|arm)"):
            check(scene)
    else:
        assert render(scene, frames=1, size=(16, 24)).rgb.shape == (1, 16, 24, 3)
