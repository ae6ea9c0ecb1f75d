"""An autoencoder on all ranks: the result of one, whatever it tells of its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from worldweave.base import Autoencoder, SharesRows
from worldweave.parallel.autoencoder import ParallelAutoencoder
from worldweave.parallel.row_layers import LAYERS, Joined, Layers, sharing_rows
from worldweave.parallel.rows import Rows
from worldweave_kernels.parallel import ParallelPlan, Ranks

Run = Callable[..., list[Any]]


class Attention(nn.Module):
    """Attention of all positions of a frame to each other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.keys = nn.Conv3d(channels, channels, 1)
        self.values = nn.Conv3d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        found = [
            y.permute(0, 2, 3, 4, 1).flatten(2, 3)
            for y in (x, self.keys(x), self.values(x))
        ]
        out = F.scaled_dot_product_attention(*found).unflatten(2, x.shape[3:])
        return x + out.permute(0, 4, 1, 2, 3)


class Double(nn.Module):
    """Twice the rows and columns."""

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 3).repeat_interleave(2, 4)


def attending(layer: Attention, rows: Rows) -> nn.Module:
    view = sharing_rows(layer, rows, {**LAYERS, Attention: None})
    view.keys, view.values = Joined(view.keys, rows), Joined(view.values, rows)  # type: ignore[assignment]
    return view


class Small(nn.Module):
    """Four rows and two frames to one position, by all that mixes rows."""

    time_stride = 2
    space_stride = 4

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        halve = {"kernel_size": 3, "stride": (1, 2, 2), "padding": 1}
        self.encoder = nn.Sequential(
            nn.Conv3d(3, 8, **halve),  # type: ignore[arg-type]
            nn.GroupNorm(1, 8),
            nn.SiLU(),
            nn.Conv3d(8, 8, **halve),  # type: ignore[arg-type]
            Attention(8),
        )
        self.hints = nn.Sequential(nn.Conv3d(3, 2, (1, 4, 4), stride=(1, 4, 4)))
        self.decoder = nn.Sequential(
            nn.Conv3d(8, 8, 3, padding=1, padding_mode="replicate"),
            Double(),
            nn.GroupNorm(2, 8),
            nn.SiLU(),
            nn.Conv3d(8, 8, (1, 5, 5), padding=(0, 2, 2)),
            Double(),
            nn.Conv3d(8, 3, 3, padding=1),
        )
        self.double().requires_grad_(False)

    def encode(self, video: Tensor) -> Tensor:
        if video.shape[2] % 2 == 0:
            raise ValueError(f"{video.shape[2]} frames are no 1 + 2 k")
        return self.encoder(video.double()[:, :, ::2]).to(video.dtype)

    def encode_hint(self, control: Tensor) -> Tensor:
        return self.hints(control.double()[:, :, ::2]).to(control.dtype)

    def decode(self, latent: Tensor) -> Tensor:
        video = self.decoder(latent.double())
        first, later = video[:, :, :1], video[:, :, 1:]
        return torch.cat([first, later.repeat_interleave(2, 2)], 2).to(latent.dtype)


KNOWN: Layers = {**LAYERS, Attention: attending, Double: None}


class Sharing(Small):
    """It tells how its rows are shared."""

    def on_rows(self, rows: Rows) -> Autoencoder:
        return sharing_rows(self, rows, {**KNOWN, type(self): None})


class ZeroHalo(Rows):
    def with_halo(self, x: Tensor, above: int, below: int, edge: Any = "") -> Tensor:
        return F.pad(x, (0, 0, above, below))


class HaloOfTheOther(Rows):
    def with_halo(self, x: Tensor, above: int, below: int, edge: Any = "") -> Tensor:
        other = super().with_halo(x, below, above, edge)
        over, under = other[..., :below, :], other[..., below + x.shape[-2] :, :]
        return torch.cat([under, x, over], -2)


class OwnStatistics(Rows):
    def moments(self, x: Tensor, dims: Any) -> tuple[Tensor, Tensor]:
        return Rows((1,)).moments(x, dims)


class OwnKeys(Rows):
    def join(self, x: Tensor) -> Tensor:
        return x


