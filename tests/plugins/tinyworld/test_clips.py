"""Clips carry a video, a prompt and exact controls."""

from pathlib import Path

import numpy as np
import pytest

import worldweave_plugins.tinyworld as tinyworld
from worldweave.base import Clip
from worldweave.io import video
from worldweave_plugins.tinyworld.clips import (
    EXAMPLE_SEED,
    clips,
    inverse_depth,
    write_example,
)
from worldweave_plugins.tinyworld.labels import CLASS_COLOURS, CLASSES
from worldweave_plugins.tinyworld.render import render_rgb
from worldweave_plugins.tinyworld.sampling import sample


@pytest.fixture(scope="module")
def made() -> list[Clip]:
    return list(clips(20, 6))


def test_as_many_clips_come_as_were_asked_for(made: list[Clip]) -> None:
    assert len(made) == 6
    assert list(clips(0, 0)) == []


def test_videos_and_controls_share_one_shape(made: list[Clip]) -> None:
    for clip in made:
        assert set(clip.controls) == {"depth", "seg", "hdmap", "lidar"}
        for frames in (clip.video, *clip.controls.values()):
            assert frames.shape == (9, 64, 96, 3)
            assert frames.dtype == np.uint8


def test_clip_n_shows_the_scene_of_seed_n(made: list[Clip]) -> None:
    for number, clip in enumerate(made, start=20):
        assert clip.prompt == sample(number).prompt
        np.testing.assert_array_equal(clip.video, render_rgb(sample(number)))


def test_a_clip_is_the_same_however_many_are_made(made: list[Clip]) -> None:
    alone = next(clips(23, 1))
    np.testing.assert_array_equal(alone.video, made[3].video)
    for name, control in made[3].controls.items():
        np.testing.assert_array_equal(alone.controls[name], control)


def test_the_truth_has_the_documented_shapes(made: list[Clip]) -> None:
    for clip in made:
        truth = {name: (v.dtype.name, v.shape) for name, v in clip.truth.items()}
        returns = truth.pop("lidar")
        assert returns == ("float32", (9, returns[1][1], 3))
        assert truth == {
            "depth": ("float32", (9, 64, 96)),
            "classes": ("uint8", (9, 64, 96)),
            "instances": ("uint8", (9, 64, 96)),
            "lanes": ("bool", (9, 64, 96)),
        }


def test_the_truth_agrees_with_the_controls(made: list[Clip]) -> None:
    for clip in made:
        shown = CLASS_COLOURS[clip.truth["classes"]]
        np.testing.assert_array_equal(shown, clip.controls["seg"])
        is_line = clip.truth["classes"] == CLASSES.index("line")
        np.testing.assert_array_equal(clip.truth["lanes"], is_line)
        farthest = clip.controls["depth"][..., 0] == 0
        assert farthest[np.isinf(clip.truth["depth"])].all()


def test_lanes_are_painted_on_streets_only() -> None:
    for number, clip in enumerate(clips(40, 6), start=40):
        assert clip.truth["lanes"].any() == (sample(number).family == "street")


def test_depth_is_grey_near_is_bright_and_the_whole_range_is_used(
    made: list[Clip],
) -> None:
    for clip in made:
        depth = clip.controls["depth"]
        assert depth.min() == 0
        assert depth.max() == 255
        assert (depth == depth[..., :1]).all()
        # The foot of the picture is the nearest ground.
        assert depth[:, -1].mean() > depth[:, 0].mean()


def test_inverse_depth_falls_with_distance_and_is_zero_in_the_sky() -> None:
    metres = np.array([[[1.0, 2.0, 5.0, 20.0, np.inf]]], dtype=np.float32)
    shown = inverse_depth(metres)[0, 0, :, 0]
    assert shown[0] == 255
    assert shown[-1] == 0
    assert (np.diff(shown.astype(int)) < 0).all()


def test_segmentation_shows_only_class_colours(made: list[Clip]) -> None:
    known = {tuple(colour) for colour in CLASS_COLOURS}
    for clip in made:
        shown = np.unique(clip.controls["seg"].reshape(-1, 3), axis=0)
        assert {tuple(colour) for colour in shown} <= known


def test_the_example_is_a_video_of_33_frames(tmp_path: Path) -> None:
    write_example(tmp_path / "street.mp4")
    example = video.read(tmp_path / "street.mp4")
    assert example.frames.shape == (33, 192, 288, 3)
    assert example.fps == 24
    expected = render_rgb(sample(EXAMPLE_SEED, "street"), size=(192, 288), frames=2)
    assert np.abs(example.frames[:2].astype(int) - expected).mean() < 4


def test_the_shipped_example_shows_what_the_renderer_shows_now() -> None:
    example = video.read(Path(tinyworld.__file__).parent / "example.mp4")
    expected = render_rgb(sample(EXAMPLE_SEED, "street"), size=(192, 288), frames=2)
    assert np.abs(example.frames[:2].astype(int) - expected).mean() < 4
