"""An autoencoder on all ranks: the result of one, whatever it tells of its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
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


class Refusing(Small):
    """It would tell, but has a layer it does not know."""

    def on_rows(self, rows: Rows) -> Autoencoder:
        return sharing_rows(self, rows, {**LAYERS, Refusing: None, Attention: None})


def video(rows: int, dtype: torch.dtype = torch.float64) -> Tensor:
    noise = torch.Generator().manual_seed(1)
    made = torch.rand(1, 3, 5, rows, 12, generator=noise, dtype=torch.float64)
    return (made * 2 - 1).to(dtype)


def on_all(
    autoencoder: Autoencoder, world: int
) -> tuple[ParallelAutoencoder, Autoencoder]:
    ranks = Ranks.join(ParallelPlan(ring=world))
    assert ranks is not None
    return ParallelAutoencoder(autoencoder, ranks), autoencoder


def distances(
    world: int, positions: list[int], autoencoder: Autoencoder
) -> tuple[list[float], list[bytes], str]:
    """Return how far all results are off those of one process, their bytes, and why
    the rows are not shared."""
    together, alone = on_all(autoencoder, world)
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


@pytest.mark.parametrize(
    ("world", "positions"),
    # Even, uneven, as many as ranks, and fewer: ranks without any row.
    [(2, [4, 5, 1]), (3, [7, 3, 2]), (4, [6, 4, 3, 1]), (8, [9, 5])],
)
def test_every_rank_has_the_result_of_one_process(
    ranks: Run, world: int, positions: list[int]
) -> None:
    told = ranks(world, distances, world, positions, Sharing())
    for far, raw, why in told:
        assert not why
        assert len(far) == 3 * len(positions)
        assert max(far) < 1e-13
        assert raw == told[0][1]


def of_one_rank(autoencoder: Autoencoder) -> list[bool]:
    together, alone = on_all(autoencoder, 1)
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
    together, alone = on_all(Sharing(), 1)
    assert isinstance(together, Autoencoder)
    assert isinstance(alone, SharesRows)
    assert (together.time_stride, together.space_stride) == (2, 4)
    assert together.shares_rows
    assert together.why_whole == ""


@pytest.mark.parametrize("how", list(WRONG))
def test_who_is_wrong_about_its_rows_is_found_out_and_computes_all(
    ranks: Run, how: str
) -> None:
    told = ranks(3, distances, 3, [4], Mistaken(how))
    for far, _, why in told:
        assert far == [0.0, 0.0, 0.0]
        assert "of Mistaken shared by 3 ranks is" in why
        assert why == told[0][2]


@pytest.mark.parametrize("way", ["encode", "encode_hint", "decode"])
def test_every_way_is_tried(ranks: Run, way: str) -> None:
    for far, _, why in ranks(2, distances, 2, [3], UpsideDown(way)):
        assert far == [0.0, 0.0, 0.0]
        assert why.startswith(f"on a small picture, {way} of UpsideDown shared by 2")


def distance_unproved(how: str) -> float:
    """Return how far decoding with the mistake *how* is off, if nobody looks."""
    together, alone = on_all(Mistaken(how), 3)
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
    for far, _, why in ranks(2, distances, 2, [3], Small()):
        assert far == [0.0, 0.0, 0.0]
        assert why.startswith("Small does not tell how to share its rows")


def test_an_unknown_layer_is_named_and_every_rank_computes_all(ranks: Run) -> None:
    for far, _, why in ranks(2, distances, 2, [3], Refusing()):
        assert far == [0.0, 0.0, 0.0]
        assert why.startswith("decoder.1 is a ")
        assert "Double, and how to share the rows of that is not known" in why


def test_what_cannot_be_tried_is_told_and_every_rank_computes_all(ranks: Run) -> None:
    for far, _, why in ranks(2, distances, 2, [3], Wide()):
        assert far == [0.0, 0.0, 0.0]
        assert why.startswith("Wide was to encode (1, 3, 3, 24, 16), to try whether")
        assert why.endswith("16 columns are no 12")


def of_half_precision() -> list[torch.dtype]:
    together, alone = on_all(Sharing(), 4)
    told = []
    for rows in (16, 8):  # as many positions as ranks, and ranks without
        clip = video(rows, torch.bfloat16)
        latent, right = together.encode(clip), alone.encode(clip)
        assert torch.equal(latent, right)
        told += [latent.dtype, together.decode(latent).dtype]
    return told


def test_results_have_the_dtype_of_the_autoencoder_s(ranks: Run) -> None:
    for told in ranks(4, of_half_precision):
        assert told == [torch.bfloat16] * 4


def refused(rows: int, frames: int) -> str:
    together, _ = on_all(Sharing(), 2)
    try:
        together.encode(torch.zeros(1, 3, frames, rows, 8, dtype=torch.float64))
    except (ValueError, RuntimeError) as error:
        return str(error)
    return ""


def test_what_the_autoencoder_refuses_every_rank_refuses(ranks: Run) -> None:
    assert ranks(2, refused, 8, 4) == ["4 frames are no 1 + 2 k"] * 2


def inferred() -> bool:
    together, _ = on_all(Sharing(), 2)
    with torch.inference_mode():
        latent = together.encode(video(12).requires_grad_())
    with_grad = together.decode(latent.clone().requires_grad_())
    return latent.requires_grad or with_grad.requires_grad


def test_it_keeps_no_gradients_and_works_in_inference_mode(ranks: Run) -> None:
    assert ranks(2, inferred) == [False, False]


def views_made() -> list[int]:
    together, alone = on_all(Sharing(), 2)
    for _ in range(2):
        together.encode(video(12))
        together.decode(alone.encode(video(12)))
    return sorted(together._by_positions)


def test_a_view_is_made_once_for_each_size(ranks: Run) -> None:
    # One of them for the small picture of the proof.
    assert ranks(2, views_made) == [[3, 6], [3, 6]]
