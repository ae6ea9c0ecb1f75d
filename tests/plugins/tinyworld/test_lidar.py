"""The laser scanner measures the world that the camera sees."""

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave_plugins.tinyworld.labels import class_index
from worldweave_plugins.tinyworld.lidar import (
    AZIMUTHS,
    BEAMS,
    HALF_HEIGHT,
    HALF_WIDTH,
    MOUNT,
    RANGE,
    LidarSweep,
    lidar,
    lidar_batch,
)
from worldweave_plugins.tinyworld.lidar_map import (
    FARTHEST,
    NEAREST,
    depth_colours,
    lidar_control,
    lidar_truth,
)
from worldweave_plugins.tinyworld.projection import inverse, move, project
from worldweave_plugins.tinyworld.render import Rendering, render
from worldweave_plugins.tinyworld.sampling import sample
from worldweave_plugins.tinyworld.scene import FPS, Family
from worldweave_plugins.tinyworld.stage import set_stage
from worldweave_plugins.tinyworld.trace import Rays, trace

FAMILIES: tuple[Family, ...] = ("street", "table")
ANY_SCENE = (st.integers(0, 10_000), st.sampled_from(FAMILIES))


def returns(sweep: LidarSweep, rendering: Rendering) -> tuple[np.ndarray, ...]:
    """Return frame, row, column and depth of what answered within the picture."""
    points = move(inverse(rendering.poses) @ sweep.poses, sweep.points)
    frame, number = np.nonzero(sweep.valid)
    points = points[frame, number]
    height, width = rendering.depth.shape[1:]
    pixels = project(rendering.intrinsics, points)
    inside = ((pixels >= 1) & (pixels < (width - 1, height - 1))).all(-1)
    column, row = pixels[inside].astype(int).T
    return frame[inside], row, column, points[inside, 2]


def around(rendering: Rendering, frame, row, column) -> np.ndarray:
    """Return the depth of the 3 x 3 pixels around, (9, n)."""
    shifts = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return np.stack([rendering.depth[frame, row + y, column + x] for y, x in shifts])


@settings(max_examples=8)
@given(*ANY_SCENE)
def test_points_reproject_onto_the_rendered_depth(seed: int, family: Family) -> None:
    scene = sample(seed, family)
    rendering = render(scene, size=(192, 288), frames=2)
    frame, row, column, depth = returns(lidar(scene, frames=2), rendering)
    near = around(rendering, frame, row, column)
    # Away from silhouettes, where one pixel to the next is a twentieth at most.
    is_smooth = near.max(0) < 1.05 * near.min(0)
    shown = rendering.depth[frame, row, column]
    error = np.abs(depth[is_smooth] / shown[is_smooth] - 1)
    assert is_smooth.sum() > 500
    # The sensor is above the camera: a few see past what stands before them.
    assert np.quantile(error, 0.97) < 0.03
    assert np.median(error) < 0.005


@settings(max_examples=10)
@given(*ANY_SCENE)
def test_what_is_true_lies_on_the_rendered_depth(seed: int, family: Family) -> None:
    scene = sample(seed, family)
    rendering = render(scene, frames=3)
    truth = lidar_truth(rendering, lidar(scene, frames=3))
    frame, number = np.nonzero(~np.isnan(truth[..., 2]))
    u, v, depth = truth[frame, number].T
    assert len(depth) > 1500
    inside = (u >= 1) & (u < 95) & (v >= 1) & (v < 63)
    frame, row, column = frame[inside], v[inside].astype(int), u[inside].astype(int)
    near = around(rendering, frame, row, column)
    assert (depth[inside] > 0.979 * near.min(0)).all()
    assert (depth[inside] < 1.021 * near.max(0)).all()


@pytest.mark.parametrize("seed", range(4))
def test_the_sky_never_answers(seed: int) -> None:
    scene = sample(seed, "street")
    rendering = render(scene, size=(192, 288), frames=3)
    frame, row, column, depth = returns(lidar(scene, frames=3), rendering)
    sky = np.isinf(around(rendering, frame, row, column)).all(0)
    assert not sky.any()
    assert len(depth) > 1500
    is_sky = rendering.classes == class_index("sky")
    np.testing.assert_array_equal(np.isinf(rendering.depth), is_sky)
    assert is_sky.any()


