"""Weight maps: read from anywhere, averaged over area, cut to chunks."""

from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from worldweave.generate.chunks import cut
from worldweave.io import video
from worldweave.request.maps import TokenGrid, is_dead, on_tokens, read_map
from worldweave_registry import WorldweaveError

#: 9 frames in 3 latent frames (1, 4, 4), 2 x 3 tokens.
GRID = TokenGrid(frames=9, stride=4, rows=2, columns=3)
#: A busy machine is no failure.
patient = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)


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
    number = read_map("edge", value, 9)
    constant = np.full((9 if moves else 1, height, width), value, np.float32)
    tokens = one(number, total=9)
    assert torch.equal(tokens, one(constant, total=9))
    assert torch.equal(tokens, torch.full_like(tokens, value))


def test_a_number_keeps_its_bits_beside_a_map():
    halves = {
        "edge": read_map("edge", 0.3, 9),
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


def test_maps_share_one_on_tokens_not_on_pixels():
    # Each wants half of the pixels of every token, and they meet nowhere.
    left = np.tile(np.array([1, 0], np.float32), (1, 2, 3))
    maps = {"edge": left, "vis": 1 - left, "seg": np.ones((1, 1, 1), np.float32)}
    tokens = on_tokens(maps, 0, 9, GRID)
    assert tokens["edge"].unique().tolist() == [0.25]
    assert tokens["vis"].unique().tolist() == [0.25]
    assert tokens["seg"].unique().tolist() == [0.5]


@patient
@given(st.data())
def test_together_maps_never_exceed_one(data):
    maps = {name: drawn_map(data, 9) for name in ("edge", "vis", "seg")}
    tokens = on_tokens(maps, 0, 9, GRID)
    assert list(tokens) == ["edge", "vis", "seg"]
    assert torch.stack(list(tokens.values())).sum(dim=0).max() <= 1 + 1e-6


def test_zero_is_zero_beside_a_map():
    maps = {
        "edge": read_map("edge", 0, 9),
        "vis": np.full((1, 2, 2), 0.5, np.float32),
    }
    tokens = on_tokens(maps, 0, 9, GRID)
    assert not tokens["edge"].any()
    assert tokens["vis"].unique().tolist() == [0.5]


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
    numbers = {
        n: read_map(n, v, 9) for n, v in zip("abc", (0.3, 0.7, 0.1), strict=True)
    }
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
        "seg": read_map("seg", 0.0, 9),
    }
    tokens = on_tokens(maps, 0, 9, GRID, released=True)
    assert tokens["edge"].unique().tolist() == [0.5]
    assert tokens["vis"].unique().tolist() == [0.5]
    assert not tokens["seg"].any()


# --- reading -----------------------------------------------------------------


def test_a_number_is_one_voxel():
    weights = read_map("edge", 0.25, 100)
    assert weights.shape == (1, 1, 1)
    assert weights.dtype == np.float32
    assert weights.item() == 0.25


@pytest.mark.parametrize("shape", [(4, 6), (1, 4, 6), (5, 4, 6)])
def test_an_array_is_a_picture_or_one_per_frame(shape):
    array = np.random.default_rng(0).random(shape)
    weights = read_map("edge", array, 5)
    assert np.array_equal(weights, array.astype(np.float32).reshape(-1, 4, 6))


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (np.array([[0, 51, 255]], np.uint8), [0.0, 0.2, 1.0]),
        (np.array([[False, True]]), [0.0, 1.0]),
        (np.array([[0.5, 1.0]], np.float16), [0.5, 1.0]),
    ],
)
def test_bytes_booleans_and_floats_are_taken(array, wanted):
    weights = read_map("edge", array, 1)
    assert weights.dtype == np.float32
    assert weights.flatten().tolist() == pytest.approx(wanted)


def test_a_rounding_error_above_one_is_cut():
    weights = read_map("edge", np.array([[1.0 + 5e-6]]), 1)
    assert weights.item() == 1.0


