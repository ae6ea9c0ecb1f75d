"""Captions that cannot be read or say nothing."""

from __future__ import annotations

from typing import Any


def test_an_empty_caption_is_a_warning(folder: Any) -> None:
    folder.caption(1, " \n")
    folder.hear("seg", "warning", "1 of 4 captions is empty: 0001")


def test_a_caption_that_is_not_utf_8_is_an_error(folder: Any) -> None:
    folder.file("captions", 1).write_bytes("ein grünes Auto".encode("latin-1"))
    finding = folder.hear("seg", "error", "captions cannot be read")
    assert "0001 (not UTF-8 text" in finding.says


def test_a_very_long_caption_is_a_warning(folder: Any) -> None:
    folder.caption(1, "a red car " * 101)
    finding = folder.hear("seg", "warning", "very long")
    assert "0001 (303 words)" in finding.says


def test_several_lines_are_noted(folder: Any) -> None:
    folder.caption(1, "a red car\n\na city\n")
    folder.hear("seg", "note", "several lines: 0001 (2 lines)")


def test_a_file_name_in_a_caption_is_a_warning(folder: Any) -> None:
    folder.caption(1, "0001: a red car")
    folder.caption(2, "clip.mp4")
    finding = folder.hear("seg", "warning", "name of a file")
    assert finding.samples == ("0001", "0002")


def test_words_that_the_base_does_not_know_are_a_warning(folder: Any) -> None:
    folder.caption(1, "a red zeppelin")
    finding = folder.hear("seg", "warning", "toy does not understand: 0001")
    assert "'zeppelin'" in finding.says


def test_one_caption_for_all_is_a_warning(folder: Any) -> None:
    for number in range(4):
        folder.caption(number, "a red car")
    folder.hear("seg", "warning", "all 4 captions are the same: 'a red car'")


def test_a_word_that_is_also_a_file_name_is_no_file_name(folder: Any) -> None:
    for kind in ("videos", "captions", "seg"):
        path = folder.file(kind, 0)
        path.rename(path.with_name(f"car{path.suffix}"))
    assert not any("name of a file" in f.says for f in folder.look("seg"))
