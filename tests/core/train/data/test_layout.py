"""Which file belongs to which, and what is said of folders arranged otherwise."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave.train.data.layout import (
    CAPTION_ENDINGS,
    CONTROL_ENDINGS,
    VIDEO_ENDINGS,
    modality_folders,
    read_caption,
    read_layout,
)
from worldweave_registry import Problems, WorldweaveError


def lay(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def refusal(root: Path) -> str:
    with pytest.raises(WorldweaveError) as caught:
        read_layout(root, "thermal")
    return str(caught.value)


def test_what_has_one_name_belongs_together(tmp_path: Path) -> None:
    lay(
        tmp_path,
        "videos/b.MOV",
        "videos/drive/0001.mp4",
        "captions/drive/0001.txt",
        "thermal/drive/0001.npy",
        "thermal/b.mkv",
    )
    folder = read_layout(tmp_path, "thermal")
    first, second = folder.samples
    assert (first.name, first.caption) == ("b", None)
    assert first.control == tmp_path / "thermal/b.mkv"
    assert second.name == "drive/0001"
    assert second.caption == tmp_path / "captions/drive/0001.txt"
    assert second.control == tmp_path / "thermal/drive/0001.npy"
    assert folder.orphans == ()


def test_a_dot_within_a_name_is_part_of_it(tmp_path: Path) -> None:
    lay(tmp_path, "videos/a.v2.mp4", "captions/a.v2.txt", "captions/a.txt")
    folder = read_layout(tmp_path, "thermal")
    assert folder.samples[0].name == "a.v2"
    assert folder.samples[0].caption == tmp_path / "captions/a.v2.txt"
    assert folder.orphans == (tmp_path / "captions/a.txt",)


def test_captions_and_controls_may_be_missing_altogether(tmp_path: Path) -> None:
    (sample,) = read_layout(lay(tmp_path, "videos/a.mp4"), "thermal").samples
    assert (sample.caption, sample.control) == (None, None)


def test_what_belongs_to_nothing_is_an_orphan(tmp_path: Path) -> None:
    strange = [
        "captions/a.json",
        "captions/b.txt",
        "loose.mp4",
        "thermal/c.mp4",
        "thermal/frames/1.png",
        "videos/a.txt",
    ]
    lay(tmp_path, "videos/a.mp4", *strange)
    found = read_layout(tmp_path, "thermal").orphans
    assert [p.relative_to(tmp_path).as_posix() for p in found] == strange


def test_what_computers_leave_behind_is_no_orphan(tmp_path: Path) -> None:
    lay(
        tmp_path,
        "videos/a.mp4",
        "videos/a.jpg",
        "videos/.DS_Store",
        "videos/Thumbs.db",
        "videos/.hidden/b.mp4",
        "videos/__MACOSX/b.mp4",
        "videos/README.md",
        "notes.txt",
        "dataset.json",
    )
    folder = read_layout(tmp_path, "thermal")
    assert [sample.name for sample in folder.samples] == ["a"]
    assert folder.orphans == ()


def test_two_files_of_one_name_are_refused_all_at_once(tmp_path: Path) -> None:
    lay(tmp_path, "videos/a.mp4", "videos/a.mkv", "thermal/a.npy", "thermal/a.mp4")
    with pytest.raises(Problems) as caught:
        read_layout(tmp_path, "thermal")
    assert caught.value.problems == (
        f"{tmp_path}/videos/a.mkv and {tmp_path}/videos/a.mp4 have one name; keep one "
        "of them",
        f"{tmp_path}/thermal/a.mp4 and {tmp_path}/thermal/a.npy have one name; keep "
        "one of them",
    )


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("Videos", "videos"),
        ("video", "videos"),
        ("Captions", "captions"),
        ("caption", "captions"),
        ("Thermal", "thermal"),
        ("thermals", "thermal"),
    ],
)
def test_a_folder_with_nearly_the_right_name_is_not_overlooked(
    tmp_path: Path, wrong: str, right: str
) -> None:
    others = {"videos", "captions", "thermal"} - {right}
    lay(tmp_path, *(f"{name}/a.mp4" for name in others), f"{wrong}/a.mp4")
    assert refusal(
        tmp_path
    ) == f"{tmp_path}/{wrong} would not be read; rename it to " + (right)


def test_other_folders_are_nobodys_business(tmp_path: Path) -> None:
    lay(tmp_path, "videos/a.mp4", "depth/a.mp4", "old videos/b.mp4")
    assert len(read_layout(tmp_path, "thermal").samples) == 1
    assert modality_folders(tmp_path) == ("depth", "old videos")


def test_the_videos_folder_itself_is_led_one_up(tmp_path: Path) -> None:
    lay(tmp_path, "videos/a.mp4")
    told = refusal(tmp_path / "videos")
    assert told.endswith(f"give the folder above it, {tmp_path.resolve()}")


def test_videos_without_a_folder_are_told_where_to_go(tmp_path: Path) -> None:
    told = refusal(lay(tmp_path, "a.mp4", "b.mp4"))
    assert told.startswith(
        f"{tmp_path} holds 2 videos itself, such as a.mp4; move them into "
        f"{tmp_path}/videos: a data folder holds videos/NAME.mp4"
    )


def test_a_folder_of_something_else_says_what_is_there(tmp_path: Path) -> None:
    told = refusal(lay(tmp_path, "clips/a.mp4", "data.zip"))
    assert "holds no folder videos, only the folder clips, 1 .zip; a data" in told


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert "only nothing" not in refusal(tmp_path)
    assert f"{tmp_path} is empty; a data folder holds videos/" in refusal(tmp_path)


def test_a_videos_folder_without_videos_says_what_it_holds(tmp_path: Path) -> None:
    told = refusal(lay(tmp_path, "videos/a.png", "videos/b.png", "videos/c.gif"))
    assert told == (
        f"{tmp_path}/videos holds no video, only 2 .png, 1 .gif; put the videos to "
        "train on there, as .mp4, .mov, .mkv, .webm, .avi"
    )


def test_a_missing_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "x") == f"there is no folder {tmp_path}/x; check the path"
    lay(tmp_path, "data.zip")
    assert "is a file, not a folder" in refusal(tmp_path / "data.zip")


def test_a_link_to_a_folder_above_does_not_go_round_for_ever(tmp_path: Path) -> None:
    lay(tmp_path, "videos/a.mp4", "elsewhere/b.mp4")
    os.symlink(tmp_path / "elsewhere", tmp_path / "videos/linked")
    os.symlink(tmp_path / "videos", tmp_path / "videos/round")
    names = [sample.name for sample in read_layout(tmp_path, "thermal").samples]
    assert names == ["a", "linked/b"]


def test_a_caption_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbf a red car \r\n in  a city\n")
    assert read_caption(file) == "a red car in a city"
    assert read_caption(None) == ""


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        (b"gr\xfcn", "is not UTF-8 text; save it again"),
        ("a red car".encode("utf-16"), "is not UTF-8 text; save it again"),
        (b"x\0y", "is not UTF-8 text; save it again"),
        (b"x" * 70_000, "is larger than 65536 bytes, which no prompt is"),
    ],
)
def test_a_caption_that_is_no_text_is_refused(
    tmp_path: Path, stored: bytes, told: str
) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(stored)
    with pytest.raises(WorldweaveError, match=told):
        read_caption(file)


def test_a_caption_that_would_hang_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(WorldweaveError, match="not a regular file"):
        read_caption(tmp_path / "a.txt")


NAMES = ("a", "b", "a b", "0001", "c/a", "c/0001")
SOME = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 9), max_size=5)


@settings(max_examples=40)
@given(videos=SOME.filter(bool), captions=SOME, controls=SOME)
def test_every_file_is_in_one_place_and_none_is_lost(
    videos: dict[str, int], captions: dict[str, int], controls: dict[str, int]
) -> None:
    """Each folder has some of the names, each with some ending it takes."""
    with tempfile.TemporaryDirectory() as made:
        root = Path(made)
        files = {}
        for kind, endings, some in (
            ("videos", VIDEO_ENDINGS, videos),
            ("captions", CAPTION_ENDINGS, captions),
            ("thermal", CONTROL_ENDINGS, controls),
        ):
            files[kind] = {
                name: root / f"{kind}/{name}{endings[number % len(endings)]}"
                for name, number in some.items()
            }
            lay(root, *map(str, files[kind].values()))
        folder = read_layout(root, "thermal")
        assert [sample.name for sample in folder.samples] == sorted(videos)
        for sample in folder.samples:
            assert sample.video == files["videos"][sample.name]
            assert sample.caption == files["captions"].get(sample.name)
            assert sample.control == files["thermal"].get(sample.name)
        lonely = [
            path
            for kind in ("captions", "thermal")
            for name, path in files[kind].items()
            if name not in videos
        ]
        assert list(folder.orphans) == sorted(lonely)
