"""Haar and PCA: causal, near enough for pictures, exact for hints."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from worldweave.base import HELD_OUT, Autoencoder
from worldweave.io.sizes import to_unit
from worldweave_plugins.tinyworld.autoencoder import (
    HaarPCA,
    haar_matrix,
    load,
)
from worldweave_plugins.tinyworld.clips import clips
from worldweave_registry.errors import WeightsError


@pytest.fixture(scope="module")
def model() -> HaarPCA:
    return load(None, device="cpu", dtype=torch.float32)


@pytest.fixture(scope="module")
def held_out() -> Tensor:
    videos = [to_unit(clip.video) for clip in clips(HELD_OUT, 16)]
    return torch.cat(videos)


def psnr(one: Tensor, other: Tensor) -> Tensor:
    """Per clip, for videos in -1..1."""
    error = (one.clamp(-1, 1) - other).square().mean((1, 2, 3, 4))
    return 10 * torch.log10(4 / error)


def test_it_is_an_autoencoder(model: HaarPCA) -> None:
    assert isinstance(model, Autoencoder)


def test_the_haar_transform_is_orthonormal() -> None:
    matrix = haar_matrix()
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(64))


def test_a_clip_has_the_promised_shapes(model: HaarPCA, held_out: Tensor) -> None:
    latent = model.encode(held_out[:2])
    assert latent.shape == (2, 32, 3, 16, 24)
    assert model.encode_hint(held_out[:2]).shape == (2, 192, 3, 16, 24)
    assert model.decode(latent).shape == held_out[:2].shape


@pytest.mark.parametrize("shape", [(1, 8, 8), (5, 8, 16), (13, 24, 8)])
def test_any_size_divisible_by_eight_comes_back(
    model: HaarPCA, shape: tuple[int, int, int]
) -> None:
    video = torch.zeros(1, 3, *shape)
    assert model.decode(model.encode(video)).shape == video.shape


def test_held_out_clips_come_back_at_thirty_decibels(
    model: HaarPCA, held_out: Tensor
) -> None:
    quality = psnr(model.decode(model.encode(held_out)), held_out)
    assert quality.mean() > 32
    assert (quality > 30).float().mean() > 0.8


def test_one_frame_comes_back(model: HaarPCA, held_out: Tensor) -> None:
    image = held_out[:, :, :1]
    assert psnr(model.decode(model.encode(image)), image).mean() > 30


def test_latents_have_a_standard_deviation_of_one_half(
    model: HaarPCA, held_out: Tensor
) -> None:
    latent = model.encode(held_out)
    assert 0.4 < latent.std() < 0.6
    assert latent.mean().abs() < 0.1


def test_channels_are_half_whitened(model: HaarPCA) -> None:
    # sd ** 0.5 of a falling sd still falls, and no channel is lost.
    spread = torch.cat([model.encode(to_unit(c.video)) for c in clips(0, 16)])
    by_channel = spread.std((0, 2, 3, 4))
    assert by_channel[0] > 2 * by_channel[8:].max()
    assert by_channel.min() > 0.1


@pytest.mark.parametrize("encode", ["encode", "encode_hint"])
def test_later_frames_do_not_change_earlier_latents(
    model: HaarPCA, held_out: Tensor, encode: str
) -> None:
    whole = getattr(model, encode)(held_out[:1])
    for frames, steps in ((1, 1), (5, 2)):
        changed = held_out[:1].clone()
        changed[:, :, frames:] = torch.rand_like(changed[:, :, frames:])
        other = getattr(model, encode)(changed)
        assert torch.equal(other[:, :, :steps], whole[:, :, :steps])
        assert not torch.equal(other[:, :, steps:], whole[:, :, steps:])


def test_the_first_frame_alone_has_the_latent_it_has_in_a_clip(
    model: HaarPCA, held_out: Tensor
) -> None:
    alone = model.encode(held_out[:1, :, :1])
    torch.testing.assert_close(alone, model.encode(held_out[:1])[:, :, :1])


def test_a_hint_loses_nothing(model: HaarPCA) -> None:
    # Noise: nothing in it can be guessed.
    control = torch.rand(1, 3, 9, 16, 24) * 2 - 1
    again = model.decode_hint(model.encode_hint(control))
    torch.testing.assert_close(again, control, rtol=0, atol=1e-5)


def test_hints_of_edges_have_a_root_mean_square_of_about_one_half(
    model: HaarPCA,
) -> None:
    rng = np.random.default_rng(0)
    lines = np.where(rng.random((9, 64, 96, 1)) < 0.1, 255, 0).astype(np.uint8)
    hint = model.encode_hint(to_unit(np.repeat(lines, 3, axis=-1)))
    assert 0.35 < hint.square().mean().sqrt() < 0.7


def test_the_dtype_given_is_the_dtype_returned(
    model: HaarPCA, held_out: Tensor
) -> None:
    video = held_out[:1].bfloat16()
    latent = model.encode(video)
    assert latent.dtype == model.encode_hint(video).dtype == torch.bfloat16
    assert model.decode(latent).dtype == torch.bfloat16


def test_a_fit_is_repeatable() -> None:
    videos = [to_unit(clip.video) for clip in clips(0, 3)]
    one, other = HaarPCA.fit(videos), HaarPCA.fit(videos)
    assert torch.equal(one.basis, other.basis)
    assert torch.equal(one.scale, other.scale)


def test_a_fit_keeps_the_channels_asked_for() -> None:
    videos = [to_unit(clip.video) for clip in clips(0, 2)]
    assert HaarPCA.fit(videos, channels=8).encode(videos[0]).shape[1] == 8


def test_a_saved_model_loads_back(
    model: HaarPCA, held_out: Tensor, tmp_path: Path
) -> None:
    model.save(tmp_path / "tokens.safetensors")
    again = load(tmp_path / "tokens.safetensors", device="cpu", dtype=torch.bfloat16)
    assert torch.equal(again.encode(held_out), model.encode(held_out))
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.safetensors"]


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    save_file(HaarPCA(channels=16).state_dict(), tmp_path / "tokens.safetensors")
    with pytest.raises(WeightsError, match="does not fit the autoencoder"):
        load(tmp_path / "tokens.safetensors", device="cpu", dtype=torch.float32)


@pytest.mark.parametrize(
    "shape", [(1, 3, 8, 64, 96), (1, 3, 9, 62, 96), (1, 3, 9, 64, 95), (1, 1, 9, 8, 8)]
)
def test_a_video_of_the_wrong_shape_is_refused(
    model: HaarPCA, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="crop or resize"):
        model.encode(torch.zeros(shape))
