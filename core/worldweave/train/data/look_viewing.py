"""Look through one video file, frame by frame, keeping only what the checks need."""

# T frame, H W rows and columns

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import attrs
import cv2
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError

from worldweave.base import Frames
from worldweave.io import sizes
from worldweave.io import video as video_io
from worldweave_registry import WorldweaveError

Numbers = npt.NDArray[np.float32]

#: Rows and columns of the small picture in which change is measured, and of the
#: average picture.
_SMALL, _TINY = 64, 16
#: At most so many rows and columns of pixels are counted in each frame.
_SAMPLED = 256
#: A palette has fewer; beyond it nothing more is learned from counting.
MOST_COLOURS = 4096


@attrs.frozen(kw_only=True, eq=False)
class Pace:
    """When the frames of a file are shown: the seconds between each and the next."""

    frames: int
    intervals: npt.NDArray[np.floating[Any]]

    @property
    def usual(self) -> float:
        return float(np.median(self.intervals)) if len(self.intervals) else 0.0

    @property
    def odd_share(self) -> float:
        """The share of intervals that are half as long again, or half as short."""
        if not self.usual:
            return 0.0
        ratio = self.intervals / self.usual
        return float(np.mean((ratio > 1.5) | (ratio < 0.5)))

    @property
    def longest(self) -> float:
        return float(self.intervals.max()) if len(self.intervals) else 0.0


@attrs.frozen(kw_only=True, eq=False)
class Viewing:
    """What one pass over a file showed; no picture of it is kept at its own size.

    frames: in the file. seen: how many were looked at. fps: None for a .npy, which
    has none. levels: (256,), how often each value was met. highest: the highest
    value. flat: frames of a single colour. colourful: `colourfulness` of the most
    colourful frame. average: (16, 16, 3). changes: (T - 1,), mean change from frame to
    frame, in levels. window: a few frames at the base's size. colours: how often
    each 0xRRGGBB was met, for label videos.
    """

    frames: int
    seen: int
    size: tuple[int, int]
    fps: Fraction | None
    pace: Pace | None
    levels: npt.NDArray[np.int64]
    highest: int
    flat: int
    colourful: float
    average: Numbers
    changes: Numbers
    window: Frames
    colours: Counter[int]

    @property
    def seconds(self) -> float:
        return float(self.frames / (self.fps or video_io.DEFAULT_FPS))

    @property
    def aspect(self) -> float:
        return self.size[1] / self.size[0]

    def share(self, low: int, high: int) -> float:
        """Return the share of values from *low* to *high*."""
        return float(self.levels[low : high + 1].sum() / self.levels.sum())

    def percentile(self, share: float) -> int:
        """Return the value that *share* of all values do not exceed."""
        below = np.cumsum(self.levels) / self.levels.sum()
        return int(np.searchsorted(below, share))

    def without_pictures(self) -> Viewing:
        """Let go of what only a comparison with another film needs."""
        return attrs.evolve(self, changes=self.changes[:0], window=_NOTHING)


_NOTHING: Frames = np.empty((0, 1, 1, 3), np.uint8)


def _as_it_is(size: tuple[int, int]) -> tuple[int, int]:
    return size


def pace_of(path: Path) -> Pace | None:
    """Read the time stamps of a file without decoding it; None where it has none."""
    if path.suffix.lower() == ".npy":
        return None
    try:
        with video_io.opened(video_io.regular_file(path)) as (container, stream):
            times = [
                packet.pts if packet.pts is not None else packet.dts
                for packet in container.demux(stream)
                if packet.size and not packet.is_discard
            ]
            base = float(stream.time_base or 0)
    except (FFmpegError, OSError, WorldweaveError):
        return None  # `look_through` says what is wrong with the file
    known = sorted(time for time in times if time is not None)
    return Pace(frames=len(times), intervals=np.diff(known) * base)


