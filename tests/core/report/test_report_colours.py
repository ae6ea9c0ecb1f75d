"""A colour on a map says its value, and a hue its modality."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from worldweave.report import colours, pictures

GRID = (3, 5)
VALUES = arrays.arrays(np.float32, (2, *GRID), elements=st.floats(0, 1, width=32))


def grey_under(size):
    """Return two frames of a ramp in grey, (2, *size, 3)."""
    row = np.linspace(0, 255, size[1]).astype(np.uint8)
    return np.broadcast_to(row[None, None, :, None], (2, *size, 3)).copy()


def in_lab(colour):
    """Return CIELAB of colours (N, 3) by OpenCV: another formula than ours."""
    lab = cv2.cvtColor(colour[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return lab[0]


def test_the_ramp_rises_evenly_so_that_equal_steps_look_equal():
    lab = in_lab(colours.RAMP[::15])
    steps = np.diff(lab[:, 0])
    assert (steps > 0).all()
    assert steps.max() < 2 * steps.min()
    assert len(np.unique(colours.RAMP, axis=0)) > 250


def test_hues_are_told_apart_by_more_than_one_sense():
    lab = in_lab(colours.HUES)
    for at, one in enumerate(lab):
        for other in lab[at + 1 :]:
            assert np.linalg.norm(one - other) > 20


@given(VALUES)
def test_a_value_can_be_read_back_from_the_colour_of_its_block(values):
    under = grey_under((12, 20))
    frames = np.stack(list(pictures.overlay(values, under)))
    # What is left after the grey is taken away is the colour of the value.
    colour = (frames - (1 - colours.COLOUR_SHARE) * under) / colours.COLOUR_SHARE
    distance = np.abs(colour[..., None, :] - colours.RAMP.astype(float)).max(axis=-1)
    read = distance.argmin(axis=-1) / 255
    expected = values.repeat(4, axis=1).repeat(4, axis=2)
    np.testing.assert_allclose(read, expected, atol=2.5 / 255)
    wanted = colours.RAMP[(expected * 255).round().astype(int)]
    np.testing.assert_allclose(colour, wanted, atol=0.51 / colours.COLOUR_SHARE)


@pytest.mark.parametrize("at", range(3))
def test_a_modality_that_decides_alone_shows_its_own_hue(at):
    maps = [np.zeros((2, *GRID), np.float32) for _ in range(3)]
    maps[at][:] = 1
    black = np.zeros((2, 12, 20, 3), np.uint8)
    frames = np.stack(list(pictures.who_decides(maps, black)))
    expected = (colours.COLOUR_SHARE * colours.hue(at).astype(float)).round()
    assert (frames == expected).all()


def test_where_no_modality_decides_the_picture_is_grey():
    maps = [np.zeros((2, *GRID), np.float32)] * 2
    (frame, _) = pictures.who_decides(maps, grey_under((12, 20)))
    assert np.ptp(frame.astype(int), axis=-1).max() <= 2
    assert (frame[:, 0] == (colours.COLOUR_SHARE * colours.GREY).round()).all()


def test_two_that_share_mix_half_and_half():
    maps = [np.full((1, *GRID), 0.5, np.float32)] * 2
    (frame,) = pictures.who_decides(maps, np.zeros((1, 12, 20, 3), np.uint8))
    both = colours.HUES[:2].astype(float).mean(axis=0)
    np.testing.assert_allclose(frame[0, 0], colours.COLOUR_SHARE * both, atol=0.6)


def test_shares_that_round_to_more_than_one_do_not_turn_the_rest_dark():
    maps = [np.full((1, *GRID), 0.50001, np.float32)] * 2
    (frame,) = pictures.who_decides(maps, np.full((1, 12, 20, 3), 255, np.uint8))
    assert frame.min() > 0.28 * 255


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_a_clip_is_never_shown_wider_than_the_cap_nor_enlarged(height, width):
    frames = np.broadcast_to(np.uint8(0), (1, height, width, 3))
    rows, columns = pictures.shown_size(frames)
    assert columns <= pictures.WIDEST
    assert rows <= pictures.HIGHEST
    if width <= pictures.WIDEST and height <= pictures.HIGHEST:
        assert (rows, columns) == (height, width)
    else:
        assert rows % 2 == columns % 2 == 0
        factor = max(width / pictures.WIDEST, height / pictures.HIGHEST)
        assert abs(rows - height / factor) <= 1 or rows == 2
        assert abs(columns - width / factor) <= 1 or columns == 2


def test_a_source_that_ends_early_stays_at_its_last_frame(clip):
    frames = list(pictures.scaled(clip[:3], (64, 96), 5))
    assert [(frame == clip[at]).all() for at, frame in enumerate(frames[:3])] == [
        True
    ] * 3
    assert (frames[3] == clip[2]).all()
    assert (frames[4] == clip[2]).all()


def test_more_modalities_than_hues_start_again():
    assert (colours.hue(len(colours.HUES)) == colours.hue(0)).all()
    assert colours.in_css(np.array([1, 160, 255], np.uint8)) == "#01a0ff"
