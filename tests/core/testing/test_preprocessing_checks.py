"""Mistakes of preprocessors beyond those of the wrong plugins, and sound ones."""

import os
import random
import tempfile
from typing import ClassVar

import attrs
import numpy as np
import pytest
import torch

from worldweave.testing.checks import CHECKS
from worldweave.testing.checks import preprocessing as checks
from worldweave.testing.kit import Examination, Outcome

_kept = np.zeros(0, np.uint8)


class Floats:
    def __call__(self, frames):
        return frames / 255


class Listed:
    def __call__(self, frames):
        return list(frames)


class Gray:
    def __call__(self, frames):
        return frames[..., 0]


class OneChannel:
    def __call__(self, frames):
        return frames[..., :1]


class ChannelsFirst:
    def __call__(self, frames):
        return frames.transpose(0, 3, 1, 2)


class TooMany:
    def __call__(self, frames):
        return np.concatenate([frames, frames])


class OwnBuffer:
    """Writes each control to the same place."""

    def __call__(self, frames):
        global _kept
        if _kept.shape != frames.shape:
            _kept = np.empty_like(frames)
        _kept[:] = 255 - frames
        return _kept


class NumpyDice:
    def __call__(self, frames):
        return frames ^ np.random.randint(0, 2, frames.shape, np.uint8)


class PythonDice:
    def __call__(self, frames):
        return frames + np.uint8(random.randrange(256))


class TorchDice:
    def __call__(self, frames):
        return frames + np.uint8(torch.randint(256, ()))


class OwnDice:
    """Draws once, when it is built, from a generator that nobody seeds."""

    def __init__(self):
        self.noise = np.random.default_rng().integers(0, 256, dtype=np.uint8)

    def __call__(self, frames):
        return frames + self.noise


class SeedsNumpy:
    def __call__(self, frames):
        np.random.seed(0)
        return frames ^ np.random.randint(0, 2, frames.shape, np.uint8)


class SeedsPython:
    def __call__(self, frames):
        random.seed(0)
        return frames


class ChangesFolder:
    def __call__(self, frames):
        os.chdir(tempfile.gettempdir())
        return frames


class SetsVariables:
    def __call__(self, frames):
        os.environ["TOKENIZERS_PARALLELISM"] = "perhaps"
        return frames


class Remembers:
    """Keeps the brightest value it ever saw."""

    def __init__(self):
        self.brightest = 1

    def __call__(self, frames):
        self.brightest = max(self.brightest, int(frames.max()))
        return (frames * (255 / self.brightest)).astype(np.uint8)


class Memory:
    """Looks at memory in place of the array."""

    def __call__(self, frames):
        strides = np.ascontiguousarray(frames).strides
        return np.lib.stride_tricks.as_strided(frames, frames.shape, strides).copy()


class WritesWhereItIsAnArray:
    """Takes a copy, which is none where there is nothing to convert."""

    def __call__(self, frames):
        control = np.asarray(frames)
        control[:1] = control[:1]
        return control


class WritesWhereItIsContiguous:
    """Takes a copy, which is none where there is nothing to bring together."""

    def __call__(self, frames):
        control = np.ascontiguousarray(frames)
        control //= 2
        return control


@attrs.frozen(kw_only=True)
class Sound:
    """The video itself; the copy of an array that may be read-only."""

    per_frame: ClassVar[bool] = True

    def __call__(self, frames):
        return frames


class SoundDice:
    def __call__(self, frames):
        dice = np.random.default_rng(0)
        return frames ^ dice.integers(0, 2, frames.shape, np.uint8)


class SoundModel:
    """Builds a network, which throws torch's dice, and sets its weights."""

    def __call__(self, frames):
        layer = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.constant_(layer.weight, -1)
        return 255 - frames


