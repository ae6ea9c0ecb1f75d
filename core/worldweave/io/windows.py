"""Read some frames from anywhere in a video file, exactly those that are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from worldweave.io import video
from worldweave_registry.errors import WorldweaveError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

    from worldweave.base import Frames

#: Makes a decoded frame one of (1, H, W, 3).
Take: TypeAlias = "Callable[[VideoFrame], Frames]"


@attrs.frozen(kw_only=True, eq=False)
class Film:
    """A video file of *frames* frames of *size* (H, W), any of which can be read.

    Nothing of it is kept in memory but when each frame is shown. *times* is that,
    rising, in units of the stream; None where the file does not say: then it is
    read from its first frame on, each time.
    """

    path: Path
    frames: int
    size: tuple[int, int]
    times: npt.NDArray[np.int64] | None = attrs.field(default=None, repr=False)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Film:
        """Go through a file without decoding it; takes what `video.read` takes.

        Raise WorldweaveError where `video.read` does.
        """
        file = video.regular_file(path)
        about = video.probe(file)
        if file.suffix.lower() in {".npy", *video.IMAGES}:
            return cls(path=file, frames=about.frames or 1, size=about.size)
        times = _times(file)
        if times is None:
            return cls(path=file, frames=_count(file), size=about.size)
        return cls(path=file, frames=len(times), size=about.size, times=times)

    def read(self, start: int, count: int, fit: video.Fit | None = None) -> Frames:
        """Return frames *start* to *start* + *count* - 1 as uint8 (*count*, H, W, 3).

        *fit* is that of `video.read`. Raise WorldweaveError where the file has
        changed or cannot be read, ValueError for frames it does not have.
        """
        if count < 1 or not 0 <= start <= self.frames - count:
            raise ValueError(
                f"frames {start} to {start + count - 1} of {self.path} are wanted, "
                f"and it has {self.frames}"
            )
        # It may be gone by now; what cannot be decoded is damaged.
        video.regular_file(self.path)
        if self.path.suffix.lower() == ".npy":
            stored = video.map_npy(self.path)
            return self._fitted(np.array(stored[start : start + count]), fit)
        if self.path.suffix.lower() in video.IMAGES:
            return self._fitted(video.read(self.path).frames, fit)
        take = self._taking(fit)
        try:
            found = self._sought(start, count, take)
            if found is None:
                found = self._passed(start, count, take)
        except (FFmpegError, OSError) as error:
            raise WorldweaveError(
                f"cannot read frames {start} to {start + count - 1} of {self.path}: "
                "it is damaged; copy or convert it again"
            ) from error
        if len(found) < count:
            raise self._changed(f"no frame {start + len(found)}")
        return np.concatenate(found)

    def _sought(self, start: int, count: int, take: Take) -> list[Frames] | None:
        """Go to a key frame before *start*; None where that leads elsewhere."""
        if self.times is None:
            return None
        wanted = self.times[start : start + count].tolist()
        found: list[Frames] = []
        with video.opened(self.path) as (container, stream):
            try:
                container.seek(wanted[0], stream=stream)
                for frame in video.decoded(self.path, container, stream):
                    if frame.pts is None or frame.pts > wanted[len(found)]:
                        return None
                    if frame.pts == wanted[len(found)]:
                        found.append(take(frame))
                    if len(found) == count:
                        return found
            except FFmpegError:
                # Some containers cannot be sought in; a damaged one shows below.
                pass
        return None

    def _passed(self, start: int, count: int, take: Take) -> list[Frames]:
        """Decode from the first frame on, and let those before *start* pass."""
        with video.opened(self.path) as (container, stream):
            shown = video.decoded(self.path, container, stream)
            return [take(frame) for frame in islice(shown, start, start + count)]

    def _taking(self, fit: video.Fit | None) -> Take:
        """Return what makes a decoded frame (1, H, W, 3), fitted."""
        reformatter = VideoReformatter()

        def take(frame: VideoFrame) -> Frames:
            picture = video.upright(frame, reformatter)[None]
            return self._fitted(picture, fit)

        return take

    def _fitted(self, frames: Frames, fit: video.Fit | None) -> Frames:
        height, width = frames.shape[1:3]
        if (height, width) != self.size:
            raise self._changed(f"frames of {width}x{height}")
        return frames if fit is None else fit(frames)

    def _changed(self, now: str) -> WorldweaveError:
        height, width = self.size
        return WorldweaveError(
            f"{self.path} has {now} where it had {self.frames} of {width}x{height}; "
            "leave it alone while it is in use, or convert it again"
        )


def _times(file: Path) -> npt.NDArray[np.int64] | None:
    """Return when each frame is shown, rising; None where packets do not tell."""
    times: list[int] = []
    try:
        with video.opened(file) as (container, stream):
            for packet in container.demux(stream):
                # The last one is empty; those an edit list cuts off are never shown.
                if packet.size == 0 or packet.is_discard:
                    continue
                if packet.pts is None:
                    return None
                times.append(packet.pts)
    except (FFmpegError, OSError) as error:
        raise video.cannot_read(file, "it is damaged; convert it again") from error
    video.refuse_cut(file, len(times))
    rising = np.unique(np.array(times, np.int64))
    return rising if len(rising) == len(times) else None


def _count(file: Path) -> int:
    """Return how many frames can be decoded."""
    try:
        with video.opened(file) as (container, stream):
            return sum(1 for _ in video.decoded(file, container, stream))
    except (FFmpegError, OSError) as error:
        raise video.cannot_read(file, "it is damaged; convert it again") from error
