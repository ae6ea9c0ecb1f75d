"""What the first rank has made, for all the others."""

from __future__ import annotations

import pickle

import attrs
import torch
import torch.distributed as dist
from torch import Tensor

from worldweave.request.plan import Plan

#: Bytes sent at once.
PIECE = 1 << 28


def plan_for_all(plan: Plan | None) -> Plan:
    """Return the first rank's *plan* on every rank; all call this at once.

    What made the controls stays behind: they are made. Arrays travel as they are,
    between the processors; the rest, small, is pickled, for all ranks are processes of
    one job and of one version.
    """
    if plan is None:
        head, *arrays = _sent(None)
        received: Plan = pickle.loads(
            head.numpy().tobytes(), buffers=[array.numpy() for array in arrays]
        )
        return received
    parts: list[pickle.PickleBuffer] = []
    prepared = {
        name: attrs.evolve(each, preprocessor=None)
        for name, each in plan.prepared.items()
    }
    small = pickle.dumps(
        attrs.evolve(plan, prepared=prepared), protocol=5, buffer_callback=parts.append
    )
    _sent([_tensor(small), *(_tensor(part.raw()) for part in parts)])
    return plan


def _tensor(data: bytes | memoryview) -> Tensor:
    """Return *data* as bytes, shared where it may be written to."""
    if not len(data):
        return torch.empty(0, dtype=torch.uint8)
    if memoryview(data).readonly:
        data = memoryview(bytearray(data))
    return torch.frombuffer(data, dtype=torch.uint8)


def _sent(mine: list[Tensor] | None) -> list[Tensor]:
    """Return the first rank's tensors of bytes on every rank."""
    sizes = torch.zeros(1, dtype=torch.int64)
    if mine is not None:
        sizes[0] = len(mine)
    dist.broadcast(sizes, src=0)
    sizes = torch.zeros(int(sizes), dtype=torch.int64)
    if mine is not None:
        sizes = torch.tensor([len(each) for each in mine])
    dist.broadcast(sizes, src=0)
    if mine is None:
        mine = [torch.empty(size, dtype=torch.uint8) for size in sizes.tolist()]
    for each in mine:
        for start in range(0, len(each), PIECE):
            dist.broadcast(each[start : start + PIECE], src=0)
    return mine
