"""Measure cases with every provider and judge what they computed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from worldweave_kernels import BackendError, roofline
from worldweave_kernels.bench import measure
from worldweave_kernels.bench.exact import Judge
from worldweave_kernels.bench.machine import machine
from worldweave_kernels.bench.measure import Call, Stopwatch
from worldweave_kernels.bench.ops import (
    FIXED_MAPS,
    MODES,
    OPS,
    Case,
    arguments,
    laid_out,
    modes_of,
    slopes,
    variable,
    work,
)
from worldweave_kernels.bench.providers import (
    Compute,
    Provider,
    UnavailableError,
    obstacle,
    providers,
    results,
)
from worldweave_kernels.bench.results import (
    Ceiling,
    Results,
    Row,
    compared,
    dtype_name,
    first_line,
)
from worldweave_kernels.bench.shapes import shapes


class _Ready(NamedTuple):
    """A provider that has computed the case once, and how wrong it was."""

    call: Call
    error: float


def cases(
    *,
    ops: Iterable[str] = tuple(OPS),
    asked: str = "tiny",
    modes: Sequence[str] = ("forward", "backward"),
    dtype: torch.dtype = torch.float32,
    device: str = "cpu",
) -> list[Case]:
    """Return a case for each op, shape and mode; only what has a backward gets one.

    A backward of `weighted_add` gets a second, without gradients of its maps. *asked*
    is a preset or axes, see `shapes`. Raise ValueError for unknown names.
    """
    found = []
    for op in ops:
        if op not in OPS:
            raise ValueError(
                f"there is no operation {op!r}; there are {', '.join(OPS)}"
            )
        for mode in modes:
            if mode not in (*MODES, FIXED_MAPS):
                known = ", ".join((*MODES, FIXED_MAPS))
                raise ValueError(f"there is no mode {mode!r}; there are {known}")
            found += [
                Case(op, each, shape, dtype, device)
                for each in modes_of(op, mode)
                for shape in shapes(asked, op)
            ]
    return found


def run(
    cases: Iterable[Case],
    *,
    only: Collection[str] = (),
    seconds: float = 0.5,
    repeats: int | None = None,
    ceilings: Sequence[Ceiling] | None = None,
    more: Callable[[str], Sequence[Provider]] = lambda op: (),
    notes: Sequence[str] = (),
    say: Callable[[list[Row]], None] = lambda rows: None,
) -> Results:
    """Measure *cases*, which are all on one device, and return all rows.

    *only* limits the providers by kind or name; *more* adds others to an op. Each
    provider runs *repeats* times, or about *seconds* long. *ceilings* are measured
    unless given. *notes* go into the results. *say* gets the rows of each case as
    soon as they are there. Raise ValueError where no provider is left.
    """
    cases = list(cases)
    devices = {case.device for case in cases}
    if len(devices) != 1:
        raise ValueError(
            f"cases are on {sorted(devices)}; measure one device at a time"
        )
    device = devices.pop()
    where = machine(device)
    if ceilings is None:
        dtypes = dict.fromkeys(case.dtype for case in cases)
        ceilings = [measure.ceiling(device, dtype) for dtype in dtypes]
    stopwatch = Stopwatch(device)
    rows: list[Row] = []
    for case in cases:
        wanted = _selected([*providers(case.op), *more(case.op)], only)
        if not wanted:
            continue
        found = _case(case, wanted, stopwatch, ceilings, seconds, repeats)
        say(found)
        rows += found
    if not rows:
        raise ValueError(f"none of {', '.join(only)} computes what is to be measured")
    return Results(
        machine=where,
        ceilings=tuple(ceilings),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def cost(
    cases: Iterable[Case], ceilings: Sequence[Ceiling], repeats: int | None = None
) -> tuple[float, int]:
    """Return the seconds that *cases* take at least, and about the bytes of memory.

    As if all providers were at the floor.
    """
    seconds, memory = 0.0, 0
    for case in cases:
        needed = work(case)
        calls = (repeats or measure.FEWEST) + measure.WARM_UP + 1
        floor = _floor(case, ceilings) or 0.0
        seconds += floor * calls * len(providers(case.op))
        memory = max(memory, 2 * needed.bytes)
    return seconds, memory


def _floor(case: Case, ceilings: Sequence[Ceiling]) -> float | None:
    for each in ceilings:
        if each.dtype == dtype_name(case.dtype):
            limits = roofline.Ceilings(each.bandwidth, each.flops)
            return roofline.floor(work(case), limits)
    return None


def _case(
    case: Case,
    wanted: Sequence[Provider],
    stopwatch: Stopwatch,
    ceilings: Sequence[Ceiling],
    seconds: float,
    repeats: int | None,
) -> list[Row]:
    """Return the rows of one case: prepare, judge, then time those that can."""
    args = arguments(case)
    given = slopes(case) if case.mode != "forward" else []
    judge = Judge(case, args, given)
    ready, notes = _prepared(case, wanted, args, given, judge)
    calls = {name: each.call for name, each in ready.items()}
    try:
        times = measure.in_turn(calls, stopwatch, seconds=seconds, repeats=repeats)
    except Exception as error:
        # Such as memory that ran out; the cases before and after it still count.
        times = {}
        notes |= {name: f"timing stopped: {first_line(error)}" for name in calls}
    needed, floor = work(case), _floor(case, ceilings)
    return compared(
        Row(
            op=case.op,
            mode=case.mode,
            shape=dict(case.shape),
            dtype=dtype_name(case.dtype),
            provider=provider.name,
            kind=provider.kind,
            bytes=needed.bytes,
            flops=needed.flops,
            floor=floor,
            time=times.get(provider.name),
            error=ready[provider.name].error if provider.name in ready else None,
            tolerance=judge.tolerance,
            note=notes.get(provider.name, ""),
        )
        for provider in wanted
    )


def _prepared(
    case: Case,
    wanted: Sequence[Provider],
    args: tuple[Any, ...],
    given: Sequence[Tensor],
    judge: Judge,
) -> tuple[dict[str, _Ready], dict[str, str]]:
    """Return the providers that can compute the case, and what to note of each."""
    ready: dict[str, _Ready] = {}
    notes: dict[str, str] = {}
    unjudged = ", ".join(judge.unjudged)
    if unjudged:
        unjudged = f"gradients of {unjudged} not judged"
    for provider in wanted:
        try:
            compute, remark = provider.prepare(case, args)
            ready[provider.name] = _judged(case, compute, args, given, judge)
            notes[provider.name] = "; ".join(filter(None, [remark, unjudged]))
        except UnavailableError as reason:
            notes[provider.name] = str(reason)
        except BackendError as error:
            notes[provider.name] = obstacle(error)
        except torch.OutOfMemoryError:
            notes[provider.name] = "it ran out of memory"
        except Exception as error:
            # Whatever stops one provider, a missing compiler or a bug of its own,
            # becomes its row and stops no other.
            notes[provider.name] = first_line(error)
    return ready, notes


def _judged(
    case: Case,
    compute: Compute,
    args: tuple[Any, ...],
    given: Sequence[Tensor],
    judge: Judge,
) -> _Ready:
    """Compute once, compare with float64, and return the call to time."""
    if case.mode == "forward":
        with torch.no_grad():
            error = judge.error(results(compute(*args)))
        return _Ready(Call(lambda _: _without_gradient(compute, args)), error)
    leaves = pytree.tree_map_only(Tensor, lambda x: x.detach(), args)
    tensors = [x for x in pytree.tree_leaves(leaves) if isinstance(x, Tensor)]
    varied = zip(tensors, variable(case), strict=True)
    inputs = [x.requires_grad_() for x, varies in varied if varies]

    def forth() -> list[Tensor]:
        return results(compute(*leaves))

    def back(outs: list[Tensor]) -> Sequence[Tensor]:
        return torch.autograd.grad(outs, inputs, given)

    outs = forth()
    given = laid_out(case.op, outs, given)
    error = judge.error([out.detach() for out in outs], back(outs))
    if case.mode == "both":
        return _Ready(Call(lambda _: back(forth())), error)
    return _Ready(Call(back, before=forth), error)


def _without_gradient(compute: Compute, args: tuple[Any, ...]) -> None:
    with torch.no_grad():
        compute(*args)


def _selected(found: Sequence[Provider], only: Collection[str]) -> list[Provider]:
    return [
        provider
        for provider in found
        if not only or provider.name in only or provider.kind in only
    ]