WRONG = {
    "a halo of zeros": ZeroHalo,
    "a halo from the wrong neighbour": HaloOfTheOther,
    "statistics of a rank": OwnStatistics,
    "keys of a rank": OwnKeys,
}


class Mistaken(Small):
    """It tells how its rows are shared, and is wrong."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def on_rows(self, rows: Rows) -> Autoencoder:
        rows = WRONG[self.how](rows.counts, rows.index, rows.group)
        return sharing_rows(self, rows, {**KNOWN, Mistaken: None})


class UpsideDown(Sharing):
    """It turns every rank's rows over, one way."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def on_rows(self, rows: Rows) -> Autoencoder:
        view = super().on_rows(rows)
        right = getattr(view, self.way)
        setattr(view, self.way, lambda x: right(x).flip(-2))
        return view


class Wide(Sharing):
    """It takes no small pictures."""

    def encode(self, video: Tensor) -> Tensor:
        if video.shape[-1] > 12:
            raise ValueError(f"{video.shape[-1]} columns are no 12")
        return super().encode(video)


class Failing(Sharing):
    """Rank 1 cannot do small pictures, one way."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def unless_small(self, way: str, x: Tensor) -> Tensor:
        if way == self.way and x.shape[-1] in (4, 16) and dist.get_rank() == 1:
            raise RuntimeError("no such kernel")
        out: Tensor = getattr(super(), way)(x)
        return out

    def encode(self, video: Tensor) -> Tensor:
        return self.unless_small("encode", video)

    def encode_hint(self, control: Tensor) -> Tensor:
        return self.unless_small("encode_hint", control)

    def decode(self, latent: Tensor) -> Tensor:
        return self.unless_small("decode", latent)


class Forgetful(Sharing):
    """There is never memory for a small picture."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def encode(self, video: Tensor) -> Tensor:
        raise self.error


class Refusing(Small):
    """It would tell, but has a layer it does not know."""

    def on_rows(self, rows: Rows) -> Autoencoder:
        return sharing_rows(self, rows, {**LAYERS, Refusing: None, Attention: None})


def video(rows: int, dtype: torch.dtype = torch.float64) -> Tensor:
    noise = torch.Generator().manual_seed(1)
    made = torch.rand(1, 3, 5, rows, 12, generator=noise, dtype=torch.float64)
    return (made * 2 - 1).to(dtype)


def on_all(
    autoencoder: Autoencoder, plan: ParallelPlan
) -> tuple[ParallelAutoencoder, Autoencoder]:
    ranks = Ranks.join(plan)
    assert ranks is not None
    return ParallelAutoencoder(autoencoder, ranks), autoencoder


def distances(
    plan: ParallelPlan, positions: list[int], autoencoder: Autoencoder
) -> tuple[list[float], list[bytes], str]:
    """Return how far all results are off those of one process, their bytes, and why
    the rows are not shared."""
    together, alone = on_all(autoencoder, plan)
    far, raw = [], []
    for count in positions:
        clip = video(count * alone.space_stride)
        latent = alone.encode(clip)
        for ours, theirs in (
            (together.encode(clip), latent),
            (together.encode_hint(clip), alone.encode_hint(clip)),
            (together.decode(latent), alone.decode(latent)),
        ):
            assert ours.shape == theirs.shape
            assert ours.is_contiguous()
            far.append(float((ours - theirs).abs().max() / theirs.abs().max()))
            raw.append(ours.numpy().tobytes())
    return far, raw, together.why_whole


TWO, THREE = ParallelPlan(ring=2), ParallelPlan(ring=3)


@pytest.mark.parametrize(
    ("plan", "positions"),
    # Even, uneven, as many as ranks, and fewer.
    [
        (TWO, [4, 5, 1]),
        (THREE, [7, 3, 2]),
        (ParallelPlan(cfg=2, ulysses=2), [6, 4, 3, 1]),
        (ParallelPlan(cfg=2, ring=2, ulysses=2), [9, 5, 3]),
    ],
)
def test_every_rank_has_the_result_of_one_process(
    ranks: Run, plan: ParallelPlan, positions: list[int]
) -> None:
    told = ranks(plan.world, distances, plan, positions, Sharing())
    for far, raw, why in told:
        assert not why
        assert len(far) == 3 * len(positions)
        assert max(far) < 1e-13
        assert raw == told[0][1]