def look_through(
    path: Path,
    *,
    pace: Pace | None,
    fit: Callable[[tuple[int, int]], tuple[int, int]] = _as_it_is,
    kind: sizes.Kind = "video",
    window: range = range(0),
    most: int | None = None,
) -> Viewing:
    """Look at the first *most* frames of a file, or at all.

    The frames numbered in *window* are kept, at the (H, W) that *fit* makes of the
    file's, scaled as their *kind* is. Raises WorldweaveError for a file that is
    unreadable or damaged, as `worldweave.io.video.read` does.
    """
    tally = _Tally(kind=kind, keep=window, fit=fit)
    if path.suffix.lower() == ".npy":
        stored = video_io.probe(path)
        length: int | None = stored.frames
        fps = None
        for picture in np.load(path, "r", allow_pickle=False)[:most]:
            tally.add(np.asarray(picture))
    else:
        read = video_io.read(path, max_frames=most, fit=tally.take)
        fps = read.fps
        length = pace.frames if pace is not None else None
    if most is None or length is None or tally.seen < most:
        length = tally.seen
    return tally.viewing(length, fps, pace)


@attrs.define(kw_only=True, eq=False)
class _Tally:
    """Adds up what each frame shows."""

    kind: sizes.Kind
    keep: range
    fit: Callable[[tuple[int, int]], tuple[int, int]]
    seen: int = 0
    flat: int = 0
    highest: int = 0
    colourful: float = 0.0
    shape: tuple[int, int] = (0, 0)
    levels: npt.NDArray[np.int64] = attrs.field(factory=lambda: np.zeros(256, np.int64))
    total: npt.NDArray[np.float64] = attrs.field(
        factory=lambda: np.zeros((_TINY, _TINY, 3))
    )
    before: Numbers | None = None
    changes: list[float] = attrs.field(factory=list)
    window: list[Frames] = attrs.field(factory=list)
    colours: Counter[int] = attrs.field(factory=Counter)

    def take(self, frames: Frames) -> Frames:
        """Add one frame (1, H, W, 3); give back a pixel, so that none is kept."""
        self.add(frames[0])
        return np.zeros((1, 1, 1, 3), np.uint8)

    def add(self, picture: Frames) -> None:
        """Add one frame (H, W, 3)."""
        picture = np.ascontiguousarray(picture)
        height, width = self.shape = picture.shape[:2]
        some = picture[:: -(-height // _SAMPLED), :: -(-width // _SAMPLED)]
        self.levels += np.bincount(some.reshape(-1), minlength=256)
        self.highest = max(self.highest, int(picture.max()))
        self.flat += bool((np.ptp(some, axis=(0, 1)) <= 2).all())
        small = cv2.resize(picture, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA)
        of_channels = small.astype(np.float32)
        self.colourful = max(self.colourful, colourfulness(of_channels))
        self._follow(of_channels)
        if self.kind == "labels" and len(self.colours) < MOST_COLOURS:
            self._count_colours(some)
        if self.seen in self.keep:
            size = self.fit(self.shape)
            self.window.append(sizes.resize(picture[None].copy(), size, self.kind)[0])
        self.seen += 1

    def viewing(self, length: int, fps: Fraction | None, pace: Pace | None) -> Viewing:
        """Return what was added up."""
        return Viewing(
            frames=length,
            seen=self.seen,
            size=self.shape,
            fps=fps,
            pace=pace,
            levels=self.levels,
            highest=self.highest,
            flat=self.flat,
            colourful=self.colourful,
            average=(self.total / max(1, self.seen)).astype(np.float32),
            changes=np.array(self.changes, np.float32),
            window=np.stack(self.window) if self.window else _NOTHING,
            colours=self.colours,
        )

    def _follow(self, small: Numbers) -> None:
        if self.before is not None:
            self.changes.append(float(np.abs(small - self.before).mean()))
        self.before = small
        step = _SMALL // _TINY
        self.total += small.reshape(_TINY, step, _TINY, step, 3).mean(axis=(1, 3))

    def _count_colours(self, some: Frames) -> None:
        pixels = some.reshape(-1, 3).astype(np.uint32)
        packed = (pixels[:, 0] << 16) | (pixels[:, 1] << 8) | pixels[:, 2]
        values, counts = np.unique(packed, return_counts=True)
        self.colours.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def colourfulness(picture: Frames | Numbers) -> float:
    """Return by which share of their brightness the channels of (H, W, 3) differ.

    0 is gray, 1 pure colour. In the dark, a difference of a level is no colour.
    """
    most, least = picture.max(axis=2).mean(), picture.min(axis=2).mean()
    return float((most - least) / (most + 4))