class EvenFrames:
    """Halves the frame rate; a video that begins elsewhere halves otherwise."""

    per_frame = True

    def __call__(self, frames):
        return frames[np.arange(len(frames)) // 2 * 2]


class Modest(EvenFrames):
    per_frame = False


def verdict_on(check, subject_of, kind):
    subject = subject_of(preprocessor=f"{__name__}:{kind.__name__}")
    return Examination(subject, CHECKS).verdict(check.name)


@pytest.mark.parametrize(
    ("kind", "says", "mend"),
    [
        (Floats, "it gives float64, expected uint8", "scale to 0..255"),
        (Listed, "it gives a list, expected a numpy array", "np.stack"),
        (Gray, "it gives (9, 64, 96), expected", "np.repeat(control[..., None], 3"),
        (OneChannel, "it gives (9, 64, 96, 1), expected", "np.repeat(control, 3"),
        (ChannelsFirst, "it gives (9, 3, 64, 96)", "transpose(0, 2, 3, 1)"),
        (TooMany, "of (9, 64, 96, 3) it gives (18, 64, 96, 3)", "for each"),
    ],
)
def test_a_control_unlike_the_video_is_told_with_a_way_to_mend_it(
    subject_of, kind, says, mend
):
    found = verdict_on(checks.control_is_like_the_video, subject_of, kind)
    assert found.outcome is Outcome.FAILED
    assert says in found.says
    assert mend in found.mend


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (OwnBuffer, "a later call changes what an earlier one gave: other values"),
        (NumpyDice, "it throws or seeds numpy's global dice"),
        (PythonDice, "it throws or seeds Python's global dice"),
        (TorchDice, "a second call gives other values"),
        (OwnDice, "a new instance gives other values"),
        (Remembers, "after another video it gives other values"),
        (SeedsNumpy, "it throws or seeds numpy's global dice"),
        (SeedsPython, "it throws or seeds Python's global dice"),
        (ChangesFolder, "it changes the current folder, which everybody shares"),
        (SetsVariables, "it changes the environment, which everybody shares"),
    ],
)
def test_a_control_that_depends_on_more_than_the_video_is_told(subject_of, kind, says):
    check = checks.preprocessing_twice_gives_the_same
    before = os.getcwd(), dict(os.environ)
    found = verdict_on(check, subject_of, kind)
    assert found.outcome is Outcome.FAILED
    assert says in found.says
    assert (os.getcwd(), dict(os.environ)) == before


@pytest.mark.parametrize("kind", [NumpyDice, SeedsPython, SoundModel])
def test_global_dice_are_left_as_they_were(subject_of, kind):
    subject = subject_of(preprocessor=f"{__name__}:{kind.__name__}")
    examination = Examination(subject, CHECKS)
    examination.verdict("control_is_like_the_video")
    kept = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    examination.verdict("preprocessing_twice_gives_the_same")
    assert random.getstate() == kept[0]
    assert np.random.get_state()[1].tolist() == kept[1]
    assert torch.equal(torch.get_rng_state(), kept[2])


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (WritesWhereItIsContiguous, "the video it was given has other values"),
        (WritesWhereItIsAnArray, "read-only and not contiguous: it raises ValueError"),
        (Memory, "of a video that is not contiguous it gives other values"),
    ],
)
def test_a_video_is_left_as_it_is_however_it_lies_in_memory(subject_of, kind, says):
    check = checks.preprocessor_leaves_its_input_alone
    found = verdict_on(check, subject_of, kind)
    assert found.outcome is Outcome.FAILED
    assert says in found.says


@pytest.mark.parametrize("kind", [Sound, SoundDice, SoundModel])
@pytest.mark.parametrize(
    "check", [c for c in checks.CHECKS if c is not checks.per_frame_claim_holds]
)
def test_a_sound_preprocessor_passes(subject_of, kind, check):
    found = verdict_on(check, subject_of, kind)
    assert found.outcome is Outcome.PASSED, found.says


def test_a_claim_that_holds_for_some_pieces_alone_is_no_claim(subject_of):
    found = verdict_on(checks.per_frame_claim_holds, subject_of, EvenFrames)
    assert found.outcome is Outcome.FAILED
    assert "first in frame 1" in found.says


class Boasts(Sound):
    per_frame = "yes"


def test_a_claim_that_is_neither_true_nor_false_is_told(subject_of):
    found = verdict_on(checks.per_frame_claim_holds, subject_of, Boasts)
    assert found.outcome is Outcome.FAILED
    assert found.says == "per_frame is 'yes', expected True or False"


def test_a_claim_that_holds_passes(subject_of):
    found = verdict_on(checks.per_frame_claim_holds, subject_of, Sound)
    assert found.outcome is Outcome.PASSED


@pytest.mark.parametrize("kind", [Modest, SoundDice])
def test_who_claims_nothing_is_not_asked(subject_of, kind):
    found = verdict_on(checks.per_frame_claim_holds, subject_of, kind)
    assert found.outcome is Outcome.LEFT_OUT
    assert found.says == "it does not claim to work frame by frame"


def test_without_a_preprocessor_there_is_nothing_to_look_at(subject_of):
    examination = Examination(subject_of(), CHECKS)
    for check in checks.CHECKS:
        found = examination.verdict(check.name)
        assert found.outcome is Outcome.LEFT_OUT
        assert found.says == "it has no preprocessor: users bring the control video"
