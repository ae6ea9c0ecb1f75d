"""The Cosmos autoencoder by rows: what one process makes, on every rank."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLCosmos
from torch import nn

from worldweave.base import SharesRows
from worldweave.parallel.autoencoder import ParallelAutoencoder
from worldweave.parallel.row_layers import GroupNormOfRows, Joined, WithHalo
from worldweave.parallel.rows import CannotShareRows, Rows
from worldweave_kernels.parallel import ParallelPlan, Ranks
from worldweave_plugins.cosmos import rows_of_pictures
from worldweave_plugins.cosmos.autoencoder import CosmosAutoencoder, load

Run = Callable[..., list[Any]]
Told = tuple[list[float], list[bytes], str]


def loaded(folder: Path, dtype: torch.dtype = torch.float32) -> CosmosAutoencoder:
    """Read it; fresh parameters are ones and zeros, so they are made something."""
    made = load(folder, device="cpu", dtype=torch.float32)
    noise = torch.Generator().manual_seed(0)
    for parameter in made.model.parameters():
        if parameter.ndim == 1:
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=noise)
    made.model.to(dtype)
    return made


def distances(folder: Path, dtype: torch.dtype, cases: list[tuple[int, int]]) -> Told:
    """Return how far results are off those of one process, their bytes, and why not.

    cases: latent rows and frames of a video.
    """
    ranks = Ranks.join(ParallelPlan(ring=3))
    assert ranks is not None
    alone = loaded(folder, dtype)
    together = ParallelAutoencoder(alone, ranks)
    noise = torch.Generator().manual_seed(0)
    far, raw = [], []
    for positions, frames in cases:
        video = torch.rand(1, 3, frames, positions * 8, 24, generator=noise) * 2 - 1
        video = video.to(dtype)
        latent = alone.encode(video)
        for ours, theirs in (
            (together.encode(video), latent),
            (together.encode_hint(video), alone.encode_hint(video)),
            (together.decode(latent), alone.decode(latent)),
        ):
            assert ours.shape == theirs.shape
            assert ours.dtype == theirs.dtype == dtype
            far.append(float((ours - theirs).abs().max() / theirs.abs().max()))
            raw.append(ours.numpy().tobytes())
    return far, raw, together.why_whole


def of_both(folder: Path) -> tuple[Told, Told]:
    """Return `distances` in fp32 and in fp64."""
    # At once: a process takes seconds to import diffusers.
    cases = [(7, 9), (3, 17), (4, 1), (2, 9)]
    return (
        distances(folder, torch.float32, cases),
        distances(folder, torch.float64, [(5, 9)]),
    )


def test_every_rank_has_the_pictures_of_one_process(
    ranks: Run, vae_folder: Path
) -> None:
    told = ranks(3, of_both, vae_folder)
    for single, double in told:
        for of, cases in ((single, 4), (double, 1)):
            far, _, why = of
            assert not why
            assert len(far) == 3 * cases
        assert max(single[0]) < 1e-5
        assert single[1] == told[0][0][1]
        # What is encoded is normalised in fp32, on one process as on all.
        assert max(double[0][:2]) < 1e-7
        assert double[0][2] < 1e-13


@pytest.fixture
def model() -> Any:
    """The released architecture, with attention at more than one depth."""
    return AutoencoderKLCosmos(
        encoder_block_out_channels=(8, 8, 16, 16),
        decode_block_out_channels=(8, 16, 16, 16),
        num_layers=1,
        attention_resolutions=(64, 128),
        resolution=512,
    )


def test_every_layer_that_mixes_rows_is_another_and_no_other(model: Any) -> None:
    view = rows_of_pictures.on_rows(model, Rows((2, 1)))
    modules = dict(view.named_modules())
    names = dict(model.named_modules())
    for name, module in names.items():
        kind = type(module).__name__
        if kind == "GroupNorm":
            assert isinstance(modules[name], GroupNormOfRows)
        if kind == "CosmosCausalConv3d" and module.kernel_size[1] == 3:
            assert type(modules[name]) is not type(module), name
        if name.rpartition(".")[2] in ("to_k", "to_v"):
            joined = isinstance(modules[name], Joined)
            assert joined == ("temp_attentions" not in name), name
    halos = [each for each in modules.values() if isinstance(each, WithHalo)]
    assert len(halos) > 30
    # Nothing in the original but what was there.
    assert not any("worldweave" in type(each).__module__ for each in model.modules())


def test_parameters_are_shared_and_the_original_stays(vae_folder: Path) -> None:
    alone = load(vae_folder, device="cpu", dtype=torch.float32)
    assert isinstance(alone, SharesRows)
    whole = alone.model
    other = alone.on_rows(Rows((1, 1), 1))
    assert alone.model is whole
    assert other.model is not whole
    own = {id(parameter) for parameter in whole.parameters()}
    assert {id(parameter) for parameter in other.model.parameters()} == own


class Sharpened(nn.Module):
    """What a later version might have put in."""


def test_a_layer_of_another_version_is_refused_by_name(model: Any) -> None:
    model.decoder.mid_block.resnets[1].norm2 = Sharpened()
    with pytest.raises(
        CannotShareRows, match=r"decoder\.mid_block\.resnets\.1\.norm2 is a .*Sharpened"
    ):
        rows_of_pictures.on_rows(model, Rows((1,)))


class OtherProcessor:
    """Attention that is done in another way."""


def lengthened(model: Any) -> None:
    model.encoder.patch_embed.wavelets = torch.ones(4)


def attending(model: Any) -> None:
    model.decoder.mid_block.attentions[0].processor = OtherProcessor()


def shrinking(model: Any) -> None:
    model.encoder.down_blocks[0].downsamplers[0].conv1.spatial_pad = (1, 1, 1, 1)


def padding(model: Any) -> None:
    model.decoder.conv_in.conv_s.pad_mode = "mirror"


def leaning(model: Any) -> None:
    model.decoder.conv_in.conv_s.spatial_pad = (1, 1, 2, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lengthened, "makes patches by 'haar' with 4 taps"),
        (attending, "its attention is done by a OtherProcessor"),
        (shrinking, "CosmosDownsample3d shrinks with CosmosCausalConv3d"),
        (padding, "decoder.conv_in.conv_s: a convolution pads .* 'mirror'"),
        (leaning, r"a convolution pads \(1, 1, 2, 0\)"),
    ],
)
def test_known_layers_put_together_otherwise_are_refused(
    model: Any, change: Callable[[Any], None], message: str
) -> None:
    change(model)
    with pytest.raises(CannotShareRows, match=message):
        rows_of_pictures.on_rows(model, Rows((1,)))


def test_a_diffusers_that_keeps_it_elsewhere_is_refused(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_of_pictures, "HOME", "diffusers.models.elsewhere")
    with pytest.raises(CannotShareRows, match=r"has no diffusers\.models\.elsewhere"):
        rows_of_pictures.on_rows(model, Rows((1,)))
