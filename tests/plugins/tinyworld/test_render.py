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
from worldweave_plugins.tinyworld.render import (
    PIXELS_AT_ONCE,
    Rendering,
    render,
    render_batch,
    render_rgb,
    render_together,
)
from worldweave_plugins.tinyworld.sampling import sample
from worldweave_plugins.tinyworld.scene import STEADY, Family, Scene, Street, Table
from worldweave_registry import Problems

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
    for field in attrs.fields(Rendering):
        assert (getattr(one, field.name) == getattr(other, field.name)).all()


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
    # Every third pixel of the large picture has the same middle.
    assert (large[1::3, 1::3] == small).mean() > 0.999


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
    widths = [
        (result.instances[0] == number).any(0).sum()
        for number in set(np.unique(result.instances)) - {0}
    ]
    assert max(widths) >= 18


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
    np.testing.assert_allclose(result.depth[0][on_road], expected[on_road], rtol=1e-5)


def test_what_stands_before_a_thing_is_nearer() -> None:
    for seed in SEEDS:
        scene, place = table(seed)
        result = render(scene, frames=1)
        depth = {
            name: float(np.median(result.depth[where(result, name)]))
            for name in ("arm", "wall")
        }
        assert depth["arm"] < depth["wall"]
        for number, thing in enumerate(place.things, start=2):
            if thing.z < place.arm.z:
                near = result.depth[result.instances == number]
                assert np.median(near) < depth["arm"]


def test_a_nearer_car_hides_a_farther_one() -> None:
    scene, place = street(0)
    car = attrs.evolve(
        place.cars[0], x=1.0, z=6.0, pace=STEADY, approach=0.0, width=2.0, length=4.0
    )
    # The order of the list must not matter.
    for order in ((0, 1), (1, 0)):
        cars = [car, attrs.evolve(car, z=12.0)]
        both = attrs.evolve(place, cars=tuple(cars[i] for i in order), half_width=4.0)
        camera = attrs.evolve(scene.camera, position=(1.0, 2.0, 0.0), yaw=0.0)
        result = render(attrs.evolve(scene, place=both, camera=camera), frames=1)
        near, far = ((result.instances == order.index(i) + 1) for i in (0, 1))
        assert near.sum() > 3 * far.sum()
        if far.any():
            assert result.depth[near].max() < result.depth[far].min()


def test_a_building_repeats_and_the_road_never_ends() -> None:
    scene = sample(0, "street")
    camera = attrs.evolve(scene.camera, velocity=(0.0, 0.0, 14.0), yaw_rate=0.0)
    scene = attrs.evolve(scene, camera=camera)
    result = render(scene, frames=241, size=(32, 48))
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


def test_scenes_rendered_together_are_what_each_is_alone() -> None:
    scenes = [sample(seed) for seed in range(5)]
    assert {scene.family for scene in scenes} == {"street", "table"}
    together = render_together(scenes, frames=3)
    for one, scene in zip(together, scenes, strict=True):
        alone = render(scene, frames=3)
        for name in ("rgb", "classes", "instances", "poses"):
            np.testing.assert_array_equal(getattr(one, name), getattr(alone, name))
        np.testing.assert_allclose(one.depth, alone.depth, rtol=1e-6)


def test_a_batch_is_its_scenes_in_order() -> None:
    scenes = [sample(seed) for seed in (8, 9)]
    batch = render_batch(scenes, frames=1)
    for one, scene in zip(batch, scenes, strict=True):
        np.testing.assert_array_equal(one.rgb, render_rgb(scene, frames=1))
    assert render_batch([]) == []


def test_a_long_clip_is_rendered_in_pieces_that_fit_together() -> None:
    size, frames = (512, 768), 3
    assert size[0] * size[1] * frames > PIXELS_AT_ONCE
    scene = sample(3)
    result = render(scene, size=size, frames=frames)
    assert result.rgb.shape == (frames, *size, 3)
    assert result.poses.shape == (frames, 4, 4)
    small = render(scene, frames=frames)
    # Every eighth pixel but half a pixel aside: nearly the same.
    assert (result.classes[:, 4::8, 4::8] == small.classes).mean() > 0.98
    np.testing.assert_array_equal(result.poses, small.poses)


@pytest.mark.parametrize(
    ("size", "frames", "complaint"),
    [
        ((4, 96), 9, "the height of the picture is 4 pixels; give .* 8 to 2160"),
        ((64, 9999), 9, "the width of the picture is 9999"),
        ((64, 96), 0, "0 frames cannot be rendered; ask for 1 to 10000"),
    ],
)
def test_a_size_that_cannot_be_is_refused(
    size: tuple[int, int], frames: int, complaint: str
) -> None:
    with pytest.raises(Problems, match=complaint):
        render(sample(0), size=size, frames=frames)


def test_all_that_is_wrong_with_a_size_is_said_at_once() -> None:
    with pytest.raises(Problems) as caught:
        render_rgb(sample(0), size=(0, 0), frames=-1)
    assert len(caught.value.problems) == 3


def test_a_scene_that_cannot_be_is_not_rendered() -> None:
    scene, place = street(0)
    car = attrs.evolve(place.cars[0], width=float("nan"))
    broken = attrs.evolve(scene, place=attrs.evolve(place, cars=(car,)))
    with pytest.raises(Problems, match=r"place\.cars\[0\]\.width is nan"):
        render(broken)


def test_a_shadow_darkens_the_ground_beside_a_thing_but_stays_table() -> None:
    scene, place = table(4)
    result = render(scene, frames=1)
    is_table = where(result, "table")
    bare = attrs.evolve(place, things=())
    light = render(attrs.evolve(scene, place=bare), frames=1)
    both = is_table & where(light, "table")
    darker = light.rgb[both].astype(int) - result.rgb[both]
    assert (darker > 20).any()
    assert (darker == 0).mean() > 0.5


def test_lamps_shine_at_night() -> None:
    scene, place = street(2)
    night = render_rgb(attrs.evolve(scene, time="night"), frames=1)
    assert any(not car.approach for car in place.cars)
    red, green = night[..., 0].astype(int), night[..., 1].astype(int)
    assert (red - green > 150).any()
