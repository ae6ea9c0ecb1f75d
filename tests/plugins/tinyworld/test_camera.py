"""Poses and intrinsics say where the camera is; windows hold what they promise."""

import attrs
import numpy as np
import pytest

from worldweave_plugins.tinyworld.camera import (
    camera_intrinsics,
    camera_poses,
    pixel_rays,
    shadow_windows,
    solid_windows,
)
from worldweave_plugins.tinyworld.sampling import sample
from worldweave_plugins.tinyworld.scene import Camera, Family
from worldweave_plugins.tinyworld.stage import set_stage
from worldweave_plugins.tinyworld.trace import trace

TIMES = np.arange(9) / 24
STILL = Camera(
    position=(1.0, 2.0, -3.0),
    velocity=(0.0, 0.0, 0.0),
    yaw=0.0,
    yaw_rate=0.0,
    pitch=0.0,
)


def test_a_camera_that_looks_straight_has_the_worlds_axes_but_down() -> None:
    pose = camera_poses(STILL, TIMES)[0]
    np.testing.assert_allclose(pose[:3, :3], np.diag([1.0, -1.0, 1.0]))
    np.testing.assert_allclose(pose[:3, 3], STILL.position)
    np.testing.assert_allclose(pose[3], [0.0, 0.0, 0.0, 1.0])


def test_positive_yaw_looks_right_and_positive_pitch_down() -> None:
    ahead = camera_poses(attrs.evolve(STILL, yaw=0.3, pitch=0.2), TIMES)[0, :3, 2]
    assert ahead[0] > 0
    assert ahead[1] < 0


def test_axes_stay_orthonormal_and_left_handed() -> None:
    poses = camera_poses(sample(3).camera, np.arange(200) / 24)
    turns = poses[:, :3, :3]
    np.testing.assert_allclose(
        turns.mT @ turns, np.tile(np.eye(3), (200, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(turns), -1.0)


def test_forward_speed_lasts_and_sideways_speed_sways() -> None:
    camera = attrs.evolve(STILL, velocity=(0.6, 0.0, 3.0))
    positions = camera_poses(camera, np.arange(240) / 24)[:, :3, 3]
    assert positions[-1, 2] == pytest.approx(-3.0 + 3.0 * 239 / 24)
    assert np.abs(positions[:, 0] - 1.0).max() <= 0.4 + 1e-9
    # At time 0 both are speeds.
    step = (positions[1] - positions[0]) * 24
    np.testing.assert_allclose(step, [0.6, 0.0, 3.0], rtol=1e-2)


def test_rays_go_through_the_middle_of_their_pixels() -> None:
    poses = camera_poses(sample(5).camera, TIMES)
    size = (16, 24)
    rays = pixel_rays(poses, size)
    directions = rays.rows[:, :, None] + rays.columns[:, None]
    seen = directions @ poses[:, None, :3, :3]
    pixels = seen @ camera_intrinsics(size).T
    rows, columns = np.mgrid[:16, :24]
    np.testing.assert_allclose(pixels[0, ..., 0], columns + 0.5)
    np.testing.assert_allclose(pixels[0, ..., 1], rows + 0.5)
    np.testing.assert_allclose(pixels[..., 2], 1.0)


@pytest.mark.parametrize("family", ["street", "table"])
def test_windows_leave_nothing_out(family: Family) -> None:
    size = (64, 96)
    for seed in range(12):
        stage = set_stage(sample(seed, family), TIMES)
        rays = pixel_rays(stage.poses, size)
        windows = solid_windows(stage.solids, stage.poses, size)
        cut, whole = (
            trace(stage.solids, rays, windows=windows),
            trace(stage.solids, rays),
        )
        assert (cut.numbers == whole.numbers).all()
        np.testing.assert_allclose(cut.inverse, whole.inverse, rtol=1e-6)
        # They would not be worth much if they left nothing out.
        areas = [
            (rows.stop - rows.start) * (columns.stop - columns.start)
            for rows, columns in filter(None, windows)
        ]
        assert sum(areas) < 0.25 * len(windows) * size[0] * size[1]


def test_a_shadow_lies_in_its_window() -> None:
    size = (64, 96)
    stage = set_stage(sample(1, "table"), TIMES)
    rays = pixel_rays(stage.poses, size)
    hits = trace(stage.solids, rays)
    directions = rays.rows[:, :, None] + rays.columns[:, None]
    met = rays.origins[:, None, None] + directions * hits.distance.numpy()[..., None]
    on_top = hits.numbers.numpy() == 6
    for shadow, window in enumerate(shadow_windows(stage.solids, stage.poses, size)):
        spot, spread = stage.solids.spots[:, shadow], stage.solids.spreads[:, shadow]
        away = np.abs(met[..., [0, 2]] - spot[:, None, None]) / spread[:, None, None]
        inside = on_top & (away < 1).all(-1)
        assert window is not None
        outside = inside.copy()
        rows, columns = window
        outside[:, rows, columns] = False
        assert inside.any()
        assert not outside.any()


def test_a_camera_that_looks_up_sees_no_floor() -> None:
    scene = sample(1, "street")
    up = attrs.evolve(scene.camera, pitch=-1.2)
    stage = set_stage(attrs.evolve(scene, camera=up), TIMES)
    assert solid_windows(stage.solids, stage.poses, (64, 96))[0] is None
