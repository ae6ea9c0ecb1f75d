"""What a metric promises: a number that says which of two videos is better."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from worldweave.base import Frames
from worldweave.testing.checks.listing import parts_can_be_imported
from worldweave.testing.kit import check, fail
from worldweave.testing.subject import Subject, video
from worldweave_registry import let_interrupts_pass, one_line

_SIZE = (3, 48, 64)
#: What rounding may add to the best score, relative to it and absolute.
ROUNDING = 1e-6


@check(
    "of any video the metric gives a finite number, never better than the best it "
    "states",
    needs=(parts_can_be_imported,),
)
def metric_is_in_range(subject: Subject) -> None:
    """Score all sorts of videos against an ordinary one, and the other way round."""
    metric = subject.metric()
    best = _best(metric)
    reference = video(*_SIZE)
    for name, frames in {**dict(_corrupted()), **dict(_uniform())}.items():
        for says, pair in {
            f"{name} video against an ordinary one": (frames, reference),
            f"an ordinary video against {name} one": (reference, frames),
        }.items():
            _in_range(metric, best, says, *pair)
    _in_range(metric, best, "one frame against another", *video(2)[:, None])


def _in_range(
    metric: Any, best: float, says: str, frames: Frames, reference: Frames
) -> None:
    score = _score(metric, says, frames, reference)
    is_better = score > best if metric.higher_is_better else score < best
    if is_better and not _close(score, best):
        fail(
            f"{says} scores {score:g}, better than best = {best:g}",
            "mend the score, or best, or higher_is_better",
        )


@check(
    "a video compared with itself scores the best",
    needs=(metric_is_in_range,),
)
def metric_is_best_on_itself(subject: Subject) -> None:
    """Score videos against copies of themselves, those without content too."""
    metric = subject.metric()
    best = _best(metric)
    for name, frames in {
        "an ordinary": video(*_SIZE),
        "a one-frame": video(1, *_SIZE[1:]),
        **dict(_uniform()),
    }.items():
        score = _score(metric, f"{name} video against itself", frames, frames.copy())
        if not _close(score, best):
            fail(
                f"{name} video against itself scores {score:g}, expected best = "
                f"{best:g}",
                "mend the score or best; where there is nothing to compare in "
                "either video, they are alike",
            )


@check(
    "noise, black and another video score worse than the video itself",
    needs=(metric_is_best_on_itself,),
)
def metric_is_worse_on_a_corrupted_video(subject: Subject) -> None:
    """Score three videos that share nothing with the reference.

    Shuffled pixels are not among them: what counts colours may not see that.
    """
    metric = subject.metric()
    reference = video(*_SIZE)
    best = _score(metric, "a video against itself", reference, reference.copy())
    for name, frames in _corrupted():
        score = _score(metric, f"{name} video", frames, reference)
        if _close(score, best):  # better it cannot be: it is in range
            fail(
                f"{name} video scores {score:g}, no worse than the video itself "
                f"({best:g})",
                "compare the video with the reference; a metric of things that test "
                "videos do not show expects this failure, with that reason",
            )


def _corrupted() -> Iterator[tuple[str, Frames]]:
    """Yield videos that share nothing with the ordinary one."""
    dice = np.random.default_rng(0)
    yield "a noise", dice.integers(0, 256, (*_SIZE, 3), dtype=np.uint8)
    yield "a black", np.zeros((*_SIZE, 3), np.uint8)
    # Upside down and in other colours, so that no part of the ground is the same.
    yield "another", 255 - np.ascontiguousarray(video(*_SIZE, seed=1)[:, ::-1, ::-1])


def _uniform() -> Iterator[tuple[str, Frames]]:
    """Yield videos without any content."""
    for name, level in {"a black": 0, "a gray": 128, "a white": 255}.items():
        yield name, np.full((*_SIZE, 3), level, np.uint8)


def _best(metric: Any) -> float:
    best: Any = getattr(metric, "best", None)
    if not _is_finite_number(best):
        fail(
            f"its best is {best!r}, expected a finite number",
            "say which score is the best, as best: ClassVar[float] = 1.0",
        )
    return float(best)


def _score(metric: Any, says: str, frames: Frames, reference: Frames) -> float:
    """Return a score; fail where it is no finite number."""
    try:
        score = metric(frames.copy(), reference.copy())
    except BaseException as error:
        let_interrupts_pass(error)
        fail(
            f"{says}: it raises {one_line(error)}",
            "give a number for any two videos of one shape",
            error,
        )
    if not _is_finite_number(score):
        fail(
            f"{says} scores {score}, expected a finite number",
            "return a float; where nothing can be divided, say what that is worth",
        )
    return float(score)


def _is_finite_number(value: Any) -> bool:
    is_number = isinstance(value, (int, float, np.floating, np.integer))
    return is_number and not isinstance(value, bool) and math.isfinite(value)


def _close(score: float, best: float) -> bool:
    return math.isclose(score, best, rel_tol=ROUNDING, abs_tol=ROUNDING)


CHECKS = (
    metric_is_in_range,
    metric_is_best_on_itself,
    metric_is_worse_on_a_corrupted_video,
)
