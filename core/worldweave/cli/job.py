"""One request on one process or on many: what the command sees of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import typer

from worldweave_registry import Catalog, WorldweaveError

if TYPE_CHECKING:
    from worldweave.generate.generation import Tick
    from worldweave.generate.pipeline import Pipeline
    from worldweave.request.plan import Plan
    from worldweave.request.spec import Request


class Job(Protocol):
    """This process among those that work on a request; all make the same calls."""

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes for all."""
        ...

    def plan(
        self, request: Request, catalog: Catalog, make: Callable[[], Plan]
    ) -> Plan:
        """Return the plan that *make* makes, once for all."""
        ...

    def pipeline(self, plan: Plan, catalog: Catalog) -> Pipeline:
        """Load what *plan* needs."""
        ...


class Alone:
    """This process does all the work."""

    is_first = True

    def __init__(self, device: str | None) -> None:
        self.device = device

    def plan(
        self, request: Request, catalog: Catalog, make: Callable[[], Plan]
    ) -> Plan:
        return make()

    def pipeline(self, plan: Plan, catalog: Catalog) -> Pipeline:
        from worldweave.generate.load import load_for

        return load_for(plan, catalog, device=self.device)


def is_started_by_torchrun() -> bool:
    """Tell whether this process is one of several."""
    return "TORCHELASTIC_RUN_ID" in os.environ and "RANK" in os.environ


@contextmanager
def job_of(
    context: typer.Context,
    gpus: int | None,
    device: str | None,
    layout: str | None,
    *,
    check: Callable[[], object],
) -> Iterator[Job]:
    """Join the job that torchrun has started this process for, if it has.

    gpus, device, layout: what the flags of the command of *context* say. Where *gpus*
    asks for torchrun, run it, and leave with its exit code; check: finds mistakes
    before, which would else be told once all processes have started.
    """
    if is_started_by_torchrun():
        from worldweave.parallel.job import joined

        with joined(device=device, asked=layout) as job:
            if gpus is not None:
                raise WorldweaveError(
                    f"--gpus {gpus} starts torchrun, but torchrun has started these "
                    "processes already; leave --gpus out"
                )
            yield job
        return
    if gpus is not None:
        raise typer.Exit(_started(context, gpus, device, layout, check))
    if layout is not None:
        raise WorldweaveError(
            f"--layout {layout} shares the work among GPUs; give --gpus as well, or "
            "start worldweave with torchrun"
        )
    yield Alone(device)


def _started(
    context: typer.Context,
    gpus: int,
    device: str | None,
    layout: str | None,
    check: Callable[[], object],
) -> int:
    """Run the command of *context* in one process for each GPU."""
    from worldweave.parallel.launch import launch
    from worldweave.parallel.layout import read

    if layout is not None:
        read(layout)
    check()
    command = context.command.name or ""
    return launch([command, *given(context, but="gpus")], gpus, device=device)


def given(context: typer.Context, *, but: str) -> list[str]:
    """Return the flags of a command as they were given, *but* one."""
    arguments = []
    for each in context.command.params:
        source = context.get_parameter_source(each.name or "")
        if each.name == but or source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[each.name or ""]
        if isinstance(value, bool):
            arguments.append((each.opts if value else each.secondary_opts)[0])
            continue
        values = value if isinstance(value, (list, tuple)) else [value]
        # In one word, so that a value may begin with a dash.
        arguments += [f"{each.opts[0]}={one}" for one in values]
    return arguments


def progress(job: Job) -> AbstractContextManager[Callable[[Tick], None] | None]:
    """Show a bar, on the process that speaks."""
    if not job.is_first:
        return nullcontext()
    from worldweave.cli.progress import generation_bar

    return generation_bar()


@contextmanager
def whole_or_absent() -> Iterator[None]:
    """Let signals that end a process raise, so that half-written files are removed."""
    numbers = [signal.SIGTERM, signal.SIGHUP]
    if is_started_by_torchrun():
        # It passes on Ctrl-C to all, and says so.
        numbers.append(signal.SIGINT)

    def end(number: int, _: FrameType | None) -> NoReturn:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    before: list[Any] = [signal.signal(number, end) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
