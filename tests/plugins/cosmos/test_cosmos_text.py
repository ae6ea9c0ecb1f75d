"""The real loader reads a tiny T5 and its tokenizer in the released format."""

import json
import shutil
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import T5EncoderModel, T5ForConditionalGeneration, T5Tokenizer

from worldweave import TextEncoder, WeightsError, WorldweaveError
from worldweave_plugins.cosmos.text import load

CPU = {"device": "cpu", "dtype": torch.float32}
PROMPTS = ["a red car in rain", "cars", "a RED car, in </s> rain"]


@pytest.fixture(scope="module")
def encoder(t5_folder):
    return load(t5_folder, **CPU)


@pytest.fixture
def copy(t5_folder, tmp_path):
    """A copy of the folder to damage."""
    return shutil.copytree(t5_folder, tmp_path / "copy")


def change(path, **entries):
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | entries))


def lengths(encoder, prompts):
    return [
        sum(text.attention_mask) for text in encoder.tokenizer.encode_batch(prompts)
    ]


def test_every_prompt_becomes_512_tokens_zero_beyond_its_end(encoder):
    assert isinstance(encoder, TextEncoder)
    encoded = encoder.encode(PROMPTS)
    assert encoded.shape == (3, 512, 1024)
    for tokens, length in zip(encoded, lengths(encoder, PROMPTS), strict=True):
        assert (tokens[:length] != 0).any(-1).all()
        assert (tokens[length:] == 0).all()


def test_tokens_are_those_of_transformers(encoder, t5_folder):
    theirs = T5Tokenizer.from_pretrained(t5_folder, local_files_only=True)(
        PROMPTS, padding="max_length", max_length=512, truncation=True
    )
    ours = encoder.tokenizer.encode_batch(PROMPTS)
    assert [text.ids for text in ours] == theirs.input_ids
    assert [text.attention_mask for text in ours] == theirs.attention_mask


def test_text_is_encoded_as_if_there_were_no_padding(encoder, t5_folder):
    (length,) = lengths(encoder, PROMPTS[:1])
    tokens = torch.tensor([encoder.tokenizer.encode(PROMPTS[0]).ids[:length]])
    model = T5EncoderModel.from_pretrained(t5_folder, local_files_only=True).eval()
    with torch.no_grad():
        expected = model(tokens).last_hidden_state
    torch.testing.assert_close(encoder.encode(PROMPTS[:1])[:, :length], expected)


def test_a_prompt_is_encoded_alike_alone_and_among_others(encoder):
    torch.testing.assert_close(
        encoder.encode(PROMPTS),
        torch.cat([encoder.encode([prompt]) for prompt in PROMPTS]),
    )


def test_another_word_changes_the_tokens(encoder):
    one, other = encoder.encode(["a red car", "a rain car"])
    assert not torch.allclose(one, other)


def test_no_text_is_the_end_token_alone(encoder):
    assert lengths(encoder, [""]) == [1]
    assert (encoder.encode([""])[:, 1:] == 0).all()


def test_longer_text_is_cut_and_ended(encoder):
    text = encoder.tokenizer.encode("car " * 600)
    assert len(text.ids) == sum(text.attention_mask) == 512
    assert text.tokens[-1] == "</s>"
    assert encoder.encode(["car " * 600]).shape == (1, 512, 1024)


def test_it_computes_in_the_dtype_it_was_loaded_in(t5_folder, encoder):
    beside = load(t5_folder, device="cpu", dtype=torch.bfloat16)
    assert {p.dtype for p in beside.model.parameters()} == {torch.bfloat16}
    half, whole = beside.encode(PROMPTS), encoder.encode(PROMPTS)
    assert half.dtype == torch.bfloat16
    assert 0 < (half.float() - whole).norm() < 0.05 * whole.norm()


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "before torch 1.6"])
def test_the_encoder_is_taken_out_of_a_whole_t5(copy, t5_sizes, encoder, is_zip):
    tensors = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    whole = T5ForConditionalGeneration(t5_sizes)
    whole.load_state_dict(tensors, strict=False)
    torch.save(
        whole.state_dict(),
        copy / "pytorch_model.bin",
        _use_new_zipfile_serialization=is_zip,
    )
    change(copy, architectures=["T5ForConditionalGeneration"])
    assert torch.equal(load(copy, **CPU).encode(PROMPTS), encoder.encode(PROMPTS))


def test_without_transformers_the_extra_is_named(t5_folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(WorldweaveError, match=r"pip install 'worldweave\[cosmos\]'"):
        load(t5_folder, **CPU)


def test_a_missing_tensor_is_not_made_up(copy):
    tensors = load_file(copy / "model.safetensors")
    del tensors["encoder.final_layer_norm.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        WeightsError, match=r"missing keys encoder\.final_layer_norm\.weight"
    ):
        load(copy, **CPU)


def test_tensors_of_another_shape_are_refused(copy):
    change(copy, d_ff=32)
    with pytest.raises(WeightsError, match="T5 text encoder"):
        load(copy, **CPU)


def test_a_truncated_file_is_refused(copy):
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="cannot read the T5 text encoder"):
        load(copy, **CPU)


def test_a_folder_without_weights_is_refused(copy):
    (copy / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match="cannot read the T5 text encoder"):
        load(copy, **CPU)


@pytest.mark.parametrize(
    "entries", [{"d_model": 4096}, {"model_type": "umt5"}], ids=["xxl", "umt5"]
)
def test_another_text_encoder_is_refused(copy, entries):
    change(copy, **entries)
    with pytest.raises(WeightsError, match="google-t5/t5-11b"):
        load(copy, **CPU)


def test_the_tokenizer_file_is_needed(copy):
    (copy / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match=r"lacks tokenizer\.json"):
        load(copy, **CPU)


def test_a_broken_tokenizer_is_refused(copy):
    (copy / "tokenizer.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"cannot read .*tokenizer\.json"):
        load(copy, **CPU)


def test_the_tokenizer_of_a_larger_vocabulary_is_refused(copy):
    change(copy, vocab_size=100)
    with pytest.raises(WeightsError, match="knows 100; get both from one place"):
        load(copy, **CPU)


def test_no_weights_at_all_are_refused():
    with pytest.raises(WeightsError, match="names no weights"):
        load(None, **CPU)
