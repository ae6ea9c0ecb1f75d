"""Points keep their place on the way between world, sensor and picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave_plugins.tinyworld.labels import class_index
from worldweave_plugins.tinyworld.projection import (
    inverse,
    move,
    project,
    unproject,
)
from worldweave_plugins.tinyworld.render import Rendering, render
from worldweave_plugins.tinyworld.sampling import sample
from worldweave_plugins.tinyworld.scene import Family

STANDING = {
    "street": ("ground", "road", "line", "building"),
    "table": ("ground", "wall", "table"),
}


def in_world(rendering: Rendering, shown: np.ndarray) -> np.ndarray:
    """Return the world points (n, 3) that pixels *shown* of frame 0 show."""
    rows, columns = np.nonzero(shown)
    pixels = np.stack([columns + 0.5, rows + 0.5], axis=-1)
    own = unproject(rendering.intrinsics, pixels, rendering.depth[0][shown])
    return move(rendering.poses[:1], own)[0]


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from(["street", "table"]))
def test_the_way_back_undoes_the_way_there(seed: int, family: Family) -> None:
    poses = render(sample(seed, family), size=(8, 12), frames=3).poses
    there_and_back = inverse(poses) @ poses
    np.testing.assert_allclose(there_and_back, np.tile(np.eye(4), (3, 1, 1)), atol=1e-5)


@given(st.floats(0, 96), st.floats(0, 64), st.floats(0.5, 60))
def test_a_pixel_with_its_depth_comes_back(u: float, v: float, depth: float) -> None:
    intrinsics = np.array([[77, 0, 48], [0, 75, 32], [0, 0, 1]], np.float32)
    pixels = np.array([[u, v]], np.float32)
    point = unproject(intrinsics, pixels, np.array([depth], np.float32))
    assert point[0, 2] == np.float32(depth)
    np.testing.assert_allclose(project(intrinsics, point), pixels, atol=1e-4)


@pytest.mark.parametrize("family", ["street", "table"])
@pytest.mark.parametrize("seed", range(4))
def test_what_stands_still_is_found_again_in_the_last_frame(
    seed: int, family: Family
) -> None:
    rendering = render(sample(seed, family), size=(128, 192))
    standing = [class_index(name) for name in STANDING[family]]
    # Up to 30 metres: beyond, one pixel of road is metres long.
    stands = np.isin(rendering.classes[0], standing) & (rendering.depth[0] < 30)
    points = in_world(rendering, stands)
    camera = inverse(rendering.poses[-1:])
    seen = move(camera, points)[0]
    pixels = project(rendering.intrinsics, seen)
    inside = (seen[:, 2] > 0.3) & ((pixels > 1) & (pixels < (191, 127))).all(-1)
    column, row = pixels[inside].astype(int).T
    expected, shown = seen[inside, 2], rendering.depth[-1, row, column]
    # Cars, arms and things pass before some of it.
    again = np.isin(rendering.classes[-1, row, column], standing)
    error = np.abs(shown[again] / expected[again] - 1)
    assert again.sum() > 3000
    assert np.median(error) < 0.01
    assert (error < 0.1).mean() > 0.97
    kept = rendering.classes[0][stands][inside][again]
    assert (rendering.classes[-1, row, column][again] == kept).mean() > 0.93
