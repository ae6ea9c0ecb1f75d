"""Look at one sample: its video, its control, and whether the two go together."""

# T frame, H W rows and columns

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import attrs
import cv2
import numpy as np
import numpy.typing as npt

from worldweave.base import Frames
from worldweave.io import sizes
from worldweave.request.check import Preprocessor, make_preprocessor
from worldweave.request.controls import report_of, run_preprocessor
from worldweave.train.data.layout import Sample
from worldweave.train.data.look_viewing import (
    Numbers,
    Pace,
    Viewing,
    colourfulness,
    look_through,
    pace_of,
)
from worldweave_registry import Base, Modality, WorldweaveError, one_line

#: Consecutive frames given to a preprocessor, and in how many samples at most: some
#: preprocessors are large models.
_WINDOW, _COMPARED = 5, 40
#: Rows and columns in which two controls are compared: thin lines need not meet.
_GRID = 32
_LONGEST_LAG = 24
#: Frames that have to overlap before a lag means anything, how well changes have to
#: go together there, how much better than without the lag, and than with any other.
_OVERLAP, _TOGETHER, _BETTER, _ALONE = 18, 0.85, 0.3, 0.1
#: In levels: the difference of two copies, the change of what moves, of what does not.
_SAME, _MOVES, _STILL = 3.0, 0.5, 0.05


@attrs.frozen(kw_only=True, eq=False)
class Seen:
    """A sample after a look at its files; a film is None where there is none to see.

    damage: why a file cannot be read. lag: by how many frames the control is late,
    where that is clear, else 0. is_copy: the control shows the video itself, perhaps
    in gray. stands_still: it does not change in most frames in which the video does.
    is_as_made: it is what the preprocessor makes of the same frames. likeness: -1 to
    1, how like that it is. made_colourful: as `Viewing.colourful`, of what it makes.
    None: not compared.
    """

    sample: Sample
    video: Viewing | None
    control: Viewing | None
    damage: dict[Path, str]
    lag: int = 0
    is_copy: bool = False
    stands_still: bool = False
    is_as_made: bool | None = None
    likeness: float | None = None
    made_colourful: float | None = None