@settings(max_examples=10)
@given(*ANY_SCENE)
def test_windows_only_save_work(seed: int, family: Family) -> None:
    scene = sample(seed, family)
    sweep = lidar(scene, frames=2)
    down, aside = np.meshgrid(
        np.linspace(-HALF_HEIGHT, HALF_HEIGHT, BEAMS),
        np.linspace(-HALF_WIDTH, HALF_WIDTH, AZIMUTHS),
        indexing="ij",
    )
    level = np.cos(down)
    parts = (level * np.sin(aside), np.sin(down), level * np.cos(aside))
    own = np.stack(parts, axis=-1).reshape(-1, 3)
    turns = sweep.poses[:, :3, :3].astype(float)
    rays = Rays.towards(sweep.poses[:, :3, 3], own @ turns.transpose(0, 2, 1))
    stage = set_stage(scene, np.arange(2) / FPS)
    metres = trace(stage.solids, rays).distance[..., 0].numpy()
    measured = np.linalg.norm(sweep.points, axis=-1)
    # Rounding decides at a silhouette and at the end of the range.
    both = sweep.valid & (metres <= RANGE)
    assert (sweep.valid != (metres <= RANGE)).sum() <= 3
    assert (np.abs(measured[both] / metres[both] - 1) > 1e-3).sum() <= 3


@settings(max_examples=20)
@given(*ANY_SCENE)
def test_a_point_is_valid_where_it_is_a_number_within_range(
    seed: int, family: Family
) -> None:
    sweep = lidar(sample(seed, family), frames=2)
    assert sweep.points.shape == (2, BEAMS * AZIMUTHS, 3)
    assert sweep.points.dtype == sweep.poses.dtype == np.float32
    is_number = ~np.isnan(sweep.points)
    np.testing.assert_array_equal(is_number.all(-1), sweep.valid)
    np.testing.assert_array_equal(is_number.any(-1), sweep.valid)
    metres = np.linalg.norm(sweep.points[sweep.valid], axis=-1)
    assert metres.max() <= RANGE * 1.00001
    assert metres.min() > 0.3


@pytest.mark.parametrize("seed", range(4))
def test_points_on_a_street_are_not_under_it(seed: int) -> None:
    sweep = lidar(sample(seed, "street"))
    height = move(sweep.poses, sweep.points)[sweep.valid][:, 1]
    assert height.min() > -1e-3
    assert (np.abs(height) < 1e-3).mean() > 0.3


def test_beams_come_from_the_top_and_azimuths_from_the_left() -> None:
    points = lidar(sample(0, "table"), frames=1).points.reshape(BEAMS, AZIMUTHS, 3)
    level = np.linalg.norm(points[..., [0, 2]], axis=-1)
    down = np.arctan2(points[..., 1], level)
    aside = np.arctan2(points[..., 0], points[..., 2])
    beams = np.linspace(-HALF_HEIGHT, HALF_HEIGHT, BEAMS)[:, None]
    turns = np.linspace(-HALF_WIDTH, HALF_WIDTH, AZIMUTHS)
    np.testing.assert_allclose(down, np.broadcast_to(beams, down.shape), atol=1e-4)
    np.testing.assert_allclose(aside, np.broadcast_to(turns, aside.shape), atol=1e-4)


def test_the_sensor_is_above_the_camera_and_turned_like_it() -> None:
    scene = sample(1, "street")
    sensor, camera = lidar(scene).poses, render(scene, size=(8, 12)).poses
    np.testing.assert_array_equal(sensor[:, :3, :3], camera[:, :3, :3])
    moved = inverse(camera) @ sensor[:, :, 3:]
    expected = np.tile([0.0, -MOUNT, 0.0, 1.0], (9, 1))
    np.testing.assert_allclose(moved[..., 0], expected, atol=1e-5)


def test_scenes_scanned_together_are_those_scanned_alone() -> None:
    scenes = [sample(0, "street"), sample(0, "table"), sample(1, "street")]
    for scene, sweep in zip(scenes, lidar_batch(scenes, frames=2), strict=True):
        alone = lidar(scene, frames=2)
        np.testing.assert_array_equal(sweep.points, alone.points)
        np.testing.assert_array_equal(sweep.poses, alone.poses)


