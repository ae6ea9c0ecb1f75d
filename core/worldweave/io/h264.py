"""Encode H.264 that any player opens, the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter

if TYPE_CHECKING:
    from worldweave.base import Frames

# AREA averages the chroma of four pixels: 1.4 dB above the default on the same.
_TO_YUV = Interpolation.AREA | Interpolation.ACCURATE_RND
_BT709 = 1  # the number of BT.709 for primaries, transfer and matrix alike
_LIMITED_RANGE = 1
_THREADS = 4  # fixed: x264's bytes depend on the number of its threads
_X264 = {
    "flags": "+bitexact",
    # x264's fast lookahead gives other bytes in 1 to 40 of 100 runs; without it
    # 1200 runs agree, at the same speed and size.
    "x264-params": "cpu-independent=1",
}


def encode(
    file: Path,
    pictures: Iterable[Frames],
    size: tuple[int, ...],
    rate: Fraction,
    crf: int,
    keyframe_every: int | None = None,
) -> None:
    """Encode frames (H, W, 3) of *size* (H, W) to the mp4 or mov *file*.

    keyframe_every: frames at most from one that stands by itself to the next; None:
    as x264 likes it.

    The same frames give the same bytes on the same machine.
    """
    height, width = (side + side % 2 for side in size)
    container_options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(file), "w", options=container_options) as container:
        stream = container.add_stream(
            "libx264", rate=rate, options={"crf": str(crf), **_X264}
        )
        if keyframe_every is not None:
            stream.gop_size = keyframe_every
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = _THREADS
        stream.codec_context.thread_type = "FRAME"
        stream.codec_context.colorspace = _BT709
        stream.codec_context.color_primaries = _BT709
        stream.codec_context.color_trc = _BT709
        stream.codec_context.color_range = _LIMITED_RANGE
        reformatter = VideoReformatter()
        for at, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(_even(picture), format="rgb24")
            frame = reformatter.reformat(
                frame,
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                interpolation=_TO_YUV,
            )
            frame.pts, frame.time_base = at, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _even(picture: Frames) -> Frames:
    """Repeat the last row and column where their number is odd."""
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    return picture
