"""What one of several ranks holds: the parallel code itself, run on the meta device."""

# L token, S ranks that share them, W all ranks

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor

from worldweave.blame import NamedBranch
from worldweave.forecast.cost import Evaluation, Parts
from worldweave.forecast.memory import Held, Memory
from worldweave.forecast.trace import watching
from worldweave.model.dit import DiT
from worldweave.model.patches import token_grid
from worldweave.model.step import Step
from worldweave.parallel.executor import InParallel
from worldweave.parallel.rows import ranks_sharing, shared_counts
from worldweave_kernels.parallel import ParallelPlan, Ranks, Share
from worldweave_kernels.parallel.attention import sequence_attention
from worldweave_kernels.parallel.exchange import VirtualExchange

#: Whole latents that gathering the outputs of one or two texts takes: stacked, of all
#: ranks, of both halves, and brought to the shape of the latent.
_GATHERED = 8
#: How many share the tokens, and how: (ring, ulysses).
Shape = tuple[int, int]


@attrs.frozen
class OnRanks:
    """The peak of an evaluation on one rank by how it is shared; what runs whole."""

    peaks: Mapping[Shape, int]
    whole: tuple[str, ...]


class _Imagined(InParallel):
    """The first rank of several, alone: it receives what it sends."""

    def _attend(self, packed: Sequence[Tensor]) -> list[Tensor]:
        plan, share = self.ranks.plan, self._place.share
        # A ring's own steps cannot be taken on meta; those of one group are like them.
        group = dataclasses.replace(self.ranks, plan=dataclasses.replace(plan, ring=1))
        beside = packed[0].new_empty(_beside(packed, plan.ring))
        if plan.ring > 1:
            share = Share(share.size * plan.ulysses, plan.ulysses)
        seen = sequence_attention(packed, share, group, exchange=VirtualExchange())
        del beside
        return seen

    def evaluate(
        self,
        plan: ParallelPlan,
        base: DiT,
        branches: Mapping[str, NamedBranch],
        latent: Tensor,
        step: Step,
        hints: Mapping[str, Tensor],
        maps: Mapping[str, Tensor],
    ) -> None:
        """Do what this rank does for one output; nothing is gathered."""
        # Another layout of the same ranks: what was told of the branches stays.
        self.ranks = self._place.ranks = dataclasses.replace(self.ranks, plan=plan)
        self._settle(latent, token_grid(latent, base.config.patch))
        self._evaluated(base, branches, latent, step, hints, maps)


def watch_ranks(
    base: DiT,
    branches: Mapping[str, NamedBranch],
    latent: Tensor,
    step: Step,
    hints: Mapping[str, Tensor],
    maps: Mapping[str, Tensor],
    known: Iterable[Tensor],
    shapes: Iterable[Shape],
) -> OnRanks:
    """Return what an evaluation of meta tensors takes on one rank of each of *shapes*.

    That is the most alive, inputs aside.
    """
    known = list(known)
    first = _Imagined(Ranks(ParallelPlan(), torch.device("meta")))
    # To find out, each is compared with one like it, which is not to be counted.
    whole = tuple(name for name, run in branches.items() if first.runs_whole(run))
    peaks = {}
    for shape in shapes:
        plan = ParallelPlan(1, *shape)
        with watching(known) as watch:
            first.evaluate(plan, base, branches, latent, step, hints, maps)
        peaks[shape] = watch.peak
    return OnRanks(peaks, whole)


def _beside(packed: Sequence[Tensor], ring: int) -> int:
    """Return the values that a ring holds beside one attention of what is *packed*.

    A result of each group, with keys and values as they are sent and as they come; or,
    at the end, with those that came last and what merging two results takes: on a GPU
    (half precision) two in float32, in plain torch five.
    """
    if ring == 1:
        return 0
    each = sum(x.numel() for x in packed) // 3
    merging = 5 if packed[0].itemsize >= 4 else 2 * 4 // packed[0].itemsize
    return each * (ring - 1 + 2 + max(2, merging))


def plans_for(
    counts: Iterable[int], *, heads: int, guided: bool, tokens: int
) -> dict[int, ParallelPlan]:
    """Return the best layout for each of *counts* GPUs, on nodes of eight."""
    return {
        gpus: ParallelPlan.auto(gpus, heads, guided, tokens=tokens) for gpus in counts
    }


