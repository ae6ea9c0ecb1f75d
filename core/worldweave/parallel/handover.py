"""What the first rank has made, for all the others."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import attrs
import torch
import torch.distributed as dist
from torch import Tensor

from worldweave.request.plan import Plan
from worldweave_registry import WorldweaveError, one_line

#: Bytes sent at once.
PIECE = 1 << 28


def made_once(
    make: Callable[[], Plan], is_first: bool, group: dist.ProcessGroup
) -> Plan:
    """Return the plan that the first rank of *group* makes; all call this at once.

    Raise on all what *make* says is wrong with the request, and WorldweaveError where
    the group has nothing for what lies on the CPU.
    """
    refusal: WorldweaveError | None = None
    plan = None
    if is_first:
        try:
            plan = make()
        except WorldweaveError as error:
            refusal = error
    try:
        said = [_tensor(str(refusal or "").encode())]
        (why,) = _sent(said if is_first else None, group)
    except RuntimeError as error:
        if "backend" not in str(error).lower():
            raise
        raise WorldweaveError(
            f"what ranks hand each other lies on the CPU ({one_line(error)}); give "
            'init_process_group "cpu:gloo,cuda:nccl"'
        ) from error
    if refusal is not None:
        raise refusal
    if len(why):
        raise WorldweaveError(why.numpy().tobytes().decode())
    return plan_for_all(plan, group)


def plan_for_all(plan: Plan | None, group: dist.ProcessGroup | None = None) -> Plan:
    """Return the first rank's *plan* on every rank of *group*; all call this at once.

    What made the controls stays behind: they are made. Arrays travel as they are,
    between the processors; the rest, small, is pickled, for all ranks are processes of
    one job and of one version.
    """
    if plan is None:
        head, *arrays = _sent(None, group)
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
    _sent([_tensor(small), *(_tensor(part.raw()) for part in parts)], group)
    return plan


def _tensor(data: bytes | memoryview) -> Tensor:
    """Return *data* as bytes, shared where it may be written to."""
    if not len(data):
        return torch.empty(0, dtype=torch.uint8)
    if memoryview(data).readonly:
        data = memoryview(bytearray(data))
    return torch.frombuffer(data, dtype=torch.uint8)


def _sent(mine: list[Tensor] | None, group: dist.ProcessGroup | None) -> list[Tensor]:
    """Return the first rank's tensors of bytes on every rank."""
    sizes = torch.zeros(1, dtype=torch.int64)
    if mine is not None:
        sizes[0] = len(mine)
    dist.broadcast(sizes, src=0, group=group)
    sizes = torch.zeros(int(sizes), dtype=torch.int64)
    if mine is not None:
        sizes = torch.tensor([len(each) for each in mine])
    dist.broadcast(sizes, src=0, group=group)
    if mine is None:
        mine = [torch.empty(size, dtype=torch.uint8) for size in sizes.tolist()]
    for each in mine:
        for start in range(0, len(each), PIECE):
            dist.broadcast(each[start : start + PIECE], src=0, group=group)
    return mine
