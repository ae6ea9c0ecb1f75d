"""Lane lines run where the road is painted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldweave_plugins.tinyworld.labels import class_index
from worldweave_plugins.tinyworld.lanes import LaneLine, lanes
from worldweave_plugins.tinyworld.projection import (
    inverse,
    move,
    project,
    unproject,
)
from worldweave_plugins.tinyworld.render import render
from worldweave_plugins.tinyworld.sampling import sample


def along(line: LaneLine, step: float = 0.1) -> np.ndarray:
    """Return points (n, 3) along a straight line, *step* metres apart."""
    start, end = line.points[0], line.points[-1]
    count = max(2, int(np.linalg.norm(end - start) / step))
    return np.linspace(start, end, count, dtype=np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_lanes_lie_on_the_painted_road(seed: int) -> None:
    scene = sample(seed, "street")
    rendering = render(scene, size=(192, 288))
    reach = float(rendering.poses[:, 2, 3].max()) + 25
    checked = 0
    for line in lanes(scene, end=reach):
        points = along(line)[2:-2]  # the very end of a dash is the road's
        seen = move(inverse(rendering.poses), points)
        pixels = project(rendering.intrinsics, seen)
        inside = (seen[..., 2] > 1) & ((pixels > 0) & (pixels < (288, 192))).all(-1)
        frame, number = np.nonzero(inside)
        column, row = pixels[frame, number].astype(int).T
        # Unless something nearer hides it, a car for instance.
        shown = rendering.depth[frame, row, column]
        is_open = shown > 0.97 * seen[frame, number, 2]
        names = rendering.classes[frame, row, column][is_open]
        on_road = np.isin(names, [class_index("line"), class_index("road")])
        assert on_road.all()
        # A line far off is thinner than a pixel.
        near = seen[frame, number, 2][is_open] < 15
        if near.sum() > 20:
            assert (names[near] == class_index("line")).mean() > 0.9
        checked += int(is_open.sum())
    assert checked > 1000


@pytest.mark.parametrize("seed", range(8))
def test_all_paint_on_the_road_belongs_to_a_lane_line(seed: int) -> None:
    scene = sample(seed, "street")
    rendering = render(scene, frames=1)
    is_line = rendering.classes[0] == class_index("line")
    rows, columns = np.nonzero(is_line)
    pixels = np.stack([columns + 0.5, rows + 0.5], axis=-1)
    own = unproject(rendering.intrinsics, pixels, rendering.depth[0][is_line])
    painted = move(rendering.poses, own)[0]
    assert np.abs(painted[:, 1]).max() < 0.02
    lines = lanes(scene, end=float(painted[:, 2].max()) + 10)
    apart = np.full(len(painted), np.inf)
    for line in lines:
        start, end = line.points[0], line.points[-1]
        beyond = np.maximum(start[2] - painted[:, 2], painted[:, 2] - end[2])
        aside = np.abs(painted[:, 0] - start[0])
        apart = np.minimum(apart, np.maximum(aside, beyond))
    assert len(painted) > 20
    assert apart.max() < 0.2


def test_a_table_has_no_lanes() -> None:
    assert lanes(sample(0, "table")) == ()


@given(st.floats(-50, 150), st.floats(0, 100))
def test_lines_stay_within_the_stretch_that_was_asked_for(
    start: float, length: float
) -> None:
    lines = lanes(sample(0, "street"), start=start, end=start + length)
    for line in lines:
        assert line.points[:, 2].min() >= np.float32(start)
        assert line.points[:, 2].max() <= np.float32(start + length)
    assert [line.kind for line in lines].count("edge") == 2
    dashes = [line for line in lines if line.kind == "dash"]
    assert abs(len(dashes) - length / 6) <= 1.5


def test_dashes_stand_still_while_the_stretch_moves_on() -> None:
    scene = sample(0, "street")
    early = {tuple(d.points[0]) for d in lanes(scene, start=0, end=60)[2:]}
    late = {tuple(d.points[0]) for d in lanes(scene, start=12, end=72)[2:]}
    assert len(early & late) == 8
