"""Arithmetic of maps: exact where it can be, whatever their sizes and lengths."""

from fractions import Fraction
from itertools import permutations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from worldweave.request.maps.arithmetic import feather, inverse, maximum, product
from worldweave.request.maps.shapes import Canvas

CANVAS = Canvas(frames=3, size=(4, 6), fps=Fraction(24))
UNIT = st.floats(0, 1, width=32)


@st.composite
def drawn_maps(draw, lengths=(1, 3), rows=(1, 2, 4, 8), columns=(1, 3, 6, 5, 7)):
    shape = tuple(draw(st.sampled_from(sizes)) for sizes in (lengths, rows, columns))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    values = random.random(shape, np.float32)
    return np.where(random.random(shape) < 0.3, np.float32(0), values)


def number(value):
    return np.full((1, 1, 1), value, np.float32)


def averaged(values, rows, columns):
    """Cut every pixel into so many that new ones hold whole ones, then average."""
    length, height, width = values.shape
    fine = values.astype(np.float64).repeat(rows, 1).repeat(columns, 2)
    return fine.reshape(length, rows, height, columns, width).mean(axis=(2, 4))


# --- product and maximum -----------------------------------------------------


@given(UNIT, drawn_maps())
def test_a_number_times_a_map_is_exact(value, values):
    found = product([number(value), values], CANVAS)
    assert found.dtype == np.float32
    assert np.array_equal(found, np.float32(value) * values)


@given(drawn_maps(), drawn_maps())
def test_a_product_commutes(first, second):
    there, back = product([first, second], CANVAS), product([second, first], CANVAS)
    assert np.array_equal(there, back)


@given(st.lists(drawn_maps(), min_size=3, max_size=3))
def test_the_order_of_a_maximum_does_not_matter(maps):
    found = [maximum(each, CANVAS) for each in permutations(maps)]
    assert all(np.array_equal(found[0], other) for other in found)


@given(UNIT, UNIT, drawn_maps())
def test_a_number_computes_as_a_constant_map_does(one, other, values):
    constant = np.full((3, 5, 7), one, np.float32)
    for combine in (product, maximum):
        by_number = combine([number(one), number(other)], CANVAS)
        by_map = combine([constant, number(other)], CANVAS)
        assert by_number.shape == (1, 1, 1)
        assert (by_map == by_number).all()
        beside = combine([number(one), values], CANVAS)
        whole = combine([np.full(values.shape, one, np.float32), values], CANVAS)
        assert np.array_equal(beside, whole)


@given(drawn_maps())
def test_alone_or_with_one_and_zero_a_map_stays(values):
    one, zero = number(1.0), number(0.0)
    assert np.array_equal(product([values], CANVAS), values)
    assert np.array_equal(product([values, one], CANVAS), values)
    assert not product([values, zero], CANVAS).any()
    assert np.array_equal(maximum([values, zero], CANVAS), values)


@given(drawn_maps(), drawn_maps())
def test_maps_of_other_sizes_meet_where_both_fit(first, second):
    def common(axis, canvas):
        lengths = sorted((first.shape[axis], second.shape[axis]))
        return lengths[1] if lengths[1] % lengths[0] == 0 else canvas

    size = (common(1, 4), common(2, 6))
    found = maximum([first, second], CANVAS)
    assert found.shape == (max(len(first), len(second)), *size)
    wanted = np.maximum(averaged(first, *size), averaged(second, *size))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


def test_a_smaller_map_counts_for_all_pixels_it_covers():
    half = np.array([[[1.0, 0.0]]], np.float32)
    fine = np.full((1, 4, 6), 0.5, np.float32)
    found = product([half, fine], CANVAS)
    assert found[0].tolist() == [[0.5] * 3 + [0.0] * 3] * 4


def test_a_product_in_time_is_frame_by_frame():
    rising = np.array([0.0, 0.5, 1.0], np.float32)[:, None, None]
    found = product([rising, np.full((1, 2, 2), 0.5, np.float32)], CANVAS)
    assert found[:, 0, 0].tolist() == [0.0, 0.25, 0.5]


@given(drawn_maps())
def test_an_inverse_is_one_less_the_map(values):
    found = inverse(values)
    assert found.dtype == np.float32
    assert np.array_equal(found, 1 - values)


# --- feather -----------------------------------------------------------------


def step(size, at, axis=1):
    values = np.zeros((1, *size), np.float32)
    values.swapaxes(1, 2)[:, at:] = 1.0
    return values if axis == 1 else np.ascontiguousarray(values.swapaxes(1, 2))


