"""Time several ways to compute the same, in turn, with cold caches."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch

from worldweave_kernels.bench.results import Ceiling, Timing, dtype_name

#: Bytes to run over before each call, more than the caches hold that matter.
_FLUSHED = {"cpu": 64 * 2**20, "cuda": 256 * 2**20}
#: Calls that are not counted: they compile, allocate and wake the clock.
WARM_UP = 3
FEWEST, MOST = 20, 1000
#: Clock cycles for which a GPU is kept busy while the host launches: about 2 ms.
_HEAD_START = 4_000_000


class Call(NamedTuple):
    """What is timed, and what has to come before it each time."""

    timed: Callable[[Any], Any]
    before: Callable[[], Any] = lambda: None


class Stopwatch:
    """Time calls on one device: by its events on a GPU, by the clock on a CPU.

    With *host_ahead* the GPU idles for 2 ms before each call, while the host launches
    it: a call is then charged what the GPU does, and the host's time only beyond 2 ms,
    as in a model whose host runs ahead. Without it the GPU waits for each launch.
    """

    def __init__(self, device: str, *, host_ahead: bool = True) -> None:
        self.device = torch.device(device)
        self.host_ahead = host_ahead
        size = _FLUSHED["cpu" if self.device.type == "cpu" else "cuda"]
        self._cold = torch.zeros(size // 4, device=self.device)

    def seconds(self, call: Call) -> float:
        """Return the seconds of one call with caches that hold nothing of it."""
        given = call.before()
        # Read, not written: the call would pay for writing changed lines back.
        self._cold.sum()
        if self.device.type == "cpu":
            begun = time.perf_counter()
            call.timed(given)
            return time.perf_counter() - begun
        with torch.cuda.device(self.device):
            begin, end = _event(), _event()
            if self.host_ahead:
                sleep: Any = torch.cuda._sleep
                sleep(_HEAD_START)
            begin.record()
            call.timed(given)
            end.record()
            end.synchronize()
            return float(begin.elapsed_time(end)) / 1e3


def _event() -> Any:
    event: Any = torch.cuda.Event
    return event(enable_timing=True)


def in_turn(
    calls: Mapping[str, Call],
    stopwatch: Stopwatch,
    *,
    seconds: float,
    repeats: int | None,
) -> dict[str, Timing]:
    """Time each of *calls* once a round, so that a slow moment meets all of them.

    There are *repeats* rounds, or as many as take *seconds* for each call on
    average with all that goes with it, but 20 at least and 1000 at most.
    """
    round_takes = 0.0
    for _ in range(WARM_UP):
        begun = time.perf_counter()
        for call in calls.values():
            stopwatch.seconds(call)
        round_takes = time.perf_counter() - begun
    if repeats is None:
        fitting = seconds * len(calls) / max(round_takes, 1e-9)
        repeats = min(max(int(fitting), FEWEST), MOST)
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            spent[name].append(stopwatch.seconds(call))
    return {name: timing(each) for name, each in spent.items()}


def timing(seconds: list[float]) -> Timing:
    """Return the median and the 20 % and 80 % quantiles of *seconds*."""
    if len(seconds) == 1:
        return Timing(median=seconds[0], low=seconds[0], high=seconds[0], repeats=1)
    tenths = statistics.quantiles(seconds, n=10, method="inclusive")
    return Timing(median=tenths[4], low=tenths[1], high=tenths[7], repeats=len(seconds))


def ceiling(device: str, dtype: torch.dtype, *, seconds: float = 0.5) -> Ceiling:
    """Measure the copy and the matrix product of *device*, on random data.

    The faster fifth of the calls counts: a ceiling is what can be reached, and what
    other work takes from it must flatter no row.
    """
    stopwatch = Stopwatch(device)
    on_cpu = torch.device(device).type == "cpu"
    size, side = (2**26, 1024) if on_cpu else (2**30, 8192)
    source = _random(size // dtype.itemsize, device=device, dtype=dtype)
    target = torch.empty_like(source)
    square = _random(side, side, device=device, dtype=dtype)
    other = _random(side, side, device=device, dtype=dtype)
    calls = {
        "copy": Call(lambda _: target.copy_(source)),
        "product": Call(lambda _: square @ other),
    }
    repeats = 10 if on_cpu else None
    times = in_turn(calls, stopwatch, seconds=seconds, repeats=repeats)
    return Ceiling(
        dtype=dtype_name(dtype),
        bandwidth=2 * size / times["copy"].low,
        flops=2 * side**3 / times["product"].low,
    )


def _random(*size: int, device: str, dtype: torch.dtype) -> torch.Tensor:
    generator = torch.Generator(device).manual_seed(0)
    return torch.randn(size, generator=generator, device=device).to(dtype)
