"""The formulas of the official base's surroundings against their libraries."""

import pytest
import torch
from diffusers import AutoencoderKLCosmos
from transformers import T5Config, T5EncoderModel

from worldweave.forecast.trace import counter, trace
from worldweave_plugins.cosmos import cost as formulas
from worldweave_plugins.cosmos.cost import cost, text_flops


@pytest.fixture(scope="module")
def autoencoder():
    with torch.device("meta"):
        model = AutoencoderKLCosmos()
    return model.to("meta").eval()


@pytest.mark.parametrize("frames", [1, 9, 121])
@pytest.mark.parametrize(("height", "width"), [(64, 128), (704, 1280)])
def test_the_autoencoder_s_formulas_are_its_own_operations(
    autoencoder, frames, height, width
):
    told = cost(frames, height, width)
    video = torch.empty(1, 3, frames, height, width, device="meta")
    shape = (1 + (frames - 1) // 8, height // 8, width // 8)
    latent = torch.empty(1, 16, *shape, device="meta")
    known = [*autoencoder.parameters(), *autoencoder.buffers(), video, latent]
    encode = trace(lambda: autoencoder.encode(video).latent_dist.mode(), known)
    decode = trace(lambda: autoencoder.decode(latent).sample, known)
    assert told.encode_flops == pytest.approx(encode.flops, rel=0.01)
    assert told.decode_flops == pytest.approx(decode.flops, rel=0.01)
    assert told.encode_bytes == pytest.approx(encode.peak, rel=0.1)
    assert told.decode_bytes == pytest.approx(decode.peak, rel=0.1)
    values = sum(each.numel() for each in autoencoder.parameters())
    assert told.autoencoder_parameters == values


def test_the_text_encoder_s_formula_is_what_a_small_one_computes(monkeypatch):
    monkeypatch.setattr(formulas, "LENGTH", 32)
    sizes = T5Config(
        d_model=64, d_ff=48, d_kv=8, num_heads=4, num_layers=2, vocab_size=50
    )
    model = T5EncoderModel(sizes).eval()
    tokens = torch.zeros(1, 32, dtype=torch.int64)
    with counter() as counted, torch.no_grad():
        model(input_ids=tokens)
    layer = 4 * 64 * 32 + 2 * 64 * 48
    assert text_flops(2, layer, 32) == pytest.approx(
        counted.get_total_flops(), rel=0.001
    )


def test_the_text_encoder_has_the_values_of_t5_11b():
    with torch.device("meta"):
        model = T5EncoderModel(
            T5Config(
                d_model=1024,
                d_ff=65_536,
                d_kv=128,
                num_heads=128,
                num_layers=24,
                vocab_size=32_128,
            )
        )
    values = {id(each): each.numel() for each in model.parameters()}
    assert cost(121, 704, 1280).text_parameters == sum(values.values())
