"""The judge: truth scores best, another clip badly, and what it cannot score."""

from collections.abc import Mapping
from itertools import pairwise

import attrs
import numpy as np
import pytest

from worldweave import Clip, WeightsError, WorldweaveError
from worldweave.base import HELD_OUT, ClipMetric
from worldweave_plugins import tinyworld
from worldweave_plugins.tinyworld.annotator import Annotator, Seen
from worldweave_plugins.tinyworld.clips import clips
from worldweave_plugins.tinyworld.facts import facts
from worldweave_plugins.tinyworld.judge import foreground, metrics, metrics_of
from worldweave_plugins.tinyworld.labels import class_index

KEYS = ("depth", "seg", "hdmap", "lidar", "prompt_time", "prompt_colour")


@pytest.fixture(scope="module")
def judge() -> Mapping[str, ClipMetric]:
    return metrics()


@pytest.fixture(scope="module")
def made() -> list[Clip]:
    return list(clips(HELD_OUT + 700, 8))


@pytest.fixture(scope="module")
def streets(made: list[Clip]) -> list[Clip]:
    streets = [clip for clip in made if clip.truth["lanes"].any()]
    assert len(streets) >= 2
    return streets


@pytest.fixture(scope="module")
def table(made: list[Clip]) -> Clip:
    return next(clip for clip in made if "arm" in facts(clip.prompt).colours)


class Perfect(Annotator):
    """Sees exactly what it was given."""

    def __init__(self, clip: Clip) -> None:
        super().__init__(widths=(8, 8))
        told = facts(clip.prompt)
        self.seen = Seen(
            classes=clip.truth["classes"],
            depth=clip.truth["depth"].clip(0.3, 80.0),
            time=told.time or "",
            paints=told.colours,
        )

    def look(self, video: np.ndarray) -> Seen:
        return self.seen


def test_it_scores_depth_masks_lanes_returns_and_the_prompt(
    judge: Mapping[str, ClipMetric],
) -> None:
    assert tuple(judge) == KEYS
    assert all(metric.name.endswith("_tiny") for metric in judge.values())
    assert all("small network" in metric.summary for metric in judge.values())


@pytest.mark.parametrize("key", KEYS)
def test_a_perfect_eye_gives_the_best_score(key: str, streets: list[Clip]) -> None:
    clip = streets[0]
    metric = metrics_of(Perfect(clip))[key]
    best = 1.0 if metric.higher_is_better else 0.0
    # LiDAR points lie between the centres of pixels.
    assert metric(clip.video, clip) == pytest.approx(best, abs=0.05)


def test_one_scale_for_the_whole_clip_is_free(streets: list[Clip]) -> None:
    clip = streets[0]
    eye = Perfect(clip)
    eye.seen = attrs.evolve(eye.seen, depth=eye.seen.depth * 2)
    made = metrics_of(eye)
    assert made["depth"](clip.video, clip) == pytest.approx(0.0, abs=1e-5)
    assert made["lidar"](clip.video, clip) == pytest.approx(0.0, abs=0.05)


def test_a_line_one_pixel_off_still_counts_in_part(streets: list[Clip]) -> None:
    clip = streets[0]
    eye = Perfect(clip)
    lines = clip.truth["lanes"]
    classes = clip.truth["classes"].copy()
    classes[lines] = class_index("road")
    classes[np.roll(lines, 1, axis=2)] = class_index("line")
    eye.seen = attrs.evolve(eye.seen, classes=classes)
    assert 0.4 < metrics_of(eye)["hdmap"](clip.video, clip) < 1.0


def test_half_of_the_colours_is_half_of_the_score(table: Clip) -> None:
    eye = Perfect(table)
    colours = facts(table.prompt).colours
    eye.seen = attrs.evolve(eye.seen, paints={"arm": colours["arm"]})
    assert metrics_of(eye)["prompt_colour"](table.video, table) == 0.5


@pytest.mark.parametrize("key", ["depth", "seg", "hdmap", "lidar"])
def test_the_truth_scores_better_than_another_clip(
    key: str, judge: Mapping[str, ClipMetric], streets: list[Clip]
) -> None:
    metric = judge[key]
    sign = 1 if metric.higher_is_better else -1
    for clip, other in pairwise(streets):
        assert sign * metric(clip.video, clip) > sign * metric(other.video, clip)


def test_a_clip_without_lines_has_no_lane_score(
    judge: Mapping[str, ClipMetric], table: Clip
) -> None:
    assert np.isnan(judge["hdmap"](table.video, table))


def test_a_prompt_that_names_nothing_has_no_score(
    judge: Mapping[str, ClipMetric], streets: list[Clip]
) -> None:
    clip = attrs.evolve(streets[0], prompt="a street")
    assert np.isnan(judge["prompt_time"](clip.video, clip))
    assert np.isnan(judge["prompt_colour"](clip.video, clip))


def test_a_clip_in_the_sky_has_no_depth_score(
    judge: Mapping[str, ClipMetric], streets: list[Clip]
) -> None:
    nowhere = np.full_like(streets[0].truth["depth"], np.inf)
    lost = np.full_like(streets[0].truth["lidar"], np.nan)
    clip = attrs.evolve(streets[0], truth={"depth": nowhere, "lidar": lost})
    assert np.isnan(judge["depth"](clip.video, clip))
    assert np.isnan(judge["lidar"](clip.video, clip))


@pytest.mark.parametrize(
    ("key", "needs"),
    [("depth", "depth"), ("seg", "classes"), ("hdmap", "lanes"), ("lidar", "lidar")],
)
def test_a_clip_of_unknown_truth_is_refused(
    key: str, needs: str, judge: Mapping[str, ClipMetric], streets: list[Clip]
) -> None:
    clip = attrs.evolve(streets[0], truth={})
    with pytest.raises(WorldweaveError, match=f"needs the truth '{needs}'"):
        judge[key](clip.video, clip)


@pytest.mark.parametrize("key", KEYS)
def test_a_video_of_another_size_is_refused(
    key: str, judge: Mapping[str, ClipMetric], streets: list[Clip]
) -> None:
    with pytest.raises(WorldweaveError, match="bring both to one size and length"):
        judge[key](streets[0].video[:5], streets[0])


def test_the_foreground_is_cars_arms_and_things(made: list[Clip]) -> None:
    for clip in made:
        mask = foreground(clip)
        assert mask.dtype == np.float32
        assert mask.shape == clip.video.shape[:3]
        assert 0.005 < mask.mean() < 0.6
        assert (mask[clip.truth["instances"] > 0] == 1).all()


def test_without_shipped_weights_it_says_how_to_train_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rest = [w for w in tinyworld.WEIGHTS if w.part != "annotator"]
    monkeypatch.setattr(tinyworld, "WEIGHTS", rest)
    with pytest.raises(WeightsError, match="worldweave train annotator"):
        metrics()


def test_damaged_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = [attrs.evolve(w, sha256="0" * 64) for w in tinyworld.WEIGHTS]
    monkeypatch.setattr(tinyworld, "WEIGHTS", damaged)
    with pytest.raises(WeightsError, match=r"annotator\.safetensors"):
        metrics()
