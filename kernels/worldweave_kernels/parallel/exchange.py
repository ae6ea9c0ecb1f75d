"""What ranks hand each other around a self-attention, and what stands in for it."""

# U rank of a group for heads, R rank of a ring

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from worldweave_kernels.parallel.ranks import Ranks

T = TypeVar("T")


class Pending(Generic[T]):
    """What is under way to this rank.

    On a GPU waiting is the stream's, not the host's. Until then it keeps what is sent.
    """

    def __init__(
        self, received: T, works: Sequence[dist.Work] = (), sent: object = None
    ) -> None:
        self._received, self._works, self._sent = received, works, sent

    def wait(self) -> T:
        """Return what has come."""
        for work in self._works:
            work.wait()
        self._works, self._sent = (), None
        return self._received


class Exchange:
    """The exchanges of a rank with its two groups. None: it is alone in that one.

    All ranks of a group call the same methods in the same order, and none has something
    under way in both groups at once: NCCL does not promise that two communicators come
    forward beside each other. No gradient passes.
    """

    def __init__(
        self,
        ulysses: dist.ProcessGroup | None = None,
        ring: dist.ProcessGroup | None = None,
    ) -> None:
        self._ulysses, self._ring = ulysses, ring

    @classmethod
    def of(cls, ranks: Ranks) -> Exchange:
        """Return that of *ranks*. Raise ValueError where they have not joined."""
        for axis in ("ulysses", "ring"):
            size, group = getattr(ranks.plan, axis), getattr(ranks, axis)
            if size > 1 and group is None:
                raise ValueError(
                    f"{axis} is {size} but these ranks have no group for it; make them "
                    "with Ranks.join, or give a VirtualExchange for a measurement"
                )
        return cls(ranks.ulysses, ranks.ring)

    def all_to_all(self, send: Tensor, async_op: bool = False) -> Pending[Tensor]:
        """Send send[u] to rank u, and receive what each has for this one, (U, ...).

        async_op: return while it is under way; when compiled, that is the compiler's.
        """
        send = send.contiguous()
        if self._ulysses is None:
            return Pending(send)
        received = torch.empty_like(send)
        under_way = async_op and not torch.compiler.is_compiling()
        work = dist.all_to_all_single(
            received, send, group=self._ulysses, async_op=under_way
        )
        works = [work] if under_way and work is not None else []
        return Pending(received, works, send)

    def hand_on(self, send: Tensor) -> Pending[Tensor]:
        """Hand *send* to the next rank of the ring; receive that of the one before.

        It is as large on all ranks. Returns while it is under way.
        """
        group, send = self._ring, send.contiguous()
        if group is None:
            return Pending(send)
        received = torch.empty_like(send)
        at, size = dist.get_rank(group), dist.get_world_size(group)
        after = dist.get_global_rank(group, (at + 1) % size)
        before = dist.get_global_rank(group, (at - 1) % size)
        operations = [
            dist.P2POp(dist.isend, send, after, group),
            dist.P2POp(dist.irecv, received, before, group),
        ]
        return Pending(received, dist.batch_isend_irecv(operations), send)


class VirtualExchange(Exchange):
    """One process that stands for every rank: it receives what it sends.

    As many bytes in the same layout, only with other values: for measurements.
    """
