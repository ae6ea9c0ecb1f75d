"""What an evaluation launches, recorded once as a CUDA graph and replayed.

At 32 ranks a block takes a few milliseconds and some forty launches: the host that
makes them can be slower than the GPU. A graph is launched once for all of them, the
exchanges of NCCL among them. It computes what was recorded from where its inputs lay:
so inputs are copied there, and what is no tensor may never differ.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import attrs
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from worldweave.blame import NamedBranch
from worldweave.model.dit import DiT
from worldweave.model.step import Step
from worldweave.model.weave import RunBranch
from worldweave_kernels.parallel import Ranks
from worldweave_registry import WorldweaveError, one_line

Maps = Mapping[str, Tensor]
Branches = Mapping[str, RunBranch]
#: From a base, branches, a latent, a step, hints and maps to the output.
Compute = Callable[[DiT, Branches, Tensor, Step, Maps, Maps], Tensor]
Launch = Callable[[], Tensor]
#: Kinds of evaluations that are kept: schedules leave out branches at some steps.
MOST = 32


class Evaluate(Protocol):
    """Computes an evaluation, each time anew or by a recording."""

    def __call__(
        self,
        compute: Compute,
        dit: DiT,
        branches: Branches,
        latent: Tensor,
        step: Step,
        hints: Maps,
        maps: Maps,
        /,
    ) -> Tensor:
        """Return what *compute* makes of the rest."""
        ...


class Recorder(Protocol):
    """Runs what is going to be recorded, then records it."""

    def warmed(self, launch: Launch) -> Tensor:
        """Call *launch* where it will be recorded: kernels compile, groups connect."""
        ...

    def recorded(self, launch: Launch) -> Callable[[Launch], Tensor]:
        """Return what does again what *launch* does, and returns a tensor of its own.

        It is given *launch* each time, and keeps nothing of it.
        """
        ...


def evaluate_for(ranks: Ranks) -> Evaluate:
    """Return how *ranks* evaluate: by graphs where their plan says so.

    Raise WorldweaveError for graphs of what is no CUDA device.
    """
    if ranks.plan.cuda_graph:
        return Recorded(CudaGraphs(ranks.device))
    return each_time


def each_time(
    compute: Compute,
    dit: DiT,
    branches: Branches,
    latent: Tensor,
    step: Step,
    hints: Maps,
    maps: Maps,
    /,
) -> Tensor:
    """Compute it, and record nothing."""
    return compute(dit, branches, latent, step, hints, maps)


class Recorded:
    """Evaluations by recordings: one for each kind, by shapes and by what runs.

    The first of a kind is computed, the second recorded, all but the first replayed.
    Recordings of a base or a branch end with it, and all of them with the size or the
    frame rate: what depends on these alone is kept beside the recording, for one.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._setting: tuple[Any, ...] | None = None
        self._kinds: dict[tuple[Any, ...], _Kind] = {}
        self._known: weakref.WeakSet[nn.Module] = weakref.WeakSet()

    def __len__(self) -> int:
        return len(self._kinds)

    def __call__(
        self,
        compute: Compute,
        dit: DiT,
        branches: Branches,
        latent: Tensor,
        step: Step,
        hints: Maps,
        maps: Maps,
        /,
    ) -> Tensor:
        """Return what *compute* makes of the rest.

        Raise WorldweaveError where a branch is not known to do the same at every step,
        and where it cannot be recorded; ValueError where a gradient is wanted.
        """
        # In the order of the branches, those that do not run left out.
        values = [{name: each[name] for name in branches} for each in (hints, maps)]
        leaves, spec = pytree.tree_flatten((latent, step, *values))
        self._settle((tuple(latent.shape), step.fps, latent.device))
        modules = {name: self._module(name, run) for name, run in branches.items()}
        key = _key(dit, modules, leaves)
        kind = self._kinds.get(key)
        if kind is not None and kind.is_moved:
            del self._kinds[key]
            kind = None
        is_new = kind is None
        if kind is None:
            kind = self._made(key, [dit, *modules.values()], leaves, latent.device)
        kind.take(leaves)
        given = pytree.tree_unflatten(kind.inputs, spec)
        launch = partial(compute, dit, branches, *given)
        if is_new:
            return self._recorder.warmed(launch)
        if kind.replay is None:
            kind.replay = self._recorder.recorded(launch)
        return kind.replay(launch)

    def _module(self, name: str, run: RunBranch) -> nn.Module:
        """Return the branch that *run* runs; refuse unknown code."""
        # It brings greenlets along, which what is alone has no need of.
        from worldweave.parallel.sharded import is_local

        branch = run.branch if isinstance(run, NamedBranch) else run
        if not isinstance(branch, nn.Module) or (
            branch not in self._known and not is_local(branch)
        ):
            raise WorldweaveError(
                f"the branch of {name!r} has code of its own, which may do another "
                "thing at every step, and a CUDA graph would do that of the first; "
                f"switch cuda_graph off, or disable {name!r}"
            )
        self._known.add(branch)
        return branch

    def _settle(self, setting: tuple[Any, ...]) -> None:
        if setting != self._setting:
            self._kinds.clear()
            self._setting = setting

    def _made(
        self,
        key: tuple[Any, ...],
        modules: Sequence[nn.Module],
        leaves: Sequence[Any],
        device: torch.device,
    ) -> _Kind:
        tables = [
            table
            for module in modules
            for each in module.modules()
            for table in (each._parameters, each._buffers)
        ]
        _refuse_gradient([*leaves, *(x for each in tables for x in each.values())])
        while len(self._kinds) >= MOST:
            del self._kinds[next(iter(self._kinds))]
        # Weak both ways: what is disabled is freed at once, and so is this.
        end = partial(_forget, weakref.ref(self), key)
        kind = _Kind(
            inputs=[_place_for(each, device) for each in leaves],
            tables=tables,
            modules=[weakref.ref(each, end) for each in modules],
        )
        self._kinds[key] = kind
        return kind


