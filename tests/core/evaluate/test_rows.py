"""Rows: which modality controls what, and its map."""

import numpy as np
import pytest

from worldweave.evaluate.rows import Row, Share, single, split, together, without, wrong


def test_a_map_that_is_the_same_everywhere_is_a_number() -> None:
    assert Share(foreground=0.5, background=0.5).map(None) == 0.5


def test_a_map_follows_the_foreground() -> None:
    mask = np.array([[[1.0, 0.25, 0.0]]], np.float32)
    values = Share(foreground=1.0, background=0.2).map(mask)
    np.testing.assert_allclose(values, [[[1.0, 0.4, 0.2]]], rtol=1e-6)


def test_a_map_by_region_needs_to_know_the_foreground() -> None:
    with pytest.raises(ValueError, match=r"1\.0 in front and 0\.0 behind"):
        Share(foreground=1.0, background=0.0).map(None)


def test_a_split_shares_each_region_among_its_modalities() -> None:
    row = split(["vis", "edge"], ["depth"])
    assert row.name == "vis + edge in front, depth behind"
    assert row.shares["edge"] == Share(foreground=0.5, background=0.0)
    assert row.shares["depth"] == Share(foreground=0.0, background=1.0)
    assert row.needs_mask


def test_other_rows_need_no_foreground() -> None:
    rows = [single("a"), wrong("a"), together(["a", "b"]), without("a", ["a", "b"])]
    assert not any(row.needs_mask for row in [Row(name="none"), *rows])
    assert [sorted(row.shares) for row in rows] == [["a"], ["a"], ["a", "b"], ["b"]]
    assert [row.is_wrong for row in rows] == [False, True, False, False]
