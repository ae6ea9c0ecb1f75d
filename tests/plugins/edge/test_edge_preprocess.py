"""The edge preprocessor draws exactly OpenCV's edges."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave_plugins.edge.preprocess import Canny
from worldweave_registry import WorldweaveError

Frames = npt.NDArray[np.uint8]


def noise(length: int, height: int, width: int, seed: int = 0) -> Frames:
    shape = (length, height, width, 3)
    rough = np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)
    return np.stack([cv2.GaussianBlur(frame, (5, 5), 1) for frame in rough])


@pytest.mark.parametrize(
    ("threshold", "low", "high"),
    [
        ("very_low", 20, 50),
        ("low", 50, 100),
        ("medium", 100, 200),
        ("high", 200, 300),
        ("very_high", 300, 400),
    ],
)
def test_each_strength_has_its_thresholds(threshold: Any, low: int, high: int) -> None:
    frames = noise(2, 41, 63)
    edges = Canny(threshold=threshold)(frames)
    for frame, drawn in zip(frames, edges, strict=True):
        expected = cv2.Canny(frame, low, high)
        assert expected.any()
        for channel in range(3):
            np.testing.assert_array_equal(drawn[..., channel], expected)


def test_medium_is_the_default() -> None:
    assert Canny() == Canny(threshold="medium")


def test_explicit_thresholds_replace_the_strength() -> None:
    frames = noise(1, 30, 30)
    edges = Canny(threshold="very_high", low=0, high=77)(frames)
    np.testing.assert_array_equal(edges[0, ..., 0], cv2.Canny(frames[0], 0, 77))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 4),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 99),
    st.sampled_from(["very_low", "medium", "very_high"]),
)
def test_any_size_gives_edges_frame_by_frame(
    length: int, height: int, width: int, seed: int, threshold: Any
) -> None:
    frames = noise(length, height, width, seed)
    before = frames.copy()
    canny = Canny(threshold=threshold)
    edges = canny(frames)
    assert edges.shape == frames.shape
    assert edges.dtype == np.uint8
    assert set(np.unique(edges)) <= {0, 255}
    np.testing.assert_array_equal(frames, before)
    np.testing.assert_array_equal(canny(frames), edges)
    alone = np.concatenate([canny(frames[t : t + 1]) for t in range(length)])
    np.testing.assert_array_equal(alone, edges)
    assert Canny.per_frame


def test_a_view_of_frames_is_as_good_as_a_copy() -> None:
    frames = noise(2, 20, 30)[:, ::-1, ::2]
    np.testing.assert_array_equal(Canny()(frames), Canny()(frames.copy()))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"threshold": "hihg"}, "threshold is 'hihg'; choose one of very_low, low"),
        ({"threshold": None}, "threshold is None; choose one of"),
        ({"threshold": []}, r"threshold is \[\]; choose one of"),
        ({"low": 10}, "low is 10 and high is None; set both"),
        ({"high": 10}, "low is None and high is 10; set both"),
        ({"low": 20, "high": 10}, "low must not be above high"),
        ({"low": -1, "high": 10}, "low is -1; give a whole number from 0 to 2040"),
        ({"low": 1, "high": 2041}, "high is 2041; give a whole number"),
        ({"low": 1.5, "high": 3}, r"low is 1\.5; give a whole number"),
        ({"low": "1", "high": 3}, "low is '1'; give a whole number"),
        ({"low": True, "high": 3}, "low is True; give a whole number"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(WorldweaveError, match=reason):
        Canny(**options)
