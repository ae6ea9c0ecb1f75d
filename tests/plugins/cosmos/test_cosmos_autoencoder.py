"""The real loader reads a tiny autoencoder in the released format."""

import json
import shutil
import sys

import pytest
import torch
from diffusers import AutoencoderKLCosmos
from safetensors.torch import load_file, save_file

from worldweave import Autoencoder, WeightsError, WorldweaveError
from worldweave_plugins.cosmos.autoencoder import load

FILE = "diffusion_pytorch_model.safetensors"
CPU = {"device": "cpu", "dtype": torch.float32}


@pytest.fixture(scope="module")
def autoencoder(vae_folder):
    return load(vae_folder, **CPU)


@pytest.fixture(scope="module")
def raw(vae_folder):
    """The same weights as diffusers alone reads them, without statistics."""
    return AutoencoderKLCosmos.from_pretrained(
        vae_folder, local_files_only=True, low_cpu_mem_usage=False
    )


@pytest.fixture
def copy(vae_folder, tmp_path):
    """A copy of the folder to damage."""
    return shutil.copytree(vae_folder, tmp_path / "copy")


def clip(frames=9, *, batch=1, seed=0):
    noise = torch.Generator().manual_seed(seed)
    return torch.rand(batch, 3, frames, 16, 24, generator=noise) * 2 - 1


def change(path, **entries):
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | entries))


def test_it_is_an_autoencoder_that_shrinks_by_eight(autoencoder):
    assert isinstance(autoencoder, Autoencoder)
    assert (autoencoder.time_stride, autoencoder.space_stride) == (8, 8)
    assert autoencoder.longest == 121


@pytest.mark.parametrize(("frames", "latent_frames"), [(1, 1), (9, 2), (25, 4)])
def test_a_video_of_one_frame_and_eights_comes_back_whole(
    autoencoder, frames, latent_frames
):
    video = clip(frames)
    latent = autoencoder.encode(video)
    assert latent.shape == (1, 16, latent_frames, 2, 3)
    assert autoencoder.decode(latent).shape == video.shape


def test_each_channel_and_latent_frame_has_its_own_statistics(autoencoder, raw):
    video = clip(17)
    with torch.no_grad():
        plain = raw.encode(video).latent_dist.mode()
    latent = autoencoder.encode(video)
    for channel in range(16):
        for frame in range(3):
            mean = raw.config.latents_mean[channel * 16 + frame]
            std = raw.config.latents_std[channel * 16 + frame]
            torch.testing.assert_close(
                latent[:, channel, frame],
                (plain[:, channel, frame] - mean) / std * 0.5,
            )


def test_the_listed_statistics_run_over_frames_first(autoencoder):
    # The other reading of the list would put the jump between channels.
    std = autoencoder.std[0, :, :, 0, 0]
    first, later = (std[:, 0] - std[:, 1]).abs(), (std[:, 8] - std[:, 9]).abs()
    assert std.shape == (16, 16)
    assert (first > later).all()
    assert std[1, 0] == pytest.approx(0.85245121)


def test_decoding_undoes_the_normalisation(autoencoder, raw):
    video = clip()
    with torch.no_grad():
        expected = raw.decode(raw.encode(video).latent_dist.mode()).sample
    decoded = autoencoder.decode(autoencoder.encode(video))
    torch.testing.assert_close(decoded, expected, rtol=1e-4, atol=1e-5)


def test_the_same_video_gives_the_same_latent(autoencoder, vae_folder):
    video = clip()
    assert torch.equal(autoencoder.encode(video), load(vae_folder, **CPU).encode(video))


def test_the_first_latent_frame_knows_nothing_of_later_frames(autoencoder):
    video, other = clip(9, seed=1), clip(9, seed=2)
    other[:, :, :1] = video[:, :, :1]
    latent = autoencoder.encode(video)
    kwargs = {"rtol": 0.0, "atol": 1e-5}
    torch.testing.assert_close(
        autoencoder.encode(other)[:, :, :1], latent[:, :, :1], **kwargs
    )
    torch.testing.assert_close(
        autoencoder.encode(video[:, :, :1]), latent[:, :, :1], **kwargs
    )
    assert not torch.allclose(autoencoder.encode(other)[:, :, 1], latent[:, :, 1])


def test_a_batch_is_encoded_like_its_clips(autoencoder):
    videos = clip(batch=2)
    torch.testing.assert_close(
        autoencoder.encode(videos),
        torch.cat([autoencoder.encode(video[None]) for video in videos]),
    )