def rows_by_positions(plan: ParallelPlan, positions: list[int]) -> list[list[int]]:
    """Return, for each of *positions*, first and last row of this rank."""
    together, _ = on_all(Sharing(), plan)
    rows = [together._on_rows(count)[0] for count in positions]
    return [[of.start, of.start + of.held] for of in rows]


def test_fewer_rows_than_ranks_are_shared_within_the_largest_group_they_fill(
    ranks: Run,
) -> None:
    plan = ParallelPlan(cfg=2, ring=2, ulysses=2)
    eight, five, three, one = zip(
        *ranks(8, rows_by_positions, plan, [8, 5, 3, 1]), strict=True
    )
    assert list(eight) == [[rank, rank + 1] for rank in range(8)]
    # Both halves of guidance have the same.
    assert list(five) == [[0, 2], [2, 3], [3, 4], [4, 5]] * 2
    # Along the ring: ranks 0 and 2, 1 and 3, and so in the other half.
    assert list(three) == [[0, 2], [0, 2], [2, 3], [2, 3]] * 2
    assert list(one) == [[0, 1]] * 8


def of_one_rank(autoencoder: Autoencoder) -> list[bool]:
    together, alone = on_all(autoencoder, ParallelPlan())
    clip = video(8)
    latent = alone.encode(clip)
    return [
        torch.equal(together.encode(clip), latent),
        torch.equal(together.encode_hint(clip), alone.encode_hint(clip)),
        torch.equal(together.decode(latent), alone.decode(latent)),
    ]


def test_one_rank_does_what_the_autoencoder_does() -> None:
    assert all(of_one_rank(Sharing()))


def test_it_is_an_autoencoder() -> None:
    together, alone = on_all(Sharing(), ParallelPlan())
    assert isinstance(together, Autoencoder)
    assert isinstance(alone, SharesRows)
    assert (together.time_stride, together.space_stride) == (2, 4)
    assert together.shares_rows
    assert together.why_whole == ""


@pytest.mark.parametrize("how", list(WRONG))
def test_who_is_wrong_about_its_rows_is_found_out_and_computes_all(
    ranks: Run, how: str
) -> None:
    told = ranks(3, distances, THREE, [4], Mistaken(how))
    for far, _, why in told:
        assert far == [0.0, 0.0, 0.0]
        assert "of Mistaken shared by 3 ranks is" in why
        assert why == told[0][2]


@pytest.mark.parametrize("way", ["encode", "encode_hint", "decode"])
def test_every_way_is_tried(ranks: Run, way: str) -> None:
    for far, _, why in ranks(2, distances, TWO, [3], UpsideDown(way)):
        assert far == [0.0, 0.0, 0.0]
        assert why.startswith(f"on a small picture, {way} of UpsideDown shared by 2")


def distance_unproved(how: str) -> float:
    """Return how far decoding with the mistake *how* is off, if nobody looks."""
    together, alone = on_all(Mistaken(how), THREE)
    together._is_proved = True
    latent = alone.encode(video(28))
    right = alone.decode(latent)
    off = (together.decode(latent) - right).abs().max() / right.abs().max()
    latent_off = (together.encode(video(28)) - latent).abs().max()
    return max(float(off), float(latent_off / latent.abs().max()))


@pytest.mark.parametrize("how", list(WRONG))
def test_these_mistakes_show_in_a_result(ranks: Run, how: str) -> None:
    assert min(ranks(3, distance_unproved, how)) > 1e-3


def test_without_a_word_about_rows_every_rank_computes_all(ranks: Run) -> None:
    for far, _, why in ranks(2, distances, TWO, [3], Small()):
        assert far == [0.0, 0.0, 0.0]
        assert why.startswith("Small does not tell how to share its rows")


def test_an_unknown_layer_is_named_and_every_rank_computes_all(ranks: Run) -> None:
    for far, _, why in ranks(2, distances, TWO, [3], Refusing()):
        assert far == [0.0, 0.0, 0.0]
        assert why.startswith("decoder.1 is a ")
        assert "Double, and how to share the rows of that is not known" in why


