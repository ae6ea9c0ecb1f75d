"""Encode and decode on all ranks at once: each has some rows of every picture."""

# B batch, C channel, T frames, H W rows and columns

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor

from worldweave.base import Autoencoder, SharesRows
from worldweave.parallel.rows import CannotShareRows, Rows, gathered, shared_counts
from worldweave_kernels.parallel import Ranks

TOLERANCE = 0.02
"""Of a result, in `prove`. With Cosmos' layers, untrained, zeros in place of others'
rows in one of 40 convolutions are 0.036 or more; what is right is 1e-6 in fp32."""


class ParallelAutoencoder:
    """An autoencoder whose work all ranks share; the results are those of one.

    Every rank is given the same whole video or latent, at the same time, and gets the
    same whole result. Where the autoencoder tells how (see `SharesRows`), a rank has
    the rows of some latent positions, as many as the others or one more, and asks the
    others for what it needs of theirs: no tile is blended with another. The result
    differs from that of one process by rounding. Ranks beyond the latent's rows have
    none, and wait for the result. Where it does not tell, or cannot, or is found to
    be wrong about it (see `prove`), every rank computes all of it: correct, and no
    faster than one. No gradients are kept.
    """

    def __init__(self, autoencoder: Autoencoder, ranks: Ranks) -> None:
        self.alone = autoencoder
        self.ranks = ranks
        self.time_stride = autoencoder.time_stride
        self.space_stride = autoencoder.space_stride
        self.why_whole = _why_whole(autoencoder)
        self._is_proved = ranks.everyone is None
        self._by_positions: dict[int, tuple[Rows | None, Autoencoder]] = {}

    @property
    def shares_rows(self) -> bool:
        """Whether several ranks share the work; `why_whole` tells why they do not."""
        return not self.why_whole

    def encode(self, video: Tensor) -> Tensor:
        """Return the latent of *video*, whole, on every rank."""
        return self._run("encode", video, self.space_stride)

    def encode_hint(self, control: Tensor) -> Tensor:
        """Return the hint of a control video, whole, on every rank."""
        return self._run("encode_hint", control, self.space_stride)

    def decode(self, latent: Tensor) -> Tensor:
        """Return the video of *latent*, whole, on every rank."""
        return self._run("decode", latent, 1)

    @torch.no_grad()
    def prove(self) -> None:
        """Compare what is shared with what one rank computes, on a small picture.

        All ranks call it at once, or the first to encode or decode does. Where the
        results differ by more than rounding (a new version of a library, say, may
        mix rows where none did) `shares_rows` becomes false, and `why_whole` tells.
        """
        if self._is_proved or not self.shares_rows:
            return
        self._is_proved = True
        # Two or three for each rank: shares differ, and every row is near a seam.
        positions = 2 * self.ranks.plan.world + 2
        size = (positions * self.space_stride, 4 * self.space_stride)
        noise = torch.Generator().manual_seed(0)
        video = torch.rand(1, 3, 1 + self.time_stride, *size, generator=noise)
        video = video.to(self.ranks.device) * 2 - 1
        self.why_whole = (
            self._tried("encode", video, positions)
            or self._tried("encode_hint", video, positions)
            or self._tried("decode", _done(self.alone, "encode", video), positions)
        )

    def _tried(self, way: str, x: Tensor, positions: int) -> str:
        """Return what is wrong with sharing *way*; "" where nothing is."""
        name, world = type(self.alone).__name__, self.ranks.plan.world
        try:
            alone = _done(self.alone, way, x)
        except (ValueError, RuntimeError) as error:
            return (
                f"{name} was to {way} {tuple(x.shape)}, to try whether its rows can be "
                f"shared, and did not: {error}"
            )
        apart = _distance(self._shared(way, x, positions), alone)
        # Every rank decides alike.
        dist.all_reduce(apart, dist.ReduceOp.MAX, group=self.ranks.everyone)
        if apart.item() < TOLERANCE:
            return ""
        return (
            f"on a small picture, {way} of {name} shared by {world} ranks is "
            f"{apart.item():.1%} off what one computes; its plugin does not know its "
            "layers"
        )

    @torch.no_grad()
    def _run(self, way: str, whole: Tensor, stride: int) -> Tensor:
        """Do *way*; a latent position has *stride* rows of *whole*."""
        self.prove()
        positions, rest = divmod(whole.shape[-2], stride)
        if self.ranks.everyone is None or not self.shares_rows or rest or not positions:
            # Rows that do not fit are for the autoencoder itself to refuse.
            return _done(self.alone, way, whole)
        return self._shared(way, whole, positions)

    def _shared(self, way: str, whole: Tensor, positions: int) -> Tensor:
        rows, autoencoder = self._on_rows(positions)
        counts = shared_counts(positions, self.ranks.plan.world)
        if rows is None:
            mine, scale = _empty(self.ranks)
        else:
            mine = _done(autoencoder, way, rows.cut(whole))
            scale = rows.scale(mine)
            if 0 in counts:
                _tell(mine, scale, self.ranks)
        return gathered(mine, counts, scale, self.ranks.everyone)

    def _on_rows(self, positions: int) -> tuple[Rows | None, Autoencoder]:
        """Return this rank's rows and what works on them; None: it has none."""
        found = self._by_positions.get(positions)
        if found is None:
            rows, autoencoder = _rows(positions, self.ranks), self.alone
            if rows is not None and isinstance(autoencoder, SharesRows):
                autoencoder = autoencoder.on_rows(rows)
            found = self._by_positions[positions] = rows, autoencoder
        return found


