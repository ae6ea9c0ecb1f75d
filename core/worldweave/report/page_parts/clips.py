"""Put clips into a page as H.264 that a browser plays."""

# T frames, H W rows and columns

from __future__ import annotations

import base64
import math
import tempfile
from collections.abc import Iterable, Iterator
from fractions import Fraction
from html import escape
from pathlib import Path

from worldweave.base import Frames
from worldweave.io import video as video_io

#: Pixels across which a clip is stored at least: where it is enlarged, H.264 does
#: not average the colour of four of its pixels.
_STORED_WIDTH = 192
#: Frames between those a browser can go to at once: it decodes from there on.
_SEEK = 12


def clip(
    label: str,
    described: str,
    frames: Iterable[Frames],
    *,
    length: int,
    size: tuple[int, int],
    fps: Fraction,
    crf: int = 14,
) -> str:
    """Return the element of a clip of *length* frames (H, W, 3) of *size* (H, W).

    label: words on the picture. described: what it is, for those who do not see it.
    """
    height, width = size
    return (
        f'<div class="clip" style="aspect-ratio: {width} / {height}">'
        f'<video muted playsinline preload="auto" width="{width}" height="{height}" '
        f'data-frames="{length}" data-fps="{float(fps):.6f}" '
        f'aria-label="{escape(described, quote=True)}" '
        f'src="{data_uri(frames, fps, crf=crf)}"></video>'
        f"<span>{escape(label)}</span></div>"
    )


def no_clip(label: str) -> str:
    """Return what stands where there is no clip."""
    return f'<div class="clip empty"><span>{escape(label)}</span></div>'


def data_uri(frames: Iterable[Frames], fps: Fraction, *, crf: int = 14) -> str:
    """Return frames (H, W, 3) as the address of an mp4 inside the page.

    Small ones are enlarged by a whole factor. Frames are encoded as they come.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "clip.mp4")
        video_io.write(file, _enlarged(frames), fps, crf=crf, keyframe_every=_SEEK)
        text = base64.b64encode(file.read_bytes()).decode("ascii")
    return f"data:video/mp4;base64,{text}"


def _enlarged(frames: Iterable[Frames]) -> Iterator[Frames]:
    for frame in frames:
        factor = max(1, math.ceil(_STORED_WIDTH / frame.shape[1]))
        yield frame.repeat(factor, axis=0).repeat(factor, axis=1)
