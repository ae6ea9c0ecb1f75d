"""Random models of the released architectures, a few channels wide, on disk."""

import pytest
import torch
from diffusers import AutoencoderKLCosmos
from transformers import T5Config, T5EncoderModel, T5Tokenizer

SPECIAL = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
WORDS = ["▁a", "▁red", "▁car", "▁in", "▁rain", "s", "e", "c", "a", "r"]


@pytest.fixture(scope="session")
def vae_folder(tmp_path_factory):
    """An autoencoder as diffusers saves it, with the released statistics."""
    torch.manual_seed(0)
    model = AutoencoderKLCosmos(
        encoder_block_out_channels=(8, 8, 16, 16),
        decode_block_out_channels=(8, 16, 16, 16),
        num_layers=1,
    )
    path = tmp_path_factory.mktemp("vae")
    model.save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def t5_sizes():
    return T5Config(
        d_model=1024,
        d_ff=16,
        d_kv=4,
        num_heads=2,
        num_layers=2,
        num_decoder_layers=1,
        vocab_size=128,
    )


@pytest.fixture(scope="session")
def t5_folder(tmp_path_factory, t5_sizes):
    """A T5 encoder with its tokenizer as transformers saves them."""
    path = tmp_path_factory.mktemp("t5")
    torch.manual_seed(0)
    T5EncoderModel(t5_sizes).save_pretrained(path)
    words = [(word, -3.0 - rank) for rank, word in enumerate(WORDS)]
    T5Tokenizer(vocab=[*SPECIAL, *words]).save_pretrained(path)
    return path
