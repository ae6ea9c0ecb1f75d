"""Every kind of file becomes upright RGB frames, or one line that says why not."""

import os
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

from worldweave.io import video
from worldweave_registry.errors import WorldweaveError

Frames = npt.NDArray[np.uint8]
Encode = Callable[..., Path]


def mean_error(one: Frames, other: Frames) -> float:
    return float(np.abs(one.astype(int) - other).mean())


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "tolerance"),
    [
        ("a.mp4", "libx264", "yuv420p", 3),
        ("a.mov", "mpeg4", "yuv420p", 6),
        ("a.mkv", "ffv1", "bgr0", 0),
        ("a.mkv", "libx264", "yuv444p", 3),
        ("a.webm", "libvpx-vp9", "yuv420p", 3),
        ("a.gif", "gif", "rgb8", 30),
        ("a.avi", "mjpeg", "yuvj420p", 6),
    ],
)
def test_every_usual_kind_is_read(
    tmp_path: Path,
    clouds: Frames,
    encode: Encode,
    name: str,
    codec: str,
    pixels: str,
    tolerance: float,
) -> None:
    path = encode(tmp_path / name, clouds, codec, pixels=pixels)
    read = video.read(path)
    assert read.fps == 10
    assert read.frames.dtype == np.uint8
    assert read.frames.shape == clouds.shape
    assert mean_error(read.frames, clouds) <= tolerance


@pytest.mark.parametrize("size", [(63, 97), (1, 1), (2, 9), (17, 4)])
def test_odd_sizes_are_read_to_the_last_pixel(
    tmp_path: Path, encode: Encode, size: tuple[int, int]
) -> None:
    column = np.linspace(20, 230, size[1])[None, :, None]
    frames = np.broadcast_to(column, (2, *size, 3)).astype(np.uint8)
    path = encode(tmp_path / "a.webm", frames, "libvpx-vp9")
    read = video.read(path).frames
    assert read.shape == frames.shape
    assert mean_error(read[:, -1], frames[:, -1]) < 5
    assert mean_error(read[:, :, -1], frames[:, :, -1]) < 5


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".PNG", ".bmp"])
def test_an_image_is_one_frame(tmp_path: Path, clouds: Frames, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    cv2.imwrite(str(path), clouds[0][..., ::-1])
    read = video.read(path)
    assert read.fps == 24
    assert read.frames.shape == (1, 64, 96, 3)
    assert mean_error(read.frames[0], clouds[0]) < (4 if suffix == ".jpg" else 1e-9)
    assert video.probe(path) == video.Probe(frames=1, size=(64, 96), fps=Fraction(24))


def test_a_photo_is_turned_upright(tmp_path: Path, clouds: Frames) -> None:
    # EXIF orientation 6: the camera was held so that the right side is up.
    exif = struct.pack("<2sHIHHHII", b"II", 42, 8, 1, 0x0112, 3, 1, 6)
    body = b"Exif\0\0" + exif + bytes(4)
    marker = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    plain = cv2.imencode(".jpg", clouds[0][..., ::-1])[1].tobytes()
    (tmp_path / "a.jpg").write_bytes(plain[:2] + marker + plain[2:])
    read = video.read(tmp_path / "a.jpg").frames[0]
    assert mean_error(read, np.rot90(clouds[0], -1)) < 4


def test_an_array_is_read_as_it_is(tmp_path: Path, clouds: Frames) -> None:
    np.save(tmp_path / "a.npy", clouds)
    np.testing.assert_array_equal(video.read(tmp_path / "a.npy").frames, clouds)
    short = video.read(tmp_path / "a.npy", max_frames=2)
    np.testing.assert_array_equal(short.frames, clouds[:2])
    short.frames[:] = 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), clouds)
    assert video.probe(tmp_path / "a.npy").frames == len(clouds)


