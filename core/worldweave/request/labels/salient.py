"""SalientObject: which objects are foreground, and the map that follows from it."""

# T H W frames, rows, columns of the masks

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from worldweave.request.labels.video import LabelVideo
from worldweave.request.sources import MapArray
from worldweave_registry import PluginError, WorldweaveError

# On 96 clips of the tiny world these call all cars, all arms and 9 of 10 things on
# tables foreground; of what is background, lines and 1 in 10 strips of ground.
#: The share of the picture an object takes where it shows.
SMALLEST = 0.003
LARGEST = 0.5
#: See `Measures`. The mean distance from the centre of the picture, which it replaces,
#: is no help: 0.59 for boxes on a table, 0.60 for houses along a street.
CENTRAL = 0.6
CUT_OFF = 0.15
MOVING = 1.0


@attrs.frozen(kw_only=True)
class ObjectMask:
    """Where an object is: bool (T, H, W), or (1, H, W) for all frames."""

    name: str
    mask: npt.NDArray[np.bool_] = attrs.field(
        eq=attrs.cmp_using(eq=np.array_equal), repr=False
    )


@attrs.frozen(kw_only=True)
class Verdict:
    """What an object was called, and why, in one short line."""

    name: str
    is_foreground: bool
    reason: str


@attrs.frozen(kw_only=True)
class Measures:
    """What the rule knows of an object.

    area: the share of the picture it takes, in frames that show it. centrality: 1
    where no edge of the picture cuts it off, falling to 0 where the edges cut it
    along twice the side of a square of its size. motion: how fast its outline moves,
    in multiples of the mean of all outlines, which is how fast the camera makes
    things move; 0 where nothing moves and in a single frame.
    """

    area: float
    centrality: float
    motion: float


def objects_from_labels(labels: LabelVideo) -> list[ObjectMask]:
    """Return one object for each class that is on at least one pixel."""
    present = np.unique(labels.ids)
    return [
        ObjectMask(name=labels.names[number], mask=labels.ids == number)
        for number in present
    ]


def foreground_by_rule(
    objects: Sequence[ObjectMask], frames_count: int
) -> list[Verdict]:
    """Call each object foreground or background by its area, centrality and motion.

    Foreground is what takes between SMALLEST and LARGEST of the picture and is either
    central (CENTRAL or more) or, though an edge cuts it off (above CUT_OFF), moves at
    least as fast as outlines do on average (MOVING). Nothing is learned, and what a
    thing is counts for nothing: a painted line passes for an object, a car that fills
    more than half the picture for background.

    Raise WorldweaveError for a mask that has neither *frames_count* frames nor one.
    """
    for each in objects:
        if len(each.mask) not in (1, frames_count):
            raise WorldweaveError(
                f"the mask of {each.name!r} has {len(each.mask)} frames but the video "
                f"has {frames_count}; give one for each frame or a single one"
            )
    return [
        _verdict(each.name, measures)
        for each, measures in zip(objects, measure(objects), strict=True)
    ]


def measure(objects: Iterable[ObjectMask]) -> list[Measures]:
    """Return what the rule knows of each object; see `Measures`."""
    counted = [_Counts.of(each.mask) for each in objects]
    moved = sum(counts.moved for counts in counted)
    outline = sum(counts.outline for counts in counted)
    mean_speed = moved / outline if outline else 0.0
    return [counts.measures(mean_speed) for counts in counted]


def verdicts_from(answer: object, objects: Sequence[ObjectMask]) -> list[Verdict]:
    """Return the verdicts of a plugin's classifier, in the order of *objects*.

    Raise PluginError unless it answers a bool for every object and for nothing else.
    """
    blame = "report it to the plugin's author"
    if not isinstance(answer, Mapping):
        raise PluginError(
            f"worldweave_foreground gave {type(answer).__name__}, expected a mapping "
            f"of object names to bool; {blame}"
        )
    given: Mapping[Any, Any] = answer
    names = [each.name for each in objects]
    faults = [f"nothing for {name!r}" for name in names if name not in given]
    faults += [f"{name!r}, which is no object" for name in given if name not in names]
    faults += [
        f"{value!r} for {name!r}, which is no bool"
        for name, value in given.items()
        if name in names and not isinstance(value, (bool, np.bool_))
    ]
    if faults:
        raise PluginError(f"worldweave_foreground gave {', '.join(faults)}; {blame}")
    return [
        Verdict(
            name=name, is_foreground=bool(given[name]), reason="says the classifier"
        )
        for name in names
    ]


