"""The stopwatch: in turn, warmed up, medians; and the ceilings."""

import time

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

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


class Watched(TorchDispatchMode):
    """Tells what ran over how many bytes."""

    def __init__(self):
        super().__init__()
        self.said = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        size = args[0].nbytes if args and isinstance(args[0], torch.Tensor) else 0
        self.said.append((func.overloadpacket.__name__, size))
        return func(*args, **(kwargs or {}))


def test_caches_are_run_over_between_what_comes_before_and_what_is_timed():
    x = torch.ones(3)
    stopwatch = Stopwatch("cpu")
    with Watched() as watched:
        stopwatch.seconds(Call(lambda _: x.neg(), before=lambda: x.exp()))
    assert watched.said == [("exp", 12), ("sum", 64 * 2**20), ("neg", 12)]


class Even(Stopwatch):
    """Counts what a call does, and says that it took a quarter of a second."""

    def seconds(self, call):
        with Watched() as watched, FlopCounterMode(display=False) as counter:
            call.timed(None)
        ((name, size),) = watched.said
        Even.found[name] = (size, counter.get_total_flops())
        return 0.25


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_ceiling_is_all_bytes_and_operations_over_the_time(monkeypatch, dtype):
    Even.found = {}
    monkeypatch.setattr(measure, "Stopwatch", Even)
    found = measure.ceiling("cpu", dtype, seconds=0)
    # A copy reads and writes.
    assert found.bandwidth == 2 * Even.found["copy_"][0] / 0.25
    assert found.flops == Even.found["mm"][1] / 0.25
    assert Even.found["copy_"][0] >= 2**26


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_the_host_runs_ahead_of_a_gpu_unless_its_time_counts():
    x = torch.ones(1000, device="cuda")

    def launched(_):
        time.sleep(5e-4)
        x.neg()

    ahead, waiting = (
        Stopwatch("cuda", host_ahead=each).seconds(Call(launched))
        for each in (True, False)
    )
    assert ahead < 3e-4 < waiting


def test_ceilings_are_measured_here_and_now():
    found = measure.ceiling("cpu", torch.float32, seconds=0)
    assert 1e8 < found.bandwidth < 1e13
    assert 1e8 < found.flops < 1e15
