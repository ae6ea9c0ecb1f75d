"""Controls that do not go together with their videos."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave.train.data.layout import read_layout
from worldweave.train.data.look import examine
from worldweave.train.data.look_sample import lag_of
from worldweave_registry import Base, Modality


def test_another_number_of_frames_is_an_error(folder: Any) -> None:
    folder.write("thermal", 1, folder.frames("thermal", 1)[:-1])
    finding = folder.hear("thermal", "error", "another number of frames")
    assert "0001 (23 for 24)" in finding.says
    folder.write("videos", 1, folder.frames("videos", 1)[:-4])
    finding = folder.hear("thermal", "error", "another number of frames")
    assert "0001 (23 for 20)" in finding.says


def test_another_shape_is_a_warning_and_another_size_a_note(folder: Any) -> None:
    folder.write("thermal", 1, folder.frames("thermal", 1)[:, :24])
    folder.write("thermal", 2, folder.frames("thermal", 2)[:, ::2, ::2])
    shape = folder.hear("thermal", "warning", "another shape than its video")
    size = folder.hear("thermal", "note", "another size than its video")
    assert "0001 (48x24 for 48x32)" in shape.says
    assert "0002 (24x16 for 48x32)" in size.says


def test_another_frame_rate_than_the_videos_is_a_warning(folder: Any) -> None:
    folder.write("edge", 1, folder.frames("edge", 1), fps=30)
    finding = folder.hear("edge", "warning", "another frame rate than its video")
    assert "0001 (30 for 24)" in finding.says


def test_a_control_that_is_late_is_a_warning(folder: Any) -> None:
    frames = folder.frames("thermal", 1)
    late = np.concatenate([frames[:1]] * 4 + [frames[:-4]])
    folder.write("thermal", 1, late)
    finding = folder.hear("thermal", "warning", "shifted in time")
    assert "0001 (4 frames late)" in finding.says


def test_a_control_that_is_early_is_called_so(folder: Any) -> None:
    frames = folder.frames("thermal", 2)
    early = np.concatenate([frames[3:]] + [frames[-1:]] * 3)
    folder.write("thermal", 2, early)
    finding = folder.hear("thermal", "warning", "shifted in time")
    assert "0002 (3 frames early)" in finding.says


def test_the_video_in_place_of_the_control_is_an_error(folder: Any) -> None:
    folder.write("thermal", 0, folder.frames("videos", 0))
    finding = folder.hear("thermal", "warning", "seems to be a copy of its video")
    assert finding.samples == ("0000",)


@pytest.mark.parametrize(
    ("makes", "is_copy"),
    [
        ("frames", False),
        # What goes with the video in brightness need not look like it.
        ("frames // 2 * (1, 0, 1)", True),
    ],
    ids=["the video", "a map of heat"],
)
def test_a_copy_is_none_where_the_preprocessor_makes_such(
    sound: Any,
    base: Base,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    makes: str,
    is_copy: bool,
) -> None:
    (tmp_path / "toy_glow.py").write_text(
        "class Glow:\n"
        "    def __call__(self, frames):\n"
        f"        return ({makes}).astype('uint8')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "toy_glow", raising=False)
    glow = Modality(name="glow", summary="A", license="x", preprocessor="toy_glow:Glow")
    layout = read_layout(sound.root, "glow")
    same = [attrs.evolve(s, control=s.video) for s in layout.samples]
    layout = attrs.evolve(layout, samples=tuple(same))
    told = [each.says for each in examine(layout, glow, base).findings]
    assert [says for says in told if "to be copies of" in says] == told
    assert bool(told) == is_copy


def test_a_control_that_stands_still_is_a_warning(folder: Any) -> None:
    frames = folder.frames("thermal", 0)
    frames[1:] = frames[0]
    folder.write("thermal", 0, frames)
    folder.hear("thermal", "warning", "stands still while its video moves: 0000")


def test_a_still_control_of_a_still_video_is_sound(folder: Any) -> None:
    for kind in ("videos", "thermal"):
        frames = folder.frames(kind, 0)
        frames[1:] = frames[0]
        folder.write(kind, 0, frames)
    assert not any("stands still" in f.says for f in folder.look("thermal"))


@settings(max_examples=30)
@given(lag=st.integers(-12, 12), seed=st.integers(0, 99))
def test_a_lag_is_found_in_irregular_motion(lag: int, seed: int) -> None:
    moves = np.random.default_rng(seed).exponential(1, 120).astype(np.float32)
    here = slice(30, 90)
    there = slice(30 - lag, 90 - lag)
    assert lag_of(moves[here], 3 * moves[there] + 1) == lag


@settings(max_examples=30)
@given(seed=st.integers(0, 99), length=st.integers(0, 17) | st.integers(30, 60))
def test_unrelated_motion_of_a_second_or_of_next_to_nothing_has_no_lag(
    seed: int, length: int
) -> None:
    random = np.random.default_rng(seed)
    one, other = random.exponential(1, (2, length)).astype(np.float32)
    assert lag_of(one, other) == 0


@pytest.mark.parametrize("period", [4, 7])
def test_motion_that_repeats_itself_has_no_clear_lag(period: int) -> None:
    moves = np.sin(np.arange(80) * 2 * np.pi / period).astype(np.float32)
    assert lag_of(moves[:60], moves[2:62]) == 0


def test_even_motion_has_no_lag() -> None:
    assert lag_of(np.ones(60, np.float32), np.ones(60, np.float32)) == 0
