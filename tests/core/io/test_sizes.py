"""Sizes, lengths and ranges of frames."""

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave.io.sizes import bucket, fit_length, resize, to_frames, to_unit

OFFICIAL = [(704, 1280), (704, 960), (960, 960), (960, 704), (1280, 704)]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1080, 1920), (704, 1280)),
        ((480, 640), (704, 960)),
        ((500, 512), (960, 960)),
        ((640, 480), (960, 704)),
        ((1920, 1080), (1280, 704)),
        # 1.59 lies between 1.364 and 1.818, nearer to 1.364 by less than 0.01.
        ((100, 159), (704, 960)),
        ((100, 160), (704, 1280)),
        ((1, 5000), (704, 1280)),
    ],
)
def test_the_nearest_shape_wins(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert bucket(size, OFFICIAL) == expected


def test_no_sizes_to_choose_from_is_an_error() -> None:
    with pytest.raises(ValueError, match="names at least one"):
        bucket((1, 1), [])


@pytest.mark.parametrize(
    ("kind", "flag"),
    [
        ("video", cv2.INTER_AREA),
        ("control", cv2.INTER_LINEAR),
        ("labels", cv2.INTER_NEAREST),
    ],
)
@pytest.mark.parametrize("size", [(12, 40), (33, 7)])
def test_each_kind_is_resized_its_own_way(
    kind: Any, flag: int, size: tuple[int, int]
) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 21, 30, 3)).astype(np.uint8)
    before = frames.copy()
    scaled = resize(frames, size, kind)
    expected = [cv2.resize(f, size[::-1], interpolation=flag) for f in frames]
    np.testing.assert_array_equal(scaled, expected)
    np.testing.assert_array_equal(frames, before)


def test_labels_get_no_new_colours() -> None:
    frames = np.random.default_rng(0).choice([3, 90, 200], (2, 9, 9, 1))
    frames = frames.repeat(3, 3).astype(np.uint8)
    assert set(np.unique(resize(frames, (31, 5), "labels"))) <= {3, 90, 200}


def test_a_tail_repeats_the_last_frame() -> None:
    frames = np.arange(3, dtype=np.uint8)[:, None, None, None].repeat(3, 3)
    longer = fit_length(frames, 5)
    assert longer[:, 0, 0, 0].tolist() == [0, 1, 2, 2, 2]
    assert fit_length(frames, 2)[:, 0, 0, 0].tolist() == [0, 1]
    assert fit_length(frames, 3).tolist() == frames.tolist()


def test_nothing_cannot_be_made_longer() -> None:
    with pytest.raises(ValueError, match="5 frames of 0"):
        fit_length(np.zeros((0, 2, 2, 3), np.uint8), 5)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9), st.integers(0, 9))
def test_frames_survive_the_way_to_the_model(t: int, h: int, w: int, seed: int) -> None:
    frames = np.random.default_rng(seed).integers(0, 256, (t, h, w, 3)).astype(np.uint8)
    video = to_unit(frames)
    assert video.shape == (1, 3, t, h, w)
    assert video.dtype == torch.float32
    np.testing.assert_array_equal(to_frames(video), frames)


def test_every_level_survives_and_the_ends_are_exact() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    video = to_unit(levels)
    assert (float(video.min()), float(video.max())) == (-1, 1)
    np.testing.assert_array_equal(to_frames(video), levels)


def test_the_channels_are_not_mixed_with_time() -> None:
    frames = np.zeros((2, 1, 1, 3), np.uint8)
    frames[1, 0, 0] = (0, 255, 0)
    assert to_unit(frames)[0, :, 1, 0, 0].tolist() == [-1, 1, -1]


def test_decoded_values_are_rounded_and_clamped() -> None:
    values = torch.tensor([-3.0, -1 + 2 * 0.6 / 255, 1.7]).view(1, 3, 1, 1, 1)
    assert to_frames(values).flatten().tolist() == [0, 1, 255]
    halves = torch.full((1, 3, 1, 1, 1), 0.5, dtype=torch.bfloat16)
    assert to_frames(halves).flatten().tolist() == [191, 191, 191]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_do_not_become_a_picture(value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        to_frames(torch.full((1, 3, 1, 2, 2), value))


def test_frames_that_are_read_only_or_run_backwards_are_taken() -> None:
    frames = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    right = to_unit(frames[:, ::-1].copy())
    frames.flags.writeable = False
    assert torch.equal(to_unit(frames[:, ::-1]), right)
