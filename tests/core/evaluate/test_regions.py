"""Regions: grafts onto the truth, and how much seeds differ."""

import numpy as np
import pytest

from worldweave import discover
from worldweave.base import Clip
from worldweave.evaluate.regions import (
    BACKGROUND,
    FOREGROUND,
    foreground_of,
    graft,
    variation,
)
from worldweave_registry import Base, Lazy, PluginError, WorldweaveError

TRUTH = np.zeros((1, 2, 2, 3), np.uint8)
MADE = np.full((1, 2, 2, 3), 51, np.uint8)
MASK = np.array([[[1.0, 0.6], [0.4, 0.0]]], np.float32)


def clip() -> Clip:
    return Clip(video=TRUTH, prompt="")


def base(foreground: str | None) -> Base:
    here = "toy_parts:nothing"
    return Base(
        name="toy",
        summary="A toy",
        license="MIT",
        config=Lazy(here),
        autoencoder=Lazy(here),
        text_encoder=Lazy(here),
        chunk_frames=1,
        sizes=((2, 2),),
        fps=24.0,
        foreground=foreground,
    )


def test_a_graft_is_the_video_in_its_region_and_the_truth_elsewhere() -> None:
    front = graft(MADE, TRUTH, MASK, FOREGROUND)[0, ..., 0]
    behind = graft(MADE, TRUTH, MASK, BACKGROUND)[0, ..., 0]
    assert front.tolist() == [[51, 51], [0, 0]]
    assert behind.tolist() == [[0, 0], [51, 51]]


def test_variation_is_the_mean_difference_of_every_pair() -> None:
    assert variation([TRUTH, MADE], None) == pytest.approx(0.2)
    assert variation([TRUTH, MADE, MADE], None) == pytest.approx(0.4 / 3)
    assert variation([MADE, MADE], None) == 0.0


def test_variation_may_look_at_a_region_alone() -> None:
    other = graft(MADE, TRUTH, MASK, FOREGROUND)
    assert variation([TRUTH, other], MASK >= 0.5) == pytest.approx(0.2)
    assert variation([TRUTH, other], MASK < 0.5) == 0.0
    assert variation([TRUTH, other], np.zeros_like(MASK, bool)) == 0.0


def test_one_video_does_not_vary() -> None:
    assert variation([MADE], None) == 0.0


def test_a_base_tells_the_foreground(tmp_path, monkeypatch) -> None:
    (tmp_path / "toy_front.py").write_text(
        "import numpy as np\n"
        "def left(clip):\n"
        "    mask = np.zeros(clip.video.shape[:3])\n"
        "    mask[..., 0] = 1\n"
        "    return mask\n"
        "def loud(clip):\n"
        "    return left(clip) * 2\n"
        "def flat(clip):\n"
        "    return left(clip)[0]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    mask = foreground_of(base("toy_front:left"), clip())
    assert mask.tolist() == [[[1.0, 0.0], [1.0, 0.0]]]
    with pytest.raises(PluginError, match=r"to 2 for a clip .*report it"):
        foreground_of(base("toy_front:loud"), clip())
    with pytest.raises(PluginError, match=r"gave a mask \(2, 2\)"):
        foreground_of(base("toy_front:flat"), clip())


def test_a_base_that_does_not_know_the_foreground_says_so() -> None:
    with pytest.raises(WorldweaveError, match="cannot tell the foreground"):
        foreground_of(base(None), clip())


def test_the_tiny_world_knows_the_foreground_of_its_clips() -> None:
    tiny = discover().find_base("tiny-world")
    assert tiny.clips is not None
    (made,) = tiny.clips.load()(3, 1)
    assert 0 < foreground_of(tiny, made).mean() < 1
