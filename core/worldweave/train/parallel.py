"""Training over several processes: who computes which samples, and their sum."""

# Why not DistributedDataParallel: it averages what one module's forward has used. A
# loss here is a closure over several modules (a DiT and its text encoder, a frozen
# base around a branch), so gradients are averaged after it, in one piece. What that
# gives away, exchanging early gradients while late ones are computed, is little for
# branches of some million parameters.

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import attrs
import torch
import torch.distributed as dist
from torch import Tensor, nn

from worldweave_registry import WorldweaveError


@attrs.frozen
class Processes:
    """The processes that train together, and which one this is."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this one speaks, writes and watches for all."""
        return self.rank == 0

    def share(self, batch_size: int) -> slice:
        """Return which samples of a batch this process computes: equal shares.

        Raise WorldweaveError where the batch cannot be divided.
        """
        if batch_size % self.count:
            raise WorldweaveError(
                f"a batch of {batch_size} cannot be shared by {self.count} processes; "
                f"give a --batch-size that is a multiple of {self.count}"
            )
        size = batch_size // self.count
        return slice(self.rank * size, (self.rank + 1) * size)

    def average(self, parameters: Iterable[nn.Parameter], values: Tensor) -> Tensor:
        """Average the gradients in place, and return the mean of *values* (N,).

        A parameter that no process has a gradient for stays without one.
        """
        if self.count == 1:
            return values
        parameters = list(parameters)
        has = torch.tensor([float(p.grad is not None) for p in parameters])
        gradients = [
            torch.zeros_like(p) if p.grad is None else p.grad for p in parameters
        ]
        like = gradients[0]
        pieces = [*gradients, has.to(like), values.detach().to(like)]
        flat = torch.cat([piece.reshape(-1) for piece in pieces])
        dist.all_reduce(flat)
        flat /= self.count
        parts = torch.split(flat, [piece.numel() for piece in pieces])
        averages: list[Tensor] = [
            part.view(piece.shape) for part, piece in zip(parts, pieces, strict=True)
        ]
        *gradients, has, mean = averages
        for parameter, gradient, given in zip(
            parameters, gradients, has.tolist(), strict=True
        ):
            parameter.grad = gradient if given else None
        return mean.to(values)

    def wait(self) -> None:
        """Return once every process has come here."""
        if self.count > 1:
            dist.barrier()


ALONE = Processes()


@contextmanager
def joined(device: torch.device) -> Iterator[tuple[Processes, torch.device]]:
    """Join the processes torchrun has started; give them and this one's device.

    Without torchrun this process is alone. Where one process fails, torchrun ends
    the others, which may be waiting for it.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE, device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group(backend="nccl" if device.type == "cuda" else "gloo")
    processes = Processes(dist.get_rank(), dist.get_world_size())
    yield processes, device
    # The first one may still be writing the result. After an error nobody waits: the
    # group ends with its processes.
    processes.wait()
    dist.destroy_process_group()