def _why_whole(autoencoder: Autoencoder) -> str:
    """Return why every rank must compute all of it; "" where that is not so."""
    if not isinstance(autoencoder, SharesRows):
        return (
            f"{type(autoencoder).__name__} does not tell how to share its rows; give "
            "it the method on_rows"
        )
    try:
        autoencoder.on_rows(Rows((1,)))
    except CannotShareRows as why:
        return str(why)
    return ""


def _rows(positions: int, ranks: Ranks) -> Rows | None:
    """Return the rows of this rank; None where there are none left for it."""
    counts = tuple(filter(None, shared_counts(positions, ranks.plan.world)))
    if ranks.rank >= len(counts):
        return None
    if len(counts) == 1:
        return Rows(counts)
    group = ranks.everyone
    if len(counts) < ranks.plan.world:
        # Only its members call this: the others have nothing to do with the picture.
        made = dist.new_group([*range(len(counts))], use_local_synchronization=True)
        group = cast("dist.ProcessGroup", made)
    return Rows(counts, ranks.rank, group)


def _done(autoencoder: Autoencoder, way: str, x: Tensor) -> Tensor:
    do: Callable[[Tensor], Tensor] = getattr(autoencoder, way)
    return do(x)


def _distance(one: Tensor, other: Tensor) -> Tensor:
    """Return how far *one* is from *other*, as a part of that."""
    if one.shape != other.shape:
        return torch.full((), torch.inf, dtype=torch.float64, device=other.device)
    other = other.double()
    apart = (one.double() - other).square().sum()
    return (apart / other.square().sum().clamp_min(1e-24)).sqrt()


def _tell(mine: Tensor, scale: int, ranks: Ranks) -> None:
    """Tell ranks without rows, from the first, what the others' are like."""
    told = [mine.shape, mine.dtype, scale]
    dist.broadcast_object_list(
        told, group=ranks.everyone, group_src=0, device=ranks.device
    )


def _empty(ranks: Ranks) -> tuple[Tensor, int]:
    """Return no rows of what `_tell` tells, and its rows of a position."""
    told: list[Any] = [None, None, None]
    dist.broadcast_object_list(
        told, group=ranks.everyone, group_src=0, device=ranks.device
    )
    shape, dtype, scale = told
    empty = torch.empty((*shape[:-2], 0, shape[-1]), dtype=dtype, device=ranks.device)
    return empty, scale
