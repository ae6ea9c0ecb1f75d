"""Pictures, classes, instances and depth show one and the same world."""

import attrs
import numpy as np
import pytest

from worldweave_plugins.tinyworld.labels import (
    CLASSES,
    OBJECT_COLOURS,
    class_index,
    colour_classes,
)
from worldweave_plugins.tinyworld.render import Rendering, render, render_rgb
from worldweave_plugins.tinyworld.scene import (
    STEADY,
    Family,
    Scene,
    Street,
    Table,
    sample,
)

SEEDS = range(12)
FAMILIES: tuple[Family, ...] = ("street", "table")


def by_day(seed: int, family: Family) -> Scene:
    return attrs.evolve(sample(seed, family), time="day")


def street(seed: int) -> tuple[Scene, Street]:
    scene = by_day(seed, "street")
    assert isinstance(scene.place, Street)
    return scene, scene.place


def table(seed: int) -> tuple[Scene, Table]:
    scene = by_day(seed, "table")
    assert isinstance(scene.place, Table)
    return scene, scene.place


def closest_colour(pixels: np.ndarray) -> str:
    """Vote: which object colour do most of the pixels point at?"""
    names = list(OBJECT_COLOURS)
    colours = np.array([OBJECT_COLOURS[name] for name in names], dtype=float)
    shades = pixels.astype(float)
    # Windows, tyres and joints are dark.
    shades = shades[shades.max(-1) > 90]
    shades /= np.linalg.norm(shades, axis=-1, keepdims=True)
    colours /= np.linalg.norm(colours, axis=-1, keepdims=True)
    votes = np.bincount((shades @ colours.T).argmax(-1), minlength=len(names))
    return names[int(votes.argmax())]


def where(rendering: Rendering, name: str) -> np.ndarray:
    is_class: np.ndarray = rendering.classes == class_index(name)
    return is_class


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_bytes(family: Family) -> None:
    one, other = render(sample(3, family)), render(sample(3, family))
    for field in ("rgb", "classes", "instances", "depth"):
        assert getattr(one, field).tobytes() == getattr(other, field).tobytes()


@pytest.mark.parametrize("family", FAMILIES)
def test_rgb_alone_is_the_same_picture(family: Family) -> None:
    scene = sample(4, family)
    np.testing.assert_array_equal(render_rgb(scene), render(scene).rgb)


def test_arrays_have_the_size_that_was_asked_for() -> None:
    result = render(sample(0), size=(40, 72), frames=5)
    assert result.rgb.shape == (5, 40, 72, 3)
    for labels in (result.classes, result.instances, result.depth):
        assert labels.shape == (5, 40, 72)
    assert result.rgb.dtype == result.classes.dtype == np.uint8
    assert result.depth.dtype == np.float32


def test_a_larger_picture_shows_the_same_scene() -> None:
    scene = sample(5, "street")
    small = render(scene, frames=1).classes[0]
    large = render(scene, frames=1, size=(192, 288)).classes[0]
    assert (large[1::3, 1::3] == small).mean() > 0.97


def test_more_frames_begin_like_fewer() -> None:
    scene = sample(6, "street")
    np.testing.assert_array_equal(render_rgb(scene, frames=33)[:9], render_rgb(scene))


@pytest.mark.parametrize("family", FAMILIES)
def test_something_moves_in_nine_frames(family: Family) -> None:
    for seed in SEEDS:
        rgb = render_rgb(sample(seed, family)).astype(float)
        assert np.abs(rgb[8] - rgb[0]).mean() > 1.0


@pytest.mark.parametrize("seed", SEEDS)
def test_car_pixels_have_the_colour_of_the_prompt(seed: int) -> None:
    scene, place = street(seed)
    result = render(scene)
    assert closest_colour(result.rgb[where(result, "car")]) == place.colour


@pytest.mark.parametrize("seed", SEEDS)
def test_arm_and_object_pixels_have_the_colours_of_the_prompt(seed: int) -> None:
    scene, place = table(seed)
    result = render(scene)
    assert closest_colour(result.rgb[where(result, "arm")]) == place.arm.colour
    assert closest_colour(result.rgb[where(result, "object")]) == place.colour


def test_night_is_darker_than_dusk_and_dusk_than_day() -> None:
    for family in FAMILIES:
        scene = sample(2, family)
        light = [
            render_rgb(attrs.evolve(scene, time=time)).mean()
            for time in ("night", "dusk", "day")
        ]
        assert light == sorted(light)
        assert light[2] > 1.5 * light[0]


def test_labels_do_not_depend_on_the_time_of_day() -> None:
    scene = sample(2, "street")
    day, night = (render(attrs.evolve(scene, time=t)) for t in ("day", "night"))
    np.testing.assert_array_equal(day.classes, night.classes)
    np.testing.assert_array_equal(day.depth, night.depth)


