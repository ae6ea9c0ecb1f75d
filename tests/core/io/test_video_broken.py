"""A file that is cut or damaged is refused, with the number of frames it still has."""

import re
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from worldweave.io import video
from worldweave.io.containers import missing_bytes
from worldweave_registry.errors import WorldweaveError

Frames = npt.NDArray[np.uint8]
Encode = Callable[..., Path]

KINDS = {
    "index first": ("a.mp4", "libx264", {"movflags": "+faststart"}),
    "index last": ("b.mp4", "libx264", {}),
    "fragments": ("c.mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
    "matroska": ("d.mkv", "libx264", {}),
    "webm": ("e.webm", "libvpx-vp9", {}),
    "avi": ("f.avi", "mpeg4", {}),
}


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, clouds: Frames, encode: Encode
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("whole")
    return {
        kind: encode(folder / name, clouds, codec, flags=flags)
        for kind, (name, codec, flags) in KINDS.items()
    }


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


def box_starts(content: bytes) -> list[int]:
    starts = [0]
    while starts[-1] < len(content):
        (length,) = struct.unpack_from(">I", content, starts[-1])
        starts.append(starts[-1] + length)
    return starts[:-1]


def refusal(path: Path) -> str:
    with pytest.raises(WorldweaveError) as caught:
        video.read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_lacks_nothing(whole: dict[str, Path], kind: str) -> None:
    assert missing_bytes(whole[kind]) == 0
    assert len(video.read(whole[kind]).frames) == 12


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(share=st.floats(0, 0.999))
def test_a_cut_file_is_refused_wherever_it_is_cut(
    whole: dict[str, Path], scratch: Path, kind: str, share: float
) -> None:
    content = whole[kind].read_bytes()
    size = max(1, int(share * len(content)))
    # Between two boxes a fragmented file is a shorter whole one.
    assume(kind != "fragments" or size not in box_starts(content))
    path = scratch / f"cut{whole[kind].suffix}"
    path.write_bytes(content[:size])
    refusal(path)


def test_fragments_up_to_a_cut_are_a_shorter_video(
    whole: dict[str, Path], scratch: Path
) -> None:
    content = whole["fragments"].read_bytes()
    path = scratch / "cut.mp4"
    path.write_bytes(content[: box_starts(content)[-1]])
    assert len(video.read(path).frames) == 12


@pytest.mark.parametrize("kind", ["index first", "fragments"])
def test_a_cut_between_two_frames_is_noticed(
    whole: dict[str, Path], scratch: Path, kind: str
) -> None:
    content = whole[kind].read_bytes()
    with av.open(str(whole[kind])) as container:
        ends = sorted(p.pos + p.size for p in container.demux() if p.pos is not None)
    assert len(ends) == 12
    path = scratch / "cut.mp4"
    for end in ends[:-1]:
        path.write_bytes(content[:end])
        lacking = re.search(r"is cut short by (\d+) bytes", refusal(path))
        assert lacking is not None
        assert int(lacking[1]) > 0


@pytest.mark.parametrize("kind", ["index first", "matroska", "webm", "avi"])
def test_the_advice_to_read_fewer_frames_works(
    whole: dict[str, Path], scratch: Path, kind: str
) -> None:
    content = whole[kind].read_bytes()
    path = scratch / f"cut{whole[kind].suffix}"
    with av.open(str(whole[kind])) as container:
        spans = [(p.pos, p.size) for p in container.demux() if p.pos is not None]
    start, size = spans[8]
    path.write_bytes(content[: start + size // 2])
    count = re.search(r"only (\d+) frames .* max_frames=\1$", refusal(path))
    assert count is not None
    readable = video.read(path, max_frames=int(count[1])).frames
    original = video.read(whole[kind]).frames
    np.testing.assert_array_equal(readable, original[: int(count[1])])


def test_a_cut_index_is_not_called_a_missing_video(
    whole: dict[str, Path], scratch: Path
) -> None:
    content = whole["index first"].read_bytes()
    path = scratch / "cut.mp4"
    path.write_bytes(content[: content.index(b"moov") + 60])
    assert "is cut short by" in refusal(path)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    at=st.floats(0, 1),
    noise=st.binary(min_size=1, max_size=300),
)
def test_a_damaged_file_is_read_or_refused_but_never_worse(
    whole: dict[str, Path], scratch: Path, kind: str, at: float, noise: bytes
) -> None:
    content = bytearray(whole[kind].read_bytes())
    start = int(at * len(content))
    content[start : start + len(noise)] = noise
    path = scratch / f"damaged{whole[kind].suffix}"
    path.write_bytes(content)
    try:
        assert video.read(path).frames.dtype == np.uint8
    except WorldweaveError as error:
        assert "\n" not in str(error)  # noqa: PT017


def test_damage_in_the_middle_says_how_much_is_left(
    whole: dict[str, Path], scratch: Path
) -> None:
    with av.open(str(whole["index first"])) as container:
        (_, *_, last) = (p.pos for p in container.demux() if p.pos is not None)
    content = bytearray(whole["index first"].read_bytes())
    content[last : last + 9] = b"\xff" * 9
    path = scratch / "damaged.mp4"
    path.write_bytes(content)
    assert re.search(r"is damaged and only \d+ frames could be read", refusal(path))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    garbage=st.binary(min_size=1, max_size=2000),
    suffix=st.sampled_from([".mp4", ".webm", ".gif", ".png", ".jpg", ".npy", ".txt"]),
)
def test_garbage_is_no_video(scratch: Path, garbage: bytes, suffix: str) -> None:
    path = scratch / f"garbage{suffix}"
    path.write_bytes(b"\x07garbage" + garbage)
    refusal(path)


def test_a_long_text_is_no_film_of_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Dear diary, this is text.\n" * 500)
    with pytest.raises(WorldweaveError, match=r"notes.txt: it is text; give mp4"):
        video.read(tmp_path / "notes.txt")


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "a.npy"])
def test_a_text_file_is_told_what_to_be(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"prompt": "not a video"}\n' * 50)
    assert "cannot read" in refusal(tmp_path / name)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + kind + content


