"""An hdmap control shows lane lines and boxes, and nothing else."""

import attrs
import cv2
import numpy as np
import pytest

from worldweave_plugins.tinyworld.boxes import boxes, corners
from worldweave_plugins.tinyworld.labels import class_index
from worldweave_plugins.tinyworld.projection import inverse, move, project
from worldweave_plugins.tinyworld.render import Rendering, render
from worldweave_plugins.tinyworld.road_map import (
    FRONT_COLOUR,
    MAP_COLOURS,
    hdmap_control,
)
from worldweave_plugins.tinyworld.sampling import sample
from worldweave_plugins.tinyworld.scene import FPS, STEADY, Scene, Street

NINE = np.arange(9) / FPS


def where(control: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    is_colour: np.ndarray = (control == colour).all(-1)
    return is_colour


def street_with(**changes: object) -> tuple[Scene, Rendering]:
    """Make a street by day with one car ahead in the right lane."""
    scene = sample(0, "street")
    assert isinstance(scene.place, Street)
    car = attrs.evolve(scene.place.cars[0], x=2.0, z=12.0, pace=STEADY, approach=0.0)
    car = attrs.evolve(car, **changes)
    camera = attrs.evolve(scene.camera, position=(0.5, 2.4, 0.0), yaw=0.0)
    place = attrs.evolve(scene.place, cars=(car,))
    scene = attrs.evolve(scene, place=place, camera=camera)
    return scene, render(scene)


@pytest.mark.parametrize("seed", range(4))
def test_colours_are_never_mixed(seed: int) -> None:
    allowed = {
        "street": ("edge", "dash", "car"),
        "table": ("table", "arm", "object"),
    }
    for family, names in allowed.items():
        scene = sample(seed, family)
        control = hdmap_control(scene, render(scene))
        shown = {tuple(c) for c in np.unique(control.reshape(-1, 3), axis=0)}
        colours = {MAP_COLOURS[name] for name in names}
        assert shown == colours | {FRONT_COLOUR, (0, 0, 0)}


def test_every_colour_means_one_thing() -> None:
    colours = {*MAP_COLOURS.values(), FRONT_COLOUR, (0, 0, 0)}
    assert len(colours) == len(MAP_COLOURS) + 2


@pytest.mark.parametrize("seed", range(6))
def test_lane_lines_are_drawn_where_the_road_is_painted(seed: int) -> None:
    scene = sample(seed, "street")
    rendering = render(scene)
    control = hdmap_control(scene, rendering)
    drawn = where(control, MAP_COLOURS["edge"]) | where(control, MAP_COLOURS["dash"])
    names = ("line", "road", "car", "ground")
    on = np.isin(rendering.classes, [class_index(name) for name in names])
    # At the horizon a line ends in one pixel with what stands there.
    assert on[drawn].mean() > 0.97
    painted = rendering.classes == class_index("line")
    # Nearer, paint is many pixels wide and only its middle is drawn.
    thin = painted & (rendering.depth > 8) & (rendering.depth < 20)
    covered = np.stack([cv2.dilate(c, np.ones((3, 3))) for c in control]).any(-1)
    assert thin.sum() > 50
    assert covered[thin].mean() > 0.93


@pytest.mark.parametrize("approach", [0.0, 5.0])
def test_the_white_face_of_a_car_is_where_it_drives(approach: float) -> None:
    scene, rendering = street_with(approach=approach)
    control = hdmap_control(scene, rendering)
    (box,) = boxes(scene, NINE)
    seen = move(inverse(rendering.poses), corners(box))
    front = project(rendering.intrinsics, seen[:, 4:])
    for frame in range(9):
        rows, columns = np.nonzero(where(control[frame], FRONT_COLOUR))
        shown = np.array([columns.min(), rows.min(), columns.max(), rows.max()]) + 0.5
        low, high = front[frame].min(0), front[frame].max(0)
        np.testing.assert_allclose(shown, [*low, *high], atol=1.0)


def test_the_lines_of_a_box_end_at_its_corners() -> None:
    scene, rendering = street_with()
    control = hdmap_control(scene, rendering)
    (box,) = boxes(scene, NINE)
    seen = project(rendering.intrinsics, move(inverse(rendering.poses), corners(box)))
    for frame, pixels in enumerate(seen):
        for u, v in pixels:
            rows, columns = (slice(int(at) - 1, int(at) + 2) for at in (v, u))
            near = control[frame, rows, columns]
            is_box = where(near, MAP_COLOURS["car"]) | where(near, FRONT_COLOUR)
            assert is_box.any()


def test_a_near_box_is_drawn_over_a_far_one() -> None:
    scene, rendering = street_with(z=8.0)
    assert isinstance(scene.place, Street)
    near = scene.place.cars[0]
    far = attrs.evolve(near, z=13.0)
    alone = hdmap_control(scene, rendering)
    is_near = where(alone, MAP_COLOURS["car"]) | where(alone, FRONT_COLOUR)
    for cars in ((near, far), (far, near)):
        both = attrs.evolve(scene, place=attrs.evolve(scene.place, cars=cars))
        control = hdmap_control(both, render(both))
        assert (control != alone).any()
        np.testing.assert_array_equal(control[is_near], alone[is_near])


def test_what_passes_the_camera_is_cut_off_and_not_drawn_behind_it() -> None:
    # Half of the car is behind the camera in frame 0.
    scene, rendering = street_with(x=-2.0, z=2.2, length=6.0)
    control = hdmap_control(scene, rendering)
    drawn = where(control, MAP_COLOURS["car"])[0]
    assert drawn.any()
    # It is beside and below the middle of the view, however far the lines run.
    assert not drawn[:, 60:].any()


def test_what_is_behind_the_camera_is_not_drawn() -> None:
    scene, rendering = street_with()
    # Level with the roof of the car: mirrored, it would cross the picture.
    height = scene.place.cars[0].height
    poses = rendering.poses.copy()
    poses[:, :3, :3] = np.diag([1.0, -1.0, 1.0])
    poses[:, :3, 3] = (2.0, height, 0.0)
    ahead = hdmap_control(scene, attrs.evolve(rendering, poses=poses))
    poses[:, 2, 3] = 60.0
    passed = hdmap_control(scene, attrs.evolve(rendering, poses=poses))
    assert where(ahead, MAP_COLOURS["car"]).any((1, 2)).all()
    assert not where(passed, MAP_COLOURS["car"]).any()
    assert not where(passed, FRONT_COLOUR).any()
    assert where(passed, MAP_COLOURS["edge"]).any((1, 2)).all()


def test_who_looks_back_sees_the_lanes_behind() -> None:
    scene, _ = street_with()
    camera = attrs.evolve(scene.camera, yaw=3.1, yaw_rate=0.0)
    scene = attrs.evolve(scene, camera=camera)
    rendering = render(scene)
    control = hdmap_control(scene, rendering)
    painted = rendering.classes == class_index("line")
    for kind in ("edge", "dash"):
        drawn = where(control, MAP_COLOURS[kind]) & (rendering.depth < 12)
        assert drawn.sum() > 50
        assert painted[drawn].mean() > 0.85


def test_a_street_without_cars_shows_its_lanes() -> None:
    scene, _ = street_with()
    scene = attrs.evolve(scene, place=attrs.evolve(scene.place, cars=()))
    control = hdmap_control(scene, render(scene))
    colours = {tuple(c) for c in np.unique(control.reshape(-1, 3), axis=0)}
    assert colours == {(0, 0, 0), MAP_COLOURS["edge"], MAP_COLOURS["dash"]}


def test_strokes_grow_with_the_picture() -> None:
    scene = sample(0, "street")
    shares = []
    for scale in (1.5, 6):
        rendering = render(scene, size=(int(64 * scale), int(96 * scale)), frames=1)
        shares.append(hdmap_control(scene, rendering).any(-1).mean())
    # One pixel wide it would be a quarter.
    assert 0.8 < shares[1] / shares[0] < 1.6