def test_a_control_is_encoded_as_a_video(autoencoder):
    video = clip()
    assert torch.equal(autoencoder.encode_hint(video), autoencoder.encode(video))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_results_have_the_dtype_of_their_input(autoencoder, dtype):
    latent = autoencoder.encode(clip().to(dtype))
    assert latent.dtype == autoencoder.decode(latent).dtype == dtype


def test_a_cpu_computes_in_fp32_even_beside_a_bf16_model(vae_folder, autoencoder):
    beside = load(vae_folder, device="cpu", dtype=torch.bfloat16)
    assert torch.equal(beside.encode(clip()), autoencoder.encode(clip()))


def test_no_gradient_is_kept(autoencoder):
    latent = autoencoder.encode(clip().requires_grad_())
    assert not latent.requires_grad
    assert not autoencoder.decode(latent.requires_grad_()).requires_grad


@pytest.mark.parametrize(
    "shape",
    [
        (1, 3, 8, 16, 16),
        (1, 3, 0, 16, 16),
        (1, 3, 129, 16, 16),
        (1, 3, 9, 12, 16),
        (1, 3, 9, 16, 12),
        (1, 1, 9, 16, 16),
        (3, 9, 16, 16),
    ],
)
def test_another_shape_is_refused(autoencoder, shape):
    with pytest.raises(ValueError, match=r"expected \(B, 3, 1 \+ 8 k, H, W\)"):
        autoencoder.encode(torch.zeros(shape))


def test_more_latent_frames_than_statistics_are_refused(autoencoder):
    with pytest.raises(ValueError, match="latent has 17 frames"):
        autoencoder.decode(torch.zeros(1, 16, 17, 2, 2))


def test_without_diffusers_the_extra_is_named(vae_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(WorldweaveError, match=r"pip install 'worldweave\[cosmos\]'"):
        load(vae_folder, **CPU)


def test_a_missing_tensor_is_not_made_up(copy):
    tensors = load_file(copy / FILE)
    del tensors["decoder.conv_in.conv_s.weight"]
    save_file(tensors, copy / FILE)
    with pytest.raises(
        WeightsError, match=r"missing keys decoder\.conv_in\.conv_s\.weight; get"
    ):
        load(copy, **CPU)


def test_a_tensor_nobody_asked_for_is_refused(copy):
    save_file(load_file(copy / FILE) | {"surplus": torch.zeros(1)}, copy / FILE)
    with pytest.raises(WeightsError, match="unexpected keys surplus"):
        load(copy, **CPU)


def test_a_tensor_of_another_shape_is_refused(copy):
    change(copy, latent_channels=8, latents_mean=[0.0] * 8, latents_std=[1.0] * 8)
    with pytest.raises(WeightsError, match="cannot read the Cosmos autoencoder"):
        load(copy, **CPU)


def test_a_truncated_file_is_refused(copy):
    (copy / FILE).write_bytes((copy / FILE).read_bytes()[:-100])
    with pytest.raises(WeightsError, match="cannot read the Cosmos autoencoder"):
        load(copy, **CPU)


def test_a_broken_config_is_refused(copy):
    (copy / "config.json").write_text("{")
    with pytest.raises(WeightsError, match=r"cannot read .*config\.json"):
        load(copy, **CPU)


@pytest.mark.parametrize("name", ["config.json", FILE])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(WeightsError, match=f"lacks {name}"):
        load(copy, **CPU)


def test_a_file_is_no_folder(vae_folder):
    with pytest.raises(WeightsError, match=r"give the folder that holds config\.json"):
        load(vae_folder / FILE, **CPU)


def test_no_weights_at_all_are_refused():
    with pytest.raises(WeightsError, match="names no weights"):
        load(None, **CPU)


def test_the_autoencoder_of_another_model_is_refused(copy):
    change(copy, _class_name="AutoencoderKLWan")
    with pytest.raises(WeightsError, match="describes 'AutoencoderKLWan'"):
        load(copy, **CPU)


@pytest.mark.parametrize("listed", [None, [], [1.0] * 17])
def test_statistics_must_share_out_over_the_channels(copy, listed):
    change(copy, latents_mean=listed)
    with pytest.raises(WeightsError, match="values of latents_mean"):
        load(copy, **CPU)


@pytest.mark.parametrize("listed", [[1.0] * 16, [0.0] * 256])
def test_deviations_must_match_the_means_and_be_positive(copy, listed):
    change(copy, latents_std=listed)
    with pytest.raises(WeightsError, match="expected one shape and positive"):
        load(copy, **CPU)
