"""What is found in a sound folder, and how findings are put."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from worldweave.train.data.layout import read_layout
from worldweave.train.data.look import examine
from worldweave.train.data.look_finding import Finding, duration, listed, shared
from worldweave_registry import Base, Modality, WorldweaveError


@pytest.mark.parametrize("modality", ["thermal", "edge", "seg"])
def test_a_sound_folder_has_no_errors_and_no_warnings(
    sound: Any, modality: str
) -> None:
    found = sound.look(modality)
    assert [f.says for f in found if f.severity != "note"] == []


def test_the_summary_counts_what_can_be_trained_on(folder: Any, base: Base) -> None:
    folder.file("captions", 0).unlink()
    layout = read_layout(folder.root, "thermal")
    found = examine(layout, _thermal(), base)
    # 4 videos of 24 frames: 20 starts of 5 frames in each.
    assert found.summary() == (
        "4 videos, 4.0 s, 80 windows of 5 frames, 3 captions, 4 controls of thermal"
    )


def test_errors_come_first_then_warnings_then_notes(folder: Any) -> None:
    folder.file("captions", 0).unlink()
    folder.file("thermal", 1).unlink()
    order = [finding.severity for finding in folder.look("thermal")]
    assert order == sorted(order, key=["error", "warning", "note"].index)
    assert set(order) == {"error", "warning", "note"}


def test_every_finding_says_what_to_do_unless_it_is_a_note(folder: Any) -> None:
    folder.file("captions", 0).unlink()
    folder.file("captions", 1).write_bytes(b"\xff\xfe\x00")
    folder.file("videos", 2).write_bytes(b"")
    folder.write("thermal", 3, 255 - folder.frames("thermal", 3))
    found = folder.look("thermal")
    assert len(found) > 4
    assert all(each.mend for each in found if each.severity != "note")
    assert all(each.says.endswith((".", ")")) for each in found)


def test_looking_at_few_frames_is_told_and_sees_no_further(folder: Any) -> None:
    frames = folder.frames("thermal", 0)
    frames[20:] = 0
    folder.write("thermal", 0, frames)
    few = folder.look("thermal", frames=6)
    assert any("only the first 6 frames" in finding.says for finding in few)
    assert not any("one even colour" in finding.says for finding in few)
    assert "4 of 24 frames" in folder.hear("thermal", "warning", "even colour").says


def test_few_frames_leave_the_windows_what_they_are(sound: Any, base: Base) -> None:
    layout = read_layout(sound.root, "thermal")
    found = examine(layout, _thermal(), base, frames=6)
    assert found.windows == 80
    assert not found.of("error")


def test_what_is_inverted_shows_in_few_frames(folder: Any) -> None:
    folder.write("edge", 1, 255 - folder.frames("edge", 1))
    found = folder.look("edge", frames=3)
    assert any("is inverted: 0001" in finding.says for finding in found)


def test_no_frames_to_look_at_is_refused(sound: Any) -> None:
    with pytest.raises(WorldweaveError, match="frames is 0; look at one frame"):
        sound.look("thermal", frames=0)


def test_progress_names_each_sample_when_it_is_done(sound: Any, base: Base) -> None:
    told: list[tuple[int, int, str]] = []
    layout = read_layout(sound.root, "thermal")
    examine(layout, _thermal(), base, frames=1, progress=lambda *now: told.append(now))
    assert told == [(n + 1, 4, f"000{n}") for n in range(4)]


def test_a_preprocessor_that_cannot_be_loaded_is_told(sound: Any, base: Base) -> None:
    layout = read_layout(sound.root, "edge")
    broken = Modality(
        name="edge", summary="x", license="x", preprocessor="no_such_package:Edge"
    )
    (finding,) = examine(layout, broken, base).findings
    assert finding.severity == "note"
    assert "nobody looked whether they are inverted" in finding.says
    assert "no_such_package" in finding.says


def test_the_only_video_and_all_videos_are_called_so() -> None:
    def said(names: list[str], total: int) -> str:
        (finding,) = shared(
            "note", ".", names, total, "video", ("is odd", "are odd"), "Why.", ""
        )
        return finding.says

    assert said(["a"], 1) == "the only video is odd: a. Why."
    assert said(["a", "b"], 2) == "all 2 videos are odd: a, b. Why."
    assert said(["a"], 2) == "1 of 2 videos is odd: a. Why."
    assert said(["a", "b"], 9) == "2 of 9 videos are odd: a, b. Why."


def test_what_holds_for_nobody_is_no_finding() -> None:
    found: list[Finding] = shared("note", ".", [], 3, "video", ("is", "are"), "", "")
    assert found == []


def test_a_long_list_names_three_and_counts_the_rest() -> None:
    assert listed(["a", "b", "c", "d"]) == "a, b, c, d"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert listed({"a": "1 of 2", "b": ""}) == "a (1 of 2), b"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(1.26, "1.3 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7260, "2 h 1 min")],
)
def test_a_duration_is_told_in_few_words(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_the_folder_is_only_read(folder: Any) -> None:
    def state() -> dict[Path, tuple[int, int]]:
        return {
            path: (path.stat().st_mtime_ns, path.stat().st_size)
            for path in folder.root.rglob("*")
        }

    before = state()
    folder.look("edge")
    assert state() == before


def _thermal() -> Modality:
    return Modality(name="thermal", summary="Heat", license="x", preprocessor=None)
