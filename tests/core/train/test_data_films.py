"""The files of a data folder are opened together, or all that is wrong is told."""

import numpy as np
import pytest

from worldweave.io import video
from worldweave.train.data.films import (
    HELD_OUT,
    fingerprint,
    held_out,
    open_footage,
)
from worldweave.train.data.layout import read_layout
from worldweave_registry import Modality, Problems

LENGTH = 5
COLOURS = np.array([[200, 30, 30], [20, 180, 60]], np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Return what writes a video, its caption and its control into a folder."""
    root = tmp_path / "data"

    def add(name, frames, caption=None, **controls):
        for part, film in {"videos": frames, **controls}.items():
            path = root / part / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            if part == "videos":
                video.write(path.with_suffix(".mp4"), film, 24, crf=0)
            else:
                np.save(path, film)
        if caption is not None:
            path = root / "captions" / f"{name}.txt"
            path.parent.mkdir(exist_ok=True)
            path.write_text(caption)
        return root

    return add


def grey(frames, size=(16, 16), level=100):
    return np.full((frames, *size, 3), level, np.uint8)


def test_a_window_shows_video_and_control_of_the_same_frames(base, folder, modality):
    levels = np.arange(20, 200, 10, dtype=np.uint8)
    film = np.broadcast_to(levels[:, None, None, None], (18, 16, 16, 3))
    root = folder("a", film, "aei", place=255 - film)
    place = modality("place")
    (one,) = open_footage(read_layout(root, "place"), place, base.description)
    for start in (0, 7, 13):
        clip = one.window(start, LENGTH, place)
        seen = clip.video.mean(axis=(1, 2, 3))
        wanted = levels[start : start + LENGTH]
        assert np.abs(seen - wanted).max() < 3
        control = clip.controls["place"].mean(axis=(1, 2, 3))
        assert control.tolist() == (255 - wanted).tolist()
        assert clip.prompt == "aei"


def test_a_video_without_a_caption_has_the_empty_prompt(base, folder, modality):
    place = modality("place")
    root = folder("a", grey(6))
    (one,) = open_footage(read_layout(root, "place"), place, base.description)
    assert one.window(0, LENGTH, place).prompt == ""
    assert one.window(0, LENGTH, place).controls == {}


@pytest.mark.parametrize("is_label", [True, False])
def test_label_videos_keep_their_colours_and_others_are_smooth(base, folder, is_label):
    stripes = COLOURS[np.arange(50) // 7 % 2]
    control = np.broadcast_to(stripes, (6, 40, 50, 3))
    classes = Modality(
        name="classes",
        summary="A",
        license="MIT",
        preprocessor=None,
        is_label_video=is_label,
    )
    root = folder("a", grey(6, (40, 50)), classes=control)
    (one,) = open_footage(read_layout(root, "classes"), classes, base.description)
    shown = one.window(1, LENGTH, classes).controls["classes"]
    assert shown.shape == (LENGTH, 16, 16, 3)
    colours = {tuple(colour) for colour in shown.reshape(-1, 3).tolist()}
    if is_label:
        assert colours == {tuple(colour) for colour in COLOURS.tolist()}
    else:
        assert len(colours) > 2


def test_all_that_cannot_be_trained_on_is_told_at_once(base, folder):
    odd = Modality(name="odd", summary="A", license="MIT", preprocessor=None)
    folder("short", grey(3), odd=grey(3))
    folder("alone", grey(6))
    folder("late", grey(6), odd=grey(5))
    root = folder("fine", grey(6), odd=grey(6))
    (root / "videos" / "words.mp4").write_text("no video")
    with pytest.raises(Problems) as caught:
        open_footage(read_layout(root, "odd"), odd, base.description)
    lines = [line.replace(f"{root}/", "") for line in caught.value.problems]
    assert lines[:3] == [
        "videos/alone.mp4 has no control and 'odd' has no preprocessor to make one; "
        "add odd/alone.mp4 or remove the video",
        "odd/late.npy has 5 frames but videos/late.mp4 has 6; give a control for "
        "every frame",
        "videos/short.mp4 has 3 frames and base 'toy' makes 5 at once; give a longer "
        "video or remove it",
    ]
    assert len(lines) == 4
    assert "words.mp4" in lines[3]


def test_some_are_held_out_by_name_alone():
    names = [f"video-{n}" for n in range(2000)]
    watched = held_out(names)
    assert 0.5 * HELD_OUT < len(watched) / len(names) < 2 * HELD_OUT
    fewer = held_out(names[:1000])
    assert set(fewer) == set(watched) & set(names[:1000])
    assert set(held_out(names[::-1])) == set(watched)


def test_one_of_two_is_held_out_and_none_of_one():
    assert held_out([]) == held_out(["a"]) == ()
    for pair in ("ab", "cd", "ef", "gh"):
        assert len(held_out(list(pair))) == 1
        assert held_out(list(pair)) == held_out(list(pair[::-1]))
    both = [
        n for n in map(str, range(200)) if n in held_out(list(map(str, range(200))))
    ]
    assert len(both) >= 2
    assert len(held_out(both)) == len(both) - 1


def test_other_files_have_another_fingerprint(folder):
    def now():
        return fingerprint(read_layout(root, "place"))

    root = folder("a", grey(6), "one")
    first = now()
    assert now() == first
    (root / "captions" / "a.txt").write_text("three")
    second = now()
    folder("a", grey(6), place=grey(6))
    third = now()
    (root / "videos" / "a.mp4").rename(root / "videos" / "b.mp4")
    assert len({first, second, third, now()}) == 4
