"""Encode and decode on all ranks at once: each has some rows of every picture."""

# B batch, C channel, T frames, H W rows and columns

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor

from worldweave.base import Autoencoder, SharesRows
from worldweave.parallel.rows import (
    CannotShareRows,
    Rows,
    ranks_sharing,
    shared_counts,
)
from worldweave_kernels.parallel import Ranks

TOLERANCE = 0.02
"""Of a result, in `prove`. With Cosmos' layers, untrained, zeros in place of others'
rows in one of 40 convolutions are 0.036 or more; what is right is 1e-6 in fp32."""


class ParallelAutoencoder:
    """An autoencoder whose work the ranks share; the results are those of one.

    Every rank is given the same whole video or latent, at the same time, and gets the
    same whole result. Where the autoencoder tells how (see `SharesRows`), a rank has
    the rows of some latent positions, as many as the others or one more, and asks the
    others for what it needs of theirs: no tile is blended with another. The result
    differs from that of one process by rounding.

    All ranks share a picture with a latent row for each. One with fewer rows is shared
    within the largest group of the mesh that it suffices for, and every such group
    does the same. Where there is none, or the autoencoder does not tell, or cannot, or
    is found to be wrong about it (see `prove`), every rank computes all of it: correct,
    and no faster than one. No gradients are kept.
    """

    def __init__(self, autoencoder: Autoencoder, ranks: Ranks) -> None:
        self.alone = autoencoder
        self.ranks = ranks
        self.time_stride = autoencoder.time_stride
        self.space_stride = autoencoder.space_stride
        self.why_whole = _why_whole(autoencoder)
        self._is_proved = ranks.everyone is None
        self._by_positions: dict[int, tuple[Rows, Autoencoder]] = {}

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
        mix rows where none did) `shares_rows` becomes false, and `why_whole` tells;
        so it does on all ranks where one cannot compute the small picture. Where one
        has no memory left for it, that is raised there.

        The picture has a latent row for each rank, and one more, 4 columns and 2
        frames of them. Every rank encodes it twice and decodes it once whole: with
        Cosmos on 64 ranks 0.14 % of the pixels of 121 frames of 704 x 1280.
        """
        if self._is_proved:
            return
        self._is_proved = True
        self.why_whole = self._agreed(self.why_whole) or self._found_wrong()

    def _found_wrong(self) -> str:
        """Return what is wrong with sharing the work; "" where nothing is."""
        # One or two for each rank: shares differ, and every row is at a seam.
        positions = self.ranks.plan.world + 1
        size = (positions * self.space_stride, 4 * self.space_stride)
        noise = torch.Generator().manual_seed(0)
        video = torch.rand(1, 3, 1 + self.time_stride, *size, generator=noise)
        video = video.to(self.ranks.device) * 2 - 1
        why, latent = self._tried("encode", video, positions)
        return (
            why
            or self._tried("encode_hint", video, positions)[0]
            or self._tried("decode", latent, positions)[0]
        )

    def _tried(self, way: str, x: Tensor, positions: int) -> tuple[str, Tensor]:
        """Return what is wrong with sharing *way*, and its result on one rank."""
        name, world = type(self.alone).__name__, self.ranks.plan.world
        alone, why = x, ""
        try:
            alone = _done(self.alone, way, x)
        except (ValueError, RuntimeError) as error:
            if _is_of_memory(error):
                raise
            why = (
                f"{name} was to {way} {tuple(x.shape)}, to try whether its rows can be "
                f"shared, and did not: {error}"
            )
        # Before any exchange: whoever failed would be missed in it for ever.
        if why := self._agreed(why):
            return why, alone
        apart = _distance(self._shared(way, x, positions), alone).item()
        if not apart < TOLERANCE:
            why = (
                f"on a small picture, {way} of {name} shared by {world} ranks is "
                f"{apart:.1%} off what one computes; its plugin does not know its "
                "layers"
            )
        return self._agreed(why), alone

    def _agreed(self, why: str) -> str:
        """Return *why*, or that another rank has a reason; "" where none has."""
        has = torch.tensor(int(bool(why)), device=self.ranks.device)
        dist.all_reduce(has, dist.ReduceOp.MAX, group=self.ranks.everyone)
        if why or not has.item():
            return why
        return (
            f"another rank cannot share the rows of {type(self.alone).__name__}, and "
            "tells why"
        )

    @torch.no_grad()
    def _run(self, way: str, whole: Tensor, stride: int) -> Tensor:
        """Do *way*; a latent position has *stride* rows of *whole*."""
        self.prove()
        positions, rest = divmod(whole.shape[-2], stride)
        if not self.shares_rows or rest or not positions:
            # Rows that do not fit are for the autoencoder itself to refuse.
            return _done(self.alone, way, whole)
        return self._shared(way, whole, positions)

    def _shared(self, way: str, whole: Tensor, positions: int) -> Tensor:
        rows, autoencoder = self._on_rows(positions)
        return rows.join(_done(autoencoder, way, rows.cut(whole)))

    def _on_rows(self, positions: int) -> tuple[Rows, Autoencoder]:
        """Return this rank's rows and what works on them."""
        found = self._by_positions.get(positions)
        if found is None:
            rows, autoencoder = _rows(positions, self.ranks), self.alone
            if rows.group is not None and isinstance(autoencoder, SharesRows):
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


def _rows(positions: int, ranks: Ranks) -> Rows:
    """Return the rows of this rank, within the largest of its groups that they fill.

    No group is made for a picture: with NCCL all processes of a job, also those that
    have nothing to do with it, may have to take part in that.
    """
    size = ranks_sharing(positions, ranks.plan)
    of_mesh = ranks.everyone, ranks.sequence, ranks.ring, ranks.ulysses, ranks.cfg
    for group in of_mesh:
        if group is not None and dist.get_world_size(group) == size:
            return Rows(shared_counts(positions, size), dist.get_rank(group), group)
    return Rows((positions,))


def _done(autoencoder: Autoencoder, way: str, x: Tensor) -> Tensor:
    do: Callable[[Tensor], Tensor] = getattr(autoencoder, way)
    return do(x)


def _is_of_memory(error: Exception) -> bool:
    """Whether there was no memory left, on a GPU or a CPU."""
    # The CPU's allocator has no class of its own.
    return isinstance(error, torch.OutOfMemoryError) or (
        "DefaultCPUAllocator" in str(error)
    )


def _distance(one: Tensor, other: Tensor) -> Tensor:
    """Return how far *one* is from *other*, as a part of that."""
    if one.shape != other.shape:
        return torch.full((), torch.inf, dtype=torch.float64, device=other.device)
    other = other.double()
    apart = (one.double() - other).square().sum()
    return (apart / other.square().sum().clamp_min(1e-24)).sqrt()
