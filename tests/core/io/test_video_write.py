"""Videos are written exactly, repeatably, and whole or not at all."""

import os
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave.io import video
from worldweave.io.files import sha256
from worldweave_registry.errors import WorldweaveError

Frames = npt.NDArray[np.uint8]


def decibels(one: Frames, other: Frames) -> float:
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


@pytest.mark.parametrize("length", [1, 2, 12])
@pytest.mark.parametrize(
    "fps",
    [
        Fraction(24),
        Fraction(8),
        Fraction(30000, 1001),
        Fraction(24000, 1001),
        Fraction(1, 2),
        Fraction(13950000, 465259),
    ],
)
def test_the_rate_comes_back_exactly(
    tmp_path: Path, clouds: Frames, fps: Fraction, length: int
) -> None:
    video.write(tmp_path / "a.mp4", clouds[:length], fps)
    back = video.read(tmp_path / "a.mp4")
    assert back.fps == fps
    assert len(back.frames) == length


def test_a_float_rate_becomes_a_plain_fraction(tmp_path: Path, clouds: Frames) -> None:
    video.write(tmp_path / "a.mp4", clouds[:2], 29.97)
    assert video.read(tmp_path / "a.mp4").fps == Fraction(2997, 100)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".MP4"])
def test_a_small_video_looks_right(tmp_path: Path, clouds: Frames, suffix: str) -> None:
    video.write(tmp_path / f"a{suffix}", clouds, 24)
    back = video.read(tmp_path / f"a{suffix}").frames
    assert decibels(back, clouds) > 38
    assert abs(back.astype(float).mean() - clouds.mean()) < 0.3


def test_pure_colours_keep_their_hue(tmp_path: Path) -> None:
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0), (255, 255, 255)]
    patches = np.repeat(np.array(colours, np.uint8), 16, axis=0)
    frames = np.broadcast_to(patches, (3, 32, len(patches), 3))
    video.write(tmp_path / "a.mp4", frames, 24)
    back = video.read(tmp_path / "a.mp4").frames
    middles = back[1, 16, 8::16].astype(int)
    assert np.abs(middles - np.array(colours)).max() <= 3


def test_the_file_says_which_colours_it_means(tmp_path: Path, clouds: Frames) -> None:
    video.write(tmp_path / "a.mp4", clouds[:1], 24)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        frame = next(container.decode(stream))
        assert stream.codec_context.name == "h264"
        assert frame.format.name == "yuv420p"
        assert (frame.colorspace, frame.color_range) == (1, 1)


def test_players_can_start_before_the_end(tmp_path: Path, clouds: Frames) -> None:
    video.write(tmp_path / "a.mp4", clouds, 24)
    content = (tmp_path / "a.mp4").read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 3))
def test_odd_sides_are_padded_by_their_edge(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, length: int
) -> None:
    across = np.linspace(40, 200, width)[None, :, None]
    down = np.linspace(0, 40, height)[:, None, None]
    picture = np.broadcast_to(across + down, (height, width, 3))
    frames = np.repeat(picture.astype(np.uint8)[None], length, 0)
    path = tmp_path_factory.mktemp("odd") / "a.mp4"
    video.write(path, frames, 24, crf=1)
    back = video.read(path).frames
    even = (height + height % 2, width + width % 2)
    assert back.shape == (length, *even, 3)
    padded = np.pad(
        frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge"
    )
    assert np.abs(back.astype(int) - padded).max() <= 6


def test_the_same_frames_give_the_same_bytes(tmp_path: Path, clouds: Frames) -> None:
    video.write(tmp_path / "a.mp4", clouds, Fraction(30000, 1001))
    video.write(tmp_path / "other name.mp4", clouds.copy(), Fraction(30000, 1001))
    video.write(tmp_path / "c.mp4", (f for f in clouds), Fraction(30000, 1001))
    assert sha256(tmp_path / "a.mp4") == sha256(tmp_path / "other name.mp4")
    assert sha256(tmp_path / "a.mp4") == sha256(tmp_path / "c.mp4")


def test_no_run_gives_other_bytes(tmp_path: Path, clouds: Frames) -> None:
    # Without cpu-independent some two or more of twenty runs differed.
    found = set()
    for _ in range(20):
        video.write(tmp_path / "a.mp4", clouds, 24)
        found.add(sha256(tmp_path / "a.mp4"))
    assert len(found) == 1


def test_the_number_of_cores_does_not_change_the_bytes(
    tmp_path: Path, clouds: Frames
) -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("cores cannot be taken away here")
    video.write(tmp_path / "all.mp4", clouds, 24)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        video.write(tmp_path / "one.mp4", clouds, 24)
    finally:
        os.sched_setaffinity(0, cores)
    assert sha256(tmp_path / "all.mp4") == sha256(tmp_path / "one.mp4")


def test_frames_in_any_memory_order_are_written_alike(
    tmp_path: Path, clouds: Frames
) -> None:
    video.write(tmp_path / "a.mp4", clouds, 24)
    video.write(tmp_path / "b.mp4", np.asfortranarray(clouds), 24)
    assert sha256(tmp_path / "a.mp4") == sha256(tmp_path / "b.mp4")