@pytest.mark.parametrize(
    ("content", "lacking"),
    [
        (box(b"ftyp", b"isom") + box(b"mdat", b"1234"), 0),
        (box(b"ftyp", b"isom") + box(b"mdat", b"1234")[:-3], 3),
        # Length 0: up to the end of the file. Length 1: 64 bits follow.
        (box(b"ftyp", b"isom") + struct.pack(">I4s", 0, b"mdat") + b"1234", 0),
        (box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"mdat", 20) + b"1234", 0),
        (box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"mdat", 29) + b"1234", 9),
        (box(b"ftyp", b"isom") + b"\0\0\0\x01mdat\0\0", 6),
        (box(b"ftyp", b"isom") + b"\0\0\0", 5),
        # Matroska: header of 2 bytes, then a segment of 5 or of unknown length.
        (b"\x1a\x45\xdf\xa3\x82ab" + b"\x18\x53\x80\x67\x85" + b"12345", 0),
        (b"\x1a\x45\xdf\xa3\x82ab" + b"\x18\x53\x80\x67\x85" + b"12", 3),
        (b"\x1a\x45\xdf\xa3\x82ab" + b"\x18\x53\x80\x67\x40\x05" + b"1", 4),
        (b"\x1a\x45\xdf\xa3\x82ab" + b"\x18\x53\x80\x67\xff" + b"12", 0),
        (b"\x1a\x45\xdf\xa3\x82ab", 0),
        (b"\x1a\x45\xdf\xa3", 0),
        (b"RIFF\x08\0\0\0AVI 12", 2),
        (b"GIF89a", 0),
    ],
)
def test_the_header_says_how_long_the_file_is(
    tmp_path: Path, content: bytes, lacking: int
) -> None:
    (tmp_path / "a").write_bytes(content)
    assert missing_bytes(tmp_path / "a") == lacking
