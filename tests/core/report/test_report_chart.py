"""The chart is drawn through the means of the maps, chunk by chunk."""

import json
import math
import re
from fractions import Fraction
from html import unescape

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldweave.report import chart

FPS = Fraction(24)


def maps_of(length, seed=0, rows=4, columns=6):
    """Return two maps (length, 4, 6) that share one."""
    rng = np.random.default_rng(seed)
    edge = rng.random((length, rows, columns), dtype=np.float32)
    return {"edge": 0.7 * edge, "vis": (1 - edge) * 0.9}


def lines(html):
    """Return the points (N, 2) of each line drawn."""
    found = re.findall(r'<path class="line"[^>]* d="M([^"]*)"', html)
    return [
        np.array([point.split(",") for point in line.split()], float) for line in found
    ]


@given(st.integers(1, 40), st.integers(0, 100))
def test_the_lines_run_through_the_means_stacked_on_each_other(length, seed):
    maps = maps_of(length, seed)
    (panel,) = chart.panels(maps, {})
    drawn = lines(chart.figure(panel, (0,), FPS))
    height = np.zeros(length)
    for values, points in zip(maps.values(), drawn, strict=True):
        height += np.array([frame.mean(dtype=np.float64) for frame in values])
        starts, ends = points[::2], points[1::2]
        np.testing.assert_array_equal(starts[:, 0], np.arange(length))
        np.testing.assert_array_equal(ends[:, 0], np.arange(1, length + 1))
        np.testing.assert_allclose(1 - starts[:, 1], height, atol=1e-4)
        np.testing.assert_allclose(1 - ends[:, 1], height, atol=1e-4)


def test_each_area_stands_on_the_one_below():
    (panel,) = chart.panels(maps_of(5), {})
    html = chart.figure(panel, (0,), FPS)
    areas = re.findall(r'<path class="area"[^>]* d="M([^"]*)Z"', html)
    first, second = (area.split() for area in areas)
    assert first[:10] == second[10:][::-1]
    assert {point.split(",")[1] for point in first[10:]} == {"1"}


def test_the_readings_are_the_means_and_what_is_left_to_the_prompt():
    maps = maps_of(7)
    (panel,) = chart.panels(maps, {})
    html = chart.figure(panel, (0,), FPS)
    readings = [
        json.loads(unescape(each)) for each in re.findall(r'data-means="([^"]*)"', html)
    ]
    means = [values.mean(axis=(1, 2)) for values in maps.values()]
    expected = [*means, 1 - sum(means)]
    np.testing.assert_allclose(readings, expected, atol=6e-4)


@given(st.integers(1, 3).map(lambda n: tuple(range(0, 30, 10 * n))))
def test_a_rule_stands_where_each_chunk_but_the_first_begins(starts):
    (panel,) = chart.panels(maps_of(30), {})
    html = chart.figure(panel, starts, FPS)
    rules = re.findall(r'class="rule" d="M(\d+) 0V1"', html)
    assert tuple(map(int, rules)) == starts[1:]
    assert 'viewBox="0 0 30 1"' in html


def test_chunks_are_numbered_with_their_seconds_and_widths():
    (panel,) = chart.panels(maps_of(48), {})
    html = chart.figure(panel, (0, 12), FPS)
    assert 'width: 25.00%">chunk 1<em> · 0.00 s' in html
    assert 'width: 75.00%">chunk 2<em> · 0.50 s' in html


def test_many_chunks_are_ruled_but_not_numbered():
    (panel,) = chart.panels(maps_of(48), {})
    html = chart.figure(panel, tuple(range(0, 48, 4)), FPS)
    assert html.count('class="rule"') == 11
    assert "chunk 1" not in html
    assert "2.00 s" in html


def test_a_region_has_the_mean_of_its_own_pixels():
    values = np.zeros((2, 4, 6), np.float32)
    values[:, :, :3] = 0.8
    values[1, :, :3] = 0.4
    region = np.zeros((2, 64, 96), bool)
    region[0, :, :48] = True  # the left half
    region[1, :, 24:72] = True  # half of the left, half of the right
    _, panel = chart.panels({"edge": values}, {"foreground": region})
    np.testing.assert_allclose(panel.means["edge"], [0.8, 0.2], atol=1e-6)


def test_a_token_counts_by_the_share_of_it_that_lies_in_the_region():
    values = np.array([[[1.0, 0.0]]], np.float32)
    region = np.zeros((1, 10, 20), bool)
    region[:, :, 9:] = True  # a tenth of the first token, all of the second
    _, panel = chart.panels({"edge": values}, {"rest": region})
    assert panel.means["edge"][0] == pytest.approx(0.1 / 1.1)


def test_one_picture_of_a_region_holds_for_all_frames():
    region = np.zeros((1, 64, 96), bool)
    region[:, :32] = True
    maps = maps_of(5)
    _, still = chart.panels(maps, {"top": region})
    _, moving = chart.panels(maps, {"top": region.repeat(5, axis=0)})
    np.testing.assert_array_equal(still.means["vis"], moving.means["vis"])
    np.testing.assert_allclose(
        still.means["vis"], maps["vis"][:, :2].mean(axis=(1, 2)), rtol=1e-6
    )


def test_frames_without_the_region_are_marked_and_not_counted():
    region = np.zeros((3, 64, 96), bool)
    region[0] = True
    maps = maps_of(3)
    whole, panel = chart.panels(maps, {"car": region})
    assert np.isnan(panel.means["edge"][1:]).all()
    assert chart.mean(panel.means["edge"]) == pytest.approx(whole.means["edge"][0])
    html = chart.figure(panel, (0,), FPS)
    assert re.findall(r'class="absent" x="(\d)"', html) == ["1", "2"]
    assert "null" in html
    assert "NaN" not in html
    assert chart.shown(chart.mean(np.full(2, math.nan))) == "\u2013"


def test_names_of_a_person_are_escaped():
    (panel,) = chart.panels({'<b>"': maps_of(2)["edge"]}, {})
    html = chart.figure(panel, (0,), FPS)
    assert "<b>" not in html
    assert '&lt;b&gt;&quot;"' in html
