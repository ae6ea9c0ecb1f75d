"""Rows shared by ranks: the same numbers as over a whole picture, to rounding."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldweave.parallel.row_layers import (
    LAYERS,
    GroupNormOfRows,
    Joined,
    halo_of,
    sharing_rows,
)
from worldweave.parallel.rows import (
    CannotShareRows,
    Rows,
    ranks_sharing,
    shared_counts,
)
from worldweave_kernels.parallel import ParallelPlan, Ranks

Run = Callable[..., list[Any]]
MODES = {
    "zeros": "constant",
    "replicate": "replicate",
    "reflect": "reflect",
    "circular": "circular",
}


def shared(positions: int, world: int) -> Rows:
    """The rows of this process, one of *world*."""
    ranks = Ranks.join(ParallelPlan(ring=world))
    assert ranks is not None
    return Rows(shared_counts(positions, world), ranks.rank, ranks.everyone)


def noise(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """The same on every rank."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def farthest(one: Tensor, other: Tensor) -> float:
    """The largest difference of all, as a part of the largest number."""
    assert one.shape == other.shape
    assert one.dtype == other.dtype
    return float((one - other).abs().max() / other.abs().max())


@pytest.mark.parametrize("positions", [1, 3, 8, 16, 88])
@pytest.mark.parametrize("ranks", [1, 3, 8, 64])
def test_shares_differ_by_one_at_most_and_none_is_lost(
    positions: int, ranks: int
) -> None:
    counts = shared_counts(positions, ranks)
    assert len(counts) == ranks
    assert sum(counts) == positions
    assert max(counts) - min(counts) <= 1
    assert list(counts) == sorted(counts, reverse=True)


@pytest.mark.parametrize(
    ("plan", "by_positions"),
    [
        (ParallelPlan(), {1: 1, 5: 1}),
        (ParallelPlan(ring=4), {4: 4, 3: 1}),
        (ParallelPlan(cfg=2, ring=2, ulysses=4), {88: 16, 15: 8, 7: 4, 3: 2, 1: 1}),
        (ParallelPlan(cfg=2, ring=8, ulysses=8), {128: 128, 88: 64, 44: 8, 5: 2}),
    ],
)
def test_the_largest_group_that_the_positions_suffice_for_shares_them(
    plan: ParallelPlan, by_positions: dict[int, int]
) -> None:
    for positions, sharing in by_positions.items():
        assert ranks_sharing(positions, plan) == sharing


def exchanged(world: int, positions: int) -> tuple[list[str], int]:
    """Try every halo that torch's padding has; return those that differ."""
    rows, wrong, tried = shared(positions, world), [], 0
    for scale, above, below in itertools.product([1, 3], [0, 1, 4], [0, 1, 2]):
        whole = noise(2, 3, positions * scale, 5)
        first = rows.start * scale
        end = first + rows.held * scale + above + below
        for edge, mode in MODES.items():
            most = positions * scale - (edge == "reflect")
            if max(above, below) > most:
                continue
            padded = F.pad(whole, (0, 0, above, below), mode=mode)
            got = rows.with_halo(rows.cut(whole), above, below, edge)  # type: ignore[arg-type]
            tried += 1
            if not torch.equal(got, padded[..., first:end, :]):
                wrong.append(f"{edge} {above} {below} at scale {scale}")
    return wrong, tried


@pytest.mark.parametrize(
    ("world", "positions"), [(1, 3), (2, 3), (3, 3), (4, 7), (8, 8)]
)
def test_a_halo_is_what_stands_there_in_the_whole_picture(
    ranks: Run, world: int, positions: int
) -> None:
    # Up to four rows, of ranks that have one: some come from four ranks away.
    for wrong, tried in ranks(world, exchanged, world, positions):
        assert not wrong
        assert tried > 50


def joined(world: int, positions: int) -> bool:
    rows, whole = shared(positions, world), noise(2, 3, positions * 4, 5)
    again = rows.join(rows.cut(whole))
    return torch.equal(again, whole) and again.is_contiguous()


@pytest.mark.parametrize(("world", "positions"), [(1, 1), (2, 5), (4, 4), (4, 7)])
def test_cut_and_joined_again_no_bit_differs(
    ranks: Run, world: int, positions: int
) -> None:
    assert all(ranks(world, joined, world, positions))


def told_of_moments(world: int, positions: int) -> tuple[float, float, list[float]]:
    """Return how far mean and variance are off, and the variances of this rank."""
    rows = shared(positions, world)
    # Far from zero, where a sum of squares would have no digit left, and the rows of
    # each rank are elsewhere.
    whole = noise(2, 3, 4, positions * 2, 5) + 3000
    whole += torch.arange(positions * 2.0).view(-1, 1)
    mean, variance = rows.moments(rows.cut(whole).float(), (1, -2, -1))
    right = torch.var_mean(
        whole.float().double(), (1, 3, 4), correction=0, keepdim=True
    )
    return (
        farthest(mean, right[1]),
        farthest(variance, right[0]),
        variance.flatten().tolist(),
    )


