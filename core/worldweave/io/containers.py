"""Tell from a video file's own header how many bytes it should have."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

_SEGMENT = 0x18538067  # Matroska and WebM: the element that holds everything


def missing_bytes(path: Path) -> int:
    """Return how many bytes a cut file lacks; 0 where it is whole or cannot say.

    FFmpeg reads a file that ends exactly between two frames without complaint,
    and never complains about a cut Matroska file. Their headers know better:
    ISO media (mp4, mov) says the length of each box, Matroska (mkv, webm) that
    of its segment, RIFF (avi) that of its first chunk. Only a fragmented mp4 that
    ends between two of its boxes, and a gif, look like a shorter whole.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        start = file.read(12)
        file.seek(0)
        if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"styp"):
            end = _iso_end(file, size)
        elif start[:4] == b"\x1a\x45\xdf\xa3":
            end = _matroska_end(file)
        elif start[:4] == b"RIFF":
            end = 8 + int.from_bytes(start[4:8], "little")
        else:
            end = 0
    return max(0, end - size)


def _iso_end(file: BinaryIO, size: int) -> int:
    """Walk the top-level boxes to the end of the last one that has a header."""
    at = 0
    while at < size:
        file.seek(at)
        header = file.read(16)
        if len(header) < 8:
            return at + 8
        (length,) = struct.unpack(">I", header[:4])
        if length == 0:  # by the standard: up to the end of the file
            return size
        if length == 1:
            if len(header) < 16:
                return at + 16
            (length,) = struct.unpack(">Q", header[8:])
        if length < 8:  # not a box: junk after the last one
            return size
        at += int(length)
    return at


def _matroska_end(file: BinaryIO) -> int:
    """Read the two top elements: the EBML header, then the segment."""
    at = 4
    file.seek(at)
    head_length, width = _vint(file)
    if head_length is None:
        return 0
    at += width + head_length
    file.seek(at)
    if int.from_bytes(file.read(4), "big") != _SEGMENT:
        return 0
    length, width = _vint(file)
    return 0 if length is None else at + 4 + width + length


def _vint(file: BinaryIO) -> tuple[int | None, int]:
    """Read an EBML length: (value or None for "unknown", bytes it takes)."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None, 1
    width = 9 - first[0].bit_length()
    rest = file.read(width - 1)
    value = int.from_bytes(first + rest, "big") & ((1 << 7 * width) - 1)
    is_unknown = value == (1 << 7 * width) - 1
    return (None if is_unknown or len(rest) < width - 1 else value), width
