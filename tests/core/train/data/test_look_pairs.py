"""Captions and controls that are missing, and files that belong to nothing."""

from __future__ import annotations

from typing import Any


def test_videos_without_a_caption_are_named(folder: Any) -> None:
    folder.file("captions", 1).unlink()
    folder.file("captions", 3).unlink()
    finding = folder.hear("thermal", "warning", "no caption")
    assert finding.says.startswith("2 of 4 videos have no caption: 0001, 0003.")
    assert finding.samples == ("0001", "0003")
    assert "captions/0001.txt" in finding.mend


def test_a_missing_control_that_nothing_can_make_is_an_error(folder: Any) -> None:
    folder.file("thermal", 2).unlink()
    finding = folder.hear("thermal", "error", "has no control: 0002")
    assert "cannot be made from a video" in finding.says


def test_controls_that_the_preprocessor_makes_are_only_noted(folder: Any) -> None:
    for number in range(4):
        folder.file("edge", number).unlink()
    finding = folder.hear("edge", "note", "all 4 videos have no control")
    assert "makes them from the videos with the preprocessor" in finding.says


def test_some_given_and_some_made_controls_are_a_warning(folder: Any) -> None:
    folder.file("edge", 2).unlink()
    finding = folder.hear("edge", "warning", "has no control: 0002")
    assert "may look different" in finding.says


def test_a_caption_and_a_control_without_video_get_a_guess(folder: Any) -> None:
    folder.file("captions", 0).rename(folder.root / "captions" / "0000.mp4.txt")
    folder.file("thermal", 3).rename(folder.root / "thermal" / "0003_thermal.npy")
    caption = folder.hear("thermal", "warning", "1 caption belongs to no video")
    control = folder.hear("thermal", "warning", "1 control belongs to no video")
    assert "captions/0000.mp4.txt (meant for 0000?)" in caption.says
    assert "thermal/0003_thermal.npy (meant for 0003?)" in control.says


def test_a_misspelt_name_gets_the_nearest(folder: Any) -> None:
    path = folder.file("videos", 0)
    path.rename(path.with_name("street_in_rain.mp4"))
    path = folder.file("thermal", 0)
    path.rename(path.with_name("stret_in_rain.npy"))
    finding = folder.hear("thermal", "warning", "control belongs to no video")
    assert "(meant for street_in_rain?)" in finding.says


def test_captions_among_the_videos_are_told_where_to_go(folder: Any) -> None:
    (folder.root / "videos" / "0000.txt").write_text("a red car")
    finding = folder.hear("thermal", "warning", "kind that is not read there")
    assert "1 .txt" in finding.says
    assert finding.mend == "move the .txt files into captions/"


def test_pictures_in_place_of_videos_are_told(folder: Any) -> None:
    (folder.root / "thermal" / "0009").mkdir()
    for number in range(4):
        (folder.root / "thermal" / "0009" / f"{number}.png").touch()
    finding = folder.hear("thermal", "warning", "kind that is not read there")
    assert finding.says.startswith("4 files of a kind that is not read there (4 .png)")
    assert "only .mp4, .mov, .mkv, .webm, .avi, .npy is read" in finding.says


def test_a_video_beside_the_folders_is_told(folder: Any) -> None:
    folder.file("videos", 3).rename(folder.root / "0003.mp4")
    finding = folder.hear("thermal", "warning", "1 video outside of videos/")
    assert "0003.mp4" in finding.says