def test_what_cannot_be_tried_is_told_and_every_rank_computes_all(ranks: Run) -> None:
    for far, _, why in ranks(2, distances, TWO, [3], Wide()):
        assert far == [0.0, 0.0, 0.0]
        assert why.startswith("Wide was to encode (1, 3, 3, 12, 16), to try whether")
        assert why.endswith("16 columns are no 12")


@pytest.mark.parametrize("way", ["encode", "encode_hint", "decode"])
def test_where_one_rank_cannot_try_it_none_shares_and_none_waits(
    ranks: Run, way: str
) -> None:
    told = ranks(3, distances, THREE, [4], Failing(way))
    for far, _, _ in told:
        assert far == [0.0, 0.0, 0.0]
    first, second, third = (why for _, _, why in told)
    assert second.startswith(f"Failing was to {way} (1, ")
    assert second.endswith("and did not: no such kernel")
    assert first == third
    assert first.startswith("another rank cannot share the rows of Failing")


def differing() -> tuple[list[float], str]:
    """Let the last rank have an autoencoder that does not tell."""
    last = dist.get_rank() == 2
    far, _, why = distances(THREE, [4], Small() if last else Sharing())
    return far, why


def test_where_one_rank_does_not_know_how_none_shares(ranks: Run) -> None:
    *others, (last_far, last_why) = ranks(3, differing)
    for far, why in others:
        assert far == last_far == [0.0, 0.0, 0.0]
        assert why.startswith("another rank cannot share the rows of Sharing")
    assert last_why.startswith("Small does not tell")


def raised(errors: list[Exception]) -> list[Exception | None]:
    told: list[Exception | None] = []
    for error in errors:
        together, _ = on_all(Forgetful(error), TWO)
        try:
            together.prove()
        except RuntimeError as found:
            told.append(found)
        else:
            told.append(None)
    return told


def test_too_little_memory_is_no_reason_to_need_more(ranks: Run) -> None:
    of_gpu = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    of_cpu = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
    other = RuntimeError("anything else")
    for told in ranks(2, raised, [of_gpu, of_cpu, other]):
        assert [str(error) for error in told] == [str(of_gpu), str(of_cpu), "None"]
        assert type(told[0]) is torch.OutOfMemoryError


def of_half_precision() -> list[torch.dtype]:
    together, alone = on_all(Sharing(), ParallelPlan(cfg=2, ulysses=2))
    told = []
    for rows in (16, 8):  # as many positions as ranks, and fewer
        clip = video(rows, torch.bfloat16)
        latent, right = together.encode(clip), alone.encode(clip)
        assert torch.equal(latent, right)
        told += [latent.dtype, together.decode(latent).dtype]
    return told


def test_results_have_the_dtype_of_the_autoencoder_s(ranks: Run) -> None:
    for told in ranks(4, of_half_precision):
        assert told == [torch.bfloat16] * 4


def refused(rows: int, frames: int) -> str:
    together, _ = on_all(Sharing(), TWO)
    try:
        together.encode(torch.zeros(1, 3, frames, rows, 8, dtype=torch.float64))
    except (ValueError, RuntimeError) as error:
        return str(error)
    return ""


def test_what_the_autoencoder_refuses_every_rank_refuses(ranks: Run) -> None:
    assert ranks(2, refused, 8, 4) == ["4 frames are no 1 + 2 k"] * 2


def inferred() -> bool:
    together, _ = on_all(Sharing(), TWO)
    with torch.inference_mode():
        latent = together.encode(video(12).requires_grad_())
    with_grad = together.decode(latent.clone().requires_grad_())
    return latent.requires_grad or with_grad.requires_grad


def test_it_keeps_no_gradients_and_works_in_inference_mode(ranks: Run) -> None:
    assert ranks(2, inferred) == [False, False]


def views_made() -> list[int]:
    together, alone = on_all(Sharing(), TWO)
    for _ in range(2):
        together.encode(video(16))
        together.decode(alone.encode(video(16)))
    return sorted(together._by_positions)


def test_a_view_is_made_once_for_each_size(ranks: Run) -> None:
    # One of them for the small picture of the proof.
    assert ranks(2, views_made) == [[3, 4], [3, 4]]
