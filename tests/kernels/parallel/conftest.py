"""Self-attention that ranks share, against that of one process."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest
import torch
import torch.distributed as dist

from worldweave_kernels import attention, qk_norm_rope_pack
from worldweave_kernels.parallel import ParallelPlan


@dataclass(frozen=True)
class Case:
    """What is attended to, and how it is shared. *several* attend at once."""

    plan: ParallelPlan
    tokens: int = 61
    batch: int = 1
    several: int = 1
    dtype: torch.dtype = torch.float64
    width: int = 8
    scale: float | None = 0.5

    @property
    def heads(self) -> int:
        return 2 * self.plan.ulysses * self.plan.chunks


class Projected:
    """Queries, keys and values (B, L, H, d) as they are projected, with positions."""

    def __init__(self, case: Case, seed: int) -> None:
        random = torch.Generator().manual_seed(seed)
        shape = (case.batch, case.tokens, case.heads, case.width)

        def drawn(*size: int) -> torch.Tensor:
            return torch.randn(size, generator=random, dtype=torch.float64)

        self.qkv = [drawn(*shape).to(case.dtype) for _ in "qkv"]
        self.norms = [(1 + drawn(case.width) / 10).to(case.dtype) for _ in "qk"]
        angles = drawn(case.tokens, case.width // 2)
        self.turns = [angles.cos().to(case.dtype), angles.sin().to(case.dtype)]

    def cut(self, share: Any) -> Projected:
        """Return those of one rank's tokens."""
        own = object.__new__(Projected)
        own.qkv = [share.cut(each, 1) for each in self.qkv]
        own.norms = self.norms
        own.turns = [share.cut(each, 0) for each in self.turns]
        return own

    def packed(self, world: int = 1, chunks: int = 1) -> torch.Tensor:
        return qk_norm_rope_pack(
            *self.qkv, *self.norms, *self.turns, world=world, chunks=chunks
        )


def shared(case: Case, package: str, virtual: bool) -> tuple[float, bool]:
    """Return how far any rank is from one process, and whether all are it bit by bit.

    Each half of guidance has its own values; rows of padding are no numbers.
    """
    ranks_of, share_of, exchange_of, attention_of = (
        import_module(f"{package}.{name}")
        for name in ("ranks", "share", "exchange", "attention")
    )
    ranks = ranks_of.Ranks.join(case.plan, "cpu")
    share = share_of.Share.of(case.tokens, ranks)
    exchange = exchange_of.VirtualExchange() if virtual else None
    whole = [Projected(case, 10 * ranks.cfg_index + at) for at in range(case.several)]
    wanted = []
    for each in whole:
        q, k, v = each.packed()[0, 0].unbind(2)
        wanted.append(attention(q, k, v, scale=case.scale).flatten(2))
    own = [each.cut(share) for each in whole]
    if case.plan.early_values:
        plain = [each.packed()[0, 0] for each in own]
        for each in plain:
            each[:, share.held :] = torch.nan
        q, k, v = zip(*(each.unbind(2) for each in plain), strict=True)
        got = attention_of.early_attention(
            lambda: v, lambda: k, lambda: q,
            share, ranks, scale=case.scale, exchange=exchange,
        )  # fmt: skip
    else:
        packed = [each.packed(case.plan.ulysses, case.plan.chunks) for each in own]
        for each in packed:
            each[:, :, :, share.held :] = torch.nan
        got = attention_of.sequence_attention(
            packed, share, ranks, scale=case.scale, exchange=exchange
        )
    assert all(each.shape[1] == share.size for each in got)
    error, differs = 0.0, 0.0
    for each, right in zip(got, wanted, strict=True):
        mine = right.narrow(1, share.start, share.held)
        apart = (each[:, : share.held] - mine).abs().nan_to_num(torch.inf)
        error = max(error, apart.max().item() if apart.numel() else 0.0)
        differs = max(differs, float(not each[:, : share.held].equal(mine)))
        together = share.join(each, 1, ranks.sequence)
        apart = (together - right).abs().nan_to_num(torch.inf)
        error = max(error, apart.max().item())
    worst = torch.tensor([error, differs], dtype=torch.float64)
    if dist.is_initialized():
        dist.all_reduce(worst, dist.ReduceOp.MAX)
    return worst[0].item(), not worst[1].item()


def shared_by_all(
    cases: list[Case], package: str, folder: str | None, virtual: bool
) -> list[tuple[float, bool]]:
    """Return what `shared` does for each case; *package* lies in *folder*, if any."""
    if folder is not None:
        sys.path.insert(0, folder)
    return [shared(case, package, virtual) for case in cases]


@pytest.fixture(scope="session")
def against_one_process(ranks):
    """Return (error, same bits) of each case, the worst of all ranks."""

    def run(
        *cases: Case,
        package: str = "worldweave_kernels.parallel",
        folder: str | None = None,
        virtual: bool = False,
    ) -> list[tuple[float, bool]]:
        (world,) = {case.plan.world for case in cases}
        told = ranks(world, shared_by_all, list(cases), package, folder, virtual)
        assert all(each == told[0] for each in told)
        return told[0]

    return run


@pytest.fixture(scope="session")
def case():
    """Make what is attended to, and how it is shared."""
    return Case