@pytest.mark.parametrize(("world", "positions"), [(1, 3), (3, 7), (4, 4)])
def test_moments_are_those_of_all_rows_and_the_same_bits_everywhere(
    ranks: Run, world: int, positions: int
) -> None:
    told = ranks(world, told_of_moments, world, positions)
    for of_mean, of_variance, variances in told:
        assert of_mean < 1e-7
        # Means of ranks are rounded to fp32; sums of squares would be off by 0.03.
        assert of_variance < 1e-4
        assert variances == told[0][2]


def test_moments_without_the_rows_are_no_exchange() -> None:
    with pytest.raises(ValueError, match=r"axes \(1, -1\) leave out the rows"):
        Rows((1,)).moments(torch.zeros(1, 2, 3, 4), (1, -1))


def layers() -> dict[str, tuple[nn.Module, Tensor]]:
    """Layers that make one row of one or two, with a picture for each: 6 positions."""
    torch.manual_seed(0)
    flat, deep = noise(2, 4, 12, 6), noise(1, 4, 3, 12, 6)
    shifted = flat + 5 + torch.arange(12.0).view(-1, 1)
    made: dict[str, tuple[nn.Module, Tensor]] = {
        f"a kernel {kernel} dilated {dilation} with {mode}": (
            nn.Conv2d(
                4, 6, kernel, dilation=dilation, padding_mode=mode,
                padding=dilation * (kernel // 2), groups=2,
            ),
            flat,
        )
        for kernel in (1, 3, 5)
        for dilation in (1, 2)
        for mode in MODES
    }  # fmt: skip
    made |= {
        "halved, padded above": (nn.Conv2d(4, 4, 3, stride=2, padding=1), flat),
        "halved by patches": (nn.Conv2d(4, 4, 2, stride=2), flat),
        "no bias": (nn.Conv2d(4, 4, 3, padding=1, bias=False), flat),
        "over time too": (nn.Conv3d(4, 4, 3, padding=1), deep),
        "over time, replicated": (
            nn.Conv3d(4, 4, 3, padding=1, padding_mode="replicate"),
            deep,
        ),
        "rows alone": (nn.Conv3d(4, 4, (1, 3, 1), padding=(0, 1, 0)), deep),
        "one group": (nn.GroupNorm(1, 4), shifted),
        "four groups": (nn.GroupNorm(4, 4), deep),
        "no parameters": (nn.GroupNorm(2, 4, affine=False), shifted),
        "in a row": (
            nn.Sequential(
                nn.Conv2d(4, 4, 3, padding=1),
                nn.Sequential(nn.GroupNorm(2, 4), nn.SiLU()),
                nn.Conv2d(4, 4, 3, stride=2, padding=1),
            ),
            flat,
        ),
    }
    for layer, _ in made.values():
        layer.double().requires_grad_(False)
        for parameter in layer.parameters():
            parameter.uniform_(-1, 1)
    return made


def told_of_layers(world: int, positions: int) -> dict[str, float]:
    rows, told = shared(positions, world), {}
    for name, (layer, x) in layers().items():
        mine = sharing_rows(layer, rows, LAYERS)(rows.cut(x))
        told[name] = farthest(rows.join(mine), layer(x))
    return told


@pytest.mark.parametrize(("world", "positions"), [(1, 6), (2, 3), (4, 6)])
def test_layers_of_torch_make_the_same_of_shared_rows(
    ranks: Run, world: int, positions: int
) -> None:
    for off in ranks(world, told_of_layers, world, positions):
        assert len(off) == 34
        assert {name: far for name, far in off.items() if not far < 1e-12} == {}


def told_of_rounding(world: int) -> dict[str, tuple[float, float]]:
    """Return how far norms are off fp64: ours on shared rows, torch's on whole ones."""
    rows, told = shared(5, world), {}
    norm = nn.GroupNorm(2, 6, eps=1e-6).requires_grad_(False)
    for dtype, mean in ((torch.float32, 3000), (torch.float32, 1), (torch.bfloat16, 9)):
        given = (noise(2, 6, 20, 32) + mean).to(dtype)
        right = F.group_norm(given.double(), 2, eps=1e-6)
        ours = rows.join(GroupNormOfRows(norm, rows)(rows.cut(given)))
        theirs = norm.to(dtype)(given)
        assert ours.dtype == dtype
        told[f"{dtype} {mean}"] = (
            farthest(ours.double(), right),
            farthest(theirs.double(), right),
        )
    return told


def test_a_norm_is_as_accurate_as_that_of_torch(ranks: Run) -> None:
    for told in ranks(3, told_of_rounding, 3):
        for ours, theirs in told.values():
            assert ours <= 1.5 * theirs + 1e-7


def attended(world: int) -> float:
    """Attend over whole pictures, with queries of this rank's rows."""
    rows, x = shared(5, world), noise(2, 4, 10, 3)
    key, value = (nn.Conv2d(4, 4, 1).double().requires_grad_(False) for _ in range(2))
    for layer, add in ((key, 1), (value, 2)):
        layer.weight.copy_(noise(4, 4, 1, 1) + add)
        layer.bias.zero_()

    def attention(x: Tensor, keys: nn.Module, values: nn.Module) -> Tensor:
        flat = [y.flatten(2).transpose(1, 2) for y in (x, keys(x), values(x))]
        out = F.scaled_dot_product_attention(*flat)
        return out.transpose(1, 2).unflatten(2, x.shape[2:])

    mine = attention(rows.cut(x), Joined(key, rows), Joined(value, rows))
    return farthest(rows.join(mine), attention(x, key, value))


def test_attention_has_the_keys_and_values_of_all_rows(ranks: Run) -> None:
    assert max(ranks(3, attended, 3)) < 1e-13


def test_a_model_is_not_changed_by_sharing_its_rows() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.GroupNorm(1, 2))
    before = dict(model.named_modules())
    view = sharing_rows(model, Rows((3, 3), 1), LAYERS)
    assert dict(model.named_modules()) == before
    own = {id(parameter) for parameter in model.parameters()}
    assert {id(parameter) for parameter in view.parameters()} == own


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.Conv2d(1, 1, 3), r"0\.0: a convolution over 3 rows .* padding 0 does not"),
        (nn.Conv2d(1, 1, 4, stride=2, padding=2), "does not make one row of 2"),
        (nn.Conv2d(1, 1, 3, padding="same"), "the padding 'same'"),
        (nn.BatchNorm2d(1), r"0\.0 is a torch\.nn\..*BatchNorm2d"),
        (nn.Upsample(scale_factor=2), "how to share the rows of that is not known"),
    ],
)
def test_a_layer_that_is_not_known_is_refused_by_name(
    layer: nn.Module, message: str
) -> None:
    model = nn.Sequential(nn.Sequential(layer))
    with pytest.raises(CannotShareRows, match=message):
        sharing_rows(model, Rows((1,)), LAYERS)


