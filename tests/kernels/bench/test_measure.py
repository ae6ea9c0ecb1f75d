"""The stopwatch: in turn, warmed up, medians; and the ceilings."""

import pytest
import torch

from worldweave_kernels.bench import measure
from worldweave_kernels.bench.measure import Call, Stopwatch, in_turn, timing


@pytest.fixture
def stopwatch(monkeypatch):
    monkeypatch.setitem(measure._FLUSHED, "cpu", 4096)
    return Stopwatch("cpu")


def test_calls_take_turns(stopwatch):
    said = []
    calls = {name: Call(lambda _, name=name: said.append(name)) for name in "ab"}
    times = in_turn(calls, stopwatch, seconds=1.0, repeats=5)
    assert said == ["a", "b"] * (5 + measure.WARM_UP)
    assert times["a"].repeats == 5


def test_what_comes_before_is_not_timed(stopwatch):
    import time

    call = Call(timed=lambda given: given + 1, before=lambda: time.sleep(0.05) or 1)
    assert stopwatch.seconds(call) < 0.05


def test_time_decides_how_often_within_bounds(stopwatch):
    calls = {"a": Call(lambda _: None)}
    assert in_turn(calls, stopwatch, seconds=0, repeats=None)["a"].repeats == 20
    assert in_turn(calls, stopwatch, seconds=9, repeats=None)["a"].repeats == 1000


def test_a_timing_is_the_median_and_two_quantiles():
    found = timing([float(x) for x in range(11)])
    assert (found.low, found.median, found.high) == (2, 5, 8)
    assert timing([3.0]).median == 3


def test_ceilings_are_measured_here_and_now():
    found = measure.ceiling("cpu", torch.float32, seconds=0)
    assert 1e8 < found.bandwidth < 1e13
    assert 1e8 < found.flops < 1e15