def foreground_mask(
    objects: Sequence[ObjectMask], verdicts: Iterable[Verdict]
) -> npt.NDArray[np.bool_]:
    """Return where any foreground object is, bool (T or 1, H, W).

    Raise WorldweaveError where there is no object, and, telling all verdicts, where
    none is foreground.
    """
    called = {verdict.name: verdict for verdict in verdicts}
    if not objects:
        raise WorldweaveError(
            "no object was found in the video, so nothing can be foreground; name what "
            "it shows in objects, or use another form of map"
        )
    masks = [each.mask for each in objects if called[each.name].is_foreground]
    if not masks:
        told = ", ".join(f"{name!r} ({v.reason})" for name, v in called.items())
        raise WorldweaveError(
            f"no object is foreground: {told}; choose another classifier in objects, "
            "or say by a rule what counts"
        )
    union = masks[0]
    for mask in masks[1:]:
        union = union | mask
    return union


def salient_map(
    mask: npt.NDArray[np.bool_], foreground: float, background: float
) -> MapArray:
    """Return *foreground* where *mask* is true, *background* elsewhere, as float32."""
    return np.where(mask, np.float32(foreground), np.float32(background))


def _verdict(name: str, measures: Measures) -> Verdict:
    area, centrality, motion = measures.area, measures.centrality, measures.motion
    is_foreground = False
    if area < SMALLEST:
        why = "too small"
    elif area > LARGEST:
        why = "as large as a background"
    elif centrality >= CENTRAL:
        is_foreground, why = True, "central"
    elif centrality <= CUT_OFF:
        why = "cut off by the picture's edge"
    elif motion >= MOVING:
        is_foreground, why = True, "moving by itself"
    else:
        why = "partly cut off, and moving no more than the picture"
    numbers = f"area {area:.1%}, centrality {centrality:.2f}, motion {motion:.2f}"
    return Verdict(name=name, is_foreground=is_foreground, reason=f"{why}: {numbers}")


@attrs.frozen(kw_only=True)
class _Counts:
    """Pixels of a mask, summed over frames.

    shown: frames that show it; pixels: of one frame; inside: it; edge: it on the edge
    of the picture; outline: its outline but for that; moved: that change from frame
    to frame, scaled as if one more frame followed, so that it compares to outline.
    """

    shown: int
    pixels: int
    inside: int
    edge: int
    outline: int
    moved: float

    @classmethod
    def of(cls, mask: npt.NDArray[np.bool_]) -> _Counts:
        sides = (mask[:, 0], mask[:, -1], mask[:, :, 0], mask[:, :, -1])
        changes = sum(int((one != next_one).sum()) for one, next_one in pairwise(mask))
        pairs = max(len(mask) - 1, 1)
        return cls(
            shown=int(mask.any(axis=(1, 2)).sum()),
            pixels=mask[0].size,
            inside=int(mask.sum()),
            edge=sum(int(side.sum()) for side in sides),
            outline=sum(
                int((frame[1:] != frame[:-1]).sum())
                + int((frame[:, 1:] != frame[:, :-1]).sum())
                for frame in mask
            ),
            moved=changes * len(mask) / pairs,
        )

    def measures(self, mean_speed: float) -> Measures:
        if not self.inside:
            return Measures(area=0.0, centrality=0.0, motion=0.0)
        side = (self.inside / self.shown) ** 0.5
        speed = self.moved / self.outline if self.outline else 0.0
        return Measures(
            area=self.inside / self.shown / self.pixels,
            centrality=max(0.0, 1.0 - self.edge / self.shown / side / 2.0),
            motion=speed / mean_speed if mean_speed else 0.0,
        )
