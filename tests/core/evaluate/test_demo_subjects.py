"""What a demonstration can be about, and what it cannot."""

from pathlib import Path

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldweave.base import HELD_OUT, Clip
from worldweave.evaluate.demo.subjects import (
    ellipse,
    from_clip,
    from_video,
    held_out_clips,
)
from worldweave.io import video as video_io
from worldweave_registry import WorldweaveError, discover


@pytest.fixture(scope="module")
def catalog():
    return discover()


@pytest.fixture(scope="module")
def base(catalog):
    return catalog.find_base("tiny-world")


def some(catalog, *names):
    return [catalog.find(name) for name in names]


@given(st.integers(1, 40), st.integers(1, 40))
def test_the_ellipse_is_one_in_the_middle_and_zero_at_the_border(half_h, half_w):
    height, width = 2 * half_h + 1, 2 * half_w + 1
    mask = ellipse((height, width))
    assert mask.shape == (height, width)
    assert mask.dtype == np.float32
    assert mask.min() >= 0
    assert mask.max() == mask[half_h, half_w] == 1
    np.testing.assert_allclose(mask, mask[::-1, ::-1], atol=1e-5)
    assert mask[0, 0] == mask[0, -1] == 0


def test_the_ellipse_has_a_soft_edge_and_a_fifth_of_the_picture():
    mask = ellipse((64, 96))
    assert ((mask > 0) & (mask < 1)).sum() > 100
    # An ellipse with half the axes has pi / 16 of the area.
    assert mask.mean() == pytest.approx(np.pi / 16, rel=0.05)
    assert not mask[0].any()
    assert not mask[:, 0].any()


def test_clips_are_held_out_and_found_by_number(base):
    clips = held_out_clips(base, [2, 0])
    assert list(clips) == [2, 0]
    (expected,) = base.clips.load()(HELD_OUT + 2, 1)
    np.testing.assert_array_equal(clips[2].video, expected.video)


def test_a_base_without_clips_asks_for_a_video(base):
    with pytest.raises(WorldweaveError, match=r"makes no clips; give a video"):
        held_out_clips(attrs.evolve(base, clips=None), [0])


def test_a_clip_brings_its_own_controls_and_the_rest_is_made_from_it(
    base, catalog, tmp_path
):
    clip = held_out_clips(base, [0])[0]
    subject = from_clip(
        "it", clip, "", base, some(catalog, "depth", "edge", "seg"), tmp_path
    )
    assert list(subject.controls) == ["depth", "edge", "seg"]
    assert subject.controls["seg"] is clip.controls["seg"]
    assert set(np.unique(subject.controls["edge"])) == {0, 255}
    assert subject.foreground.shape == clip.video.shape[:3]
    assert subject.foreground.max() == 1
    assert not list(tmp_path.iterdir())


def test_the_foreground_of_a_strange_base_is_the_ellipse(base, clip):
    subject = from_clip(
        "it",
        Clip(video=clip, prompt=""),
        "",
        attrs.evolve(base, foreground=None),
        [],
        Path("nowhere"),
    )
    np.testing.assert_array_equal(subject.foreground[3], ellipse((64, 96)))
    assert "ellipse" in subject.foreground_from


def test_a_modality_without_a_control_is_left_out_and_named(base, catalog, clip):
    subject = from_clip(
        "it",
        Clip(video=clip, prompt=""),
        "",
        attrs.evolve(base, foreground=None),
        some(catalog, "edge", "seg"),
        Path("nowhere"),
    )
    assert list(subject.controls) == ["edge"]
    assert "no control" in subject.unshown["seg"]


def test_a_video_is_cut_and_brought_to_the_size_of_the_base(base, catalog, tmp_path):
    path = tmp_path / "my.mp4"
    video_io.write(path, np.full((14, 40, 80, 3), 99, np.uint8), 30)
    subject = from_video(path, "a car", base, some(catalog, "vis", "seg"), frames=12)
    assert subject.frames.shape == (12, 64, 96, 3)
    assert subject.seen_size == (40, 80)
    assert subject.fps == 30
    assert subject.controls["vis"].shape == subject.frames.shape
    assert subject.foreground.shape == (12, 64, 96)
    assert list(subject.unshown) == ["seg"]
    assert "my.mp4, its first 12 frames, brought from 80x40 to 96x64" in subject.origin


def test_a_video_shorter_than_a_chunk_is_refused(base, catalog, tmp_path):
    path = tmp_path / "short.mp4"
    video_io.write(path, np.zeros((8, 64, 96, 3), np.uint8), 24)
    with pytest.raises(WorldweaveError, match=r"has 8 frames; .* at least 9 frames"):
        from_video(path, "", base, some(catalog, "vis"), frames=33)


def test_a_picture_is_refused(base, catalog, tmp_path):
    path = tmp_path / "photo.png"
    video_io.write_png(path, np.zeros((64, 96, 3), np.uint8))
    with pytest.raises(WorldweaveError, match=r"photo.png is a single picture"):
        from_video(path, "", base, some(catalog, "vis"), frames=33)


def test_fewer_frames_than_a_chunk_cannot_be_asked_for(base, catalog, source):
    with pytest.raises(WorldweaveError, match=r"frames is 8, but .* makes 9 at once"):
        from_video(source, "", base, some(catalog, "vis"), frames=8)


def test_a_video_nothing_can_be_made_from_says_why(base, catalog, source):
    with pytest.raises(WorldweaveError, match=r"seg: it cannot be made from a video"):
        from_video(source, "", base, some(catalog, "seg"), frames=9)