def test_a_better_crf_is_nearer_to_the_frames(tmp_path: Path, clouds: Frames) -> None:
    errors = []
    for crf in (0, 20, 45):
        video.write(tmp_path / "a.mp4", clouds, 24, crf=crf)
        errors.append(decibels(video.read(tmp_path / "a.mp4").frames, clouds))
    assert errors == sorted(errors, reverse=True)


def test_a_player_can_go_to_every_so_manieth_frame(
    tmp_path: Path, clouds: Frames
) -> None:
    frames = np.concatenate([clouds] * 4)[:20]
    video.write(tmp_path / "a.mp4", frames, 24, keyframe_every=5)
    with av.open(str(tmp_path / "a.mp4")) as container:
        packets = [p for p in container.demux(video=0) if p.dts is not None]
    keys = sorted(round(p.pts * p.time_base * 24) for p in packets if p.is_keyframe)
    assert keys[0] == 0
    assert max(b - a for a, b in zip(keys, [*keys[1:], 20], strict=True)) <= 5


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, clouds: Frames) -> None:
    def interrupted() -> Iterator[Frames]:
        yield from clouds[:5]
        raise KeyboardInterrupt

    (tmp_path / "old.mp4").write_bytes(b"old")
    for name in ("new.mp4", "old.mp4"):
        with pytest.raises(KeyboardInterrupt):
            video.write(tmp_path / name, interrupted(), 24)
    assert os.listdir(tmp_path) == ["old.mp4"]
    assert (tmp_path / "old.mp4").read_bytes() == b"old"


LIMITED = """
import os, resource, signal, sys
import numpy as np
from worldweave.io import video
from worldweave_registry.errors import WorldweaveError

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
noise = np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3)).astype(np.uint8)
video.write("whole.mp4", noise, 8)
size = os.path.getsize("whole.mp4")
os.remove("whole.mp4")
for limit in [0, 1, 40, 48, 1000, size // 2, size - 900, size - 200, size - 1, size]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        video.write("a.mp4", noise, 8)
        outcome = "written"
    except WorldweaveError as error:
        outcome = str(error)
    print(limit - size, outcome, os.listdir("."))
"""


def test_a_file_that_finds_no_room_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", LIMITED],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    *refused, last = done.stdout.splitlines()
    assert len(refused) == 9
    for line in refused:
        assert "cannot write a.mp4: the file would be larger" in line
        assert line.endswith("[]")
    assert last == "0 written ['a.mp4']"


@pytest.mark.parametrize("name", ["a.gif", "a.avi", "a", "a.png"])
def test_only_mp4_and_mov_are_written(
    tmp_path: Path, clouds: Frames, name: str
) -> None:
    with pytest.raises(WorldweaveError, match=r"something\.mp4 or something\.mov"):
        video.write(tmp_path / name, clouds, 24)


@pytest.mark.parametrize(
    "fps", [0, -1, float("nan"), float("inf"), Fraction(1, 2**31), 2**40]
)
def test_a_rate_no_file_can_hold_is_refused(
    tmp_path: Path, clouds: Frames, fps: float
) -> None:
    with pytest.raises(WorldweaveError, match="fps is"):
        video.write(tmp_path / "a.mp4", clouds, fps)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("crf", [-1, 52])
def test_a_crf_out_of_range_is_refused(
    tmp_path: Path, clouds: Frames, crf: int
) -> None:
    with pytest.raises(WorldweaveError, match=f"crf is {crf}"):
        video.write(tmp_path / "a.mp4", clouds, 24, crf=crf)


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (np.zeros((0, 8, 8, 3), np.uint8), "there are no frames"),
        ([], "there are no frames"),
        (np.zeros((2, 8, 8, 3), np.float32), "frame 0 is float32"),
        (np.zeros((2, 8, 8), np.uint8), r"frame 0 is uint8 \(8, 8\)"),
        (np.zeros((2, 8, 8, 4), np.uint8), r"frame 0 is uint8 \(8, 8, 4\)"),
        (np.zeros((2, 0, 8, 3), np.uint8), r"frame 0 is uint8 \(0, 8, 3\)"),
        (
            [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 6, 3), np.uint8)],
            r"frame 1 is uint8 \(8, 6, 3\); give uint8 \(8, 8, 3\)",
        ),
        (np.zeros((1, 2, 16386, 3), np.uint8), "frames are 16386x2 and H.264 takes"),
    ],
)
def test_what_is_not_frames_is_refused(
    tmp_path: Path, frames: Frames, reason: str
) -> None:
    with pytest.raises(WorldweaveError, match=reason):
        video.write(tmp_path / "a.mp4", frames, 24)
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_refused(tmp_path: Path, clouds: Frames) -> None:
    with pytest.raises(WorldweaveError, match="there is no folder"):
        video.write(tmp_path / "nowhere" / "a.mp4", clouds, 24)


def test_a_png_keeps_every_pixel(tmp_path: Path) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    video.write_png(tmp_path / "a.png", frame)
    np.testing.assert_array_equal(video.read(tmp_path / "a.png").frames, frame[None])
    assert os.listdir(tmp_path) == ["a.png"]


def test_a_png_is_refused_where_it_is_not_one(tmp_path: Path) -> None:
    floats: Any = np.zeros((2, 2, 3))
    with pytest.raises(WorldweaveError, match=r"something\.png"):
        video.write_png(tmp_path / "a.jpg", np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(WorldweaveError, match="frame 0 is float64"):
        video.write_png(tmp_path / "a.png", floats)