@attrs.frozen(kw_only=True)
class RankMemory:
    """What the ranks of a layout hold: the first, which speaks for all, and each other.

    gpus: how many were asked for; the layout may be for fewer.
    """

    gpus: int
    plan: ParallelPlan
    first: Memory
    other: Memory

    @property
    def host(self) -> int:
        """Return what all processes hold in the memory of one machine."""
        return self.first.host + (self.plan.world - 1) * self.other.host

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        axes = ("cfg", "ring", "ulysses")
        told = {
            name: {
                "host_bytes": each.host,
                "device_bytes": each.device,
                "bytes": each.by_part(),
            }
            for name, each in (("first", self.first), ("other", self.other))
        }
        layout = {axis: getattr(self.plan, axis) for axis in axes}
        return {"gpus": self.gpus, "layout": layout, **told}


def on_ranks(
    whole: Memory,
    one: Evaluation,
    parts: Parts | None,
    held: Held,
    plans: Mapping[int, ParallelPlan],
    *,
    rows: int,
    dtype: torch.dtype,
) -> tuple[RankMemory, ...]:
    """Return what each rank holds of *whole*, by *plans* for numbers of GPUs.

    rows: those of the latent.
    """
    found = []
    for gpus, plan in plans.items():
        first, other = (
            _of_rank(whole, one, parts, held, plan, rows, dtype, is_first=is_first)
            for is_first in (True, False)
        )
        found.append(RankMemory(gpus=gpus, plan=plan, first=first, other=other))
    return tuple(found)


def _of_rank(
    whole: Memory,
    one: Evaluation,
    parts: Parts | None,
    held: Held,
    plan: ParallelPlan,
    rows: int,
    dtype: torch.dtype,
    *,
    is_first: bool,
) -> Memory:
    if plan.world == 1:
        return whole
    stages = dict(whole.stages)
    stages["evaluation"] = evaluation_bytes(one, plan, dtype)
    weights, host_weights = whole.weights, whole.host_weights
    if parts is not None and not is_first:
        # Prompts are encoded, and the video is written, on the first alone.
        del stages["text"]
        weights -= parts.text_parameters * dtype.itemsize
        if not whole.on_host:
            host_weights = parts.autoencoder_parameters * dtype.itemsize
    if not is_first:
        stages.pop("video file", None)
    if parts is not None and parts.shares_rows:
        # float32 whatever the model computes in: so are frames and the latent.
        video = 4 * 3 * held.chunk * held.size[0] * held.size[1]
        stages |= autoencoder_bytes(stages, plan, rows=rows, video=video)
    return attrs.evolve(
        whole, weights=weights, host_weights=host_weights, stages=stages
    )


def evaluation_bytes(one: Evaluation, plan: ParallelPlan, dtype: torch.dtype) -> int:
    """Return the most alive on a rank during an evaluation, or while it is gathered."""
    gathered = _GATHERED * one.latent_values * dtype.itemsize
    if plan.sequence == 1:
        return max(one.peak, gathered)
    return max(one.shared[plan.ring, plan.ulysses], gathered)


def autoencoder_bytes(
    whole: Mapping[str, int], plan: ParallelPlan, *, rows: int, video: int
) -> dict[str, int]:
    """Return the most alive while a rank encodes, and decodes, its share of the rows.

    whole: of all rows, of each. rows: those of the latent; video: bytes of a chunk's.
    """
    ranks = ranks_sharing(rows, plan)
    if ranks == 1:
        return {stage: whole[stage] for stage in ("encode", "decode")}
    most = max(shared_counts(rows, ranks))
    # It decodes with a row of each neighbour too, at most.
    around = min(rows, most + 2) / rows
    # Its own rows as they are made and as they are sent, those of all (where shares are
    # uneven as many of each), and then without what is too many, in order.
    gathered = (2 + ranks) * most * video // rows + video
    return {
        # Each is given all of a video; what it has of it, counted twice, is room for
        # what neighbours lend.
        "encode": int(whole["encode"] * most / rows) + video,
        "decode": max(int(whole["decode"] * around), gathered),
    }


def not_shared(one: Evaluation, parts: Parts | None) -> tuple[str, ...]:
    """Return what every rank holds or does whole, one line each."""
    told = [
        "every rank holds all weights but those of the text encoder, which the first "
        "has alone, and all latents, hints, maps and videos",
        "what NCCL or gloo hold for themselves is left out",
    ]
    told += [
        f"the branch of {name!r} may look at any token: every rank runs all of it"
        for name in one.whole
    ]
    if parts is not None and not parts.shares_rows:
        told.append(
            "the autoencoder does not tell how to share its rows: every rank encodes "
            "and decodes all of them"
        )
    return tuple(told)