@attrs.define(eq=False)
class _Kind:
    """An evaluation's inputs, where they always lie, and what replays it.

    tables: of the parameters, whose places a recording knows.
    """

    inputs: list[Any]
    tables: list[Any]
    modules: list[weakref.ref[nn.Module]]
    replay: Callable[[Launch], Tensor] | None = None
    _places: list[int] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._places = self._where()

    @property
    def is_moved(self) -> bool:
        """Whether parameters lie elsewhere than they did, or are others."""
        return self._where() != self._places

    def take(self, leaves: Sequence[Any]) -> None:
        """Copy the tensors among *leaves* to where they are read."""
        for own, given in zip(self.inputs, leaves, strict=True):
            if isinstance(own, Tensor):
                own.copy_(given)

    def _where(self) -> list[int]:
        return [
            each.data_ptr()
            for table in self.tables
            for each in table.values()
            if each is not None
        ]


class CudaGraphs:
    """Records CUDA graphs, which share their memory: one is replayed at a time."""

    def __init__(self, device: torch.device) -> None:
        """Raise WorldweaveError where *device* is none of CUDA."""
        if device.type != "cuda":
            raise WorldweaveError(
                f"cuda_graph is on but the device is {str(device)!r}, which has no "
                "CUDA graphs; give a GPU, or switch cuda_graph off"
            )
        self._device = device
        # Libraries find their work space by stream: one for warming and recording.
        self._beside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._graphs: weakref.WeakSet[_Graph] = weakref.WeakSet()
        self._pool: Any = None

    def warmed(self, launch: Launch) -> Tensor:
        """Call *launch* on the stream of the recordings."""
        with self._aside():
            return launch()

    def recorded(self, launch: Launch) -> Callable[[Launch], Tensor]:
        """Record *launch*, which computes nothing yet.

        Raise WorldweaveError where what it does cannot be recorded.
        """
        if not self._graphs:
            # The pool of graphs that are all gone is gone with the last.
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        recording = torch.cuda.graph(
            graph,
            pool=self._pool,
            stream=self._beside,
            # What other threads ask of the driver, such as NCCL's watchdog whether an
            # exchange is over, must not end it.
            capture_error_mode="thread_local",
        )
        try:
            with torch.cuda.device(self._device), recording:
                out = launch()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            # Ending the recording fails, too, and tells less.
            why = one_line(error.__context__ or error)
            raise WorldweaveError(
                f"an evaluation cannot be recorded as a CUDA graph ({why}); switch "
                "cuda_graph off"
            ) from error
        made = _Graph(graph, out)
        self._graphs.add(made)
        return made

    @contextlib.contextmanager
    def _aside(self) -> Iterator[None]:
        here = torch.cuda.current_stream(self._device)
        self._beside.wait_stream(here)
        with torch.cuda.stream(self._beside):
            yield
        here.wait_stream(self._beside)


class _Graph:
    """A graph, and where its output lies."""

    def __init__(self, graph: torch.cuda.CUDAGraph, out: Tensor) -> None:
        self._graph, self._out = graph, out

    def __call__(self, launch: Launch) -> Tensor:
        self._graph.replay()
        # The next graph may overwrite it.
        return self._out.clone()


class Calls:
    """Records nothing: what is replayed is called again, on the same inputs.

    For a device without graphs, to try there what surrounds them.
    """

    def warmed(self, launch: Launch) -> Tensor:
        """Call *launch*."""
        return launch()

    def recorded(self, launch: Launch) -> Callable[[Launch], Tensor]:
        """Return what calls what it is given."""
        return _called


def _called(launch: Launch) -> Tensor:
    return launch()


def _key(
    dit: DiT, modules: Mapping[str, nn.Module], leaves: Sequence[Any]
) -> tuple[Any, ...]:
    """Return all that decides what is launched, but for the values of tensors."""
    forms = (
        (tuple(each.shape), each.dtype) if isinstance(each, Tensor) else each
        for each in leaves
    )
    runs = ((name, id(module)) for name, module in modules.items())
    return (id(dit), *runs, *forms)


def _place_for(given: Any, device: torch.device) -> Any:
    """Return a tensor like *given*, or what it is if it is none."""
    if not isinstance(given, Tensor):
        return given
    # Written to in inference mode or outside of it.
    with torch.inference_mode(False):
        return torch.empty_like(given, device=device, requires_grad=False)


def _refuse_gradient(given: Sequence[Any]) -> None:
    wanted = (each.requires_grad for each in given if isinstance(each, Tensor))
    if torch.is_grad_enabled() and any(wanted):
        raise ValueError(
            "a gradient is wanted, and none passes a recording; use torch.no_grad(), "
            "or switch cuda_graph off"
        )


def _forget(
    of: weakref.ref[Recorded], key: tuple[Any, ...], _: weakref.ref[nn.Module]
) -> None:
    """Drop a recording: a base or branch of it is gone."""
    recorded = of()
    if recorded is not None:
        recorded._kinds.pop(key, None)
