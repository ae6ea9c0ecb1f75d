"""How long a request takes on P GPUs, by a model. Nothing in this file is measured.

An evaluation is taken apart into what a rank computes at the rates of a full GPU with
L / S of the tokens, what it loses to that (tiles that do not fill a wave, padding,
what every rank repeats), exchanges, and gaps between kernels. Two designs are computed
from the same figures. `communication` says why the result is a ceiling.
"""

# L token, S ranks that share them, N tokens of each, D hidden, H head, U ulysses,
# R ring, P all GPUs

from __future__ import annotations

import math
from dataclasses import dataclass

from worldweave_kernels import roofline
from worldweave_kernels.bench.communication import (
    Link,
    all_to_all_bytes,
    exchange_seconds,
    exposed,
)
from worldweave_kernels.bench.scaling_figures import (
    VIDEO,
    Assumptions,
    Design,
    Gpu,
    Work,
    around_flops,
)
from worldweave_kernels.bench.scaling_parts import Forecast, Serial, Spent
from worldweave_kernels.parallel.plan import ParallelPlan
from worldweave_kernels.splits import split_count

#: Tiles of a matrix product, rows by columns: a library takes what fills best.
TILES = ((128, 256), (256, 128), (128, 128))
#: Kernels of a block whatever the design: modulation, products, attentions.
_LAUNCHES = 12 + 8 + 2
_POINTWISE_PLAIN, _POINTWISE_OURS = 25, 8
#: Text tokens times channels of the text, for the keys and values of cross-attention.
_TEXT_CHANNELS = 1024
_ITEM = 2  # bytes of bfloat16


