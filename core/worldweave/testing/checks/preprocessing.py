"""What a preprocessor promises: a control like the video, and the same every time."""

from __future__ import annotations

import contextlib
import random
import reprlib
from collections.abc import Iterator

import numpy as np

from worldweave.base import Frames
from worldweave.request.check import Preprocessor
from worldweave.testing import switches
from worldweave.testing.checks.listing import parts_can_be_imported
from worldweave.testing.kit import Failure, check, fail
from worldweave.testing.subject import NotApplicable, Subject, video
from worldweave_registry import let_interrupts_pass, one_line

#: Odd both ways, upright and flat; (height, width) in pixels.
ODD_SIZES = ((17, 31), (31, 17), (63, 95), (16, 49))
#: More than any base makes at once: Cosmos makes 121.
LONG = 130


@check(
    "the control is an array uint8 (T, H, W, 3) like the video",
    needs=(parts_can_be_imported,),
)
def control_is_like_the_video(subject: Subject) -> None:
    """Run it on an ordinary video.

    What it switches for everybody is put back: the next check sees it change again.
    """
    with switches.watched():
        _control(subject.preprocessor(), video())


@check(
    "the same video gives the same control, whatever was before and the global dice "
    "show, and nothing global is changed",
    needs=(control_is_like_the_video,),
)
def preprocessing_twice_gives_the_same(subject: Subject) -> None:
    """Run it four times, with another video and other dice in between."""
    with switches.watched() as changed:
        _run_four_times(subject)
        if found := changed():
            fail(
                f"it changes {', '.join(found)}, which everybody shares",
                "leave it alone: name files by whole paths, hand settings to those "
                "who need them",
            )


def _run_four_times(subject: Subject) -> None:
    frames, other = video(5, 32, 48) // 2 + 16, 255 - video(5, 32, 48, seed=1)
    preprocess = subject.preprocessor()
    with _dice(0):
        given = _control(preprocess, frames)
    first = given.copy()
    own = (
        "keep nothing between calls and draw from a generator of its own with a "
        "fixed seed, np.random.default_rng(0)"
    )
    with _dice(1):
        _same(_control(preprocess, frames), first, "a second call gives", own)
    with _dice(2):
        _control(preprocess, other)
    _same(given, first, "a later call changes what an earlier one gave:", own)
    with _dice(3):
        _same(_control(preprocess, frames), first, "after another video it gives", own)
    with _dice(4):
        _same(
            _control(subject.preprocessor(), frames),
            first,
            "a new instance gives",
            own,
        )


@check(
    "the video given is left as it was; it may be read-only and lie scattered",
    needs=(preprocessing_twice_gives_the_same,),
)
def preprocessor_leaves_its_input_alone(subject: Subject) -> None:
    """Compare the video before and after; then give one that cannot be written."""
    frames = video(5, 32, 48)
    preprocess, given = subject.preprocessor(), frames.copy()
    made = preprocess(given)
    _same(given, frames, "the video it was given has", "work on a copy: frames.copy()")
    expected = made.copy()
    scattered = frames.repeat(2, axis=2)[:, :, ::2]
    scattered.setflags(write=False)
    with _told(
        "a video that is read-only and not contiguous",
        "do not write to what is given; where a library insists, hand it "
        "np.ascontiguousarray(frame) or frame.copy()",
    ):
        made = preprocess(scattered)
    _same(
        made,
        expected,
        "of a video that is not contiguous it gives",
        "index the array; do not look at its memory",
    )


@check(
    "a video of one frame, which is a picture, gives one frame",
    needs=(control_is_like_the_video,),
)
def one_frame_is_enough(subject: Subject) -> None:
    """Run it on one frame."""
    with _told("a video of one frame", "treat the only frame as one that stands still"):
        _control(subject.preprocessor(), video(1))


@check(
    "every size of the base works, upright and flat, and odd sizes from 16 pixels on",
    needs=(control_is_like_the_video,),
)
def odd_sizes_work(subject: Subject) -> None:
    """Run it on two frames of each size."""
    sizes = [*ODD_SIZES, *subject.base.sizes]
    sizes += [(width, height) for height, width in subject.base.sizes]
    for height, width in dict.fromkeys(sizes):
        with _told(
            f"a video of {height}x{width} pixels (height x width)",
            "scale to frames.shape, not to a multiple; cv2.resize takes "
            "(width, height)",
        ):
            _control(subject.preprocessor(), video(2, height, width))


@check(
    f"a video of {LONG} frames gives as many",
    needs=(control_is_like_the_video,),
)
def long_clips_work(subject: Subject) -> None:
    """Run it on more frames than any base makes at once."""
    with _told(
        f"a video of {LONG} frames",
        "go through all frames there are; a video may be longer than a chunk",
    ):
        _control(subject.preprocessor(), video(LONG, 16, 24))


