"""Blur SSIM compares what a blur leaves."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from worldweave_plugins.vis.metric import BlurSSIM
from worldweave_plugins.vis.preprocess import Blur
from worldweave_registry import WorldweaveError

Frames = npt.NDArray[np.uint8]


def scene(seed: int, size: tuple[int, int] = (48, 64)) -> Frames:
    small = np.random.default_rng(seed).integers(0, 256, (2, 6, 8, 3)).astype(np.uint8)
    return np.stack([cv2.resize(frame, size[::-1]) for frame in small])


def reference_ssim(one: Frames, other: Frames) -> float:
    """SSIM with an explicit window, straight from the paper's formula."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()

    def local(values: npt.NDArray[np.float64]) -> Any:
        padded = np.pad(values, ((5, 5), (5, 5)), mode="reflect")
        return np.einsum("ijab,ab->ij", sliding_window_view(padded, (11, 11)), weights)

    scores = []
    for channel in range(3):
        x, y = one[..., channel].astype(float), other[..., channel].astype(float)
        mx, my = local(x), local(y)
        vx, vy, c = local(x * x) - mx**2, local(y * y) - my**2, local(x * y) - mx * my
        c1, c2 = 2.55**2, 7.65**2
        scores.append(
            (2 * mx * my + c1) * (2 * c + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
        )
    return float(np.mean(scores))


def test_a_video_matches_itself() -> None:
    assert BlurSSIM()(scene(0), scene(0)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("strength", ["none", "medium"])
def test_it_agrees_with_the_formula(strength: Any) -> None:
    one, other = scene(0), (scene(0) // 2 + scene(1) // 2).astype(np.uint8)
    blur = Blur(strength=strength)
    expected = np.mean(
        [reference_ssim(a, b) for a, b in zip(blur(one), blur(other), strict=True)]
    )
    assert 0.1 < expected < 0.95
    assert BlurSSIM(strength=strength)(one, other) == pytest.approx(expected, abs=1e-9)


def test_detail_below_the_blur_does_not_count() -> None:
    video = np.stack([cv2.resize(frame, (256, 192)) for frame in scene(0)])
    checks = np.indices((192, 256)).sum(0) % 2 * 16
    detailed = np.clip(video.astype(int) + checks[..., None] - 8, 0, 255)
    assert BlurSSIM()(detailed.astype(np.uint8), video) > 0.98


def test_other_light_and_other_scenes_score_lower() -> None:
    video = scene(0)
    darker = (video * 0.7).astype(np.uint8)
    metric = BlurSSIM()
    assert metric(scene(1), video) < metric(darker, video) < 0.99


def test_a_video_smaller_than_the_window_has_a_score() -> None:
    tiny = scene(0, (3, 5))
    assert BlurSSIM()(tiny, tiny) == pytest.approx(1)


def test_it_says_which_way_is_better() -> None:
    assert BlurSSIM.higher_is_better
    assert BlurSSIM.best == 1.0


def test_videos_of_different_shapes_are_refused() -> None:
    with pytest.raises(WorldweaveError, match=r"\(1, 48, 64, 3\) but .* \(2, 48"):
        BlurSSIM()(scene(0)[:1], scene(0))


def test_a_strength_that_is_none_of_them_is_refused_at_once() -> None:
    wrong: Any = "meduim"
    with pytest.raises(WorldweaveError, match="choose one of"):
        BlurSSIM(strength=wrong)