def test_what_the_camera_does_not_see_is_not_true() -> None:
    scene = sample(0, "street")
    rendering, sweep = render(scene), lidar(scene)
    free = ~np.isnan(lidar_truth(rendering, sweep)[..., 0])
    wall = np.full_like(rendering.depth, 1.5)
    behind = attrs.evolve(rendering, depth=wall)
    assert free.sum() > 5000
    assert np.isnan(lidar_truth(behind, sweep)).all()
    # Nor is what floats before a camera that sees only sky.
    sky = attrs.evolve(rendering, depth=np.full_like(wall, np.inf))
    assert np.isnan(lidar_truth(sky, sweep)).all()


def test_a_control_paints_all_that_is_true_and_nothing_else() -> None:
    for family in FAMILIES:
        scene = sample(2, family)
        rendering, sweep = render(scene), lidar(scene)
        control = lidar_control(rendering, sweep)
        truth = lidar_truth(rendering, sweep)
        nearest = np.full(rendering.depth.shape, np.inf, np.float32)
        for frame, points in enumerate(truth):
            for u, v, depth in points[~np.isnan(points[:, 2])]:
                place = frame, int(v), int(u)
                nearest[place] = min(nearest[place], depth)
        is_painted = np.isfinite(nearest)
        np.testing.assert_array_equal(control.any(-1), is_painted)
        np.testing.assert_array_equal(
            control[is_painted], depth_colours(nearest[is_painted])
        )


def test_of_two_returns_in_one_pixel_the_nearer_is_painted() -> None:
    rendering = render(sample(0, "table"), size=(8, 12), frames=1)
    # A fence: each pixel is beside one of either depth, so that both are seen.
    fence = np.where(np.arange(12) % 2, 2.0, 4.0).astype(np.float32)
    rendering = attrs.evolve(rendering, depth=np.tile(fence, (1, 8, 1)))
    for depths in ((2.0, 4.0), (4.0, 2.0)):
        points = np.array([[(0.01, 0.01, depth) for depth in depths]], np.float32)
        valid = np.ones((1, 2), bool)
        sweep = LidarSweep(points=points, valid=valid, poses=rendering.poses)
        control = lidar_control(rendering, sweep)[0]
        assert control.any(-1).sum() == 1
        np.testing.assert_array_equal(
            control[control.any(-1)], depth_colours(np.array([2.0], np.float32))
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_a_control_is_sparse_but_follows_the_whole_scene(family: Family) -> None:
    scene = sample(3, family)
    rendering = render(scene)
    control = lidar_control(rendering, lidar(scene))
    assert control.shape == rendering.rgb.shape
    assert control.dtype == np.uint8
    share = control.any(-1)[rendering.depth < 0.9 * RANGE].mean()
    assert 0.15 < share < 0.5


def test_points_grow_with_the_picture() -> None:
    scene = sample(0, "table")
    sweep = lidar(scene, frames=1)
    shares = []
    for scale in (1, 3):
        rendering = render(scene, size=(64 * scale, 96 * scale), frames=1)
        shares.append(lidar_control(rendering, sweep).any(-1).mean())
    assert shares[1] == pytest.approx(shares[0], rel=0.2)


@given(st.lists(st.floats(NEAREST, FARTHEST), min_size=2, max_size=20))
def test_the_nearer_the_brighter(metres: list[float]) -> None:
    depth = np.sort(np.array(metres, np.float32))
    brightness = depth_colours(depth) @ np.array([0.299, 0.587, 0.114])
    assert (np.diff(brightness) <= 0).all()
    far_apart = depth[1:] > 1.04 * depth[:-1]
    assert (np.diff(brightness)[far_apart] < 0).all()


def test_no_depth_looks_like_no_return() -> None:
    colours = depth_colours(np.array([0.1, 1.0, 60.0, 100.0], np.float32))
    assert (colours.max(-1) > 100).all()
    np.testing.assert_array_equal(colours[[0, 2]], colours[[1, 3]])