@check(
    "with per_frame = True the control of a part is that part of the control",
    needs=(preprocessing_twice_gives_the_same,),
)
def per_frame_claim_holds(subject: Subject) -> None:
    """Compare frame by frame and chunk by chunk with the whole, bit for bit."""
    preprocess = subject.preprocessor()
    claimed: object = getattr(preprocess, "per_frame", False)
    if not isinstance(claimed, bool):
        fail(
            f"per_frame is {reprlib.repr(claimed)}, expected True or False",
            "say per_frame: ClassVar[bool] = True, or False, or leave it out",
        )
    if not claimed:
        raise NotApplicable("it does not claim to work frame by frame")
    frames = video(8, 32, 48)
    # So that the frames differ in light, as they do in videos.
    frames = (frames * np.linspace(0.3, 1, len(frames))[:, None, None, None]).astype(
        np.uint8
    )
    whole = _control(preprocess, frames)
    for size in (1, 3):
        parts = [
            _control(preprocess, frames[at : at + size])
            for at in range(0, len(frames), size)
        ]
        _same(
            np.concatenate(parts),
            whole,
            "frame by frame it gives" if size == 1 else f"{size} by {size} it gives",
            "look at no other frame, or say per_frame: ClassVar[bool] = False",
        )


def _control(preprocess: Preprocessor, frames: Frames) -> Frames:
    """Return the control of *frames*, which cannot be written; fail unless alike."""
    made: object = preprocess(frames.copy())
    if not isinstance(made, np.ndarray):
        fail(
            f"it gives a {type(made).__name__}, expected a numpy array",
            "return an array: np.stack(frames), or tensor.cpu().numpy()",
        )
    if made.shape != frames.shape:
        fail(
            f"of {frames.shape} it gives {made.shape}, expected the same",
            _reshaped(made.shape, frames.shape),
        )
    if made.dtype != np.uint8:
        fail(
            f"it gives {made.dtype}, expected uint8",
            "scale to 0..255, round, then convert: values.round().astype(np.uint8)",
        )
    return made


def _reshaped(made: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    """Return what turns an array of one shape into the other, as far as one can see."""
    frames, height, width, channels = wanted
    usual = {
        (frames, width, height, channels): "width comes last: cv2.resize takes (width, "
        "height), an array is (height, width, 3)",
        (frames, channels, height, width): "put the channels last: "
        "control.transpose(0, 2, 3, 1)",
        (frames, height, width): "repeat the single channel: "
        "np.repeat(control[..., None], 3, axis=-1)",
        (frames, height, width, 1): "repeat the single channel: "
        "np.repeat(control, 3, axis=-1)",
    }
    return usual.get(made, "give a frame (H, W, 3) for each, no larger and no smaller")


@contextlib.contextmanager
def _told(what: str, mend: str) -> Iterator[None]:
    """Say of a failure that it is about *what*."""
    try:
        yield
    except Failure as found:
        fail(f"{what}: {found.says}", mend)
    except BaseException as error:
        let_interrupts_pass(error)
        fail(f"{what}: it raises {one_line(error)}", mend, error)


@contextlib.contextmanager
def _dice(seed: int) -> Iterator[None]:
    """Seed all global dice, and put them back; fail where they are thrown."""
    kept = random.getstate(), np.random.get_state()
    try:
        random.seed(seed)
        np.random.seed(seed)
        before = _faces()
        with Subject.own_dice(seed):
            yield
        for whose, face in _faces().items():
            if face != before[whose]:
                fail(
                    f"it throws or seeds {whose} global dice",
                    "draw from a generator of its own, np.random.default_rng(0)",
                )
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])


def _faces() -> dict[str, object]:
    """Return the state of the global dice, not torch's: building a model throws it."""
    state = np.random.get_state(legacy=False)["state"]
    return {
        "Python's": random.getstate(),
        "numpy's": (state["key"].tobytes(), state["pos"]),
    }


def _same(made: Frames, expected: Frames, says: str, mend: str) -> None:
    """Fail with the first frame where *made* is not *expected*."""
    if np.array_equal(made, expected):
        return
    if made.shape != expected.shape:
        fail(f"{says} {made.shape}, expected {expected.shape}", mend)
    off = abs(made.astype(int) - expected.astype(int)).reshape(len(made), -1)
    changed = int(np.count_nonzero(off))
    fail(
        f"{says} other values: {changed} of {off.size} differ, by up to {off.max()}, "
        f"first in frame {int(off.any(axis=1).argmax())}",
        mend,
    )


CHECKS = (
    control_is_like_the_video,
    preprocessing_twice_gives_the_same,
    preprocessor_leaves_its_input_alone,
    one_frame_is_enough,
    odd_sizes_work,
    long_clips_work,
    per_frame_claim_holds,
)
