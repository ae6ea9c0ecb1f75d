"""A contact sheet shows every video at the same moments."""

import numpy as np
import pytest

from worldweave.generate.sheet import CAPTION, GAP, TITLE, contact_sheet, titled


def grays(length, height=64, width=96):
    """A video whose frame t is all of the gray level 10 t."""
    levels = np.arange(length, dtype=np.uint8) * 10
    return np.broadcast_to(levels[:, None, None, None], (length, height, width, 3))


def moments(sheet, columns, height, width):
    """Return the gray level in the middle of each cell, column by column."""
    rows = (sheet.shape[0] - CAPTION - GAP) // (height + GAP)
    return [
        [
            int(
                sheet[
                    CAPTION + GAP + row * (height + GAP) + height // 2,
                    column * (width + GAP) + width // 2,
                    0,
                ]
            )
            for row in range(rows)
        ]
        for column in range(columns)
    ]


def test_small_videos_are_enlarged_and_shown_from_first_to_last():
    sheet = contact_sheet({"one": grays(10), "two": 255 - grays(10)})
    assert sheet.dtype == np.uint8
    assert sheet.shape == (CAPTION + GAP + 4 * (128 + GAP), 2 * (192 + GAP), 3)
    shown = [0, 30, 60, 90]
    assert moments(sheet, 2, 128, 192) == [shown, [255 - level for level in shown]]


def test_large_videos_keep_their_size():
    sheet = contact_sheet({"one": grays(2, 200, 300)}, moments=2)
    assert sheet.shape == (CAPTION + GAP + 2 * (200 + GAP), 300 + GAP, 3)


@pytest.mark.parametrize(
    ("length", "asked", "shown"),
    [(1, 4, [0]), (3, 4, [0, 10, 20]), (9, 1, [0]), (10, 2, [0, 90])],
)
def test_a_short_video_is_not_repeated(length, asked, shown):
    sheet = contact_sheet({"one": grays(length)}, moments=asked)
    assert moments(sheet, 1, 128, 192) == [shown]


def test_every_column_has_its_own_caption():
    same = grays(1)
    captions = contact_sheet({"one": same, "another": same})[:CAPTION]
    left, right = captions[:, :196], captions[:, 196:]
    assert (left < 128).any()
    assert (right < 128).sum() > (left < 128).sum()
    assert (captions[:, 192:196] == 255).all()


def test_what_stands_above_a_column_is_its_middle_frame_and_blank_where_there_is_none():
    videos = {"one": grays(9), "two": grays(9)}
    sheet = contact_sheet(videos, moments=3, above={"two": 255 - grays(9)})
    assert moments(sheet, 2, 128, 192) == [[255, 0, 40, 80], [215, 0, 40, 80]]


def test_a_title_stands_over_the_whole_sheet():
    sheet = contact_sheet({"one": grays(1)})
    whole = titled(sheet, "a street")
    np.testing.assert_array_equal(whole[TITLE:], sheet)
    assert (whole[:TITLE] < 128).any()
