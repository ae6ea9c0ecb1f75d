"""Frames and files the tests of `worldweave.io` share."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest

Frames = npt.NDArray[np.uint8]


def smooth_frames(length: int, height: int, width: int) -> Frames:
    """Soft coloured clouds that drift to the left."""
    seed = np.random.default_rng(7).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    wide = cv2.resize(seed, (width + 4 * length, height), interpolation=cv2.INTER_CUBIC)
    return np.stack([wide[:, 4 * t : 4 * t + width] for t in range(length)])


@pytest.fixture(scope="session")
def clouds() -> Frames:
    return smooth_frames(12, 64, 96)


Encode = Callable[..., Path]


def encode_with(
    path: Path,
    frames: Frames,
    codec: str,
    *,
    pixels: str = "yuv420p",
    rate: Fraction = Fraction(10),
    times: list[int] | None = None,
    flags: dict[str, str] | None = None,
) -> Path:
    """Write a file with PyAV itself, so reading is not judged by our writing."""
    with av.open(str(path), "w", options=flags or {}) as container:
        stream: Any = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixels
        for at, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture))
            frame = frame.reformat(format=pixels)
            frame.pts, frame.time_base = (times[at] if times else at), 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def encode() -> Encode:
    return encode_with
