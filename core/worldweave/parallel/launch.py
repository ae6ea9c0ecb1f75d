"""Start the processes of a job on this machine, as torchrun does, but quietly."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from signal import SIGINT, SIGKILL, Signals, getsignal, signal

import torch
from torch.distributed.elastic.multiprocessing import (
    DefaultLogsSpecs,
    SignalException,
)
from torch.distributed.elastic.multiprocessing.errors import (
    ChildFailedError,
    ProcessFailure,
)
from torch.distributed.elastic.rendezvous import (
    RendezvousHandler,
    RendezvousInfo,
    RendezvousParameters,
    RendezvousStoreInfo,
    rendezvous_handler_registry,
)
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from worldweave.parallel.member import PrefixStore, TCPStore, kind_of_device
from worldweave_registry import WorldweaveError

#: What the engine handles, and leaves handled.
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
#: As `worldweave.cli.main` has it for a user's mistake, which has been told.
MISTAKE = 2
#: As `worldweave.cli.main` has it; of a machine's processes the first tells.
NO_MEMORY = 3
#: Where processes of one machine find each other.
HERE = "127.0.0.1"


class OnThisMachine(RendezvousHandler):
    """How torchrun's processes find each other where all are on this machine.

    torchrun's own ways listen on every network, and c10d unpickles what it hears. This
    one listens on the loopback device alone, at a port that the system chooses.
    """

    NAME = "worldweave"

    def __init__(self, parameters: RendezvousParameters) -> None:
        self._run_id = parameters.run_id
        with socket.create_server((HERE, 0)) as listener:
            self._port = listener.getsockname()[1]
            self._store = TCPStore(
                HERE,
                self._port,
                is_master=True,
                wait_for_workers=False,
                # The store closes it.
                master_listen_fd=listener.detach(),
            )

    def get_backend(self) -> str:
        return self.NAME

    @property
    def use_agent_store(self) -> bool:
        """The processes use this store, instead of one of the first process's."""
        return True

    def next_rendezvous(self) -> RendezvousInfo:
        found = RendezvousStoreInfo(HERE, self._port)
        return RendezvousInfo(PrefixStore(self._run_id, self._store), 0, 1, found)

    def is_closed(self) -> bool:
        return False

    def set_closed(self) -> None:
        """There is nobody to tell."""

    def num_nodes_waiting(self) -> int:
        return 0

    def get_run_id(self) -> str:
        return self._run_id

    def shutdown(self) -> bool:
        return True


def launch(arguments: Sequence[str], processes: int, *, device: str | None) -> int:
    """Run worldweave with *arguments* in as many *processes*; return the exit code.

    It is that of the first to fail. device: cuda or None, a GPU for each process, or
    cpu. Raise WorldweaveError where there are fewer GPUs, KeyboardInterrupt after
    Ctrl-C.
    """
    refuse_too_many(processes, device)
    rendezvous_handler_registry.register(OnThisMachine.NAME, OnThisMachine)
    with (
        tempfile.TemporaryDirectory(prefix="worldweave-") as folder,
        _quiet(),
        _signals_kept(),
        _environment(processes, device),
    ):
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            run_id=uuid.uuid4().hex,
            rdzv_backend=OnThisMachine.NAME,
            local_addr=HERE,
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(log_dir=folder),
        )
        try:
            elastic_launch(config, sys.executable)("-m", "worldweave", *arguments)
        except ChildFailedError as error:
            return _told(error.failures, processes)
        except SignalException as error:
            if error.sigval == SIGINT:
                raise KeyboardInterrupt from error
            return 128 + error.sigval
    return 0


def refuse_too_many(processes: int, device: str | None) -> None:
    """Raise WorldweaveError where there is no GPU for each of *processes*."""
    if device is not None and kind_of_device(device) == "cpu":
        return
    there = torch.cuda.device_count()
    if processes <= there:
        return
    if there:
        raise WorldweaveError(
            f"--gpus is {processes} but this machine has {there}; give --gpus {there}"
        )
    raise WorldweaveError(
        f"--gpus is {processes} but torch finds no GPU here; add --device cpu for "
        "processes on the CPU, or leave --gpus out"
    )


def _told(failures: Mapping[int, ProcessFailure], processes: int) -> int:
    """Say what the processes could not say themselves; return the exit code."""
    rank, first = next(iter(failures.items()))
    code = first.exitcode
    # Whoever told what ended the job while all were at work has left a note.
    is_told = (
        any(os.path.isfile(each.error_file) for each in failures.values())
        or code == MISTAKE
        or (code == NO_MEMORY and rank == 0)
    )
    if not is_told:
        how = f"ended with exit code {code}"
        if code < 0:
            how = f"was killed by {Signals(-code).name}"
        if code == -SIGKILL:
            how += "; the system's log may tell why, such as memory that ran out"
        host = socket.gethostname()
        print(
            f"worldweave: rank {rank} of {processes} (host {host}) {how}",
            file=sys.stderr,
        )
    return 128 - code if code < 0 else code


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the engine: the processes tell what there is to tell."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Give back the signals that the engine takes."""
    before = [(Signals[name], getsignal(Signals[name])) for name in SIGNALS]
    try:
        yield
    finally:
        for number, handler in before:
            signal(number, handler)


@contextlib.contextmanager
def _environment(processes: int, device: str | None) -> Iterator[None]:
    """Lend the processes their environment, where the user has not set it."""
    threads = 1 if device == "cpu" else max(1, (os.cpu_count() or 1) // processes)
    before = dict(os.environ)
    for name, value in {
        "OMP_NUM_THREADS": str(threads),
        # All is on this machine, whose name no resolver may know.
        "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
        # Seconds for processes to end at Ctrl-C; nothing takes them long.
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "10",
    }.items():
        if value:
            os.environ.setdefault(name, value)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
