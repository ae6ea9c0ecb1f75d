"""Processes that torchrun has started become one job, for one request.

The first rank reads, speaks and writes; the others compute with it. Whoever fails ends
them all; see `worldweave.parallel.watch`.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from pathlib import Path

import attrs
import torch
import torch.distributed as dist

from worldweave.generate.load import load_for
from worldweave.generate.pipeline import Pipeline
from worldweave.loading import config_of, usable_device
from worldweave.parallel import agreement, layout, not_shared, parallelize
from worldweave.parallel.handover import plan_for_all
from worldweave.parallel.member import (
    Member,
    PrefixStore,
    Store,
    kind_of_device,
    stores_of_job,
)
from worldweave.parallel.watch import BEAT, BEATS, FAILED, Watch
from worldweave.request.check import raise_all
from worldweave.request.plan import Plan
from worldweave.request.spec import Request
from worldweave_kernels.parallel import ParallelPlan
from worldweave_registry import Catalog, WorldweaveError, one_line

MISTAKE, NO_MEMORY, INTERRUPTED = 2, 3, 130
#: No collective ends a job: the watch does.
NEVER = timedelta(hours=24)
#: Seconds in which the first rank finds the same mistake, if it is one of all.
SAME_MISTAKE = 3.0
#: Seconds in which it shows why another process no longer answers.
CAUSE = (BEATS + 5) * BEAT
#: Seconds that the first rank waits for the others to have left.
FAREWELL = 20.0


@attrs.define(kw_only=True, eq=False)
class Job:
    """This process in a job. Every process makes the same calls in the same order.

    asked: the fields of a layout that the user insists on.
    """

    member: Member
    store: Store
    watch: Watch
    device: torch.device
    asked: Mapping[str, int]
    layout: ParallelPlan = attrs.field(factory=ParallelPlan)

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.member.is_first

    def plan(
        self, request: Request, catalog: Catalog, make: Callable[[], Plan]
    ) -> Plan:
        """Have the first rank *make* the plan; return it on all that take part.

        Those that the layout leaves over end here, without error. Raise Problems where
        processes differ in versions or in what they are asked for.
        """
        self._agree(
            "versions",
            {
                **agreement.versions(request, catalog),
                **agreement.wishes(request),
                "the layout": json.dumps(self.asked, sort_keys=True),
                "the device": self.device.type,
            },
        )
        plan = make() if self.is_first else None
        self.layout = self._chosen(plan)
        if self.member.rank >= self.layout.world:
            raise SystemExit(0)
        self.watch.narrow(self.layout.world)
        if plan is not None and self.layout.world == 1:
            return plan
        self._connect()
        return plan_for_all(plan)

    def pipeline(self, plan: Plan, catalog: Catalog) -> Pipeline:
        """Load what *plan* needs, and share the work; prompts are for the first rank.

        Raise Problems where processes have different weights.
        """
        loaded = load_for(plan, catalog, device=self.device, text_encoder=self.is_first)
        pipeline = parallelize(loaded, self.layout)
        self._share_digests(pipeline, plan)
        self._agree("weights", agreement.weights(pipeline, plan))
        for line in not_shared(pipeline):
            print(line)
        return pipeline

    def end(self) -> None:
        """Part from the others, once all are here."""
        self.store.add("done", 1)
        _wait(lambda: self.store.add("done", 0) >= self.layout.world)
        if dist.is_initialized():
            dist.destroy_process_group()
        self.watch.stop()
        if self.is_first:
            # The store may be this process's own.
            _wait(lambda: self.store.add("left", 0) >= self.layout.world - 1, FAREWELL)
        else:
            self.store.add("left", 1)

    def _chosen(self, plan: Plan | None) -> ParallelPlan:
        """Return the layout that the first rank chooses for *plan*, its own."""
        if plan is not None:
            chosen = self._fitting(plan)
            self.store.set("layout", json.dumps(dataclasses.asdict(chosen)))
            if chosen.world < self.member.world:
                print(
                    f"{chosen.world} of {self.member.world} processes share the work "
                    f"({chosen}); no layout for more fits this request"
                )
            return chosen
        _wait(lambda: self.store.check(["layout"]))
        return ParallelPlan(**json.loads(self.store.get("layout")))

    def _fitting(self, plan: Plan) -> ParallelPlan:
        config = config_of(plan.base, compat=plan.request.compat)
        guidance = plan.request.guidance
        return layout.chosen(
            self.asked,
            world=self.member.world,
            heads=config.heads,
            guidance=(plan.base.guidance if guidance is None else guidance) != 0,
            node_size=self.member.local_world,
            tokens=layout.tokens_of(plan.grid, config.patch[0]),
        )

    def _connect(self) -> None:
        """Make the process group of those that take part."""
        on_gpu = self.device.type == "cuda"
        dist.init_process_group(
            # What is handed over lies on the CPU; the work is where the model is.
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            store=PrefixStore("groups", self.store),
            rank=self.member.rank,
            world_size=self.layout.world,
            timeout=NEVER,
            device_id=self.device if on_gpu else None,
        )

    def _share_digests(self, pipeline: Pipeline, plan: Plan) -> None:
        """Have one process of each node read the weights; take what it found."""
        key = f"digests/{self.member.node}"
        if self.member.local_rank == 0:
            pipeline.hashes(plan)
            found = {str(path): each for path, each in pipeline.digests.items()}
            self.store.set(key, json.dumps(found))
            return
        _wait(lambda: self.store.check([key]))
        found = json.loads(self.store.get(key))
        pipeline.digests.update({Path(name): each for name, each in found.items()})

    def _agree(self, what: str, facts: agreement.Facts) -> None:
        """Tell *facts*, and go on once the first rank has found them the same."""
        agreed, key = f"agreed/{what}", f"facts/{what}"
        told = agreement.told(self.member, facts)
        self.store.set(f"{key}/{self.member.rank}", told)
        if not self.is_first:
            _wait(lambda: self.store.check([agreed]))
            return
        ranks = self.layout.world if what == "weights" else self.member.world
        keys = [f"{key}/{rank}" for rank in range(ranks)]
        _wait(lambda: self.store.check(keys))
        raise_all(
            agreement.mismatches([agreement.heard(self.store.get(k)) for k in keys])
        )
        self.store.set(agreed, "")


@contextmanager
def joined(*, device: str | None = None, asked: str | None = None) -> Iterator[Job]:
    """Make this process a member of the job that torchrun has started it for.

    device: cuda, a GPU for each, or cpu; None: cuda where there is one. asked: a layout
    as `layout.read` has it. What is raised inside ends the process, and all others with
    it, once it is told; a process that is not needed ends by SystemExit.
    """
    member = Member.of()
    store, second = stores_of_job(member)
    watch = Watch(second, member)
    with _quiet(member), _dying_at_once():
        watch.start()
        try:
            job = Job(
                member=member,
                store=store,
                watch=watch,
                device=device_of(member, device),
                asked={} if asked is None else layout.read(asked),
            )
            yield job
            job.end()
        except SystemExit as left:
            if left.code:
                watch.fail(left.code if isinstance(left.code, int) else FAILED, "")
            watch.stop()
            raise
        except BaseException as error:
            code, text = last_words(member, error)
            is_of_another = _is_of_another(error)
            if is_of_another:
                patience = CAUSE
            else:
                patience = SAME_MISTAKE if code == MISTAKE and member.rank else 0.0
            watch.fail(code, text, patience=patience, is_of_another=is_of_another)


def device_of(member: Member, asked: str | None) -> torch.device:
    """Return the device of this process: a GPU of its own, or the CPU for all.

    Raise WorldweaveError where *asked* is neither cuda nor cpu, and where there are
    fewer GPUs than processes on this machine.
    """
    if asked is None:
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    if kind_of_device(asked) == "cpu":
        return usable_device("cpu")
    there = torch.cuda.device_count()
    if member.local_world > there:
        raise WorldweaveError(
            f"{member.local_world} processes on host {member.host} need as many GPUs, "
            f"but there {'is' if there == 1 else 'are'} {there}; start {there}, or "
            "give --device cpu"
        )
    torch.cuda.set_device(member.local_rank)
    return usable_device(f"cuda:{member.local_rank}")


def last_words(member: Member, error: BaseException) -> tuple[int, str]:
    """Return an exit code, and what to say of *error*."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, ""
    if isinstance(error, WorldweaveError):
        # What the first rank says is the user's affair, not that of a machine.
        who = "worldweave" if member.is_first else f"worldweave: {member}"
        return MISTAKE, "\n".join(f"{who}: {line}" for line in str(error).splitlines())
    said = f"worldweave: {member}: {one_line(error)}"
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        "DefaultCPUAllocator" in str(error)
    ):
        return NO_MEMORY, f"{said}; make fewer frames at once, or give more GPUs"
    return FAILED, "".join(traceback.format_exception(error)) + said


def _is_of_another(error: BaseException) -> bool:
    """Tell whether *error* says that another process no longer answers."""
    if isinstance(error, dist.DistError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and ("gloo" in words or "nccl" in words)


@contextmanager
def _quiet(member: Member) -> Iterator[None]:
    """Let the first rank alone speak, but for what ends the job."""
    if member.is_first:
        yield
        return
    with (
        open(os.devnull, "w") as nowhere,
        redirect_stdout(nowhere),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)


@contextmanager
def _dying_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process wherever it is: nothing is written meanwhile.

    Python would wait until a collective is over, which may never be.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _wait(is_there: Callable[[], bool], limit: float = float("inf")) -> None:
    """Look until *is_there*, ever more seldom: whoever is lost ends the job."""
    end, pause = time.monotonic() + limit, 0.005
    while not is_there() and time.monotonic() < end:
        time.sleep(pause)
        pause = min(2 * pause, 0.25)
