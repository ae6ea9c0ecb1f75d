"""The rows of a picture shared by ranks: who has which, and what they exchange."""

# H rows and W columns of a picture, the last two axes; n of the H rows are this rank's

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor

from worldweave_kernels.parallel import ParallelPlan
from worldweave_kernels.parallel.share import all_gather

Edge = Literal["zeros", "replicate", "reflect", "circular"]
"""What lies beyond the first and the last row, named as torch names its padding."""


class CannotShareRows(Exception):  # noqa: N818
    """Why the rows of an autoencoder cannot be shared; then every rank has them all."""


@dataclass(frozen=True, eq=False)
class Rows:
    """How the ranks of *group* share the rows of every picture.

    counts: latent positions, of a column, of each rank: one or more, in the order of
    the ranks. A picture of another size, anywhere in an autoencoder, is shared alike:
    where a position is 8 rows, a rank with 2 positions has 16. index: this rank. group:
    None where there is one.

    All ranks call the methods that exchange something at once, with tensors that differ
    in their rows alone. Each raises ValueError for rows that are no multiple of the
    positions.
    """

    counts: tuple[int, ...]
    index: int = 0
    group: dist.ProcessGroup | None = None

    @property
    def held(self) -> int:
        """The positions of this rank."""
        return self.counts[self.index]

    @property
    def start(self) -> int:
        """The first position of this rank."""
        return sum(self.counts[: self.index])

    @property
    def positions(self) -> int:
        """The positions of all ranks."""
        return sum(self.counts)

    def scale(self, x: Tensor) -> int:
        """Return the rows of a position in *x*, this rank's part of a picture."""
        scale, rest = divmod(x.shape[-2], self.held)
        if rest or not scale:
            raise ValueError(
                f"{tuple(x.shape)} has {x.shape[-2]} rows on rank {self.index}, which "
                f"cannot be those of {self.held} latent positions; rows must keep "
                "their share through every layer"
            )
        return scale

    def cut(self, x: Tensor) -> Tensor:
        """Return this rank's rows of *x*, a whole picture (..., H, W)."""
        scale, rest = divmod(x.shape[-2], self.positions)
        if rest or not scale:
            raise ValueError(
                f"{tuple(x.shape)} has {x.shape[-2]} rows, which cannot be those of "
                f"{self.positions} latent positions"
            )
        return x.narrow(-2, self.start * scale, self.held * scale)

    def join(self, x: Tensor) -> Tensor:
        """Return the rows (..., H, W) of all ranks, in order, from *x* (..., n, W)."""
        if self.group is None:
            return x
        scale = self.scale(x)
        most = max(self.counts) * scale
        mine = x.movedim(-2, 0)
        if len(mine) < most:
            mine = torch.cat([mine, mine.new_zeros(most - len(mine), *mine.shape[1:])])
        every = mine.new_empty(len(self.counts) * most, *mine.shape[1:])
        all_gather(every, mine.contiguous(), self.group)
        if min(self.counts) < max(self.counts):
            parts = every.view(len(self.counts), most, *mine.shape[1:])
            held = [count * scale for count in self.counts]
            every = torch.cat([part[:n] for part, n in zip(parts, held, strict=True)])
        return every.movedim(0, -2).contiguous()

    def with_halo(
        self, x: Tensor, above: int, below: int, edge: Edge = "zeros"
    ) -> Tensor:
        """Map *x* (..., n, W) to (..., above + n + below, W): the rows next to it too.

        They come from whoever has them, however many ranks that are. *edge* says what
        lies beyond the picture: the repeated last row ("replicate"), the rows before
        it backwards ("reflect"), the other end of the picture ("circular") or zeros.
        """
        plan = _halo(self.counts, self.index, self.scale(x), above, below, edge)
        if not plan.pieces:
            return x
        received = self._exchange(x, plan)
        zeros = torch.zeros_like(x[..., :1, :])

        def row(piece: _Piece) -> Tensor:
            if piece is None:
                return zeros
            owner, at = piece
            return (x if owner == self.index else received[owner]).narrow(-2, at, 1)

        found = [row(piece) for piece in plan.pieces]
        return torch.cat([*found[:above], x, *found[above:]], dim=-2)

    def moments(self, x: Tensor, dims: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return mean and variance of *x*, over the rows of all ranks, along *dims*.

        *dims* counts from the end or the front and includes the rows; these axes
        remain, with size 1. Both are fp64. What each rank finds for itself is merged as
        by Chan, Golub and LeVeque (1983), from deviations and not from squares, in the
        order of the ranks: every rank has the same bits.
        """
        if x.ndim - 2 not in [dim % x.ndim for dim in dims]:
            raise ValueError(f"axes {tuple(dims)} leave out the rows of {x.ndim} axes")
        wide = x if x.dtype == torch.float64 else x.float()
        parts = torch.var_mean(wide, tuple(dims), correction=0, keepdim=True)
        variance, mean = (part.double() for part in parts)
        if self.group is None:
            return mean, variance
        mine = torch.stack([mean, variance])
        every = mine.new_empty(len(self.counts) * 2, *mean.shape)
        all_gather(every, mine.contiguous(), self.group)
        means, variances = every.view(-1, 2, *mean.shape).unbind(1)
        share = _fractions(self.counts, x.device).view(-1, *[1] * mean.ndim)
        mean = (means * share).sum(0)
        spread = (means - mean).square()
        return mean, ((variances + spread) * share).sum(0)

    def _exchange(self, x: Tensor, plan: _Halo) -> dict[int, Tensor]:
        """Send rows of *x* to whom they are next to; return what others sent."""
        received = {
            peer: x.new_empty(*x.shape[:-2], count, x.shape[-1])
            for peer, count in plan.receives
        }
        sent = [
            (peer, torch.cat([x.narrow(-2, row, 1) for row in rows], -2).contiguous())
            for peer, rows in plan.sends
        ]
        calls = [
            dist.P2POp(dist.irecv, rows, group=self.group, group_peer=peer)
            for peer, rows in received.items()
        ] + [
            dist.P2POp(dist.isend, rows, group=self.group, group_peer=peer)
            for peer, rows in sent
        ]
        if calls:
            for work in dist.batch_isend_irecv(calls):
                work.wait()
        return received


def shared_counts(positions: int, ranks: int) -> tuple[int, ...]:
    """Return the positions of each rank: they differ by at most one, more come first.

    Ranks beyond the positions have none.
    """
    few, more = divmod(positions, ranks)
    return tuple(few + (rank < more) for rank in range(ranks))


def ranks_sharing(positions: int, plan: ParallelPlan) -> int:
    """Return how many ranks share the rows of a picture: one or more for each of them.

    They are those of the largest group in the mesh that the positions suffice for, and
    all such groups do the same; 1: every rank does all of it.
    """
    groups = (plan.world, plan.sequence, plan.ring, plan.ulysses, plan.cfg)
    return max((size for size in groups if size <= positions), default=1)


@lru_cache(maxsize=64)
def _fractions(counts: tuple[int, ...], device: torch.device) -> Tensor:
    """Return each rank's part of all positions, fp64, made once: a copy to a GPU waits.

    A norm's elements are shared as the positions are.
    """
    share = torch.tensor(counts, dtype=torch.float64)
    return (share / sum(counts)).to(device)


# The rank that has a row, and where in what it sends (or has); None: no row, but zeros.
_Piece = tuple[int, int] | None


@dataclass(frozen=True)
class _Halo:
    """One rank's part in an exchange of halos.

    pieces: the rows above and then those below. sends: peer and the rows, counted
    within this rank's, that it gets. receives: peer and the number of rows.
    """

    pieces: tuple[_Piece, ...]
    sends: tuple[tuple[int, tuple[int, ...]], ...]
    receives: tuple[tuple[int, int], ...]


@lru_cache(maxsize=512)
def _halo(
    counts: tuple[int, ...], index: int, scale: int, above: int, below: int, edge: Edge
) -> _Halo:
    """Plan what rank *index* exchanges; every rank finds the same for every other."""
    starts = [sum(counts[:rank]) * scale for rank in range(len(counts) + 1)]

    def owner(row: int) -> int:
        return next(rank for rank in range(len(counts)) if row < starts[rank + 1])

    def wanted(rank: int) -> list[int | None]:
        first, end = starts[rank], starts[rank + 1]
        around = [*range(first - above, first), *range(end, end + below)]
        return [_source(row, starts[-1], edge) for row in around]

    def asked(rank: int, of: int) -> list[int]:
        """The rows that *rank* gets from another, each once, in the order sent."""
        rows = {row for row in wanted(rank) if row is not None and owner(row) == of}
        return sorted(rows)

    others = [rank for rank in range(len(counts)) if rank != index]
    pieces: list[_Piece] = []
    for row in wanted(index):
        if row is None:
            pieces.append(None)
            continue
        peer = owner(row)
        own = peer == index
        at = row - starts[index] if own else asked(index, peer).index(row)
        pieces.append((peer, at))
    sends = [
        (peer, tuple(row - starts[index] for row in rows))
        for peer in others
        if (rows := asked(peer, index))
    ]
    receives = [(peer, len(rows)) for peer in others if (rows := asked(index, peer))]
    return _Halo(tuple(pieces), tuple(sends), tuple(receives))


def _source(row: int, height: int, edge: Edge) -> int | None:
    """Return which of *height* rows stands for *row*, which may lie beyond them."""
    if 0 <= row < height:
        return row
    if edge == "zeros":
        return None
    if edge == "replicate":
        return 0 if row < 0 else height - 1
    if edge == "circular":
        source = row + height if row < 0 else row - height
    else:
        source = -row if row < 0 else 2 * (height - 1) - row
    if not 0 <= source < height:
        raise ValueError(
            f"the halo reaches row {row}, but a picture of {height} rows does not go "
            f"as far with the edge {edge!r}; give a larger picture"
        )
    return source
