"""Which frame of a file is shown at each frame of the video."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from worldweave_registry import WorldweaveError

Match: TypeAlias = Literal["frames", "time"]
Length: TypeAlias = Literal["error", "hold", "loop"]


@attrs.frozen(kw_only=True)
class _Clips:
    """A file of *have* frames and the video of *frames*; *rate* None: not known."""

    what: str
    have: int
    rate: Fraction | None
    frames: int
    fps: Fraction

    @property
    def pace(self) -> Fraction:
        """Say how many frames of the file pass in one of the video."""
        if self.rate is None:
            raise WorldweaveError(
                f"{self.what} has no frame rate, so it cannot be matched by time; "
                'give its fps, or match "frames"'
            )
        return self.rate / self.fps

    @property
    def durations(self) -> str:
        """Say how long both are."""
        theirs = _seconds(self.have, self.rate or self.fps)
        ours = _seconds(self.frames, self.fps)
        return f"{self.what} lasts {theirs} but the video {ours}"


def frame_index(
    *,
    have: int,
    have_fps: Fraction | None,
    frames: int,
    fps: Fraction,
    match: Match | None,
    stated_fps: float | None,
    length: Length,
    what: str,
    is_cut: bool = False,
) -> npt.NDArray[np.intp]:
    """Return for each of *frames* frames of the video the file's frame shown then.

    have, have_fps: frames of the file and its rate, None for an array; *stated_fps*
    overrides it. A file of one frame is shown throughout. match: "frames" (n is n),
    "time" (at n / fps the frame that lasts then), or None: by time where rates and
    numbers of frames both differ, by frames where the rates agree or the file has
    none. length: "error", "hold" the last frame or "loop" where the file ends too
    early; one that ends too late is cut unless "error", which forgives less than a
    frame by time. *what* names the file in messages. is_cut: the video goes on, but
    no more of it is used; then a file that goes on as well is no error.

    Raise WorldweaveError where lengths do not fit, or where the rates differ, the
    numbers of frames do not, and nobody said which counts.
    """
    if have == 1:
        return np.zeros(frames, np.intp)
    rate = have_fps if stated_fps is None else _stated(stated_fps, what)
    clips = _Clips(what=what, have=have, rate=rate, frames=frames, fps=fps)
    if (match or _meant(clips)) == "frames":
        shown = list(range(frames))
        if length == "error":
            _refuse_other_count(clips, is_cut)
    else:
        shown = _by_time(clips)
        if length == "error":
            _refuse_other_duration(clips, is_cut)
    if length == "loop":
        return np.array([n % have for n in shown], np.intp)
    return np.array([min(n, have - 1) for n in shown], np.intp)


def _stated(fps: float, what: str) -> Fraction:
    if not (math.isfinite(fps) and fps > 0):
        raise WorldweaveError(
            f"{what}: fps is {fps:g}; give frames per second, a number above 0"
        )
    # 29.97003 means 30000/1001, as it does where videos are written.
    return Fraction(fps).limit_denominator(1001) or Fraction(fps)


def _meant(clips: _Clips) -> Match:
    """Say how an unmatched file is meant, or that it cannot be told."""
    if clips.rate is None or clips.rate == clips.fps:
        return "frames"
    if clips.have != clips.frames:
        return "time"
    if _by_time(clips) == list(range(clips.frames)):
        return "frames"
    raise WorldweaveError(
        f"{clips.what} and the video both have {clips.have} frames, but at "
        f"{_rate(clips.rate)} and {_rate(clips.fps)} fps; give match "
        '"frames" or "time", whichever is meant'
    )


def _by_time(clips: _Clips) -> list[int]:
    pace = clips.pace
    # Whole numbers of any size: no product overflows and no frame is a rounding off.
    return [n * pace.numerator // pace.denominator for n in range(clips.frames)]


def _refuse_other_count(clips: _Clips, is_cut: bool) -> None:
    too_short = clips.have < clips.frames
    if clips.have == clips.frames or (is_cut and not too_short):
        return
    policy = '"hold" or "loop"' if too_short else '"hold" to leave out the rest'
    raise WorldweaveError(
        f"{clips.what} has {clips.have} frames but the video has {clips.frames}; "
        f"give one per frame or a single image, or set length to {policy}"
    )


def _refuse_other_duration(clips: _Clips, is_cut: bool) -> None:
    if _by_time(clips)[-1] >= clips.have:
        raise WorldweaveError(
            f'{clips.durations}; give a longer one, or set length to "hold" or "loop"'
        )
    if not is_cut and clips.have - clips.frames * clips.pace >= 1:
        raise WorldweaveError(
            f'{clips.durations}; cut it, or set length to "hold" to leave out the rest'
        )


def _seconds(frames: int, fps: Fraction) -> str:
    return f"{float(frames / fps):.6g} s ({frames} frames at {_rate(fps)} fps)"


def _rate(fps: Fraction) -> str:
    return f"{float(fps):.6g}"