@given(st.floats(0.1, 20), st.sampled_from([1, 2]))
def test_a_step_becomes_a_ramp_of_that_width_centred_on_it(pixels, axis):
    canvas = Canvas(frames=1, size=(40, 40), fps=Fraction(24))
    values = step((40, 40), 20, axis)
    found = feather(values, pixels, canvas)[0]
    line = found[0] if axis == 1 else found[:, 0]
    distance = np.arange(40) + 0.5 - 20
    wanted = (0.5 + distance / pixels).clip(0, 1)
    np.testing.assert_allclose(line, wanted, rtol=0, atol=1e-6)
    # Exactly: what is not near the edge does not change at all.
    assert (line[distance < -pixels / 2] == 0).all()
    assert (line[distance > pixels / 2] == 1).all()
    assert np.array_equal(
        found,
        np.broadcast_to(line[None], (40, 40)).swapaxes(0, 1)
        if axis == 2
        else np.broadcast_to(line, (40, 40)),
    )


@pytest.mark.parametrize("factor", [2, 3])
def test_pixels_are_those_of_the_canvas(factor):
    canvas = Canvas(frames=1, size=(8, 40), fps=Fraction(24))
    fine = step((8 * factor, 40 * factor), 20 * factor)
    line = feather(fine, 8, canvas)[0, 0]
    distance = (np.arange(40 * factor) + 0.5) / factor - 20
    np.testing.assert_allclose(line, (0.5 + distance / 8).clip(0, 1), rtol=0, atol=1e-6)


def test_a_coarse_map_comes_in_the_size_of_the_canvas():
    canvas = Canvas(frames=1, size=(8, 40), fps=Fraction(24))
    found = feather(step((2, 4), 2), 8, canvas)
    whole = feather(step((8, 40), 20), 8, canvas)
    assert np.array_equal(found, whole)


@given(drawn_maps(), st.floats(0, 1000))
def test_feathered_values_stay_within_those_there_were(values, pixels):
    found = feather(values, pixels, CANVAS)
    assert found.dtype == np.float32
    for before, after in zip(values, found, strict=True):
        assert before.min() <= after.min() <= after.max() <= before.max()


@given(UNIT, st.floats(0, 100), st.integers(1, 9), st.integers(1, 9))
def test_a_constant_stays_bit_for_bit(value, pixels, rows, columns):
    constant = np.full((2, rows, columns), value, np.float32)
    assert (feather(constant, pixels, CANVAS) == np.float32(value)).all()


@given(drawn_maps())
def test_no_pixels_change_nothing(values):
    assert np.array_equal(feather(values, 0, CANVAS), values)


@given(UNIT, st.floats(0, 100))
def test_a_number_has_no_edges(value, pixels):
    assert np.array_equal(feather(number(value), pixels, CANVAS), number(value))


def test_frames_do_not_blur_into_each_other():
    switch = np.zeros((3, 4, 6), np.float32)
    switch[1:] = 1.0
    assert np.array_equal(feather(switch, 4, CANVAS), switch)


def test_the_border_goes_on_outside():
    canvas = Canvas(frames=1, size=(1, 6), fps=Fraction(24))
    values = np.array([[[1, 0, 0, 0, 0, 0.5]]], np.float32)
    found = feather(values, 3, canvas)[0, 0]
    assert found.tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0, 1 / 6, 1 / 3])


@given(drawn_maps(rows=(4,), columns=(6,)), st.floats(0.5, 30))
def test_a_feather_is_the_average_over_its_width(values, pixels):
    found = feather(values, pixels, CANVAS)
    wanted = values.astype(np.float64)
    for axis in (1, 2):
        lines = np.moveaxis(wanted, axis, 0)
        soft = np.zeros_like(lines)
        for at in range(len(lines)):
            low, high = at + 0.5 - pixels / 2, at + 0.5 + pixels / 2
            for pixel in range(int(np.floor(low)), int(np.ceil(high))):
                part = min(high, pixel + 1) - max(low, pixel)
                soft[at] += part / pixels * lines[min(max(pixel, 0), len(lines) - 1)]
        wanted = np.moveaxis(soft, 0, axis)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("pixels", [1e-300, 1e-10, 9e-4])
@given(drawn_maps())
def test_below_a_thousandth_of_a_pixel_nothing_changes(pixels, values):
    assert feather(values, pixels, CANVAS) is values


@given(drawn_maps(), st.sampled_from([1e-3, 1e5]))
def test_the_narrowest_and_the_widest_feather_are_finite_and_within(values, pixels):
    found = feather(values, pixels, CANVAS)
    assert values.min() <= found.min() <= found.max() <= values.max()
    if pixels < 1 and values.shape[1:] == CANVAS.size:
        np.testing.assert_allclose(found, values, rtol=0, atol=1e-5)