def test_instances_are_counted_exactly_on_what_can_be_counted() -> None:
    countable = [class_index(name) for name in ("car", "arm", "object")]
    for family in FAMILIES:
        result = render(sample(1, family))
        np.testing.assert_array_equal(
            result.instances > 0, np.isin(result.classes, countable)
        )


@pytest.mark.parametrize("seed", SEEDS)
def test_every_car_and_every_thing_is_one_instance(seed: int) -> None:
    scene, place = street(seed)
    seen = set(np.unique(render(scene).instances)) - {0}
    assert seen <= set(range(1, len(place.cars) + 1))
    assert seen
    scene, desk = table(seed)
    seen = set(np.unique(render(scene).instances)) - {0}
    assert seen == set(range(1, len(desk.things) + 2))


@pytest.mark.parametrize("seed", SEEDS)
def test_the_largest_car_can_be_recognised(seed: int) -> None:
    result = render(street(seed)[0], frames=1)
    widths = []
    for number in set(np.unique(result.instances)) - {0}:
        columns = np.nonzero((result.instances[0] == number).any(0))[0]
        widths.append(columns.max() - columns.min() + 1)
    assert max(widths) >= 14


def test_an_arm_is_at_least_five_pixels_thick() -> None:
    for seed in SEEDS:
        is_arm = where(render(table(seed)[0], frames=1), "arm")[0]
        # The arm shows in each column of its reach with more than its fingers.
        assert np.median(is_arm.sum(0)[is_arm.any(0)]) >= 5


def test_only_the_sky_is_infinitely_far() -> None:
    for family in FAMILIES:
        result = render(sample(0, family))
        np.testing.assert_array_equal(np.isinf(result.depth), where(result, "sky"))
        assert result.depth.min() > 0.3


@pytest.mark.parametrize("size", [(64, 96), (192, 288)])
def test_road_depth_is_where_the_ray_meets_the_ground(size: tuple[int, int]) -> None:
    scene, _ = street(3)
    height, width = size
    result = render(scene, size=size, frames=1)
    rows = np.arange(height)[:, None] + 0.5
    # A ray one metre ahead goes y metres up; turned by the pitch, it falls so much.
    up = (height / 2 - rows) / (0.8 * width)
    fall = np.sin(scene.camera.pitch) - up * np.cos(scene.camera.pitch)
    expected = np.broadcast_to(scene.camera.position[1] / fall, (height, width))
    on_road = where(result, "road")[0]
    error = np.abs(result.depth[0][on_road] / expected[on_road] - 1)
    # At the rim of a shadow depth is held to the shadow's corners.
    assert np.quantile(error, 0.99) < 1e-5
    assert error.max() < 5e-3


def test_what_stands_before_a_thing_is_nearer() -> None:
    for seed in SEEDS:
        result = render(table(seed)[0])
        depth = {
            name: float(np.median(result.depth[where(result, name)]))
            for name in ("object", "arm", "wall")
        }
        assert depth["object"] < depth["arm"] < depth["wall"]


def test_a_nearer_car_hides_a_farther_one() -> None:
    scene, place = street(0)
    car = attrs.evolve(
        place.cars[0], x=1.0, z=6.0, pace=STEADY, approach=0.0, width=2.0, length=4.0
    )
    # The order of the list must not matter.
    for order in ((0, 1), (1, 0)):
        cars = [car, attrs.evolve(car, z=12.0)]
        both = attrs.evolve(place, cars=tuple(cars[i] for i in order))
        camera = attrs.evolve(scene.camera, position=(1.0, 2.0, 0.0), yaw=0.0)
        result = render(attrs.evolve(scene, place=both, camera=camera), frames=1)
        near, far = ((result.instances == order.index(i) + 1) for i in (0, 1))
        assert near.sum() > 3 * far.sum()
        if far.any():
            assert result.depth[near].max() < result.depth[far].min()


def test_a_building_repeats_and_the_road_never_ends() -> None:
    scene = sample(0, "street")
    camera = attrs.evolve(scene.camera, velocity=(0.0, 0.0, 14.0), yaw_rate=0.0)
    result = render(attrs.evolve(scene, camera=camera), frames=241)
    # 140 metres on: more than a row of buildings.
    for name in ("building", "road", "line", "sky"):
        assert where(result, name)[-1].any()


def test_every_class_occurs() -> None:
    seen = set()
    for family in FAMILIES:
        for seed in SEEDS:
            seen |= set(np.unique(render(sample(seed, family), frames=1).classes))
    assert seen == set(range(len(CLASSES)))


def test_every_class_has_a_colour_of_its_own() -> None:
    every = np.arange(len(CLASSES), dtype=np.uint8)[None]
    assert len({tuple(colour) for colour in colour_classes(every)[0]}) == len(CLASSES)
