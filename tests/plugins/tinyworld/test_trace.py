"""Rays meet the nearest solid, where its surface is, from every side."""

# F frames, N rays, P points on a ray

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave_plugins.tinyworld.solids import (
    PLANES,
    Coat,
    Draft,
    Floats,
    Solids,
    along,
)
from worldweave_plugins.tinyworld.trace import NOTHING, Hits, Rays, trace

COAT = Coat(colour=(200.0, 100.0, 50.0), kind="object")
FRAMES = 2
RAYS = 120
small = st.floats(-2.0, 2.0)
size = st.floats(0.1, 1.5)


def finished(draft: Draft) -> Solids:
    return draft.finish(stripes=(0.0,) * 5, receivers=6, shadow=1.0)[0]


def point(x: float, y: float, z: float) -> Floats:
    return along(x, y, np.full(FRAMES, z))


def shoot(solids: Solids, origin: Floats, seed: int) -> tuple[Rays, Hits]:
    """Cast rays of unit length in all directions."""
    directions = np.random.default_rng(seed).normal(size=(FRAMES, RAYS, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    rays = Rays.towards(np.tile(origin, (FRAMES, 1)), directions)
    return rays, trace(solids, rays)


def gaps_to_box(solids: Solids, points: Floats) -> Floats:
    """Signed distance to the planes of polyhedron 0: positive is outside."""
    from_centre = points - solids.centres[:, 0, None, None]
    heights = np.einsum("fki,fnpi->fnpk", solids.normals[:, 0], from_centre)
    gaps: Floats = (heights - solids.offsets[:, 0, None, None]).max(-1)
    return gaps


def gaps_to_capsule(solids: Solids, points: Floats) -> Floats:
    """Signed distance to capsule 0: positive is outside."""
    start, end = (x[:, 0, None, None] for x in (solids.starts, solids.ends))
    axis = end - start
    length = np.maximum((axis * axis).sum(-1), 1e-12)
    share = np.clip(((points - start) * axis).sum(-1) / length, 0.0, 1.0)
    nearest = start + share[..., None] * axis
    distance: Floats = np.linalg.norm(points - nearest, axis=-1)
    return distance - solids.radii[:, 0, None, None]


def check_against_marching(
    gaps: Floats, rays: Rays, hits: Hits, marched: Floats
) -> None:
    """Rays that hit enter at the hit and not before; the others stay outside."""
    distance = hits.distance[..., 0].double().numpy()
    is_hit = np.isfinite(distance)
    before = marched[None, None] < distance[..., None] * (1 - 1e-3) - 1e-3
    assert (gaps[before] > -2e-3).all()
    behind = is_hit[..., None] & (marched[None, None] > distance[..., None])
    first = np.argmax(behind, axis=-1)
    just_behind = np.take_along_axis(gaps, first[..., None], axis=-1)[..., 0]
    # At most one step behind the surface, so no farther outside than a step.
    assert (just_behind[is_hit & behind.any(-1)] < marched[1] - marched[0]).all()


def on_rays(rays: Rays, marched: Floats) -> Floats:
    points: Floats = (
        rays.origins[:, None, None] + marched[:, None] * rays.rows[:, :, None]
    )
    return points


def at_hits(rays: Rays, hits: Hits) -> tuple[Floats, np.ndarray]:
    """Return the points that were met (F, N, 1, 3), and which rays met something."""
    distance = hits.distance[..., 0].double().numpy()
    is_hit = np.isfinite(distance)
    reach = np.where(is_hit, distance, 0.0)[..., None]
    points = rays.origins[:, None] + reach * rays.rows
    return points[:, :, None], is_hit


@settings(max_examples=30)
@given(small, small, size, size, size, small, st.floats(0.3, 1.0), st.integers(0, 999))
def test_rays_meet_a_box_on_its_surface_and_never_later(
    x: float,
    y: float,
    width: float,
    height: float,
    depth: float,
    yaw: float,
    taper: float,
    seed: int,
) -> None:
    draft = Draft(np.arange(FRAMES) / 24)
    half = (width, height, depth)
    draft.add_box(point(x, y, 3.5), half, COAT, yaw=yaw, taper=taper)
    solids = finished(draft)
    rays, hits = shoot(solids, np.array([0.0, 0.5, -1.5]), seed)
    marched = np.linspace(0.0, 12.0, 240)
    gaps = gaps_to_box(solids, on_rays(rays, marched))
    check_against_marching(gaps, rays, hits, marched)
    points, is_hit = at_hits(rays, hits)
    assert np.abs(gaps_to_box(solids, points)[is_hit]).max(initial=0.0) < 1e-4


@settings(max_examples=30)
@given(
    st.tuples(small, small, small),
    st.tuples(small, small, small),
    st.floats(0.05, 0.6),
    st.integers(0, 999),
)
def test_rays_meet_a_capsule_on_its_surface_and_never_later(
    start: tuple[float, float, float],
    end: tuple[float, float, float],
    radius: float,
    seed: int,
) -> None:
    draft = Draft(np.arange(FRAMES) / 24)
    draft.add_floor(-50.0, [COAT] * 6)
    draft.add_capsule(point(*start), point(*end), radius, COAT)
    solids = finished(draft)
    rays, hits = shoot(solids, np.array([0.0, 0.5, -5.0]), seed)
    is_floor = hits.numbers == 0
    hits = Hits(inverse=hits.inverse.masked_fill(is_floor, 0.0), numbers=hits.numbers)
    marched = np.linspace(0.0, 12.0, 240)
    gaps = gaps_to_capsule(solids, on_rays(rays, marched))
    check_against_marching(gaps, rays, hits, marched)
    points, is_hit = at_hits(rays, hits)
    assert np.abs(gaps_to_capsule(solids, points)[is_hit]).max(initial=0.0) < 2e-3


def look_ahead(solids: Solids, x: float = 0.0, y: float = 0.0) -> Hits:
    """Cast one ray along z from 5 metres before the middle."""
    origins = np.tile([x, y, -5.0], (FRAMES, 1))
    return trace(
        solids, Rays.towards(origins, np.tile([0.0, 0.0, 1.0], (FRAMES, 1, 1)))
    )


def test_the_number_tells_the_face() -> None:
    draft = Draft(np.zeros(FRAMES))
    draft.add_box(point(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), COAT)
    solids = finished(draft)
    faces = {
        1: (0.0, 0.0, -5.0),
        2: (0.0, 0.0, 5.0),
        3: (-5.0, 0.0, 0.0),
        4: (5.0, 0.0, 0.0),
        0: (0.0, 5.0, 0.0),
        5: (0.0, -5.0, 0.0),
    }
    for number, origin in faces.items():
        origins = np.tile(origin, (FRAMES, 1))
        hits = trace(solids, Rays.towards(origins, -origins[:, None] / 5))
        assert hits.numbers.unique().tolist() == [number]
        assert hits.distance.unique().tolist() == pytest.approx([4.0])


def test_the_nearer_solid_hides_the_farther_one_in_any_order() -> None:
    for order in ((0.0, 3.0), (3.0, 0.0)):
        draft = Draft(np.zeros(FRAMES))
        for z in order:
            draft.add_box(point(0.0, 0.0, z), (1.0, 1.0, 1.0), COAT)
        hits = look_ahead(finished(draft))
        assert hits.distance.flatten().tolist() == pytest.approx([4.0] * FRAMES)
        assert (hits.numbers // PLANES == order.index(0.0)).all()


def test_what_meets_nothing_is_infinitely_far_and_has_no_number() -> None:
    draft = Draft(np.zeros(FRAMES))
    draft.add_box(point(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), COAT)
    draft.add_capsule(point(0.0, 0.0, 3.0), point(0.0, 0.0, 3.0), 1.0, COAT)
    hits = look_ahead(finished(draft), x=2.0)
    assert (hits.numbers == NOTHING).all()
    assert hits.distance.isinf().all()


def test_what_lies_behind_is_not_met() -> None:
    draft = Draft(np.zeros(FRAMES))
    draft.add_box(point(0.0, 0.0, -9.0), (1.0, 1.0, 1.0), COAT)
    draft.add_capsule(point(0.0, 0.0, -9.0), point(0.0, 1.0, -9.0), 1.0, COAT)
    assert look_ahead(finished(draft)).distance.isinf().all()


def test_who_stands_inside_a_solid_looks_out_of_it() -> None:
    draft = Draft(np.zeros(FRAMES))
    draft.add_box(point(0.0, 0.0, -5.0), (1.0, 1.0, 1.0), COAT)
    draft.add_capsule(point(-1.0, 0.0, -5.0), point(1.0, 0.0, -5.0), 1.0, COAT)
    draft.add_box(point(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), COAT)
    hits = look_ahead(finished(draft))
    assert hits.distance.flatten().tolist() == pytest.approx([4.0] * FRAMES)
    assert hits.numbers.unique().tolist() == [PLANES + 1]


def test_a_solid_may_move_from_one_side_of_the_viewer_to_the_other() -> None:
    draft = Draft(np.arange(2) / 24)
    centre = np.array([[-4.0, 0.0, -5.0], [4.0, 0.0, -5.0]])
    draft.add_box(centre, (1.0, 1.0, 1.0), COAT)
    sideways = np.array([[[-1.0, 0.0, 0.0]], [[1.0, 0.0, 0.0]]])
    hits = trace(
        finished(draft), Rays.towards(np.tile([0.0, 0.0, -5.0], (2, 1)), sideways)
    )
    assert hits.distance.flatten().tolist() == pytest.approx([3.0, 3.0])
    assert hits.numbers.flatten().tolist() == [4, 3]


def test_a_ball_shines_where_it_faces_the_light() -> None:
    draft = Draft(np.zeros(FRAMES))
    draft.add_capsule(point(0.0, 0.0, 0.0), point(0.0, 0.0, 0.0), 1.0, COAT)
    solids = finished_without_boxes(draft)
    toward_light = look_ahead(solids, x=-0.3, y=0.38).numbers
    away = look_ahead(solids, x=0.3, y=-0.38).numbers
    assert toward_light.unique().tolist() == [PLANES + 1]
    assert away.unique().tolist() == [PLANES]


def finished_without_boxes(draft: Draft) -> Solids:
    draft.add_box(point(0.0, -90.0, 0.0), (1.0, 1.0, 1.0), COAT)
    return finished(draft)


def test_rays_of_a_grid_are_sums_of_rows_and_columns() -> None:
    draft = Draft(np.zeros(FRAMES))
    draft.add_box(point(0.3, 0.2, 0.0), (1.0, 0.5, 1.0), COAT, yaw=0.4)
    draft.add_capsule(point(-1.0, 0.0, 0.0), point(1.0, 1.0, 1.0), 0.4, COAT)
    solids = finished(draft)
    origins = np.tile([0.1, 0.2, -4.0], (FRAMES, 1))
    rows = np.zeros((FRAMES, 12, 3))
    rows[..., 1], rows[..., 2] = np.linspace(-0.5, 0.5, 12), 1.0
    columns = np.zeros((FRAMES, 16, 3))
    columns[..., 0] = np.linspace(-0.6, 0.6, 16)
    grid = trace(solids, Rays(origins=origins, rows=rows, columns=columns))
    every = (rows[:, :, None] + columns[:, None]).reshape(FRAMES, -1, 3)
    single = trace(solids, Rays.towards(origins, every))
    assert (grid.numbers.flatten() == single.numbers.flatten()).all()
    np.testing.assert_allclose(
        grid.inverse.flatten(), single.inverse.flatten(), rtol=1e-5, atol=1e-6
    )


def test_distances_count_lengths_of_the_direction() -> None:
    draft = Draft(np.zeros(FRAMES))
    draft.add_wall(3.0, COAT)
    slanted = np.tile([math.sqrt(3.0), 0.0, 1.0], (FRAMES, 1, 1))
    hits = trace(finished(draft), Rays.towards(np.zeros((FRAMES, 3)), slanted))
    assert hits.distance.flatten().tolist() == pytest.approx([3.0] * FRAMES)
