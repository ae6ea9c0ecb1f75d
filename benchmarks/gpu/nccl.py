"""One process and its own exchanges: what ranks share, over NCCL, against float64."""

# python -m gpu.nccl, in benchmarks/; --device cpu takes gloo, to try the script

# B batch, L token, C chunk, H head, h head of a chunk, d channels of one

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from gpu.record import Measured, largest
from worldweave_kernels import reference
from worldweave_kernels.agreement import TOLERANCE, relative_error
from worldweave_kernels.bench.rank_block import graphed
from worldweave_kernels.parallel import ParallelPlan, Ranks, Share
from worldweave_kernels.parallel.attention import early_attention, sequence_attention
from worldweave_kernels.parallel.exchange import Exchange

#: What a line that tells a measurement begins with.
MARK = "nccl: "
#: L, H and d; heads of the branch that attends along.
_SIZES = {"cuda": (4096, 8, 128), "cpu": (64, 4, 16)}
_ALONG = 4
_REPEATS = 200
_BOTH = "a broadcast on the CPU, and one where the model is"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all; return 0, and say at the end that all of it was."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", choices=tuple(_SIZES))
    device = parser.parse_args(arguments).device
    place = torch.device("cuda", 0) if device == "cuda" else torch.device(device)
    _connect(place)
    try:
        with torch.no_grad():
            for each in measured(place):
                print(MARK + json.dumps(each), flush=True)
    finally:
        dist.destroy_process_group()
    print(f"{MARK}all", flush=True)
    return 0


def _connect(device: torch.device) -> None:
    """Make the group of all as a job of worldweave does."""
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        store=dist.HashStore(),
        rank=0,
        world_size=1,
        device_id=device if on_gpu else None,
    )


def measured(device: torch.device) -> Iterator[Measured]:
    """Yield how far off the exchanges' attention is, and what a GPU alone can tell."""
    group = dist.group.WORLD
    exchange = Exchange(ulysses=group)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    given = [
        _random(device, dtype, heads) for heads in (_SIZES[device.type][1], _ALONG)
    ]
    wanted = [reference.attention(*(x.double() for x in each))[0] for each in given]
    for key, attend in (
        ("nccl.sequence_attention", _packed), ("nccl.early_attention", _early)
    ):  # fmt: skip
        errors = []
        for chunks in (1, 2):
            found = attend(given, exchange, chunks)()
            errors += [
                relative_error(one.double(), other.flatten(2)) / TOLERANCE[dtype]
                for one, other in zip(found, wanted, strict=True)
            ]
        about = f"the largest of {len(errors)}, by {dist.get_backend(group)}"
        yield Measured(key, largest(errors), "of its tolerance", about)
    yield _gathered(given[0][0], group)
    yield Measured("nccl.broadcast.changed", _broadcast(group, device), "", _BOTH)
    if device.type == "cuda":
        yield from _on_a_gpu(given, exchange, group)
    # Last: no other measurement is lost where a group cannot be made.
    made = _groups(device)
    changed = sum(_broadcast(each, device) for each in made)
    yield Measured("nccl.groups.changed", changed, "", f"{len(made)} groups; {_BOTH}")


def _on_a_gpu(
    given: list[list[Tensor]], exchange: Exchange, group: dist.ProcessGroup | None
) -> Iterator[Measured]:
    """Yield whether a graph holds the exchanges, and what launching one takes."""
    attend = _packed(given, exchange, 2)
    replay, out = graphed(lambda: torch.cat(attend(), dim=-1))
    for each in given:
        for x in each:
            x.copy_(torch.randn_like(x))
    replay()
    changed = not torch.equal(out, torch.cat(attend(), dim=-1))
    yield Measured(
        "nccl.graph.changed", int(changed), "", "exchanges of two chunks in it"
    )
    small = torch.randn(1, 1024, device=given[0][0].device)
    replay, _ = graphed(lambda: exchange.all_to_all(small, async_op=True).wait())
    for mode, launch in (
        ("eager", lambda: exchange.all_to_all(small, async_op=True).wait()),
        ("graph", replay),
    ):
        about = "an exchange of 4 kB, one after another; no wire is in it"
        yield Measured(f"nccl.exchange.{mode}", _microseconds(launch), "us", about)
    ring = Exchange(ring=group)
    kv = torch.stack(given[0][1:])
    changed = not torch.equal(ring.hand_on(kv).wait(), kv)
    about = "keys and values handed to itself"
    yield Measured("nccl.ring.changed", int(changed), "", about)


