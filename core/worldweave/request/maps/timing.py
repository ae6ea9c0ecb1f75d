"""Which frame of a file is shown at each frame of the video."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from worldweave_registry import WorldweaveError

Match: TypeAlias = Literal["frames", "time"]
Length: TypeAlias = Literal["error", "hold", "loop"]

#: Frames per second that may be stated. Nothing is slower than a frame in ten days.
_SLOWEST = 1e-6
_FASTEST = 1000


@attrs.frozen(kw_only=True)
class _Clips:
    """A file of *have* frames and the video of *frames*; *rate* None: not known.

    whole: the frames of the video before it was cut to *frames*; None: not known.
    """

    what: str
    have: int
    rate: Fraction | None
    frames: int
    whole: int | None
    fps: Fraction

    @property
    def is_cut(self) -> bool:
        """Tell whether the video goes on, but no more of it is used."""
        return self.whole != self.frames

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
    whole: int | None,
) -> npt.NDArray[np.intp]:
    """Return for each of *frames* frames of the video the file's frame shown then.

    have, have_fps: frames of the file and its rate, None for an array; *stated_fps*
    overrides it. A file of one frame is shown throughout. match: "frames" (n is n),
    "time" (at n / fps the frame that lasts then), or None: by time where rates and
    numbers of frames both differ, by frames where the rates agree or the file has
    none. length: "error", "hold" the last frame or "loop" where the file ends too
    early; one that ends too late is cut unless "error", which forgives less than a
    frame by time. *what* names the file in messages. whole: frames of the video
    before max_frames cut it, by which it is told how a file is meant; None where that
    is not known. Of a video that is cut, a file that goes on as well is no error.

    Raise WorldweaveError where lengths do not fit, or where the rates differ, the
    numbers of frames do not, or may not, and nobody said which counts.
    """
    if have == 1:
        return np.zeros(frames, np.intp)
    rate = have_fps if stated_fps is None else _stated(stated_fps, what)
    clips = _Clips(what=what, have=have, rate=rate, frames=frames, whole=whole, fps=fps)
    if (match or _meant(clips)) == "frames":
        shown = list(range(frames))
        if length == "error":
            _refuse_other_count(clips)
    else:
        shown = _by_time(clips, frames)
        if length == "error":
            _refuse_other_duration(clips)
    if length == "loop":
        return np.array([n % have for n in shown], np.intp)
    return np.array([min(n, have - 1) for n in shown], np.intp)


def rate_problems(fps: float) -> list[str]:
    """Say what is wrong with the rate somebody states for a file."""
    if _SLOWEST <= fps <= _FASTEST:
        return []
    return [f"fps is {fps:g}; give frames per second, above 0 and up to {_FASTEST}"]


def _stated(fps: float, what: str) -> Fraction:
    for problem in rate_problems(fps):
        raise WorldweaveError(f"{what}: {problem}")
    # 29.97003 means 30000/1001, as it does where videos are written.
    return Fraction(fps).limit_denominator(1001) or Fraction(fps)


def _meant(clips: _Clips) -> Match:
    """Say how an unmatched file is meant, or that it cannot be told.

    By the whole video, so that a request means the same however much of it is used.
    """
    if clips.rate is None or clips.rate == clips.fps:
        return "frames"
    have, whole = clips.have, clips.whole
    if have < clips.frames or (whole is not None and have != whole):
        return "time"
    known = clips.frames if whole is None else whole
    if _by_time(clips, known) == list(range(known)):
        return "frames"
    rates = f"{_rate(clips.rate)} and {_rate(clips.fps)} fps"
    both = f"{clips.what} and the video both have {have} frames, but at {rates}"
    if whole is None:
        both = (
            f"{clips.what} and the video are at {rates}, and whether both have as many "
            "frames is not known where max_frames cuts the video"
        )
    raise WorldweaveError(f'{both}; give match "frames" or "time", whichever is meant')


def _by_time(clips: _Clips, frames: int) -> list[int]:
    """Return the file's frame at each of the first *frames* of the video."""
    pace = clips.pace
    # Whole numbers of any size: no product overflows and no frame is a rounding off.
    return [n * pace.numerator // pace.denominator for n in range(frames)]


def _refuse_other_count(clips: _Clips) -> None:
    too_short = clips.have < clips.frames
    if clips.have == clips.frames or (clips.is_cut and not too_short):
        return
    policy = '"hold" or "loop"' if too_short else '"hold" to leave out the rest'
    raise WorldweaveError(
        f"{clips.what} has {clips.have} frames but the video has {clips.frames}; "
        f"give one per frame or a single image, or set length to {policy}"
    )


def _refuse_other_duration(clips: _Clips) -> None:
    if _by_time(clips, clips.frames)[-1] >= clips.have:
        raise WorldweaveError(
            f'{clips.durations}; give a longer one, or set length to "hold" or "loop"'
        )
    if not clips.is_cut and clips.have - clips.frames * clips.pace >= 1:
        raise WorldweaveError(
            f'{clips.durations}; cut it, or set length to "hold" to leave out the rest'
        )


def _seconds(frames: int, fps: Fraction) -> str:
    return f"{float(frames / fps):.6g} s ({frames} frames at {_rate(fps)} fps)"


def _rate(fps: Fraction) -> str:
    return f"{float(fps):.6g}"