class Sharper(nn.Conv2d):
    """A convolution that may do anything."""


def test_a_class_derived_from_a_known_one_is_another() -> None:
    with pytest.raises(CannotShareRows, match=r"the model is a .*Sharper"):
        sharing_rows(Sharper(1, 1, 1), Rows((1,)), LAYERS)


def test_what_cannot_be_viewed_cannot_be_shared() -> None:
    model = nn.Sequential(nn.ReLU())
    model[0].forward = model[0].forward  # type: ignore[method-assign]
    with pytest.raises(CannotShareRows, match=r"there is no view of 0, a ReLU"):
        sharing_rows(model, Rows((1,)), LAYERS)


@pytest.mark.parametrize(
    ("reach", "stride", "padding", "halo"),
    [(2, 1, 1, (1, 1)), (2, 2, 1, (1, 0)), (1, 2, 0, (0, 0)), (4, 4, 2, (2, 0))],
)
def test_strides_need_fewer_rows_below(
    reach: int, stride: int, padding: int, halo: tuple[int, int]
) -> None:
    assert halo_of(reach, stride, padding) == halo


def test_rows_that_are_no_multiple_of_the_positions_are_refused() -> None:
    rows = Rows((2, 1), 0)
    with pytest.raises(ValueError, match="7 rows, which cannot be those of 3 latent"):
        rows.cut(torch.zeros(1, 7, 4))
    with pytest.raises(ValueError, match="3 rows on rank 0, which cannot be those of"):
        rows.scale(torch.zeros(1, 3, 4))
    with pytest.raises(ValueError, match="cannot be those of 2 latent positions"):
        rows.scale(torch.zeros(1, 0, 4))


def test_an_uneven_stride_is_refused() -> None:
    layer = nn.Conv2d(1, 1, 3, stride=2, padding=1)
    with pytest.raises(
        ValueError, match="has 3 rows here, no multiple of the stride 2"
    ):
        sharing_rows(layer, Rows((2,)), LAYERS)(torch.zeros(1, 1, 6, 4))


@pytest.mark.parametrize("edge", ["reflect", "circular"])
def test_an_edge_farther_than_the_picture_is_refused(edge: Any) -> None:
    with pytest.raises(ValueError, match=rf"does not go as far with the edge '{edge}'"):
        Rows((2,)).with_halo(torch.zeros(1, 2, 2), 4, 0, edge)
