"""Edge F1 counts matching edge pixels."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from worldweave_plugins.edge.metric import EdgeF1
from worldweave_registry import WorldweaveError

Frames = npt.NDArray[np.uint8]


def step(at: int, *, rows: int = 32, length: int = 2) -> Frames:
    """White from column *at* on, in the lower *rows* of 32 rows."""
    frames = np.zeros((length, 32, 48, 3), np.uint8)
    frames[:, 32 - rows :, at:] = 255
    return frames


def scene(seed: int) -> Frames:
    small = np.random.default_rng(seed).integers(0, 256, (3, 8, 12, 3)).astype(np.uint8)
    return np.stack([cv2.resize(frame, (96, 64)) for frame in small])


def test_a_video_matches_itself() -> None:
    assert EdgeF1()(scene(0), scene(0)) == 1.0


def test_other_scenes_match_less_the_smaller_the_tolerance() -> None:
    scores = [EdgeF1(tolerance=t)(scene(0), scene(1)) for t in (0, 1, 3)]
    assert 0 < scores[0] < scores[1] < scores[2] < 1


@pytest.mark.parametrize("tolerance", [0, 1, 2])
@pytest.mark.parametrize("shift", [0, 1, 2, 3])
def test_an_edge_may_move_by_the_tolerance(shift: int, tolerance: int) -> None:
    score = EdgeF1(tolerance=tolerance)(step(20 + shift), step(20))
    assert score == (1.0 if shift <= tolerance else 0.0)


def test_two_videos_without_edges_match() -> None:
    flat = np.full((2, 9, 9, 3), 77, np.uint8)
    assert EdgeF1()(flat, np.zeros_like(flat)) == 1.0


def test_edges_on_one_side_only_do_not_match() -> None:
    flat = np.zeros((2, 32, 48, 3), np.uint8)
    assert EdgeF1()(flat, step(20)) == 0.0
    assert EdgeF1()(step(20), flat) == 0.0


def test_missing_edges_cost_recall_over_all_frames() -> None:
    # Both edges in one frame of two, and only in the reference in the other:
    # precision 1, recall 1/2, F1 2/3.
    video = step(20)
    video[1] = 0
    assert EdgeF1()(video, step(20)) == pytest.approx(2 / 3)
    assert EdgeF1()(step(20), video) == pytest.approx(2 / 3)


def test_the_thresholds_decide_what_an_edge_is() -> None:
    faint = (step(20) // 255 * 25).astype(np.uint8)  # gradient 100
    flat = np.zeros_like(faint)
    assert EdgeF1()(faint, flat) == 1.0
    assert EdgeF1(low=40, high=90)(faint, flat) == 0.0


def test_it_agrees_with_a_count_pixel_by_pixel() -> None:
    video, reference = scene(2), scene(3)
    near, total = [0, 0], [0, 0]
    for one, other in zip(video, reference, strict=True):
        edges = [np.argwhere(cv2.Canny(frame, 60, 140)) for frame in (one, other)]
        apart = np.abs(edges[0][:, None] - edges[1][None]).max(-1)
        for side in (0, 1):
            near[side] += int((apart.min(1 - side) <= 1).sum())
            total[side] += len(edges[side])
    precision, recall = near[0] / total[0], near[1] / total[1]
    expected = 2 * precision * recall / (precision + recall)
    assert EdgeF1()(video, reference) == pytest.approx(expected, abs=1e-12)


def test_it_says_which_way_is_better() -> None:
    assert EdgeF1.higher_is_better
    assert EdgeF1.best == 1.0


def test_videos_of_different_shapes_are_refused() -> None:
    with pytest.raises(WorldweaveError, match=r"\(1, 32, 48, 3\) but .* \(2, 32"):
        EdgeF1()(step(20)[:1], step(20))


@pytest.mark.parametrize("tolerance", [-1, 0.5, True])
def test_a_tolerance_is_whole_pixels(tolerance: Any) -> None:
    with pytest.raises(WorldweaveError, match="give 0 or more pixels"):
        EdgeF1(tolerance=tolerance)


def test_thresholds_the_wrong_way_round_are_refused_at_once() -> None:
    with pytest.raises(WorldweaveError, match="low must not be above high"):
        EdgeF1(low=140, high=60)
