"""Boxes, keyframes and functions, drawn exactly where and when they are meant."""

from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from worldweave.request.maps.shapes import (
    Canvas,
    boxes_problems,
    draw_boxes,
    draw_function,
    draw_keyframes,
    keyframes_problems,
)
from worldweave.request.sources import Box, Boxes, Keyframe, Keyframes
from worldweave_registry import WorldweaveError

CANVAS = Canvas(frames=12, size=(6, 10), fps=Fraction(24))
PARTS = st.floats(0, 1)
SIZES = st.tuples(st.integers(1, 12), st.integers(1, 12))


@st.composite
def rectangles(draw):
    ends = [sorted(draw(st.tuples(PARTS, PARTS))) for _ in range(2)]
    (left, right), (top, bottom) = ends
    return (left, top, max(right, left + 1e-6), max(bottom, top + 1e-6))


def boxes(*sides, outside=0.0, **how):
    each = [Box(box=side, **how) for side in sides]
    return Boxes(boxes=each, outside=outside)


def still(size):
    return Canvas(frames=1, size=size, fps=Fraction(24))


# --- boxes in space ----------------------------------------------------------


@given(rectangles(), SIZES, PARTS, PARTS)
def test_the_mean_is_the_share_of_the_picture(side, size, value, outside):
    left, top, right, bottom = (min(at, 1.0) for at in side)
    drawn = draw_boxes(
        boxes((left, top, right, bottom), value=value, outside=outside), still(size)
    )
    area = (right - left) * (bottom - top)
    assert drawn.shape == (1, *size)
    assert drawn.dtype == np.float32
    wanted = area * value + (1 - area) * outside
    assert drawn.mean(dtype=np.float64) == pytest.approx(wanted, abs=1e-6)


@given(st.data(), SIZES)
def test_on_whole_pixels_a_box_is_that_and_nothing_else(data, size):
    (top, bottom), (left, right) = (
        sorted(data.draw(st.sets(st.integers(0, n), min_size=2, max_size=2)))
        for n in size
    )
    rows, columns = size
    side = (left / columns, top / rows, right / columns, bottom / rows)
    wanted = np.zeros((1, *size), np.float32)
    wanted[:, top:bottom, left:right] = 1.0
    assert np.array_equal(draw_boxes(boxes(side), still(size)), wanted)


@pytest.mark.parametrize("part", [7, 14, 28, 29, 55, 57, 58])
def test_decimals_mean_the_pixels_they_say(part):
    # 0.07 * 100 is a little more than 7, 0.29 * 100 a little less than 29.
    for side in ((0, 0, part / 100, 1), (0, 0, 1, part / 100)):
        drawn = draw_boxes(boxes(side), still((100, 100)))[0]
        line = drawn[0] if side[3] == 1 else drawn[:, 0]
        assert line.tolist() == [1.0] * part + [0.0] * (100 - part)


def test_a_pixel_gets_its_share():
    drawn = draw_boxes(boxes((0.125, 0.0, 0.6875, 0.5)), still((2, 4)))
    assert drawn.tolist() == [[[0.5, 1.0, 0.75, 0.0], [0.0, 0.0, 0.0, 0.0]]]


def test_a_box_thinner_than_a_pixel_never_vanishes():
    drawn = draw_boxes(boxes((0.51, 0.51, 0.511, 0.511)), still((4, 4)))
    assert np.count_nonzero(drawn) == 1
    assert drawn[0, 2, 2] == pytest.approx(16e-6)


@given(st.lists(st.tuples(rectangles(), PARTS), min_size=1, max_size=5), PARTS, SIZES)
def test_where_boxes_overlap_the_largest_counts(drawn_ones, outside, size):
    # On a grid fine enough that every box has whole cells.
    cells = 8
    sides = [
        (
            (np.floor(np.array(side[:2]) * (cells - 1)) / cells).tolist()
            + (np.ceil(np.array(side[2:]).clip(0, 1) * cells) / cells).tolist()
        )
        for side, _ in drawn_ones
    ]
    values = [value for _, value in drawn_ones]
    each = [Box(box=s, value=v) for s, v in zip(sides, values, strict=True)]
    fine = np.full((cells, cells), -1.0)
    for (left, top, right, bottom), value in zip(sides, values, strict=True):
        part = fine[
            int(top * cells) : int(bottom * cells),
            int(left * cells) : int(right * cells),
        ]
        np.maximum(part, value, out=part)
    fine[fine < 0] = outside
    rows, columns = size
    parts = fine.repeat(rows, 0).repeat(columns, 1)
    wanted = parts.reshape(rows, cells, columns, cells).mean(axis=(1, 3))
    found = draw_boxes(Boxes(boxes=each, outside=outside), still(size))[0]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    backwards = draw_boxes(Boxes(boxes=each[::-1], outside=outside), still(size))[0]
    assert np.array_equal(found, backwards)


@given(rectangles(), PARTS, SIZES)
def test_a_box_as_its_surroundings_changes_no_bit(side, value, size):
    side = tuple(min(at, 1.0) for at in side)
    drawn = draw_boxes(boxes(side, value=value, outside=value), still(size))
    assert (drawn == np.float32(value)).all()


