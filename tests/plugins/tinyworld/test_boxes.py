"""Boxes hold what they are drawn around, and move with it."""

import attrs
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave_plugins.tinyworld.boxes import Box3D, boxes, corners
from worldweave_plugins.tinyworld.labels import CLASSES, class_index
from worldweave_plugins.tinyworld.projection import (
    inverse,
    move,
    project,
    unproject,
)
from worldweave_plugins.tinyworld.render import Rendering, render
from worldweave_plugins.tinyworld.sampling import sample
from worldweave_plugins.tinyworld.scene import FPS, Family, Scene, Street, Table

NINE = np.arange(9) / FPS
FAMILIES = st.sampled_from(["street", "table"])


def outline(box: Box3D, rendering: Rendering, frame: int) -> np.ndarray | None:
    """Return the hull of a projected box, None where part of it is behind."""
    points = move(inverse(rendering.poses), corners(box))[frame]
    if points[:, 2].min() < 0.1:
        return None
    return cv2.convexHull(project(rendering.intrinsics, points))


def own_points(box: Box3D, rendering: Rendering, frame: int, where: np.ndarray):
    """Return what the pixels *where* (H, W) show, in the axes of a box, (n, 3)."""
    rows, columns = np.nonzero(where)
    pixels = np.stack([columns + 0.5, rows + 0.5], axis=-1)
    depth = rendering.depth[frame][where]
    points = unproject(rendering.intrinsics, pixels, depth)[None]
    one = slice(frame, frame + 1)
    return move(inverse(box.poses[one]) @ rendering.poses[one], points)[0]


@settings(max_examples=15)
@given(st.integers(0, 10_000), FAMILIES)
def test_projected_boxes_contain_the_pixels_of_their_instance(
    seed: int, family: Family
) -> None:
    scene = sample(seed, family)
    rendering = render(scene)
    every = boxes(scene, NINE)
    for frame in (0, 8):
        for instance in set(np.unique(rendering.instances[frame])) - {0}:
            hulls = [
                outline(box, rendering, frame)
                for box in every
                if box.instance == instance
            ]
            if any(hull is None for hull in hulls):
                continue
            for row, column in np.argwhere(rendering.instances[frame] == instance):
                centre = (column + 0.5, row + 0.5)
                outside = [-cv2.pointPolygonTest(hull, centre, True) for hull in hulls]
                assert min(outside) < 1.0


def assert_boxes_hold_their_instances(scene: Scene) -> int:
    """Return how many pixels were looked at."""
    rendering = render(scene)
    every = boxes(scene, NINE)
    for frame in (0, 8):
        for instance in set(np.unique(rendering.instances[frame])) - {0}:
            where = rendering.instances[frame] == instance
            outside = [
                (np.abs(own_points(box, rendering, frame, where)) - box.size / 2).max(1)
                for box in every
                if box.instance == instance
            ]
            assert np.min(outside, axis=0).max() < 0.01
    return int((rendering.instances > 0).sum())


@settings(max_examples=15)
@given(st.integers(0, 10_000), FAMILIES)
def test_points_on_an_instance_lie_in_its_boxes(seed: int, family: Family) -> None:
    assert assert_boxes_hold_their_instances(sample(seed, family)) > 100


@settings(max_examples=15)
@given(st.integers(0, 100), *[st.floats(-3.14, 3.14)] * 3, st.floats(0.05, 0.3))
def test_boxes_hold_an_arm_however_it_is_bent(
    seed: int, turn: float, lift: float, bend: float, radius: float
) -> None:
    scene = sample(seed, "table")
    assert isinstance(scene.place, Table)
    arm = attrs.evolve(scene.place.arm, angles=(turn, lift, bend), radius=radius)
    place = attrs.evolve(scene.place, arm=arm)
    assert_boxes_hold_their_instances(attrs.evolve(scene, place=place))


@settings(max_examples=10)
@given(st.floats(1, 8), st.floats(1, 3), st.floats(0.8, 3), st.booleans())
def test_boxes_hold_a_car_of_any_size(
    length: float, width: float, height: float, comes: bool
) -> None:
    scene = sample(0, "street")
    assert isinstance(scene.place, Street)
    car = attrs.evolve(
        scene.place.cars[0], z=12.0, length=length, width=width, height=height
    )
    car = attrs.evolve(car, approach=4.0 if comes else 0.0)
    place = attrs.evolve(scene.place, cars=(car,))
    looked_at = assert_boxes_hold_their_instances(attrs.evolve(scene, place=place))
    assert looked_at > 100


