"""One process among those that torchrun has started for a job."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import timedelta

import attrs

# All of them are in torch.distributed, but for type checkers.
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore
from torch.distributed.rendezvous import rendezvous

from worldweave_registry import WorldweaveError

__all__ = [
    "Member",
    "PrefixStore",
    "Store",
    "TCPStore",
    "kind_of_device",
    "stores_of_job",
]

#: For all processes to import torch and find each other.
STARTING = timedelta(minutes=10)


@attrs.frozen(kw_only=True)
class Member:
    """Which process this is: *rank* of *world*.

    local_rank of local_world: on its node, which is number *node*. host: the name of
    the machine.
    """

    rank: int
    world: int
    local_rank: int
    local_world: int
    node: int
    host: str

    @classmethod
    def of(cls, environ: Mapping[str, str] | None = None) -> Member:
        """Read what torchrun has put into the environment."""
        given = os.environ if environ is None else environ
        return cls(
            rank=int(given["RANK"]),
            world=int(given["WORLD_SIZE"]),
            local_rank=int(given["LOCAL_RANK"]),
            local_world=int(given["LOCAL_WORLD_SIZE"]),
            node=int(given["GROUP_RANK"]),
            host=socket.gethostname(),
        )

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.world} (host {self.host})"


def kind_of_device(asked: str) -> str:
    """Return cpu or cuda, what processes that share a request compute on.

    Raise WorldweaveError where *asked*, what --device says, is neither.
    """
    if asked in ("cpu", "cuda"):
        return asked
    if asked.startswith("cuda:"):
        raise WorldweaveError(
            f"--device is {asked}, but each process has a GPU of its own; give cuda"
        )
    raise WorldweaveError(
        f"--device is {asked!r}, but processes that share a request compute on GPUs or "
        "on the CPU; give cuda or cpu"
    )


def stores_of_job(member: Member) -> tuple[Store, Store]:
    """Return the store in which the processes of this job leave each other word.

    Twice: while one client waits for an answer it answers nobody else, so threads have
    their own. torchrun tells where it is. The keys are those of this attempt alone.
    """
    found = rendezvous("env://", member.rank, member.world, timeout=STARTING)
    first, _, _ = next(iter(found))
    second = TCPStore(
        os.environ["MASTER_ADDR"],
        int(os.environ["MASTER_PORT"]),
        is_master=False,
        timeout=STARTING,
        wait_for_workers=False,
    )
    prefix = f"worldweave/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    return PrefixStore(prefix, first), PrefixStore(prefix, second)
