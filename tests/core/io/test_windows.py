"""Any frames of a file can be read, and they are exactly those asked for."""

import re
from fractions import Fraction

import cv2
import numpy as np
import pytest

from worldweave.io import video
from worldweave.io.windows import Film
from worldweave_registry.errors import WorldweaveError

FRAMES = 20


def numbered(frames=FRAMES, size=(32, 48)):
    """Frames whose level is their number: 10, 20, ... of grey."""
    levels = 10 + 10 * np.arange(frames, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (frames, *size, 3)).copy()


def numbers(frames):
    return ((frames.mean(axis=(1, 2, 3)) - 10) / 10).round().astype(int).tolist()


KINDS = {
    "mp4": ("a.mp4", "libx264", {}),
    "fragments": ("b.mp4", "libx264", {"flags": {"movflags": "frag_keyframe"}}),
    "uneven": ("c.mp4", "libx264", {"times": [n * n for n in range(FRAMES)]}),
    "matroska": ("d.mkv", "libx264", {}),
    "webm": ("e.webm", "libvpx-vp9", {}),
    "avi": ("f.avi", "mpeg4", {}),
    "stream": ("g.ts", "libx264", {}),
    "no times": ("h.h264", "libx264", {}),
    "gif": ("i.gif", "gif", {"pixels": "rgb8"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_window_is_what_reading_all_would_give(tmp_path, encode, kind):
    name, codec, more = KINDS[kind]
    path = encode(tmp_path / name, numbered(), codec, **more)
    whole = video.read(path).frames
    film = Film.open(path)
    assert film.frames == len(whole) == FRAMES
    assert film.size == (32, 48)
    for start in (0, 1, 7, 16, 9):
        assert np.array_equal(film.read(start, 4), whole[start : start + 4])
    assert numbers(film.read(0, FRAMES)) == list(range(FRAMES))


@pytest.mark.parametrize("every", [1, 5, 8])
def test_windows_around_key_frames_are_exact(tmp_path, every):
    path = tmp_path / "a.mp4"
    video.write(path, numbered(), Fraction(24), keyframe_every=every)
    film = Film.open(path)
    for start in range(FRAMES - 2):
        assert numbers(film.read(start, 3)) == [start, start + 1, start + 2]


def test_a_window_is_not_reached_by_decoding_all_before_it(tmp_path, monkeypatch):
    path = tmp_path / "a.mp4"
    video.write(path, numbered(), 24, keyframe_every=5)
    film = Film.open(path)
    seen = []
    decoded = video.decoded

    def counted(*arguments):
        for frame in decoded(*arguments):
            seen.append(frame)
            yield frame

    monkeypatch.setattr(video, "decoded", counted)
    film.read(16, 2)
    assert len(seen) <= 2 + 5


def test_an_array_and_an_image_are_films_too(tmp_path):
    frames = numbered(6)
    np.save(tmp_path / "a.npy", frames)
    film = Film.open(tmp_path / "a.npy")
    assert (film.frames, film.size) == (6, (32, 48))
    window = film.read(2, 3)
    assert numbers(window) == [2, 3, 4]
    window[:] = 0
    assert numbers(film.read(2, 3)) == [2, 3, 4]
    cv2.imwrite(str(tmp_path / "a.png"), frames[3])
    image = Film.open(tmp_path / "a.png")
    assert (image.frames, numbers(image.read(0, 1))) == (1, [3])


def test_frames_of_a_window_are_fitted_one_by_one(tmp_path, encode):
    film = Film.open(encode(tmp_path / "a.mp4", numbered(), "libx264"))
    seen = []

    def half(frames):
        seen.append(len(frames))
        return frames[:, ::2, ::2]

    assert film.read(3, 4, half).shape == (4, 16, 24, 3)
    assert seen == [1, 1, 1, 1]


@pytest.mark.parametrize(("start", "count"), [(-1, 2), (19, 2), (0, 21), (3, 0)])
def test_frames_a_film_does_not_have_are_refused(tmp_path, encode, start, count):
    film = Film.open(encode(tmp_path / "a.mp4", numbered(), "libx264"))
    with pytest.raises(ValueError, match=r"a\.mp4 are wanted, and it has 20"):
        film.read(start, count)


def test_a_file_that_is_cut_short_is_no_film(tmp_path, encode):
    path = encode(
        tmp_path / "a.mp4", numbered(), "libx264", flags={"movflags": "+faststart"}
    )
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(WorldweaveError, match=re.escape("a.mp4")):
        Film.open(path)


def test_a_file_that_changes_meanwhile_is_told(tmp_path, encode):
    path = encode(tmp_path / "a.mp4", numbered(), "libx264")
    film = Film.open(path)
    encode(path, numbered(8), "libx264")
    with pytest.raises(
        WorldweaveError, match=r"has no frame 10 where it had 20 of 48x32"
    ):
        film.read(10, 4)
    encode(path, numbered(size=(16, 16)), "libx264")
    with pytest.raises(WorldweaveError, match=r"has frames of 16x16 where it had 20"):
        film.read(10, 4)
    path.unlink()
    with pytest.raises(WorldweaveError, match=r"^there is no file .*a.mp4; check"):
        film.read(10, 4)
