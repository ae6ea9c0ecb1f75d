"""Files that cannot be read, that are too short, or that suit the base badly."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs
import av
import numpy as np
import pytest

from worldweave.io import video
from worldweave.train.data.look_viewing import look_through, pace_of


def test_a_damaged_and_an_empty_file_are_told_with_the_reason(folder: Any) -> None:
    path = folder.file("edge", 1)
    path.write_bytes(path.read_bytes()[:-700])
    folder.file("videos", 3).write_bytes(b"")
    finding = folder.hear("edge", "error", "cannot be read")
    assert finding.says.startswith("2 of 8 files cannot be read: ")
    assert "edge/0001.mp4 (cut short by 700 bytes" in finding.says
    assert "videos/0003.mp4 (empty;" in finding.says
    assert "max_frames" not in finding.says
    assert str(folder.root) not in finding.says
    assert finding.samples == ("0001", "0003")


def test_a_file_that_would_hang_is_told(folder: Any) -> None:
    os.mkfifo(folder.root / "videos" / "pipe.mp4")
    finding = folder.hear("edge", "error", "cannot be read")
    assert "videos/pipe.mp4 (not a regular file" in finding.says


def test_an_array_of_floats_is_told_how_to_be_saved(folder: Any) -> None:
    path = folder.file("seg", 1)
    np.save(path, np.load(path) / 255)
    finding = folder.hear("seg", "error", "cannot be read")
    assert "it holds float64 (24, 32, 48, 3); save uint8" in finding.says


def test_a_video_shorter_than_a_chunk_is_an_error(folder: Any) -> None:
    for kind in ("videos", "thermal"):
        folder.write(kind, 1, folder.frames(kind, 1)[:4])
    finding = folder.hear("thermal", "error", "too short")
    assert "0001 (4 frames)" in finding.says
    assert "makes 5 frames at once" in finding.says


def test_a_video_of_exactly_a_chunk_is_long_enough(folder: Any) -> None:
    for kind in ("videos", "thermal"):
        folder.write(kind, 1, folder.frames(kind, 1)[:5])
    assert not any("too short" in f.says for f in folder.look("thermal"))


def test_another_frame_rate_than_the_bases_is_a_warning(folder: Any) -> None:
    for kind in ("videos", "thermal"):
        folder.write(kind, 1, folder.frames(kind, 1), fps=60)
        folder.write(kind, 2, folder.frames(kind, 2), fps=25)
    finding = folder.hear("thermal", "warning", "has another frame rate")
    assert "0001 (60)" in finding.says
    assert "24 frames a second" in finding.says


def test_an_uneven_pace_is_a_warning(folder: Any) -> None:
    frames = folder.frames("videos", 2)
    times = np.arange(24)
    times[10:] += 12
    write_at(folder.file("videos", 2), frames, times.tolist())
    finding = folder.hear("thermal", "warning", "uneven pace")
    assert "0002 (a gap of 0.54 s)" in finding.says


def test_many_small_stutters_are_a_warning(folder: Any) -> None:
    times = np.cumsum(np.where(np.arange(24) % 4, 2, 5))
    write_at(folder.file("videos", 2), folder.frames("videos", 2), times.tolist())
    finding = folder.hear("thermal", "warning", "uneven pace")
    assert "% of the frames" in finding.says


@pytest.mark.parametrize(
    ("size", "severity"),
    [((40, 24), "warning"), ((32, 80), "warning"), ((32, 64), "note")],
)
def test_another_shape_than_the_bases_is_told(
    folder: Any, size: tuple[int, int], severity: str
) -> None:
    for kind in ("videos", "thermal"):
        folder.write(kind, 0, bigger(folder.frames(kind, 0), size))
    finding = folder.hear("thermal", severity, "another shape: 0000")
    assert f"{size[1]}x{size[0]}" in finding.says
    assert "circles become ovals" in finding.says


def test_videos_smaller_than_the_base_works_are_a_warning(folder: Any) -> None:
    for kind in ("videos", "thermal"):
        folder.write(kind, 0, folder.frames(kind, 0)[:, ::2, ::2])
    finding = folder.hear("thermal", "warning", "smaller than the base works")
    assert "0000 (24x16)" in finding.says


def test_a_video_of_one_colour_is_a_warning(folder: Any) -> None:
    folder.write("videos", 3, folder.frames("videos", 3) * 0)
    finding = folder.hear("thermal", "warning", "shows one even colour")
    assert finding.subject == "videos"


def test_no_picture_is_kept_whole(sound: Any) -> None:
    path = sound.file("videos", 0)
    seen = look_through(path, pace=pace_of(path)).without_pictures()
    kept = sum(v.nbytes for v in attrs.asdict(seen).values() if hasattr(v, "nbytes"))
    assert kept < 24 * 32 * 48 * 3 / 8


def test_an_array_is_looked_at_as_the_same_film_is(sound: Any, tmp_path: Path) -> None:
    film = sound.file("edge", 0)
    array = tmp_path / "array.npy"
    np.save(array, video.read(film).frames)
    one, other = (look_through(p, pace=pace_of(p)) for p in (film, array))
    assert one.frames == other.frames == 24
    assert other.fps is None
    np.testing.assert_array_equal(one.levels, other.levels)
    np.testing.assert_array_equal(one.changes, other.changes)
    np.testing.assert_array_equal(one.average, other.average)


def bigger(frames: Any, size: tuple[int, int]) -> Any:
    """Repeat the edge up to (H, W), or cut down to it."""
    height, width = size
    more = np.pad(frames, ((0, 0), (0, 32), (0, 32), (0, 0)), mode="edge")
    return more[:, :height, :width]


def write_at(path: Path, frames: Any, times: list[int]) -> None:
    """Write an mp4 whose frames are shown at *times*, in 24ths of a second."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=24, options={"crf": "4"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 24)
        for at, picture in zip(times, frames, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture))
            frame = frame.reformat(format="yuv420p")
            frame.pts, frame.time_base = at, Fraction(1, 24)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
