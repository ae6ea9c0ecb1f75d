"""Draw maps that are described: boxes, keyframes and functions of time and place."""

# T H W frames, rows, columns

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import attrs
import numpy as np
import numpy.typing as npt
from torch import Tensor

from worldweave.request.maps.files import refuse_outside
from worldweave.request.sources import (
    Box,
    Boxes,
    Keyframe,
    Keyframes,
    MapArray,
    MapFunction,
)
from worldweave_registry import WorldweaveError, one_line

Edges = npt.NDArray[np.float64]
#: Seconds; longer than any video.
LONGEST = 1e9
#: Times and edges this close to a frame or pixel, of which they are parts, are on it:
#: 0.7 of 10 pixels is 7, and 0.1 s is a whole number of frames at 30 fps.
_FRAME_ROUNDING = Fraction(1, 10**6)
_PIXEL_DIGITS = 9


@attrs.frozen(kw_only=True)
class Canvas:
    """What maps are drawn on: the video that is made. size: (H, W).

    whole: the frames there were before max_frames cut the video; None: not known.
    """

    frames: int
    size: tuple[int, int]
    fps: Fraction
    whole: int | None = attrs.field(
        default=attrs.Factory(lambda self: self.frames, takes_self=True)
    )


def draw_boxes(boxes: Boxes, canvas: Canvas) -> MapArray:
    """Return (T, H, W), (1, H, W) where nothing changes.

    A pixel gets the average over its area, so a box counts by its exact share and
    none is too small to be seen.
    """
    spans = [_frames_of(box, canvas) for box in boxes.boxes]
    changes = {0, canvas.frames}
    changes |= {min(max(at, 0), canvas.frames) for span in spans for at in span}
    starts = sorted(changes)
    frames = canvas.frames if len(starts) > 2 else 1
    drawn = np.empty((frames, *canvas.size), np.float32)
    for begin, end in pairwise(starts):
        shown = [
            (box.box, box.value)
            for box, (first, last) in zip(boxes.boxes, spans, strict=True)
            if first <= begin < last
        ]
        drawn[begin:end] = _picture(shown, boxes.outside, canvas.size)
    return drawn


def draw_keyframes(keyframes: Keyframes, canvas: Canvas) -> MapArray:
    """Return (T, H, W) with boxes and (T, 1, 1) without, T = 1 of a single moment."""
    moments = keyframes.keyframes
    frames = np.arange(canvas.frames if len(moments) > 1 else 1)
    at = [float(_position(moment.time, canvas.fps)) for moment in moments]

    def between(ends: Sequence[float]) -> Edges:
        return np.interp(frames, at, ends).clip(min(ends), max(ends))

    values = between([moment.value for moment in moments])
    boxes = [moment.box for moment in moments if moment.box is not None]
    if not boxes:
        return values.astype(np.float32)[:, None, None]
    sides = np.stack([between(side) for side in zip(*boxes, strict=True)], axis=1)
    return np.stack(
        [
            _picture([(box, value)], keyframes.outside, canvas.size)
            for box, value in zip(sides.tolist(), values.tolist(), strict=True)
        ]
    )


def draw_function(function: MapFunction, canvas: Canvas, *, what: str) -> MapArray:
    """Call *function* once and return its values, (T or 1, H or 1, W or 1).

    Raise WorldweaveError where it fails, or returns anything but numbers in 0..1 of
    a shape that spreads to (T, H, W). *what* names it ("the map function of 'edge'").
    """
    rows, columns = canvas.size
    seconds = [float(n / canvas.fps) for n in range(canvas.frames)]
    t = np.array(seconds).reshape(-1, 1, 1)
    y = ((np.arange(rows) + 0.5) / rows).reshape(1, -1, 1)
    x = ((np.arange(columns) + 0.5) / columns).reshape(1, 1, -1)
    try:
        answer = function(t, y, x)
        if isinstance(answer, Tensor):
            answer = answer.detach().cpu().numpy()
        values = np.asarray(answer)
    except Exception as error:
        raise WorldweaveError(f"{what} failed: {_typed(error)}; mend it") from error
    whole = (canvas.frames, rows, columns)
    if values.dtype.kind not in "fiub":
        raise WorldweaveError(
            f"{what} returned {values.dtype} values; let it return floats in 0..1"
        )
    if not _spreads(values.shape, whole):
        raise WorldweaveError(
            f"{what} returned shape {values.shape}; let it return {whole}, or what "
            "spreads to it, as its arguments do"
        )
    values = values.reshape((1,) * (3 - values.ndim) + values.shape)
    refuse_outside(values, what)
    return values.astype(np.float32).clip(0.0, 1.0)


def boxes_problems(boxes: Boxes) -> list[str]:
    """Say all that is wrong with *boxes*."""
    problems = [] if boxes.boxes else ["there are no boxes; give one or more"]
    problems += _value_problems("outside", boxes.outside)
    for number, box in enumerate(boxes.boxes, 1):
        name = f"box {number}"
        problems += _value_problems(f"value of {name}", box.value)
        problems += _box_problems(name, box.box)
        problems += _time_problems(f"start of {name}", box.start)
        if box.end is not None:
            problems += _time_problems(f"end of {name}", box.end)
            if box.end <= box.start:
                problems.append(
                    f"{name} ends at {box.end:g} s, not after its start at "
                    f"{box.start:g} s; give a later end, or none to stay"
                )
    return problems