@pytest.mark.parametrize("seed", range(4))
def test_what_shows_of_a_table_top_lies_in_its_box(seed: int) -> None:
    scene = sample(seed, "table")
    rendering = render(scene, frames=1)
    (box,) = (b for b in boxes(scene, NINE[:1]) if b.name == "table")
    where = rendering.classes[0] == class_index("table")
    outside = np.abs(own_points(box, rendering, 0, where)) - box.size / 2
    assert where.sum() > 300
    assert outside.max() < 0.01


@pytest.mark.parametrize("seed", range(6))
def test_a_box_is_no_larger_than_its_car(seed: int) -> None:
    scene = sample(seed, "street")
    assert isinstance(scene.place, Street)
    car = attrs.evolve(scene.place.cars[0], z=11.0)
    scene = attrs.evolve(scene, place=attrs.evolve(scene.place, cars=(car,)))
    camera = attrs.evolve(scene.camera, yaw=0.0, pitch=0.15)
    scene = attrs.evolve(scene, camera=camera)
    rendering = render(scene, size=(192, 288), frames=1)
    (box,) = boxes(scene, NINE[:1])
    hull = outline(box, rendering, 0)
    assert hull is not None
    rows, columns = np.nonzero(rendering.instances[0] == 1)
    shown = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    boxed = np.concatenate([hull.min(axis=(0, 1)), hull.max(axis=(0, 1))])
    # The cabin is narrower than the car: its far corners are not filled.
    assert np.abs(boxed - shown).max() < 0.12 * (boxed[2] - boxed[0])


@pytest.mark.parametrize("family", ["street", "table"])
@pytest.mark.parametrize("seed", range(4))
def test_boxes_move_with_their_instances(seed: int, family: Family) -> None:
    scene = sample(seed, family)
    rendering = render(scene, size=(128, 192))
    compared = 0
    for box in boxes(scene, NINE):
        if box.name not in ("car", "object"):
            continue
        centre = move(inverse(rendering.poses), box.poses[:, None, :3, 3].copy())
        path = project(rendering.intrinsics, centre[:, 0])
        shown = rendering.instances == box.instance
        border = shown[:, [0, -1]].any() or shown[:, :, [0, -1]].any()
        if border or shown[[0, -1]].sum((1, 2)).min() < 100:
            continue
        middle = [np.argwhere(part)[:, ::-1].mean(0) for part in shown[[0, -1]]]
        apart = (path[-1] - path[0]) - (middle[1] - middle[0])
        assert np.abs(apart).max() < 4
        compared += 1
    assert compared or family == "street"


def test_the_front_of_a_car_is_where_it_drives() -> None:
    turned = set()
    for seed in range(20):
        scene = sample(seed, "street")
        assert isinstance(scene.place, Street)
        for car, box in zip(scene.place.cars, boxes(scene, NINE), strict=True):
            ahead = box.poses[:, 2, 2]
            assert (ahead < 0).all() == (car.approach > 0)
            turned.add(bool(car.approach))
            if car.approach:  # and the world sees it come, not only the viewer
                pace = scene.camera.velocity[2] - car.approach
                way = np.diff(box.poses[:, 2, 3])
                assert (np.abs(way * FPS - pace) < 0.05).mean() > 0.8
    assert turned == {True, False}


def test_each_instance_has_the_boxes_of_its_class() -> None:
    scene = sample(0, "table")
    assert isinstance(scene.place, Table)
    every = boxes(scene, NINE)
    assert {box.name for box in every} <= set(CLASSES)
    assert [box.instance for box in every if box.name == "table"] == [0]
    assert {box.instance for box in every if box.name == "arm"} == {1}
    things = [box.instance for box in every if box.name == "object"]
    assert things == list(range(2, 2 + len(scene.place.things)))


@settings(max_examples=25)
@given(st.integers(0, 10_000), FAMILIES)
def test_a_box_keeps_its_size_and_shape_as_it_moves(seed: int, family: Family) -> None:
    for box in boxes(sample(seed, family), np.arange(20) / 5):
        assert box.poses.shape == (20, 4, 4)
        turns = box.poses[:, :3, :3]
        squares = turns @ turns.transpose(0, 2, 1)
        np.testing.assert_allclose(squares, np.tile(np.eye(3), (20, 1, 1)), atol=1e-5)
        np.testing.assert_allclose(np.linalg.det(turns), 1, atol=1e-5)
        width = np.linalg.norm(corners(box)[:, 1] - corners(box)[:, 0], axis=-1)
        np.testing.assert_allclose(width, box.size[0], rtol=1e-4)
