"""How long blocks of a rank take, launched one by one and as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from worldweave_kernels.agreement import TOLERANCE, relative_error
from worldweave_kernels.bench.measure import Call, Stopwatch, in_turn
from worldweave_kernels.bench.rank_block import graphed
from worldweave_kernels.bench.results import Timing, first_line

#: Blocks timed in one go: in a forward the host launches ahead of the GPU, too.
IN_A_ROW = 4

Compute = Callable[[], torch.Tensor]


def modes(stopwatch: Stopwatch) -> tuple[str, ...]:
    """Return the modes there are: graphs are CUDA's."""
    return ("eager", "graph") if stopwatch.device.type == "cuda" else ("eager",)


def block_times(
    forms: Mapping[str, Callable[[], Compute]],
    stopwatch: Stopwatch,
    *,
    seconds: float,
    repeats: int | None,
) -> dict[tuple[str, str], Timing | str]:
    """Return the time of each of *forms* in each mode, or why there is none.

    A form is what returns the computation. *seconds* and *repeats* are those of
    `in_turn`.
    """
    found: dict[tuple[str, str], Timing | str] = {}
    calls: dict[tuple[str, str], Call] = {}
    for name, make in forms.items():
        for mode in modes(stopwatch):
            try:
                compute = make()
                compute()
                calls[name, mode] = _call(compute, mode)
                found[name, mode] = "it was not timed"
            except Exception as error:
                # Whatever it was, a compiler's complaint or memory: the others go on.
                found[name, mode] = first_line(error)
    try:
        named = {" ".join(each): call for each, call in calls.items()}
        times = in_turn(named, stopwatch, seconds=seconds, repeats=repeats)
    except Exception as error:
        return {
            each: first_line(error) if each in calls else found[each] for each in found
        }
    return {**found, **{each: one_block(times[" ".join(each)]) for each in calls}}


def _call(compute: Compute, mode: str) -> Call:
    """Return what runs it a few times. Refuse a graph that computes otherwise."""

    def few() -> torch.Tensor:
        for _ in range(IN_A_ROW - 1):
            compute()
        return compute()

    if mode == "eager":
        return Call(lambda _: few())
    replay, out = graphed(few)
    replay()
    error = relative_error(out, compute())
    if not error <= TOLERANCE[out.dtype]:
        raise RuntimeError(f"the graph is {error:.1e} off what it was recorded from")
    return Call(lambda _: replay())


def one_block(few: Timing) -> Timing:
    """Return the time of one of the blocks that are timed in one go."""
    return Timing(
        median=few.median / IN_A_ROW,
        low=few.low / IN_A_ROW,
        high=few.high / IN_A_ROW,
        repeats=few.repeats,
    )