def keyframes_problems(keyframes: Keyframes) -> list[str]:
    """Say all that is wrong with *keyframes*."""
    moments = keyframes.keyframes
    problems = [] if moments else ["there are no keyframes; give one or more"]
    problems += _value_problems("outside", keyframes.outside)
    for number, moment in enumerate(moments, 1):
        name = f"keyframe {number}"
        problems += _time_problems(f"time of {name}", moment.time)
        problems += _value_problems(f"value of {name}", moment.value)
        if moment.box is not None:
            problems += _box_problems(name, moment.box)
    problems += _order_problems(moments)
    without = [n for n, moment in enumerate(moments, 1) if moment.box is None]
    if 0 < len(without) < len(moments):
        problems.append(
            f"keyframe {without[0]} has no box and others have; give all a box or none"
        )
    if len(without) == len(moments) and keyframes.outside != 0.0:
        problems.append(
            f"outside is {keyframes.outside:g} but there is no box to be outside of; "
            "give boxes or leave it out"
        )
    return problems


def late_problems(shapes: Boxes | Keyframes, canvas: Canvas) -> list[str]:
    """Say what in *shapes* begins after the whole video has ended.

    Each box is needed; of keyframes one must come before the end.
    """
    if canvas.whole is None:
        return []
    if isinstance(shapes, Boxes):
        starts = {f"box {at}": box.start for at, box in enumerate(shapes.boxes, 1)}
    else:
        starts = {"keyframe 1": shapes.keyframes[0].time}
    return [
        f"{name} begins at {start:g} s, but the video ends at "
        f"{float(canvas.whole / canvas.fps):.6g} s; give seconds before that"
        for name, start in starts.items()
        if _position(start, canvas.fps) >= canvas.whole
    ]


def shares(edges: Edges, size: int) -> Edges:
    """Return (size, n): how much of each pixel lies within each of n intervals.

    *edges* (n + 1) rise from 0 to *size*.
    """
    pixel = np.arange(size)[:, None]
    within = np.minimum(edges[1:], pixel + 1) - np.maximum(edges[:-1], pixel)
    share: Edges = within.clip(min=0.0)
    return share


def _picture(
    boxes: Sequence[tuple[Sequence[float], float]],
    outside: float,
    size: tuple[int, int],
) -> MapArray:
    """Average (H, W) over pixels what boxes show, the largest value on top.

    The edges of all boxes cut the picture into rectangles of one value each.
    """
    rows, columns = size
    columns_at, rows_at = (
        np.array([box for box, _ in boxes], np.float64).reshape(-1, 4)[:, axis::2]
        * length
        for axis, length in ((0, columns), (1, rows))
    )
    columns_at, rows_at = columns_at.round(_PIXEL_DIGITS), rows_at.round(_PIXEL_DIGITS)
    x_edges = np.unique(np.concatenate([columns_at.ravel(), [0.0, columns]]))
    y_edges = np.unique(np.concatenate([rows_at.ravel(), [0.0, rows]]))
    cells = np.full((len(y_edges) - 1, len(x_edges) - 1), outside, np.float64)
    for at in np.argsort([value for _, value in boxes], kind="stable"):
        left, right = np.searchsorted(x_edges, columns_at[at])
        top, bottom = np.searchsorted(y_edges, rows_at[at])
        cells[top:bottom, left:right] = boxes[at][1]
    picture = shares(y_edges, rows) @ cells @ shares(x_edges, columns).T
    return picture.clip(cells.min(), cells.max()).astype(np.float32)


def _frames_of(box: Box, canvas: Canvas) -> tuple[int, int]:
    """Return the [from, to) frames *box* is shown in; they may be none."""
    first = math.ceil(_position(box.start, canvas.fps))
    if box.end is None:
        return first, canvas.frames
    return first, math.ceil(_position(box.end, canvas.fps))


def _position(seconds: float, fps: Fraction) -> Fraction:
    """Return how many frames pass in *seconds*, a whole number where it is near."""
    position = Fraction(seconds) * fps
    frame = Fraction(round(position))
    return frame if abs(position - frame) < _FRAME_ROUNDING else position


def _spreads(shape: tuple[int, ...], whole: tuple[int, int, int]) -> bool:
    try:
        return np.broadcast_shapes(shape, whole) == whole
    except ValueError:
        return False


def _typed(error: Exception) -> str:
    """Say the type of *error* too, even where it is one of ours."""
    text = one_line(error)
    name = type(error).__name__
    return text if text.startswith(name) else f"{name}: {text}"


def _value_problems(name: str, value: float) -> list[str]:
    if 0.0 <= value <= 1.0:
        return []
    return [f"{name} is {value:g}; give a number from 0 to 1"]


def _time_problems(name: str, seconds: float) -> list[str]:
    if 0.0 <= seconds <= LONGEST:
        return []
    return [f"{name} is {seconds:g} s; give seconds from the start, 0 to {LONGEST:g}"]


def _box_problems(name: str, box: Sequence[float]) -> list[str]:
    if len(box) != 4:
        return [f"{name} has {len(box)} sides; give left, top, right and bottom"]
    left, top, right, bottom = box
    problems = [
        f"{side} of {name} is {at:g}; give 0 to 1, a part of the picture"
        for side, at in zip(("left", "top", "right", "bottom"), box, strict=True)
        if not 0.0 <= at <= 1.0
    ]
    for low, high, near, far in (
        (left, right, "left", "right"),
        (top, bottom, "top", "bottom"),
    ):
        if high <= low:
            problems.append(
                f"{far} of {name} is {high:g} and {near} {low:g}; {far} must be larger"
            )
    return problems


def _order_problems(moments: Sequence[Keyframe]) -> list[str]:
    return [
        f"keyframe {number} is at {late.time:g} s, not after {early.time:g} s; "
        "give keyframes in order of time, each its own"
        for number, (early, late) in enumerate(pairwise(moments), 2)
        if late.time <= early.time
    ]
