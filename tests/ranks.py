"""Processes that stand for GPUs: functions of tests run on several ranks of gloo.

The fixture `ranks` hands out a `Pool`. Its processes are forked from one that has torch
already, so that eight of them start in about the time of one, and serve all tests of a
pytest process. They end with it, or with whoever fails among them.
"""

from __future__ import annotations

import contextlib
import datetime
import faulthandler
import importlib.util
import inspect
import itertools
import multiprocessing
import os
import pickle
import runpy
import signal
import socket
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

MOST = 8
#: Seconds that a call may take.
LIMIT = 120.0
#: Seconds that the other ranks have to end by themselves once one has failed.
GRACE = 2.0
#: Imported once, before the ranks are forked. What is not installed is left out.
PRELOADED = [
    "torch",
    "torch.distributed",
    "torch.distributed.device_mesh",
    "worldweave_kernels.parallel",
    "worldweave",
    "pytest",
    "hypothesis",
]
#: What this file is called where it is run by a rank.
AS_A_RANK = "one of the ranks"


class RankFailed(Exception):  # noqa: N818
    """What went wrong on a rank, as it was told there."""


class Pool:
    """Up to eight processes, one thread each, that are the ranks of gloo."""

    def __init__(self, folder: Path, lock: Path | None = None) -> None:
        """Start nothing yet. *lock*: a file; one call at a time of those who share."""
        self._folder, self._lock = folder, lock
        self._members: list[tuple[Any, Connection]] = []
        self._calls = itertools.count()

    def __call__(
        self,
        world: int,
        function: Callable[..., Any],
        *arguments: Any,
        limit: float = LIMIT,
    ) -> list[Any]:
        """Return what *function* returns on each of *world* ranks, in their order.

        It is found again by its file and name, so it stands at the top of a file.
        Arguments and results are pickled. While it runs torch.distributed has exactly
        *world* members, warnings are errors, and random numbers differ by rank. What is
        raised on a rank, first of all where several raise, is raised here, caused by
        a `RankFailed` that has its rank and traceback. Raise TimeoutError with what
        each rank was at where it takes more than *limit* seconds.
        """
        if not 1 <= world <= MOST:
            raise ValueError(f"world is {world}; give 1 to {MOST} ranks")
        where = _address(function)
        with self._alone():
            self._grow(world)
            store = Path(tempfile.mkdtemp(dir=self._folder)) / "store"
            for rank, (_, connection) in enumerate(self._members[:world]):
                job = (rank, world, str(store), limit, where, pickle.dumps(arguments))
                connection.send_bytes(pickle.dumps(job))
            return self._answers(world, limit)

    def close(self) -> None:
        """End the processes."""
        members, self._members = self._members, []
        for process, connection in members:
            connection.close()
            process.kill()
        for process, _ in members:
            process.join()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until no other pytest process uses its ranks: they would be slow."""
        if self._lock is None:
            yield
            return
        import fcntl

        with self._lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _grow(self, world: int) -> None:
        if any(not process.is_alive() for process, _ in self._members):
            self.close()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        while len(self._members) < world:
            here, there = context.Pipe()
            said = self._folder / f"rank{len(self._members)}.txt"
            process = context.Process(
                # By its path: where tests are a folder, this file has no name there.
                target=runpy.run_path,
                args=(__file__, {"given": (there, said)}, AS_A_RANK),
                daemon=True,
            )
            process.start()
            there.close()
            self._members.append((process, here))

    def _answers(self, world: int, limit: float) -> list[Any]:
        members = self._members[:world]
        waiting = {connection: rank for rank, (_, connection) in enumerate(members)}
        results: dict[int, Any] = {}
        failed: list[tuple[float, int, BaseException, str]] = []
        end = time.monotonic() + limit
        while waiting and (ready := wait(list(waiting), end - time.monotonic())):
            for connection in ready:
                rank = waiting.pop(connection)  # type: ignore[call-overload]
                try:
                    answer = pickle.loads(connection.recv_bytes())  # type: ignore[union-attr]
                except (EOFError, OSError):
                    answer = self._died(rank)
                if answer[0]:
                    results[rank] = answer[1]
                else:
                    failed.append((answer[1], rank, *answer[2:]))
                    end = min(end, time.monotonic() + GRACE)
        if waiting and not failed:
            told = self._told(sorted(waiting.values()))
            self.close()
            raise TimeoutError(f"not done after {limit:g} s\n{told}")
        if failed:
            # Those that were left in the middle of something are of no more use.
            self.close()
            _, rank, error, told = min(failed, key=lambda each: each[:2])
            raise error from RankFailed(f"on rank {rank} of {world}\n{told}")
        return [results[rank] for rank in range(world)]

    def _died(self, rank: int) -> tuple[Any, ...]:
        process, _ = self._members[rank]
        process.join(GRACE)
        error = ChildProcessError(f"rank {rank} ended: exit code {process.exitcode}")
        # Whatever others tell comes of it.
        return False, 0.0, error, str(error)

    def _told(self, ranks: list[int]) -> str:
        """Return what each of *ranks* is at."""
        for rank in ranks:
            os.kill(self._members[rank][0].pid, signal.SIGUSR1)
        time.sleep(0.5)
        said = [(self._folder / f"rank{rank}.txt").read_text() for rank in ranks]
        return "\n".join(
            f"rank {rank} is at\n{text}" for rank, text in zip(ranks, said, strict=True)
        )


def _address(function: Callable[..., Any]) -> tuple[str, str, str]:
    """Return the file, module and qualified name of *function*."""
    name = function.__qualname__
    if "<" in name:
        raise ValueError(f"{name} is not at the top of its file: ranks cannot find it")
    return inspect.getfile(function), function.__module__, name


def _loaded(file: str, module: str, name: str) -> Callable[..., Any]:
    """Return the function, from its file unless that is imported already."""
    # Arguments may be of files beside it, which pickle imports by their names. pytest
    # started by itself has not put the folder above them on the path.
    root = str(Path(file).parents[module.count(".")])
    if root not in sys.path:
        sys.path.append(root)
    if module not in sys.modules:
        spec = importlib.util.spec_from_file_location(module, file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} is no Python file")
        # Under its own name: what is pickled there and here refers to it.
        sys.modules[module] = made = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(made)
        except BaseException:
            del sys.modules[module]
            raise
    found: Any = sys.modules[module]
    for part in name.split("."):
        found = getattr(found, part)
    function: Callable[..., Any] = found
    return function


def _serve(connection: Connection, said: Path) -> None:
    """Answer calls until the pool hangs up."""
    import torch

    torch.set_num_threads(1)
    if "lo" in {name for _, name in socket.if_nameindex()}:
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    with said.open("w") as file:
        faulthandler.register(signal.SIGUSR1, file)
        while True:
            try:
                job = pickle.loads(connection.recv_bytes())
            except (EOFError, OSError):
                return
            connection.send_bytes(_answer(*job))


def _answer(
    rank: int,
    world: int,
    store: str,
    limit: float,
    where: tuple[str, str, str],
    arguments: bytes,
) -> bytes:
    """Return the pickled outcome: (True, result), or (False, when, error, text)."""
    try:
        with _joined(rank, world, store, limit):
            # Told before it leaves: others then fail too, for want of it.
            return _outcome(where, arguments)
    except Exception as error:
        return _failure(error)


def _outcome(where: tuple[str, str, str], arguments: bytes) -> bytes:
    try:
        with warnings.catch_warnings():
            function = _loaded(*where)
            warnings.simplefilter("error")
            told = pickle.dumps((True, function(*pickle.loads(arguments))))
        _wait_for_all()
        return told
    except BaseException as error:
        return _failure(error)


def _failure(error: BaseException) -> bytes:
    told = (False, time.monotonic(), _portable(error), traceback.format_exc())
    return pickle.dumps(told)


@contextlib.contextmanager
def _joined(rank: int, world: int, store: str, limit: float) -> Iterator[None]:
    """Make this process rank *rank* of *world*, and nothing afterwards."""
    import torch
    import torch.distributed as dist

    torch.manual_seed(1000 + rank)
    dist.init_process_group(
        "gloo",
        store=dist.FileStore(store, world),
        rank=rank,
        world_size=world,
        timeout=datetime.timedelta(seconds=limit),
    )
    try:
        _wait_for_all()
        yield
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def _wait_for_all() -> None:
    """Let none leave while others still connect to it: they would wait for ever."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.barrier()


def _portable(error: BaseException) -> BaseException:
    """Return *error*, or what says the same where it cannot be pickled."""
    try:
        same = pickle.loads(pickle.dumps(error))
    except Exception:
        same = None
    if isinstance(same, Exception) and type(same) is type(error):
        return same
    return RuntimeError(f"{type(error).__name__}: {error}")


if __name__ == AS_A_RANK:
    _serve(*globals()["given"])