@dataclass(frozen=True)
class Model:
    """One design on one kind of GPU. *measured*: seconds of a block by U, if known.

    Where any are known, that of one GPU is: all other layouts are measured against it.
    """

    gpu: Gpu
    design: Design
    figures: Assumptions
    work: Work
    measured: tuple[tuple[int, float], ...] = ()

    def plan(self, gpus: int) -> ParallelPlan:
        shape = self.work.shape
        return ParallelPlan.auto(
            gpus, shape.heads, self.work.guided, self.gpu.node, tokens=shape.tokens
        )

    def forecast(self, gpus: int) -> Forecast:
        """Return what *gpus* take, or the most below that can share the work."""
        plan = self.plan(gpus)
        halves = (2 if self.work.guided else 1) // plan.cfg
        once = self.evaluation(plan)
        network = once.times(halves * self.work.evaluations)
        return Forecast(plan, network, self._serial(plan))

    def evaluation(self, plan: ParallelPlan) -> Spent:
        """Return what one rank spends in one pass of the base and all branches."""
        work, whole = self.work, Spent()
        deep = work.blocks - work.control_blocks
        controls = work.branches * work.control_blocks
        if self.design.shared:
            groups = [(work.branches + 1, work.control_blocks), (1, deep)]
        else:
            groups = [(1, work.blocks + controls)]
        for together, times in groups:
            whole = whole.plus(self._blocks(plan, together).times(times))
        whole = whole.plus(self._control(plan))
        return self._with_launches(whole, plan)

    # --- a block ---------------------------------------------------------------

    def _blocks(self, plan: ParallelPlan, together: int) -> Spent:
        """Return what *together* blocks of one depth take that attend at once."""
        attending, ideal_attending = self._attention(plan, together)
        if self.measured:
            # At U = 1 nothing is lost to sharing: the rest of t(U) is imbalance.
            alone = dict(self.measured)[1] / plan.sequence
            taken = self._from_measured(plan)
            compute, imbalance = together * alone, together * (taken - alone)
            attending *= self._slower
        else:
            others, ideal = self._local(plan)
            compute = together * ideal + ideal_attending
            imbalance = together * others + attending - compute
        moved = self._exchange(plan, together, attending)
        return Spent(compute, imbalance).plus(moved)

    def is_measured(self, plan: ParallelPlan) -> bool:
        """Tell whether the blocks of this layout were timed."""
        return plan.ring == 1 and plan.ulysses in dict(self.measured)

    def _from_measured(self, plan: ParallelPlan) -> float:
        """Return the seconds of a block of this rank: timed, or the model's, scaled.

        Never the model's as they are: speed-ups are over the timed block of one GPU.
        """
        if self.is_measured(plan):
            return dict(self.measured)[plan.ulysses]
        return self._slower * self._modelled(plan)

    @property
    def _slower(self) -> float:
        """How many times as long as modelled the block of one GPU was measured."""
        return dict(self.measured)[1] / self._modelled(self.plan(1))

    def _modelled(self, plan: ParallelPlan) -> float:
        """Return the seconds of a block without exchanges, launches among them."""
        figures = self.figures
        gap = figures.graph_gap if self.design.graph else figures.gap
        launches = self._launches(plan) * gap.value
        return self._local(plan)[0] + self._attention(plan, 1)[0] + launches

    def rows(self, plan: ParallelPlan) -> int:
        """N: the tokens of a rank, padding included."""
        return -(-self.work.shape.tokens // plan.sequence)

    def _local(self, plan: ParallelPlan) -> tuple[float, float]:
        """Return seconds of all but self-attention: as it is, and ideally shared."""
        shape, rows = self.work.shape, self.rows(plan)
        hidden, inner = shape.hidden, shape.mlp_ratio * shape.hidden
        sizes = [(hidden, hidden)] * 6 + [(hidden, inner), (inner, hidden)]
        products = sum(self._product(rows, *size) for size in sizes)
        # Keys and values of the text, and modulation, are made anew by every rank.
        repeated = 2 * self._product(shape.text, _TEXT_CHANNELS, hidden)
        modulation = 3 * 4 * shape.adaln_rank * hidden * _ITEM
        repeated += modulation / self.gpu.bandwidth.value
        cross = self._attended(rows, shape.text, shape.heads, 1)
        name = "our_passes" if self.design.fused else "plain_passes"
        passes = getattr(self.figures, name).value * self._pass(rows)
        share = shape.tokens / plan.sequence
        flops = sum(2 * share * inner * outer for inner, outer in sizes)
        seen = 4 * share * shape.text * hidden / self._attention_rate
        ideal = flops / self._product_rate + seen + passes * share / rows
        return products + repeated + cross + passes, ideal

    def _attention(self, plan: ParallelPlan, together: int) -> tuple[float, float]:
        """Return seconds of self-attention: as it is, and ideally shared."""
        shape = self.work.shape
        rows = self.rows(plan)
        queries, keys = rows * plan.ulysses, rows * plan.sequence // plan.ring
        heads = shape.heads // plan.ulysses * together
        splits = 1
        if self.design.split_keys:
            splits = split_count(
                self._tiles(queries) * heads, keys, self._multiprocessors
            )
        seconds = plan.ring * self._attended(queries, keys, heads, splits)
        parts = splits * plan.ring
        if parts > 1:  # Partial results are float32, written and read once.
            values = queries * heads * (shape.hidden // shape.heads)
            seconds += parts * 8 * values / self.gpu.bandwidth.value
        flops = 4 * shape.tokens**2 * shape.hidden / plan.sequence * together
        return seconds, flops / self._attention_rate

    def _control(self, plan: ParallelPlan) -> Spent:
        """Return the zero projections of the branches and their weighted sums."""
        work, rows = self.work, self.rows(plan)
        if not work.branches:
            return Spent()
        hidden, share = work.shape.hidden, work.shape.tokens / plan.sequence
        ideal = work.branches * 2 * share * hidden**2 / self._product_rate
        zero = work.branches * self._product(rows, hidden, hidden)
        kind = "fused" if self.design.fused_add else "official"
        passes = roofline.PASSES["weighted_add"][kind](work.branches)
        added = passes * self._pass(rows)
        ideal += added * share / rows
        return Spent(ideal, zero + added - ideal).times(work.control_blocks)

    # --- what is exchanged, and launched ---------------------------------------

    def _exchange(self, plan: ParallelPlan, together: int, attending: float) -> Spent:
        """Return the exchanges around one self-attention, and the copies for them."""
        ring = self._ring(plan, together, attending)
        if plan.ulysses == 1:
            return ring
        sent = all_to_all_bytes(
            self.rows(plan) * plan.ulysses, self.work.shape.hidden, plan.ulysses,
            tensors=1,
        ) * together  # fmt: skip
        cluster, figures = self.gpu.cluster, self.figures
        if self.design.packed:
            copies = figures.our_copies.value
            copies += figures.shared_copies.value if together > 1 else 0
            moved = sum(
                exchange_seconds(count * sent, plan.ulysses, cluster)
                for count in (3, 1)
            )
        else:
            copies = figures.plain_copies.value
            moved = 4 * exchange_seconds(sent, plan.ulysses, cluster)
        hidden = 0.0
        share = self._overlap(plan)
        if share:
            # A second chunk of the heads leaves in exchanges of its own.
            moved += 2 * cluster.inside.latency.value
            hidden = moved - exposed(moved, share)
        copied = copies * together * self._pass(self.rows(plan))
        return ring.plus(Spent(exchange=moved + copied, hidden=hidden))

    def _overlap(self, plan: ParallelPlan) -> float:
        """Return the share of an exchange that is hidden, by heads of a rank."""
        # With a ring nothing else is under way: two groups of NCCL could block each
        # other. See worldweave_kernels.parallel.attention.
        if not self.design.overlapped or plan.ring > 1:
            return 0.0
        has_chunks = self.work.shape.heads // plan.ulysses > 1
        figures = self.figures
        return (figures.overlap if has_chunks else figures.one_head).value

    def _ring(self, plan: ParallelPlan, together: int, attending: float) -> Spent:
        """Return what goes round the ring, behind the attention of what is there."""
        if plan.ring == 1:
            return Spent()
        shape = self.work.shape
        held = self.rows(plan) * plan.ulysses * shape.hidden // plan.ulysses
        link = self._link(plan, plan.ulysses)
        step = 2 * held * together * _ITEM / link.rate + link.latency.value
        count = plan.ring - 1
        hidden = min(step, attending / plan.ring)
        passes = self.figures.ring_copies.value * together
        copied = passes * self._pass(self.rows(plan))
        return Spent(exchange=count * step + copied, hidden=count * hidden)

    def _link(self, plan: ParallelPlan, stride: int) -> Link:
        """Return what joins ranks *stride* apart: the slowest that any has to take."""
        node = self.gpu.node
        if plan.world <= node:
            return self.gpu.cluster.inside
        size = plan.sequence if stride < plan.sequence else plan.world
        is_cut = node % size != 0
        return self.gpu.beyond if is_cut else self.gpu.cluster.inside

    def _with_launches(self, spent: Spent, plan: ParallelPlan) -> Spent:
        """Add the gaps between kernels, and what the host is late with."""
        work, design, figures = self.work, self.design, self.figures
        added = min(1, work.branches) if design.fused_add else 3 * work.branches
        launches = work.control_blocks * (work.branches + added)
        if not self.measured:  # Measured blocks have theirs in them.
            count = work.blocks + work.branches * work.control_blocks
            launches += count * self._launches(plan)
        if design.graph:
            return spent._replace(launches=launches * figures.graph_gap.value)
        spent = spent._replace(launches=launches * figures.gap.value)
        late = max(0.0, launches * figures.host.value - spent.total)
        return spent._replace(launches=spent.launches + late)

    def _launches(self, plan: ParallelPlan) -> int:
        """Return the kernels of a block."""
        design, each = self.design, _LAUNCHES
        each += _POINTWISE_OURS if design.fused else _POINTWISE_PLAIN
        if plan.ulysses > 1:
            each += (3 if design.packed else 8) + (2 if self._overlap(plan) else 0)
        return each

    # --- around the network ------------------------------------------------------

    def _serial(self, plan: ParallelPlan) -> Serial:
        """Return what is done whole on each rank, on one, or shared by rows."""
        work, latent = self.work, self.work.latent_bytes
        sampling = self.figures.sampling.value * self.figures.host.value
        guidance = gather = 0.0
        if plan.cfg > 1:
            link = self._link(plan, plan.sequence)
            guidance = latent / link.rate + link.latency.value
        if plan.sequence > 1:
            link = self._link(plan, 1)
            part = latent * (plan.sequence - 1) / plan.sequence
            gather = part / link.rate + link.latency.value
        pictures, text = around_flops(work)
        rate = self.gpu.autoencoder.value
        autoencoder = pictures / rate
        if self.design.rows and plan.world > 1:
            rows = work.latent[2]
            link = self._link(plan, 1 if plan.cfg == 1 else plan.sequence)
            exchanges = (work.branches + 1) * self.figures.halo.value
            # As worldweave.parallel.rows: the largest group that the rows suffice for.
            groups = (plan.world, plan.sequence, plan.ring, plan.ulysses, plan.cfg)
            sharing = max((size for size in groups if size <= rows), default=1)
            autoencoder *= -(-rows // sharing) / rows
            autoencoder += exchanges * link.latency.value
            autoencoder += (VIDEO + work.branches * latent) / link.rate
        return Serial(
            sampling * work.evaluations,
            guidance * work.evaluations,
            gather * work.evaluations,
            text / rate,
            autoencoder,
        )

    # --- kernels -----------------------------------------------------------------

    @property
    def _product_rate(self) -> float:
        return self.gpu.products.value * self.gpu.efficiency.value

    @property
    def _attention_rate(self) -> float:
        return self.gpu.attention.value * self.gpu.efficiency.value

    @property
    def _multiprocessors(self) -> int:
        return int(self.gpu.cluster.multiprocessors.value)

    def _tiles(self, queries: int) -> int:
        return math.ceil(queries / self.gpu.cluster.tile_rows.value)

    def _pass(self, rows: int) -> float:
        """Return the seconds to read or write (N, D) once."""
        return rows * self.work.shape.hidden * _ITEM / self.gpu.bandwidth.value

    def _product(self, rows: int, inner: int, outer: int) -> float:
        """Return the seconds of (N, K) by (K, D) in whole waves of the best tiles."""
        wave = self._multiprocessors
        area = min(
            -(-(-(-rows // high) * -(-outer // wide)) // wave) * wave * high * wide
            for high, wide in TILES
        )
        work = roofline.linear(rows, inner, outer)
        moved = work.bytes / self.gpu.bandwidth.value
        return max(2 * area * inner / self._product_rate, moved)

    def _attended(self, queries: int, keys: int, heads: int, splits: int) -> float:
        """Return the seconds of an attention in whole waves of tiles of queries."""
        tiles, wave = self._tiles(queries) * heads, self._multiprocessors
        rows = -(-tiles * splits // wave) * wave * self.gpu.cluster.tile_rows.value
        width = self.work.shape.hidden // self.work.shape.heads
        return 4 * rows * keys / splits * width / self._attention_rate