def _broadcast(group: dist.ProcessGroup | None, device: torch.device) -> int:
    """Return how many tensors change that lie on the CPU, where plans are handed over,
    and where the model is."""
    changed = 0
    for place in (torch.device("cpu"), device):
        sent = torch.arange(1024, device=place)
        wanted = sent.clone()
        dist.broadcast(sent, src=0, group=group)
        changed += not torch.equal(sent, wanted)
    return changed


def _groups(device: torch.device) -> list[dist.ProcessGroup]:
    """Make groups as `Ranks.join` has torch make them, of this process."""
    made, _ = dist.new_subgroups_by_enumeration([[0]])  # type: ignore[no-untyped-call]
    groups = [made]
    if device.type == "cuda":
        # What a DeviceMesh calls for the axes of a plan where a device is given.
        split = dist.split_group(split_ranks=[[0]])
        if split is None:
            raise RuntimeError("this process is in no part of the group of all")
        groups.append(split)
    return groups


def _gathered(x: Tensor, group: dist.ProcessGroup | None) -> Measured:
    """Return whether tokens come back as they were, padding cut off."""
    share = Share(x.shape[1])
    changed = not torch.equal(share.join(share.cut(x, 1), 1, group), x)
    return Measured("nccl.gather.changed", int(changed))


def _random(device: torch.device, dtype: torch.dtype, heads: int) -> list[Tensor]:
    tokens, _, width = _SIZES[device.type]
    generator = torch.Generator(device).manual_seed(heads)
    made = (
        torch.randn(1, tokens, heads, width, device=device, generator=generator)
        for _ in "qkv"
    )
    return [each.to(dtype) for each in made]


def _place(given: list[list[Tensor]], chunks: int) -> tuple[Share, Ranks]:
    q = given[0][0]
    ranks = Ranks(ParallelPlan(chunks=chunks), q.device)
    return Share.of(q.shape[1], ranks), ranks


def _packed(
    given: list[list[Tensor]], exchange: Exchange, chunks: int
) -> Callable[[], list[Tensor]]:
    """Return what attends to all of *given* in one exchange of packed tensors."""
    place = _place(given, chunks)

    def attend() -> list[Tensor]:
        # (C, 1, B, L, 3, h, d): what `qk_norm_rope_pack` makes, norms left out.
        packed = [
            torch.stack(each, dim=2)
            .unflatten(3, (chunks, -1))
            .permute(3, 0, 1, 2, 4, 5)
            .unsqueeze(1)
            .contiguous()
            for each in given
        ]
        return sequence_attention(packed, *place, exchange=exchange)

    return attend


def _early(
    given: list[list[Tensor]], exchange: Exchange, chunks: int
) -> Callable[[], list[Tensor]]:
    """Return what does so with values sent before keys, and keys before queries."""
    place = _place(given, chunks)
    queries, keys, values = ([each[at] for each in given] for at in range(3))
    return lambda: early_attention(
        lambda: values, lambda: keys, lambda: queries, *place, exchange=exchange
    )


def _microseconds(launch: Callable[[], object]) -> float:
    """Return what one of many takes that are launched in a row."""
    taken = []
    for _ in range(7):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        for _ in range(_REPEATS):
            launch()
        torch.cuda.synchronize()
        taken.append((time.perf_counter() - begun) / _REPEATS)
    return 1e6 * statistics.median(taken)


if __name__ == "__main__":
    sys.exit(main())
