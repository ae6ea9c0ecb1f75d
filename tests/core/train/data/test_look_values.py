"""Controls with values or colours that no such control should have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldweave.io import video


def test_values_of_zero_to_one_are_an_error(folder: Any) -> None:
    folder.write("thermal", 1, folder.frames("thermal", 1) // 128)
    finding = folder.hear("thermal", "error", "as good as black")
    assert finding.samples == ("0001",)
    assert "without multiplying by 255" in finding.says
    # Told once: it is no empty control besides.
    assert not any("even colour" in f.says for f in folder.look("thermal"))


def test_one_black_control_is_a_warning(folder: Any) -> None:
    folder.write("thermal", 1, folder.frames("thermal", 1) * 0)
    finding = folder.hear("thermal", "warning", "shows one even colour: 0001 (all 0)")
    assert "tells the branch nothing" in finding.says


@pytest.mark.parametrize("value", [0, 1])
def test_films_that_begin_in_the_dark_are_no_error(folder: Any, value: int) -> None:
    for number in range(4):
        frames = folder.frames("thermal", number)
        frames[:5] = value
        folder.write("thermal", number, frames)
    found = folder.look("thermal", frames=5)
    assert [f.says for f in found if f.severity == "error"] == []


def test_nothing_but_black_controls_are_an_error(folder: Any) -> None:
    for number in range(4):
        folder.write("thermal", number, folder.frames("thermal", number) * 0)
    folder.hear("thermal", "error", "all 4 controls show one even colour")


def test_black_frames_among_others_are_a_warning(folder: Any) -> None:
    frames = folder.frames("thermal", 1)
    frames[7:10] = 0
    folder.write("thermal", 1, frames)
    finding = folder.hear("thermal", "warning", "frames of one even colour")
    assert "0001 (3 of 24 frames)" in finding.says


def test_a_very_dark_control_is_a_warning(folder: Any) -> None:
    folder.write("thermal", 1, folder.frames("thermal", 1) // 10)
    finding = folder.hear("thermal", "warning", "very dark")
    assert "0001 (up to 2" in finding.says


def test_class_numbers_in_place_of_colours_are_told(folder: Any) -> None:
    numbers = folder.frames("seg", 1)[..., :1] // 64
    folder.write("seg", 1, np.repeat(numbers * 3, 3, axis=3))
    finding = folder.hear("seg", "warning", "very dark")
    assert "numbers of classes" in finding.says


def test_a_nearly_white_control_is_a_warning(folder: Any) -> None:
    frames = np.full_like(folder.frames("thermal", 1), 255)
    frames[:, :3, :3] = np.arange(24)[:, None, None, None]
    folder.write("thermal", 1, frames)
    finding = folder.hear("thermal", "warning", "nearly all white")
    assert "0001 (99%)" in finding.says


def test_video_range_is_a_warning(folder: Any) -> None:
    frames = folder.frames("thermal", 1).astype(float)
    stretched = (frames - 20) / 235 * 255
    folder.write("thermal", 1, (16 + stretched.clip(0, 255) * 219 / 255).astype("u1"))
    finding = folder.hear("thermal", "warning", "only the values 16 to 235")
    assert finding.samples == ("0001",)


def test_a_coloured_control_where_gray_is_made_is_a_warning(folder: Any) -> None:
    frames = folder.frames("edge", 1)
    frames[..., 0] //= 4
    folder.write("edge", 1, frames)
    finding = folder.hear("edge", "warning", "is coloured: 0001")
    assert "red, green and blue differ by" in finding.says


def test_a_gray_control_where_colour_is_made_is_a_warning(
    folder: Any, monkeypatch: Any
) -> None:
    from worldweave_plugins.edge.preprocess import Canny

    draw = Canny.__call__
    monkeypatch.setattr(
        Canny,
        "__call__",
        lambda self, frames: draw(self, frames) * np.array([1, 0, 0], np.uint8),
    )
    folder.hear("edge", "warning", "all 4 controls are gray")


def test_labels_in_a_lossy_file_are_a_warning(folder: Any) -> None:
    frames = folder.frames("seg", 1)
    folder.file("seg", 1).unlink()
    noise = np.random.default_rng(0).integers(-3, 4, frames.shape)
    blurred = (frames + noise).clip(0, 255).astype(np.uint8)
    video.write(folder.root / "seg" / "0001.mp4", blurred, 24)
    finding = folder.hear("seg", "warning", "far more colours than classes")
    assert finding.samples == ("0001",)
    assert ".npy" in finding.mend


def test_the_colours_of_labels_are_counted(sound: Any) -> None:
    finding = sound.hear("seg", "note", "3 colours in 4 files")
    for colour in ("#4682b4", "#804080", "#00008e"):
        assert colour in finding.says


def test_colours_of_one_file_alone_are_a_warning(folder: Any) -> None:
    frames = folder.frames("seg", 3)
    frames[:, :16] = (1, 200, 3)
    folder.write("seg", 3, frames)
    finding = folder.hear("seg", "warning", "colours that no other file has")
    assert "0003 (1 colour, 50% of the picture)" in finding.says
