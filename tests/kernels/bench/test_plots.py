"""Plots: every figure that there is data for, drawn and readable as XML."""

import dataclasses
from xml.etree import ElementTree

import pytest

from worldweave_kernels.bench import (
    Ceiling,
    cases,
    charts,
    compared,
    findings,
    plots,
    run,
)

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def results():
    found = [
        case
        for branches in (1, 2, 4)
        for case in cases(
            ops=["weighted_add"], asked=f"L=6,D=16,N={branches}", modes=["forward"]
        )
    ]
    found += cases(ops=["attention"], asked="L=6,D=16,H=2")
    ceilings = [Ceiling(dtype="float32", bandwidth=1e10, flops=1e11)]
    only = ["official", "eager", "auto", "library", "triton"]
    return run(found, only=only, repeats=2, ceilings=ceilings)


def text_of(path):
    found = ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")
    return " ".join("".join(each.itertext()) for each in found)


def test_every_figure_is_drawn_twice(results, tmp_path):
    drawn = plots.draw(results, tmp_path / "new")
    names = ["overview", "weighted_add", "attention", "roofline", "branches"]
    assert [path.name for path in drawn] == [
        f"{name}.{kind}" for name in names for kind in ("png", "svg")
    ]
    assert all(path.stat().st_size > 5000 for path in drawn)
    said = text_of(tmp_path / "new/weighted_add.svg")
    for expected in (
        "official",
        "eager",
        "floor",
        "L=6 D=16 N=4",
        "not measured: triton",
        "error against",
    ):
        assert expected in said
    said = text_of(tmp_path / "new/attention.svg")
    for expected in ("forward", "backward", "auto: sdpa", "not measured: official"):
        assert expected in said


def test_a_wrong_provider_is_drawn_as_wrong_and_is_no_finding(results, tmp_path):
    rows = [
        dataclasses.replace(row, error=1.0, speedup={})
        if row.provider in ("official", "auto")
        else row
        for row in results.groups()[0]
    ]
    wrong = dataclasses.replace(results, rows=tuple(rows), ceilings=())
    plots.draw(wrong, tmp_path)
    said = text_of(tmp_path / "weighted_add.svg")
    assert said.count("wrong") == 2
    assert "eager is the fastest" in said


def test_ranges_that_overlap_decide_nothing(results):
    def timed(row, low, high):
        time = dataclasses.replace(
            row.time, median=(low + high) / 2, low=low, high=high
        )
        return dataclasses.replace(row, time=time, speedup={})

    first, second, third = [row for row in results.groups()[0] if row.holds][:3]
    rows = [timed(first, 1.0, 2.0), timed(second, 1.9, 2.3), timed(third, 5.0, 6.0)]
    names = f"{charts.label(first)} and {charts.label(second)} are the fastest"
    assert names in findings.finding(rows)
    assert "no way is clearly the fastest" in findings.finding(rows[:2])
    assert f"{charts.label(first)} is the fastest" in findings.finding(
        [rows[0], rows[2]]
    )


def test_factors_that_say_nothing_are_left_out(results):
    def timed(row, middle):
        time = dataclasses.replace(
            row.time, median=middle, low=middle * 0.999, high=middle * 1.001
        )
        return dataclasses.replace(row, time=time)

    rows = {row.provider: row for row in results.groups()[0] if row.holds}

    def finding(auto, official, eager):
        made = [
            timed(rows["auto"], auto),
            timed(rows["official"], official),
            timed(rows["eager"], eager),
        ]
        made = compared(made)
        return findings.finding(made), findings.finding_of_all(
            [made, made[:2]], results
        )

    one, all_ = finding(3.0, 4.0, 2.0)
    assert "eager is the fastest, 2.0 times as fast as the official chain" in one
    assert all_ == (
        "On a CPU the fastest way is 1.3 to 2.0 times as fast as the official chain, "
        "ours (auto) 1.3 times as fast"
    )
    one, all_ = finding(6.0, 4.04, 4.0)
    assert "times" not in one
    assert all_ == (
        "On a CPU the fastest way is as fast as the official chain, "
        "ours (auto) 0.7 times as fast"
    )
    _, all_ = finding(4.005, 4.0, 2.0)
    assert all_.endswith("official chain, ours (auto) not clearly faster or slower")
    assert findings.listed(["a", "b", "c"]) == "a, b and c"
    assert findings.listed(["a"]) == "a"


def test_a_busy_machine_is_told(results):
    said = {}
    for load in (0.1, 3.0):
        machine = dataclasses.replace(results.machine, load=load)
        busy = dataclasses.replace(results, machine=machine)
        figure = charts.operation(results.groups()[:1], busy)
        said[load] = " ".join(figure.texts[-1].get_text().split())
    assert "other work may have run beside it" not in said[0.1]
    assert "other work may have run beside it (load before: 3.0)" in said[3.0]


def test_results_without_a_time_draw_nothing(results, tmp_path):
    rows = tuple(dataclasses.replace(row, time=None) for row in results.rows)
    assert plots.draw(dataclasses.replace(results, rows=rows), tmp_path) == []


def test_without_matplotlib_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install matplotlib"):
        plots.require_matplotlib()
