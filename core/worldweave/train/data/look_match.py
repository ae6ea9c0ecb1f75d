"""Check that each control fits its video: length, size, pace, time, content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from worldweave.train.data.look_finding import Finding, shared
from worldweave.train.data.look_sample import Seen
from worldweave.train.words import counted

#: Shapes that differ by so much were cut from different parts of the picture.
_OTHER_SHAPE = 0.02
_OTHER_RATE = 0.01


def match_findings(seen: Sequence[Seen], modality: str) -> list[Finding]:
    """Tell where a control and its video do not go together."""
    pairs = {each.sample.name: each for each in seen if each.video and each.control}
    return [
        *_lengths(pairs, modality),
        *_shapes(pairs, modality),
        *_rates(pairs, modality),
        *_late(pairs, modality),
        *_copies(pairs, modality),
        *_still(pairs, modality),
    ]


def _lengths(pairs: Mapping[str, Seen], modality: str) -> list[Finding]:
    other = {}
    for name, pair in pairs.items():
        if pair.video and pair.control and pair.video.frames != pair.control.frames:
            other[name] = f"{pair.control.frames} for {pair.video.frames}"
    return shared(
        "error",
        modality,
        other,
        len(pairs),
        "control",
        (
            "has another number of frames than its video",
            "have another number of frames than their videos",
        ),
        "Frame 1 of the control belongs to frame 1 of the video, and so on to the "
        "end. Where the numbers differ, nobody knows which belong together.",
        "make the control again from the very file in videos/, or cut both to the "
        "same part",
    )


def _shapes(pairs: Mapping[str, Seen], modality: str) -> list[Finding]:
    shape, size = {}, {}
    for name, pair in pairs.items():
        if not pair.video or not pair.control:
            continue
        (h, w), (height, width) = pair.control.size, pair.video.size
        told = f"{w}x{h} for {width}x{height}"
        if abs(pair.control.aspect / pair.video.aspect - 1) > _OTHER_SHAPE:
            shape[name] = told
        elif (h, w) != (height, width):
            size[name] = told
    total = len(pairs)
    return [
        *shared(
            "warning",
            modality,
            shape,
            total,
            "control",
            (
                "has another shape than its video",
                "have another shape than their videos",
            ),
            "Both are scaled to one size, so a control that shows more or less of the "
            "scene than its video lies beside the things it should lie on.",
            "cut video and control to the same part of the picture",
        ),
        *shared(
            "note",
            modality,
            size,
            total,
            "control",
            ("has another size than its video", "have another size than their videos"),
            "The shape is the same, so both fit once they are scaled; fine details of "
            "the smaller one are lost.",
            "",
        ),
    ]


def _rates(pairs: Mapping[str, Seen], modality: str) -> list[Finding]:
    other = {}
    for name, pair in pairs.items():
        if not pair.video or not pair.control:
            continue
        one, two = pair.video.fps, pair.control.fps
        if one and two and abs(float(two / one) - 1) > _OTHER_RATE:
            other[name] = f"{float(two):g} for {float(one):g}"
    return shared(
        "warning",
        modality,
        other,
        len(pairs),
        "control",
        (
            "has another frame rate than its video",
            "have another frame rate than their videos",
        ),
        "Training pairs frame with frame and does not look at the rate: if both show "
        "the same seconds, they drift apart.",
        "make the control from the file in videos/, or write it with the same frame "
        "rate",
    )


def _late(pairs: Mapping[str, Seen], modality: str) -> list[Finding]:
    late = {}
    for name, pair in pairs.items():
        if pair.lag:
            when = "late" if pair.lag > 0 else "early"
            late[name] = f"{counted(abs(pair.lag), 'frame')} {when}"
    return shared(
        "warning",
        modality,
        late,
        len(pairs),
        "control",
        ("seems shifted in time", "seem shifted in time"),
        "Where much moves in the video, much should change in the control at the same "
        "frame; here it does so earlier or later. The branch would learn to follow "
        "the wrong frame.",
        "look at both side by side; cut the frames that are too many at the start of "
        "the one that lags, and at the end of the other",
    )


def _copies(pairs: Mapping[str, Seen], modality: str) -> list[Finding]:
    # Only some are compared with what the preprocessor makes; it treats all alike.
    is_usual = any(pair.is_as_made for pair in pairs.values() if pair.is_copy)
    copies = [
        name
        for name, pair in pairs.items()
        if pair.is_copy
        and not (is_usual if pair.is_as_made is None else pair.is_as_made)
    ]
    return shared(
        "warning",
        modality,
        copies,
        len(pairs),
        "control",
        ("seems to be a copy of its video", "seem to be copies of their videos"),
        "The branch would learn to copy what it is given instead of following a "
        f"control of {modality}.",
        f"put the video of {modality} there; leave it if that looks like its video",
    )


def _still(pairs: Mapping[str, Seen], modality: str) -> list[Finding]:
    return shared(
        "warning",
        modality,
        [name for name, pair in pairs.items() if pair.stands_still],
        len(pairs),
        "control",
        ("stands still while its video moves", "stand still while their videos move"),
        "In most frames it shows the picture of the frame before, so it belongs to "
        "nothing that is to be seen.",
        "make a control for every frame, not only for the first",
    )