# --- boxes in time -----------------------------------------------------------


def shown(canvas=CANVAS, **times):
    drawn = draw_boxes(boxes((0, 0, 1, 1), **times), canvas)
    return np.flatnonzero(drawn.max(axis=(1, 2))).tolist(), len(drawn)


def test_a_box_without_times_is_one_picture():
    assert shown() == ([0], 1)


@given(
    st.integers(0, 12),
    st.integers(1, 12),
    st.sampled_from([Fraction(24), Fraction(30000, 1001), Fraction(7), Fraction(10)]),
)
def test_a_box_starts_on_its_frame_and_ends_before_it(start, length, fps):
    canvas = Canvas(frames=12, size=(1, 1), fps=fps)
    end = start + length
    drawn = draw_boxes(
        boxes((0, 0, 1, 1), start=float(start / fps), end=float(end / fps)), canvas
    )
    wanted = [float(start <= n < end) for n in range(12)]
    assert np.broadcast_to(drawn, (12, 1, 1)).ravel().tolist() == wanted


def test_between_frames_the_next_one_counts():
    # Frames 1 and 2 are at 1/24 and 2/24 s.
    assert shown(start=0.05, end=0.09) == ([2], 12)


def test_boxes_take_turns():
    each = [
        Box(box=(0, 0, 1, 1), value=0.25, end=0.25),
        Box(box=(0, 0, 1, 1), value=0.75, start=0.125),
    ]
    drawn = draw_boxes(Boxes(boxes=each, outside=0.5), CANVAS)
    assert drawn[:, 0, 0].tolist() == [0.25] * 3 + [0.75] * 9


def test_a_box_after_the_end_is_not_shown():
    assert shown(start=99.0) == ([], 1)


# --- keyframes ---------------------------------------------------------------


def test_a_value_changes_linearly_and_stays_outside():
    moments = [Keyframe(time=0.125, value=0.0), Keyframe(time=0.375, value=0.75)]
    drawn = draw_keyframes(Keyframes(keyframes=moments), CANVAS)
    assert drawn.shape == (12, 1, 1)
    wanted = [0, 0, 0, 0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.75, 0.75]
    assert drawn.ravel().tolist() == pytest.approx(wanted)


@given(
    st.lists(st.tuples(st.integers(0, 30), PARTS), min_size=1, unique_by=lambda p: p[0])
)
def test_at_its_moment_a_keyframe_has_its_value(points):
    moments = [Keyframe(time=n / 24, value=value) for n, value in sorted(points)]
    canvas = Canvas(frames=31, size=(2, 2), fps=Fraction(24))
    keyframes = Keyframes(keyframes=moments)
    assert keyframes_problems(keyframes) == []
    drawn = np.broadcast_to(draw_keyframes(keyframes, canvas), (31, 1, 1)).ravel()
    for n, value in points:
        assert drawn[n] == np.float32(value)
    values = [np.float32(value) for _, value in points]
    assert min(values) <= drawn.min() <= drawn.max() <= max(values)


def test_one_moment_is_one_picture():
    alone = Keyframes(keyframes=[Keyframe(time=1, value=0.3)])
    assert draw_keyframes(alone, CANVAS).tolist() == [[[np.float32(0.3)]]]


def test_a_box_moves_and_its_value_with_it():
    moments = [
        Keyframe(time=0, box=(0, 0, 0.2, 0.5), value=1.0),
        Keyframe(time=10 / 24, box=(0.5, 0.5, 1, 1), value=0.5),
    ]
    drawn = draw_keyframes(Keyframes(keyframes=moments, outside=0.25), CANVAS)
    for n in range(12):
        part = min(n, 10) / 10
        sides = np.array((0, 0, 0.2, 0.5)) * (1 - part) + part * np.array(
            (0.5, 0.5, 1, 1)
        )
        alone = boxes(sides, value=1 - part / 2, outside=0.25)
        np.testing.assert_allclose(
            drawn[n], draw_boxes(alone, CANVAS)[0], rtol=0, atol=1e-6
        )


# --- functions ---------------------------------------------------------------


def test_a_function_sees_seconds_and_pixel_centres():
    seen = []

    def remember(t, y, x):
        seen.append((t, y, x))
        return x * y

    drawn = draw_function(remember, CANVAS, what="f")
    ((t, y, x),) = seen
    assert (t.shape, y.shape, x.shape) == ((12, 1, 1), (1, 6, 1), (1, 1, 10))
    assert all(each.dtype == np.float64 for each in (t, y, x))
    assert t.ravel().tolist() == [n / 24 for n in range(12)]
    assert y.ravel().tolist() == pytest.approx([(i + 0.5) / 6 for i in range(6)])
    assert x.ravel().tolist() == pytest.approx([(i + 0.5) / 10 for i in range(10)])
    assert np.array_equal(drawn, (x * y).astype(np.float32))


