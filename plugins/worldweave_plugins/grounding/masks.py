"""From a prompt and a video to masks: seek the things, follow them, remember them."""

# T frames, H W rows and columns, N objects

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

from worldweave_plugins.grounding import detector, places, reading, tracker
from worldweave_plugins.grounding.detector import Detections, Detector
from worldweave_plugins.grounding.settings import Settings
from worldweave_plugins.grounding.tracker import Tracker

Frames: TypeAlias = npt.NDArray[np.uint8]
#: Masks (T, H, ceil(W / 8)), eight pixels of a row in a byte: a tenth of a gigabyte
#: for each object of a clip would be too much to keep.
Bits: TypeAlias = npt.NDArray[np.uint8]

#: Two boxes of one phrase that share more of their union are one thing: the detector
#: offers many for each at so low a threshold.
SAME: Final = 0.7
#: The answers kept: a request asks for the same map for each of its modalities.
KEPT: Final = 4


@attrs.frozen(kw_only=True, eq=False)
class Sighting:
    """A thing seen in one frame: *box* is left, top, right, bottom in pixels."""

    phrase: str
    frame: int
    box: npt.NDArray[np.float32]
    score: float


_answers: OrderedDict[object, dict[str, Bits]] = OrderedDict()


def text_map(prompt: str, video: Frames) -> npt.NDArray[np.float32]:
    """Return 1 where any instance of any phrase is, 0 elsewhere: float32 (T, H, W)."""
    union = np.zeros(_packed_shape(video), np.uint8)
    for bits in find(prompt, video).values():
        union |= bits
    return _unpacked(union, video).astype(np.float32)


def objects(prompt: str, video: Frames) -> Mapping[str, npt.NDArray[np.bool_]]:
    """Return a mask (T, H, W) for each instance: "a car", "a car 2", "a person"."""
    return {
        name: _unpacked(bits, video).astype(bool)
        for name, bits in find(prompt, video).items()
    }


def find(prompt: str, video: Frames) -> dict[str, Bits]:
    """Return the masks of every instance of every phrase, best first within one.

    Asked again for the same video it remembers. Raise WorldweaveError where
    transformers, a model or a sensible setting is absent.
    """
    phrases = detector.split(prompt)
    settings = Settings.from_environment()
    key = (phrases, settings, video.shape, _digest(video))
    if key not in _answers:
        reading.library("transformers")
        device = reading.device(settings.device)
        folders = places.find(settings, places.DETECTOR, places.TRACKER)
        sightings = seek(detector.load(folders[0], device), video, phrases, settings)
        _answers[key] = follow(tracker.load(folders[1], device), video, sightings)
    _answers.move_to_end(key)
    while len(_answers) > KEPT:
        _answers.popitem(last=False)
    return _answers[key]


def seek(
    finder: Detector, video: Frames, phrases: Sequence[str], settings: Settings
) -> list[Sighting]:
    """Return the instances of each phrase in the first frame that shows it.

    The first frame is looked at, then later ones until each phrase is found. A
    phrase that is nowhere above the threshold is taken from the first frame where
    it is above the fallback.
    """
    sure: dict[str, list[Sighting]] = {}
    unsure: dict[str, list[Sighting]] = {}
    for frame in looked_at(len(video), settings.looks):
        offered = finder.detect(video[frame], phrases)
        for number, phrase in enumerate(phrases):
            if phrase in sure:
                continue
            for found, threshold in (
                (sure, settings.threshold),
                (unsure, settings.fallback),
            ):
                seen = _best(offered, number, phrase, frame, threshold, settings)
                if seen and phrase not in found:
                    found[phrase] = seen
        if len(sure) == len(phrases):
            break
    return [
        sighting
        for phrase in phrases
        for sighting in sure.get(phrase) or unsure.get(phrase) or []
    ]


def looked_at(length: int, looks: int) -> list[int]:
    """Return at most *looks* frames from the first to the last, evenly spaced."""
    return sorted({round(at) for at in np.linspace(0, length - 1, min(length, looks))})


def _best(
    offered: Detections,
    number: int,
    phrase: str,
    frame: int,
    threshold: float,
    settings: Settings,
) -> list[Sighting]:
    """Return the boxes of one phrase above *threshold*, each thing once."""
    wanted = (offered.phrases == number) & (offered.scores > threshold)
    boxes, scores = offered.boxes[wanted], offered.scores[wanted]
    taken: list[int] = []
    for at in np.argsort(-scores, kind="stable"):
        if all(overlap(boxes[at], boxes[other]) <= SAME for other in taken):
            taken.append(int(at))
    return [
        Sighting(phrase=phrase, frame=frame, box=boxes[at], score=float(scores[at]))
        for at in taken[: settings.instances]
    ]


def overlap(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """Return the area two boxes share divided by the area they cover together."""
    low = np.maximum(one[:2], other[:2])
    high = np.minimum(one[2:], other[2:])
    shared = float(np.prod(np.maximum(high - low, 0)))
    areas = [float(np.prod(box[2:] - box[:2])) for box in (one, other)]
    both = sum(areas) - shared
    return shared / both if both > 0 else 0.0


def follow(
    follower: Tracker, video: Frames, sightings: Sequence[Sighting]
) -> dict[str, Bits]:
    """Return the masks of each sighting through the video, without empty ones."""
    found: dict[int, Bits] = {}
    for start in sorted({sighting.frame for sighting in sightings}):
        group = [at for at, seen in enumerate(sightings) if seen.frame == start]
        found |= {at: np.zeros(_packed_shape(video), np.uint8) for at in group}
        boxes = np.stack([sightings[at].box for at in group])
        for frame, masks in follower.track(video, start, boxes):
            packed = np.packbits(masks, axis=-1)
            for at, bits in zip(group, packed, strict=True):
                found[at][frame] = bits
    named: dict[str, Bits] = {}
    for at, sighting in enumerate(sightings):
        if found[at].any():
            earlier = [other.phrase for other in sightings[:at]]
            number = earlier.count(sighting.phrase) + 1
            name = sighting.phrase if number == 1 else f"{sighting.phrase} {number}"
            named[name] = found[at]
    return named


def _packed_shape(video: Frames) -> tuple[int, int, int]:
    frames, height, width = video.shape[:3]
    return frames, height, -(-width // 8)


def _unpacked(bits: Bits, video: Frames) -> npt.NDArray[np.uint8]:
    return np.unpackbits(bits, axis=-1, count=video.shape[2])


def _digest(video: Frames) -> bytes:
    return blake2b(np.ascontiguousarray(video).data, digest_size=16).digest()