def test_an_npy_file(tmp_path):
    array = np.random.default_rng(0).random((5, 4, 6), np.float32)
    np.save(tmp_path / "map.npy", array)
    assert np.array_equal(read_map("edge", str(tmp_path / "map.npy"), 5), array)


def test_a_png_is_read_as_luma(tmp_path):
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[0], picture[1], picture[2] = 255, (255, 0, 0), (0, 255, 0)
    video.write_png(tmp_path / "map.png", picture)
    weights = read_map("edge", str(tmp_path / "map.png"), 30)
    assert weights.shape == (1, 4, 6)
    assert weights[0, :, 0].tolist() == pytest.approx([1.0, 0.299, 0.587, 0.0])
    assert weights.max() <= 1.0


def test_a_video_has_one_map_per_frame(tmp_path):
    levels = np.array([0, 128, 255], np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (3, 16, 16, 3))
    video.write(tmp_path / "map.mp4", frames, Fraction(24))
    weights = read_map("edge", str(tmp_path / "map.mp4"), 3)
    assert weights.shape == (3, 16, 16)
    assert weights.mean(axis=(1, 2)).tolist() == pytest.approx([0, 0.5, 1], abs=0.01)
    assert weights.min() >= 0.0
    assert weights.max() <= 1.0


def test_only_zero_everywhere_is_dead():
    assert is_dead(read_map("edge", 0, 9))
    assert is_dead(np.zeros((9, 4, 4), np.float32))
    almost = np.zeros((9, 4, 4), np.float32)
    almost[8, 3, 3] = 1e-6
    assert not is_dead(almost)


# --- refusals ----------------------------------------------------------------


@pytest.mark.parametrize("frames", [2, 4, 6])
def test_a_map_of_another_length_is_refused(frames):
    with pytest.raises(
        WorldweaveError,
        match=f"map of 'edge' has {frames} frames but the video has 5; "
        "give one map per frame or a single image",
    ):
        read_map("edge", np.zeros((frames, 4, 4)), 5)


@pytest.mark.parametrize("shape", [(), (3,), (1, 4, 4, 3), (0, 4, 4), (4, 0)])
def test_a_map_of_another_shape_is_refused(shape):
    with pytest.raises(WorldweaveError, match=r"give \(H, W\) or \(T, H, W\)"):
        read_map("edge", np.zeros(shape), 1)


@pytest.mark.parametrize("kind", [np.int64, np.uint16, np.complex64, object])
def test_a_map_of_another_dtype_is_refused(kind):
    with pytest.raises(WorldweaveError, match=r"floats in 0..1 or uint8 in 0..255"):
        read_map("edge", np.zeros((4, 4), kind), 1)


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan"), float("inf"), 255.0])
def test_weights_outside_0_to_1_are_refused(bad):
    array = np.full((4, 4), 0.5)
    array[2, 1] = bad
    with pytest.raises(WorldweaveError, match=r"holds values from .* lie in 0..1"):
        read_map("edge", array, 1)


def test_a_broken_npy_file_is_refused(tmp_path):
    path = tmp_path / "map.npy"
    np.save(path, np.zeros((5, 40, 60)))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WorldweaveError, match=r"map of 'edge': .*map\.npy cannot be"):
        read_map("edge", str(path), 5)


def test_an_npy_file_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "map.npy"
    np.save(path, np.array([[print]], dtype=object), allow_pickle=True)
    with pytest.raises(WorldweaveError, match="cannot be read"):
        read_map("edge", str(path), 1)


@pytest.mark.parametrize("name", ["map.npy", "map.png", "map.mp4"])
def test_a_missing_file_is_refused(tmp_path, name):
    with pytest.raises(WorldweaveError, match=name):
        read_map("edge", str(tmp_path / name), 1)


def test_a_file_that_is_no_picture_is_refused(tmp_path):
    path = tmp_path / "map.png"
    path.write_text("nothing to see")
    with pytest.raises(WorldweaveError, match=r"map\.png"):
        read_map("edge", str(path), 1)