@pytest.mark.parametrize(
    ("function", "shape"),
    [
        (lambda t, y, x: 0.5, (1, 1, 1)),
        (lambda t, y, x: 1, (1, 1, 1)),
        (lambda t, y, x: np.where(t > 0.2, 1, 0), (12, 1, 1)),
        (lambda t, y, x: x > 0.5, (1, 1, 10)),
        (lambda t, y, x: (x * y)[0], (1, 6, 10)),
        (lambda t, y, x: torch.zeros(12, 6, 10), (12, 6, 10)),
    ],
)
def test_what_spreads_is_taken(function, shape):
    drawn = draw_function(function, CANVAS, what="f")
    assert drawn.shape == shape
    assert drawn.dtype == np.float32


def explode(t, y, x):
    raise ValueError("no\nway")


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (explode, "failed: ValueError: no; way"),
        (lambda t, y: 0, "failed: TypeError: "),
        (lambda t, y, x: None, "returned object values"),
        (lambda t, y, x: "words", "returned <U5 values"),
        (lambda t, y, x: 1j * x, "returned complex128 values"),
        (lambda t, y, x: np.zeros(7), r"returned shape \(7,\)"),
        (lambda t, y, x: np.zeros((2, 12, 6, 10)), r"returned shape \(2, 12, 6, 10\)"),
        (lambda t, y, x: np.zeros((24, 6, 10)), r"return \(12, 6, 10\)"),
        (lambda t, y, x: np.zeros((12, 0, 10)), "returned shape"),
        (lambda t, y, x: t / 0.1, "from 0 to 4.58333; .*at frame 3, row 0, column 0"),
        (lambda t, y, x: x - 0.5, "holds values from -0.45"),
        (lambda t, y, x: np.nan * x, "is nan at frame 0"),
        (lambda t, y, x: np.arange(10) - 2, "holds values from -2"),
    ],
)
def test_what_is_wrong_with_a_function_is_told(function, told):
    with pytest.raises(WorldweaveError, match=f"the map function of 'edge' .*{told}"):
        draw_function(function, CANVAS, what="the map function of 'edge'")


# --- problems ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "told"),
    [
        ({"box": (0.5, 0, 0.2, 1)}, ["right of box 1 is 0.2 and left 0.5"]),
        ({"box": (0, 0.5, 1, 0.5)}, ["bottom of box 1 is 0.5 and top 0.5"]),
        (
            {"box": (-0.1, 0, 1.5, 1)},
            ["left of box 1 is -0.1", "right of box 1 is 1.5"],
        ),
        ({"box": (float("nan"), 0, 1, 1)}, ["left of box 1 is nan"]),
        ({"box": (0, 0, 1)}, ["box 1 has 3 sides"]),
        ({"box": (0, 0, 1, 1), "value": 1.5}, ["value of box 1 is 1.5"]),
        ({"box": (0, 0, 1, 1), "value": float("nan")}, ["value of box 1 is nan"]),
        ({"box": (0, 0, 1, 1), "start": -1.0}, ["start of box 1 is -1 s"]),
        ({"box": (0, 0, 1, 1), "end": float("inf")}, ["end of box 1 is inf s"]),
        ({"box": (0, 0, 1, 1), "start": 2, "end": 2}, ["ends at 2 s, not after its"]),
    ],
)
def test_what_is_wrong_with_a_box_is_told(one, told):
    found = boxes_problems(Boxes(boxes=[Box(**one)]))
    assert len(found) == len(told)
    for problem, part in zip(found, told, strict=True):
        assert part in problem


def test_all_boxes_are_looked_at():
    found = boxes_problems(boxes((0, 0, 1, 1), (1, 0, 0, 1), (0, 1, 1, 0), outside=-1))
    assert [p.split(" is ")[0] for p in found] == [
        "outside",
        "right of box 2",
        "bottom of box 3",
    ]
    assert boxes_problems(boxes((0, 0, 1, 1), start=1, end=2)) == []
    assert "no boxes" in boxes_problems(boxes())[0]


@pytest.mark.parametrize(
    ("moments", "told"),
    [
        ([], "no keyframes"),
        ([{"time": 1}, {"time": 0}], "keyframe 2 is at 0 s, not after 1 s"),
        ([{"time": 1}, {"time": 1}], "keyframe 2 is at 1 s, not after 1 s"),
        ([{"time": -1}], "time of keyframe 1 is -1 s"),
        ([{"time": float("nan")}], "time of keyframe 1 is nan s"),
        ([{"time": 0, "value": 2}], "value of keyframe 1 is 2"),
        ([{"time": 0, "box": (1, 0, 0, 1)}], "right of keyframe 1 is 0"),
        (
            [{"time": 0, "box": (0, 0, 1, 1)}, {"time": 1}],
            "keyframe 2 has no box and others have",
        ),
    ],
)
def test_what_is_wrong_with_keyframes_is_told(moments, told):
    found = keyframes_problems(Keyframes(keyframes=[Keyframe(**m) for m in moments]))
    assert len(found) == 1
    assert told in found[0]


def test_outside_of_no_box_is_refused():
    keyframes = Keyframes(keyframes=[Keyframe(time=0)], outside=0.5)
    assert "no box to be outside of" in keyframes_problems(keyframes)[0]