@pytest.mark.parametrize(
    ("matrix", "quarter_turns"),
    [
        ((1, 0, 0, 1), 0),
        ((0, 1, -1, 0), -1),  # a phone held upright: turn clockwise
        ((-1, 0, 0, -1), 2),
        ((0, -1, 1, 0), 1),
    ],
)
def test_a_phone_video_is_turned_upright(
    tmp_path: Path,
    clouds: Frames,
    encode: Encode,
    matrix: tuple[int, int, int, int],
    quarter_turns: int,
) -> None:
    path = encode(tmp_path / "a.mp4", clouds[:3], "libx264")
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 40
    a, b, c, d = (value << 16 for value in matrix)
    content[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    upright = np.rot90(clouds[:3], quarter_turns, axes=(1, 2))
    read = video.read(path).frames
    assert read.shape == upright.shape
    assert mean_error(read, upright) < 5
    assert video.probe(path).size == upright.shape[1:3]


def test_a_title_in_another_alphabet_is_no_hindrance(
    tmp_path: Path, clouds: Frames, encode: Encode
) -> None:
    path = encode(tmp_path / "a.mp4", clouds, "libx264")
    content = path.read_bytes()
    assert content.count(b"VideoHandler") == 1
    path.write_bytes(content.replace(b"VideoHandler", b"Vid\xe9oHandler"))
    assert len(video.read(path).frames) == 12


def test_sound_is_ignored(tmp_path: Path, clouds: Frames) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        picture = container.add_stream("libx264", rate=8)
        picture.height, picture.width, picture.pix_fmt = 64, 96, "yuv420p"
        noise = np.random.default_rng(0).normal(0, 0.1, (1, 8000)).astype(np.float32)
        tone = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
        tone.sample_rate = 8000
        container.mux(sound.encode(tone))
        for frame in clouds[:4]:
            container.mux(picture.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(picture.encode())
        container.mux(sound.encode())
    read = video.read(path)
    assert read.frames.shape == (4, 64, 96, 3)
    assert read.fps == 8


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        silence = np.zeros((1, 8000), np.float32)
        tone = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        tone.sample_rate = 8000
        container.mux(sound.encode(tone))
        container.mux(sound.encode())
    with pytest.raises(WorldweaveError, match=r"a\.mp4: it has no video stream; give"):
        video.read(path)


def test_the_cover_of_a_song_is_no_video(tmp_path: Path, clouds: Frames) -> None:
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("libmp3lame", rate=8000)
        cover = container.add_stream("png", rate=1)
        cover.height, cover.width, cover.pix_fmt = 64, 96, "rgb24"
        container.mux(cover.encode(av.VideoFrame.from_ndarray(clouds[0])))
        container.mux(cover.encode())
        silence = np.zeros((1, 8000), np.float32)
        tone = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        tone.sample_rate = 8000
        container.mux(sound.encode(tone))
        container.mux(sound.encode())
    with pytest.raises(WorldweaveError, match=r"a\.mp3: it has no video stream"):
        video.read(path)


def test_a_variable_rate_keeps_every_frame(
    tmp_path: Path, clouds: Frames, encode: Encode
) -> None:
    times = [0, 1, 2, 10, 11, 12, 13, 30, 31, 32, 33, 39]
    path = encode(tmp_path / "a.mp4", clouds, "libx264", times=times)
    read = video.read(path)
    assert len(read.frames) == len(clouds)
    assert read.fps < 10
    assert mean_error(read.frames[7], clouds[7]) < 3


def test_a_file_without_a_rate_gets_one(
    tmp_path: Path, clouds: Frames, encode: Encode
) -> None:
    path = encode(tmp_path / "a.h264", clouds, "libx264")
    read = video.read(path)
    assert len(read.frames) == len(clouds)
    assert read.fps > 0


def test_reading_stops_where_asked(
    tmp_path: Path, clouds: Frames, encode: Encode
) -> None:
    path = encode(tmp_path / "a.mp4", clouds, "libx264")
    whole = video.read(path).frames
    for count in (1, 5, 12, 99):
        np.testing.assert_array_equal(
            video.read(path, max_frames=count).frames, whole[:count]
        )
    with pytest.raises(WorldweaveError, match="max_frames is 0"):
        video.read(path, max_frames=0)


def test_a_probe_says_what_reading_would(
    tmp_path: Path, clouds: Frames, encode: Encode
) -> None:
    path = encode(tmp_path / "a.mp4", clouds, "libx264", rate=Fraction(30000, 1001))
    assert video.probe(path) == video.Probe(
        frames=12, size=(64, 96), fps=Fraction(30000, 1001)
    )
    unsure = encode(tmp_path / "a.webm", clouds, "libvpx-vp9")
    assert video.probe(unsure).frames is None


def test_names_ffmpeg_would_misread_are_plain_names(
    tmp_path: Path, clouds: Frames, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "a.mp4", clouds, "libx264")
    monkeypatch.chdir(tmp_path)
    for name in ("10:30.mp4", "http:a.mp4", "%03d.mp4", "-i.mp4"):
        os.rename(path, name)
        path = Path(name)
        assert len(video.read(name).frames) == 12
        video.write(name, clouds[:2], 24)
        assert len(video.read(name).frames) == 2
        video.write(name, clouds, 24)


@pytest.mark.parametrize(
    ("name", "playlist"),
    [
        (
            "list.m3u8",
            "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na.mp4\n#EXT-X-ENDLIST\n",
        ),
        ("list.ffconcat", "ffconcat version 1.0\nfile a.mp4\n"),
    ],
)
def test_a_playlist_does_not_open_other_files(
    tmp_path: Path,
    clouds: Frames,
    encode: Encode,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    playlist: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    encode(Path("a.mp4"), clouds, "libx264")
    Path(name).write_text(playlist)
    with pytest.raises(WorldweaveError, match="cannot read list"):
        video.read(name)


def test_a_size_that_changes_is_refused(
    tmp_path: Path, clouds: Frames, encode: Encode
) -> None:
    large = encode(tmp_path / "a.h264", clouds, "libx264").read_bytes()
    small = encode(tmp_path / "b.h264", clouds[:, :32, :48], "libx264").read_bytes()
    (tmp_path / "c.h264").write_bytes(large + small)
    with pytest.raises(WorldweaveError, match="from 96x64 to 48x32 at frame 12"):
        video.read(tmp_path / "c.h264")


@pytest.mark.parametrize("reader", [video.read, video.probe])
def test_what_is_no_file_is_refused(
    tmp_path: Path, reader: Callable[[Path], object]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty.mp4").touch()
    for name, reason in {
        "none.mp4": r"there is no file .*none\.mp4; check the path",
        ".": "is a folder; give one file: mp4",
        "pipe": "pipe is not a regular file",
        "empty.mp4": r"empty\.mp4 is empty",
        "empty.mp4/a": r"cannot read .*empty\.mp4/a: Not a directory",
    }.items():
        with pytest.raises(WorldweaveError, match=reason):
            reader(tmp_path / name)


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((2, 4, 4, 3)), r"it holds float64 \(2, 4, 4, 3\); save uint8"),
        (np.zeros((4, 4, 3), np.uint8), r"it holds uint8 \(4, 4, 3\)"),
        (np.zeros((0, 4, 4, 3), np.uint8), "has no pixels"),
        (np.array([{}]), "not a .npy array"),
    ],
)
def test_an_array_that_is_not_frames_is_refused(
    tmp_path: Path, array: npt.NDArray[np.generic], reason: str
) -> None:
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(WorldweaveError, match=reason):
        video.read(tmp_path / "a.npy")


def test_frames_are_fitted_as_they_are_read(tmp_path):
    path = tmp_path / "x.mp4"
    frames = np.zeros((5, 32, 48, 3), np.uint8)
    video.write(path, frames, 24)
    seen = []

    def half(one):
        seen.append(one.shape)
        return one[:, ::2, ::2]

    assert video.read(path, fit=half).frames.shape == (5, 16, 24, 3)
    assert seen == [(1, 32, 48, 3)] * 5
