"""The vis preprocessor blurs as the released presets say."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave_plugins.vis.preprocess import Blur
from worldweave_registry import WorldweaveError

Frames = npt.NDArray[np.uint8]

STRENGTHS = {
    # name: diameter, sigma of colour and space, smaller before, smaller after
    "none": (1, 1, 1, 1, 1),
    "very_low": (15, 100, 50, 1, 4),
    "low": (15, 100, 50, 4, 4),
    "medium": (30, 150, 100, 2, 10),
    "high": (50, 300, 150, 1, 16),
    "very_high": (50, 300, 150, 4, 16),
}


def noise(length: int, height: int, width: int, seed: int = 0) -> Frames:
    shape = (length, height, width, 3)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def cubic(x: npt.NDArray[np.float64]) -> Any:
    """Keys' cubic with a = -0.5, the one of antialiased resizing."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def matrix(size: int, target: int) -> Any:
    """Weights (target, size) that resize one axis, wider when it shrinks."""
    step = size / target
    middle = (np.arange(target) + 0.5) * step
    apart = (np.arange(size)[None] + 0.5 - middle[:, None]) / max(step, 1)
    weights = cubic(apart)
    return weights / weights.sum(1, keepdims=True)


def bicubic(frame: Frames, height: int, width: int) -> Any:
    rows, columns = matrix(frame.shape[0], height), matrix(frame.shape[1], width)
    scaled = np.einsum("ab,bcx,dc->adx", rows, frame.astype(np.float64), columns)
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def expected_blur(frame: Any, strength: str) -> Frames:
    diameter, color, space, before, after = STRENGTHS[strength]
    height, width = frame.shape[:2]
    if before > 1:
        small = (width // before, height // before)
        frame = cv2.resize(frame, small, interpolation=cv2.INTER_AREA)
    frame = cv2.bilateralFilter(frame, diameter, color, space)
    if before > 1:
        frame = cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
    if after > 1:
        frame = bicubic(frame, int(height / after), int(width / after))
        frame = bicubic(frame, height, width)
    return np.asarray(frame, np.uint8)


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("size", [(64, 96), (67, 93)])
def test_each_strength_blurs_as_its_preset(
    strength: Any, size: tuple[int, int]
) -> None:
    frames = noise(2, *size)
    blurred = Blur(strength=strength)(frames)
    expected = np.stack([expected_blur(frame, strength) for frame in frames])
    # Rounding may fall to the other side after float32 sums.
    assert np.abs(blurred.astype(int) - expected).max() <= 1
    assert (blurred == expected).mean() > 0.99


def test_medium_is_the_default() -> None:
    assert Blur() == Blur(strength="medium")


def test_more_strength_leaves_less_detail() -> None:
    frames = np.stack([cv2.resize(f, (320, 192)) for f in noise(1, 48, 80)])
    detail = [Blur(strength=name)(frames).std() for name in ("none", "low", "medium")]
    assert detail[0] > detail[1] > detail[2] > Blur(strength="very_high")(frames).std()


def test_a_flat_picture_stays_as_it_is() -> None:
    flat = np.full((1, 40, 40, 3), (250, 3, 128), np.uint8)
    np.testing.assert_array_equal(Blur(strength="very_high")(flat), flat)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 99),
    st.sampled_from(sorted(STRENGTHS)),
)
def test_any_size_is_blurred_frame_by_frame(
    length: int, height: int, width: int, seed: int, strength: Any
) -> None:
    frames = noise(length, height, width, seed)
    before = frames.copy()
    blur = Blur(strength=strength)
    blurred = blur(frames)
    assert blurred.shape == frames.shape
    assert blurred.dtype == np.uint8
    np.testing.assert_array_equal(frames, before)
    np.testing.assert_array_equal(blur(frames), blurred)
    alone = np.concatenate([blur(frames[t : t + 1]) for t in range(length)])
    np.testing.assert_array_equal(alone, blurred)
    assert Blur.per_frame


def test_a_view_of_frames_is_as_good_as_a_copy() -> None:
    frames = noise(2, 20, 30)[:, ::-1, ::2]
    np.testing.assert_array_equal(Blur()(frames), Blur()(frames.copy()))


@pytest.mark.parametrize("strength", ["meduim", "", None, 3, {}])
def test_a_strength_that_is_none_of_them_is_refused(strength: Any) -> None:
    with pytest.raises(WorldweaveError, match="choose one of none, very_low, low, med"):
        Blur(strength=strength)