@attrs.define(kw_only=True, eq=False)
class Onlooker:
    """Looks at samples one by one, for one modality and one base.

    most: frames looked at in each file; None: all. failure: why the preprocessor
    cannot be used. compared: how many samples were shown to it.
    """

    modality: Modality
    base: Base
    most: int | None = None
    preprocessor: Preprocessor | None = attrs.field(default=None, init=False)
    failure: str | None = attrs.field(default=None, init=False)
    compared: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        try:
            made = make_preprocessor(self.modality.name, self.modality, {})
            self.preprocessor = made
        except WorldweaveError as error:
            self.failure = one_line(error)

    def look(self, sample: Sample) -> Seen:
        """Look at the files of *sample*; what cannot be read is told, not raised."""
        pace = pace_of(sample.video)
        keep = self._window(pace)
        damage: dict[Path, str] = {}
        video = control = None
        fit = partial(sizes.bucket, sizes=self.base.sizes)
        try:
            video = look_through(
                sample.video, pace=pace, fit=fit, window=keep, most=self.most
            )
        except WorldweaveError as error:
            damage[sample.video] = one_line(error)
        if sample.control is not None:
            # As in a generation: the video's size decides where both are scaled to.
            around = fit if video is None else partial(_always, fit(video.size))
            try:
                control = look_through(
                    sample.control,
                    pace=pace_of(sample.control),
                    fit=around,
                    kind="labels" if self.modality.is_label_video else "control",
                    window=keep,
                    most=self.most,
                )
            except WorldweaveError as error:
                damage[sample.control] = one_line(error)
        seen = Seen(sample=sample, video=video, control=control, damage=damage)
        return _alone(self._beside_made(_together(seen)))

    def _window(self, pace: Pace | None) -> range:
        """Return the frames in the middle: films begin and end in black."""
        length = 0 if pace is None else pace.frames
        length = length if self.most is None else min(length, self.most)
        start = max(0, (length - _WINDOW) // 2)
        return range(start, start + _WINDOW)

    def _beside_made(self, seen: Seen) -> Seen:
        """Compare the control with what the preprocessor makes of the video."""
        if self.preprocessor is None or seen.video is None:
            return seen
        # Without a control there is nothing to compare, but it is tried once.
        enough = _COMPARED if seen.control is not None else 1
        if self.compared >= enough or not len(seen.video.window):
            return seen
        self.compared += 1
        try:
            made = run_preprocessor(
                self.modality.name,
                self.preprocessor,
                seen.video.window,
                report=report_of(self.modality),
            )
        except WorldweaveError as error:
            self.failure, self.preprocessor = one_line(error), None
            return seen
        if seen.control is None:
            return seen
        return attrs.evolve(
            seen,
            is_as_made=_differ(seen.control.window, made) < _SAME,
            likeness=likeness(seen.control.window, made),
            made_colourful=max(colourfulness(frame) for frame in made),
        )


def likeness(given: Frames, made: Frames) -> float | None:
    """Return the correlation of two controls, -1 to 1; None where one is even."""
    length = min(len(given), len(made))
    if not length:
        return None
    return correlation(_coarse(given[:length]), _coarse(made[:length]))


def correlation(one: Numbers, other: Numbers) -> float | None:
    """Return how two arrays of one shape go together; None where one is even."""
    one, other = one - one.mean(), other - other.mean()
    scale = float(np.sqrt((one**2).mean() * (other**2).mean()))
    # A quarter of a level: less is rounding.
    return None if scale < 0.0625 else float((one * other).mean()) / scale


def lag_of(video: Numbers, control: Numbers) -> int:
    """Return by how many frames the changes of *control* are late; 0: or unclear.

    Clear is what goes together well at one lag, and at that lag alone.
    """
    length = min(len(video), len(control))
    # Of few frames any two films go together at some large lag.
    reach = min(_LONGEST_LAG, length - _OVERLAP, length // 4)
    if reach < 1:
        return 0
    video, control = video[:length], control[:length]
    fits = {
        lag: correlation(
            video[max(0, -lag) : length - max(0, lag)],
            control[max(0, lag) : length - max(0, -lag)],
        )
        or 0.0
        for lag in range(-reach, reach + 1)
    }
    best = max(fits, key=lambda lag: (fits[lag], -abs(lag)))
    rival = max((fit for lag, fit in fits.items() if abs(lag - best) > 1), default=-1.0)
    is_clear = (
        fits[best] >= _TOGETHER
        and fits[best] - fits[0] >= _BETTER
        and fits[best] - rival >= _ALONE
    )
    return best if is_clear else 0


def _together(seen: Seen) -> Seen:
    """Compare how the two films change, and whether they are the same."""
    video, control = seen.video, seen.control
    if video is None or control is None:
        return seen
    is_even = video.flat == video.seen
    gray = video.window.mean(axis=3, keepdims=True).repeat(3, axis=3)
    difference = min(_differ(each, control.window) for each in (video.window, gray))
    return attrs.evolve(
        seen,
        lag=lag_of(video.changes, control.changes),
        is_copy=not is_even and difference < _SAME,
        stands_still=_stands_still(video, control),
    )


def _differ(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> float:
    """Return the mean difference of pictures (T, H, W, 3), in levels."""
    length = min(len(one), len(other))
    if not length:
        return 255.0
    return float(np.abs(one[:length].astype(np.float32) - other[:length]).mean())


def _stands_still(video: Viewing, control: Viewing) -> bool:
    if not len(video.changes) or not len(control.changes):
        return False
    length = min(len(video.changes), len(control.changes))
    moves = video.changes[:length] > _MOVES
    stands = moves & (control.changes[:length] < _STILL)
    is_picture = control.flat < control.seen
    return is_picture and bool(stands.sum() > moves.sum() / 2)


def _alone(seen: Seen) -> Seen:
    """Let go of the pictures: there may be thousands of samples."""
    return attrs.evolve(
        seen,
        video=None if seen.video is None else seen.video.without_pictures(),
        control=None if seen.control is None else seen.control.without_pictures(),
    )


def _coarse(frames: Frames) -> Numbers:
    """Return gray float32 (T, 32, 32)."""
    small = [
        cv2.resize(frame, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
        for frame in frames
    ]
    gray: Numbers = np.stack(small).mean(axis=3, dtype=np.float32)
    return gray


def _always(size: tuple[int, int], _: tuple[int, int]) -> tuple[int, int]:
    return size
