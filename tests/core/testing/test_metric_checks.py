"""Which metrics are sound, and what is said of those that are not."""

import math

import numpy as np
import pytest

from worldweave.testing.checks import metric as checks
from worldweave.testing.checks.listing import parts_can_be_imported
from worldweave.testing.kit import Examination, Outcome

CHECKS = (parts_can_be_imported, *checks.CHECKS)
RANGE, ITSELF, CORRUPTED = checks.CHECKS


class Distance:
    """The mean distance, in levels: 0 is best."""

    higher_is_better = False
    best = 0.0

    def __call__(self, video, reference):
        return abs(video.astype(float) - reference).mean()


class Colours:
    """Whether the colours are there, wherever they are."""

    higher_is_better = True
    best = 1.0

    def __call__(self, video, reference):
        some, others = (
            np.bincount(v.ravel(), minlength=256) for v in (video, reference)
        )
        return np.minimum(some, others).sum() / some.sum()


class Rounded(Distance):
    """A distance that rounding takes a little below zero."""

    def __call__(self, video, reference):
        return super().__call__(video, reference) - 1e-9


class WrongSign(Distance):
    higher_is_better = True


class Unbounded(Distance):
    """The signal-to-noise ratio, infinite where there is no noise."""

    higher_is_better = True
    best = math.inf


class Nameless(Distance):
    best = None


class BestIsText(Distance):
    best = "0"


class Boolean(Distance):
    def __call__(self, video, reference):
        return bool((video != reference).any())


class OneNumberEach(Distance):
    def __call__(self, video, reference):
        return abs(video.astype(float) - reference).mean((1, 2, 3))


class Fails(Distance):
    def __call__(self, video, reference):
        if not video.any():
            raise ZeroDivisionError("nothing to divide by")
        return super().__call__(video, reference)


class NeedsTwoFrames(Distance):
    def __call__(self, video, reference):
        return super().__call__(video[1:], reference[1:])


class EmptyOnBoth(Distance):
    """The distance relative to the light: nothing by nothing in the dark."""

    def __call__(self, video, reference):
        with np.errstate(invalid="ignore"):
            return super().__call__(video, reference) / (
                video.mean() + reference.mean()
            )


class BlindToBlack(Distance):
    """Takes what is black for missing, and misses it not."""

    def __call__(self, video, reference):
        return super().__call__(video, reference) if video.any() else 0.0


class BlindAndRounded(BlindToBlack):
    def __call__(self, video, reference):
        return super().__call__(video, reference) - 1e-9


class BlindToNoise(Distance):
    """Looks at the middle frame's mean alone, to the nearest 64 levels."""

    def __call__(self, video, reference):
        return abs(round(video.mean() / 64) - round(reference.mean() / 64))


def verdict_on(check, subject_of, kind):
    subject = subject_of(metric=f"{__name__}:{kind.__name__}")
    return Examination(subject, CHECKS).verdict(check.name)


@pytest.mark.parametrize("check", checks.CHECKS)
@pytest.mark.parametrize("kind", [Distance, Colours, Rounded])
def test_a_sound_metric_passes(subject_of, check, kind):
    found = verdict_on(check, subject_of, kind)
    assert found.outcome is Outcome.PASSED, found.says


def test_rounding_is_not_better_than_the_best(subject_of):
    assert verdict_on(RANGE, subject_of, BlindAndRounded).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (Nameless, "its best is None, expected a finite number"),
        (BestIsText, "its best is '0', expected a finite number"),
        (Unbounded, "its best is inf, expected a finite number"),
        (WrongSign, "better than best = 0"),
        (Boolean, "scores True, expected a finite number"),
        (OneNumberEach, "expected a finite number"),
        (NeedsTwoFrames, "one frame against another scores nan"),
        (Fails, "against an ordinary one: it raises ZeroDivisionError: nothing to"),
    ],
)
def test_a_score_out_of_range_is_told(subject_of, kind, says):
    found = verdict_on(RANGE, subject_of, kind)
    assert found.outcome is Outcome.FAILED
    assert says in found.says


def test_where_a_metric_fails_file_and_line_are_told(subject_of):
    assert "(test_metric_checks.py:" in verdict_on(RANGE, subject_of, Fails).says


def test_two_videos_without_content_are_alike(subject_of):
    found = verdict_on(ITSELF, subject_of, EmptyOnBoth)
    assert found.outcome is Outcome.FAILED
    assert found.says.startswith("a black video against itself scores nan")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (BlindToBlack, "a black video scores 0, no worse than the video itself (0)"),
        (BlindToNoise, "a noise video scores 0, no worse than the video itself (0)"),
    ],
)
def test_a_metric_that_cannot_see_a_corruption_is_told(subject_of, kind, says):
    found = verdict_on(CORRUPTED, subject_of, kind)
    assert (found.outcome, found.says) == (Outcome.FAILED, says)


def test_without_a_metric_there_is_nothing_to_look_at(subject_of):
    examination = Examination(subject_of(), CHECKS)
    for check in checks.CHECKS:
        found = examination.verdict(check.name)
        assert (found.outcome, found.says) == (
            Outcome.LEFT_OUT,
            "it has no metric of its own",
        )
