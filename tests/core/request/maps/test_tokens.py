"""Maps on the way to tokens: averaged over area, cut to chunks, not yet shared."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from worldweave.request.chunks import cut
from worldweave.request.maps.tokens import (
    TokenGrid,
    grid_of,
    is_dead,
    on_tokens,
    shrunk,
)
from worldweave_plugins.tinyworld.config import CONFIG
from worldweave_registry import discover

#: 9 frames in 3 latent frames (1, 4, 4), 2 x 3 tokens.
GRID = TokenGrid(frames=9, stride=4, rows=2, columns=3)
#: A busy machine is no failure.
patient = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)


def number(value):
    """A number as it is drawn."""
    return np.full((1, 1, 1), value, np.float32)


def one(weights, start=0, total=None, grid=GRID, **how):
    """The map of a single modality on tokens, (t, h, w)."""
    total = len(weights) if total is None else total
    tokens = on_tokens({"edge": weights}, start, total, grid, **how)["edge"]
    assert tokens.dtype == torch.float32
    assert tokens.shape == (1, 3, grid.rows, grid.columns)
    return tokens[0]


def drawn_map(data, frames):
    height, width, seed = (data.draw(st.integers(1, n)) for n in (9, 9, 1000))
    random = np.random.default_rng(seed)
    values = random.random((frames, height, width), np.float32)
    return np.where(random.random(values.shape) < 0.3, np.float32(0), values)


def averaged_finely(weights, grid=GRID):
    """Cut every pixel into so many that cells hold whole ones, then average."""
    fine = weights.astype(np.float64)
    fine = fine.repeat(grid.rows, axis=1).repeat(grid.columns, axis=2)
    height, width = weights.shape[1:]
    cells = fine.reshape(len(fine), grid.rows, height, grid.columns, width)
    pictures = cells.mean(axis=(2, 4))
    if len(pictures) == 1:
        return pictures.repeat(3, axis=0)
    groups = [pictures[:1], *np.split(pictures[1:], 2)]
    return np.stack([group.mean(axis=0) for group in groups])


# --- on tokens ---------------------------------------------------------------


@patient
@given(st.data(), st.sampled_from([1, 9]))
def test_a_token_gets_the_average_of_its_share_of_space_and_time(data, frames):
    weights = drawn_map(data, frames)
    np.testing.assert_allclose(
        one(weights).numpy(), averaged_finely(weights), rtol=0, atol=1e-6
    )


@patient
@given(st.data())
def test_averages_stay_within_the_smallest_and_largest_weight(data):
    weights = drawn_map(data, 9)
    tokens = one(weights)
    assert tokens.min() >= float(weights.min())
    assert tokens.max() <= float(weights.max())


@patient
@given(st.floats(0, 1, width=32), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_a_number_equals_a_constant_map_bit_for_bit(value, height, width, moves):
    constant = np.full((9 if moves else 1, height, width), value, np.float32)
    tokens = one(number(value), total=9)
    assert torch.equal(tokens, one(constant, total=9))
    assert torch.equal(tokens, torch.full_like(tokens, value))


def test_a_number_keeps_its_bits_beside_a_map():
    halves = {
        "edge": number(0.3),
        "vis": np.full((9, 5, 7), 0.6, np.float32),
    }
    tokens = on_tokens(halves, 0, 9, GRID)
    assert torch.equal(tokens["edge"], torch.full((1, 3, 2, 3), 0.3))


@patient
@given(st.integers(0, 8), st.integers(0, 63), st.integers(0, 95))
def test_an_object_of_one_pixel_in_one_frame_never_vanishes(frame, row, column):
    weights = np.zeros((9, 64, 96), np.float32)
    weights[frame, row, column] = 1.0
    tokens = one(weights)
    place = ((frame + 3) // 4, row // 32, column // 32)
    assert tokens[place] > 0
    assert torch.count_nonzero(tokens) == 1


def test_a_map_is_not_shared_with_others_before_it_meets_them():
    left = np.tile(np.array([1, 0], np.float32), (1, 2, 3))
    maps = {"vis": left, "edge": 1 - left, "seg": np.ones((1, 1, 1), np.float32)}
    tokens = on_tokens(maps, 0, 9, GRID)
    assert list(tokens) == ["vis", "edge", "seg"]
    assert [tokens[n].unique().tolist() for n in tokens] == [[0.5], [0.5], [1.0]]


@patient
@given(st.data())
def test_what_a_map_becomes_does_not_depend_on_the_others(data):
    maps = {name: drawn_map(data, 9) for name in ("edge", "vis", "seg")}
    together = on_tokens(maps, 0, 9, GRID)
    for name, weights in maps.items():
        assert torch.equal(together[name][0], one(weights))


def test_no_maps_are_no_tokens():
    assert on_tokens({}, 0, 9, GRID) == {}
    assert on_tokens({}, 0, 9, GRID, released=True) == {}


# --- shrunk ------------------------------------------------------------------


@patient
@given(st.data(), st.sampled_from([1, 9]))
def test_shrunk_first_or_not_the_tokens_are_the_same(data, frames):
    weights = drawn_map(data, frames)
    small = shrunk(weights, GRID.rows, GRID.columns)
    assert small.dtype == np.float32
    assert small.shape in (weights.shape, (frames, GRID.rows, GRID.columns))
    np.testing.assert_allclose(one(small), one(weights), rtol=0, atol=1e-6)


@patient
@given(st.floats(0, 1, width=32), st.integers(1, 9), st.integers(1, 9))
def test_shrunk_a_constant_stays_that_number(value, height, width):
    small = shrunk(np.full((2, height, width), value, np.float32), 2, 3)
    assert (small == np.float32(value)).all()


def test_a_number_and_a_map_of_the_tokens_are_not_shrunk():
    for weights in (number(0.3), np.full((9, 2, 3), 0.3, np.float32)):
        assert shrunk(weights, 2, 3) is weights


def test_frames_are_shrunk_apart():
    weights = np.zeros((4, 6, 6), np.float32)
    weights[2, 5, 5] = 1.0
    small = shrunk(weights, 2, 3)
    assert np.argwhere(small).tolist() == [[2, 1, 2]]
    assert small.max() == np.float32(1 / 6)


def test_ten_pixels_never_vanish_at_the_size_of_the_7b():
    """Each object is in one frame of 121, on 10 of 704 x 1280 pixels, anywhere."""
    grid = TokenGrid(frames=121, stride=8, rows=44, columns=80)
    random = np.random.default_rng(0)
    for frame in (0, 1, 8, 9, 64, 120):
        weights = np.zeros((1, 704, 1280), np.float32)
        row, column = random.integers(704), random.integers(1270)
        weights[0, row, column : column + 10] = 1.0
        small = np.zeros((121, 44, 80), np.float32)
        small[frame] = shrunk(weights, 44, 80)[0]
        tokens = on_tokens({"edge": small}, 0, 121, grid)["edge"][0]
        shares = tokens[(frame + 7) // 8, row // 16, column // 16 : column // 16 + 2]
        held = 1 if frame == 0 else 8
        assert float(shares.sum()) == pytest.approx(10 / 256 / held, rel=1e-5)
        assert float(tokens.sum()) == pytest.approx(10 / 256 / held, rel=1e-5)


def test_the_grid_of_a_base_counts_its_patches():
    base = discover().find_base("tiny-world")
    grid = grid_of(base, CONFIG, (64, 96))
    assert (grid.frames, grid.stride, grid.rows, grid.columns) == (9, 4, 8, 12)
    assert grid.frame_edges() == [(0, 1), (1, 5), (5, 9)]


# --- chunks ------------------------------------------------------------------


@patient
@given(st.data())
def test_a_switch_at_frame_k_comes_in_the_latent_frame_that_holds_it(data):
    frames = data.draw(st.integers(2, 60))
    switch = data.draw(st.integers(1, frames - 1))
    overlap = data.draw(st.integers(0, 8))
    weights = np.zeros((frames, 2, 3), np.float32)
    weights[switch:] = 1.0
    for chunk in cut(frames, GRID.frames, overlap):
        tokens = one(weights, chunk.start, frames)
        held = [[0], [1, 2, 3, 4], [5, 6, 7, 8]]
        for latent_frame, numbers in zip(tokens, held, strict=True):
            # Beyond the video its last frame repeats, which is after the switch.
            after = [chunk.start + number >= switch for number in numbers]
            assert torch.equal(
                latent_frame, torch.full((2, 3), sum(after) / len(after))
            )


def test_beyond_the_video_the_last_frame_repeats():
    weights = np.linspace(0, 1, 6, dtype=np.float32).reshape(6, 1, 1)
    padded = np.concatenate([weights, weights[[-1, -1, -1]]])
    assert torch.equal(one(weights), one(padded))


def test_a_picture_serves_every_chunk():
    picture = np.random.default_rng(0).random((1, 4, 6), np.float32)
    assert torch.equal(one(picture, 0, 30), one(picture, 24, 30))


# --- compat ------------------------------------------------------------------


def test_the_released_numbers_are_rounded_as_there():
    numbers = {n: number(v) for n, v in zip("abc", (0.3, 0.7, 0.1), strict=True)}
    tokens = on_tokens(numbers, 0, 9, GRID, released=True)
    found = [tokens[n].unique().tolist() for n in "abc"]
    assert found == [[0.2734375], [0.6328125], [0.09082031250]]


@pytest.mark.parametrize(
    ("frame", "row", "column", "seen"),
    [
        (0, 7, 8, (0, 0, 0)),
        (4, 8, 7, (1, 0, 0)),
        (5, 7, 7, (1, 0, 0)),
        (13, 23, 24, (2, 1, 1)),
        (3, 7, 7, None),
        (6, 7, 7, None),
        (4, 6, 7, None),
        (4, 7, 9, None),
    ],
)
def test_the_released_code_reads_two_frames_and_four_pixels_of_a_token(
    frame, row, column, seen
):
    grid = TokenGrid(frames=17, stride=8, rows=2, columns=3)
    weights = np.zeros((17, 32, 48), np.float32)
    weights[frame, row, column] = 1.0
    tokens = one(weights, grid=grid, released=True)
    wanted = torch.zeros(3, 2, 3)
    if seen is not None:
        wanted[seen] = 1 / 4 if frame == 0 else 1 / 8
    assert torch.equal(tokens, wanted)


def test_released_maps_of_different_sizes_meet_at_the_largest():
    maps = {
        "edge": np.full((9, 4, 4), 0.75, np.float32),
        "vis": np.full((1, 8, 2), 0.75, np.float32),
        "seg": number(0.0),
    }
    tokens = on_tokens(maps, 0, 9, GRID, released=True)
    assert tokens["edge"].unique().tolist() == [0.5]
    assert tokens["vis"].unique().tolist() == [0.5]
    assert not tokens["seg"].any()


# --- dead --------------------------------------------------------------------


def test_only_zero_everywhere_is_dead():
    assert is_dead(number(0))
    assert is_dead(np.zeros((9, 4, 4), np.float32))
    almost = np.zeros((9, 4, 4), np.float32)
    almost[8, 3, 3] = 1e-6
    assert not is_dead(almost)
