"""Prompts of a closed vocabulary become text tokens."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from worldweave.base import TextEncoder
from worldweave_plugins.tinyworld.prompts import VOCABULARY, split, unknown_words
from worldweave_plugins.tinyworld.sampling import sample
from worldweave_plugins.tinyworld.words import (
    NULL,
    PADDING,
    SPECIAL,
    UNKNOWN,
    TinyTextEncoder,
    load,
)
from worldweave_registry.errors import WeightsError


@pytest.fixture(scope="module")
def encoder() -> TinyTextEncoder:
    torch.manual_seed(0)
    return TinyTextEncoder()


def test_it_is_a_text_encoder(encoder: TinyTextEncoder) -> None:
    assert isinstance(encoder, TextEncoder)


def test_words_come_back_from_their_numbers(encoder: TinyTextEncoder) -> None:
    for seed in range(300):
        prompt = sample(seed).prompt
        row = encoder.tokenize([prompt])[0]
        words = [VOCABULARY[int(i) - SPECIAL] for i in row if i != PADDING]
        assert words == split(prompt)


def test_the_vocabulary_is_sorted_and_holds_no_word_twice() -> None:
    assert list(VOCABULARY) == sorted(set(VOCABULARY))


def test_unknown_words_are_listed_once_in_their_order() -> None:
    prompt = "A snowy street with zebras, blue cars, snowy roofs"
    assert unknown_words(prompt) == ["snowy", "zebras", "roofs"]


def test_a_training_prompt_has_no_unknown_words() -> None:
    assert [
        word for seed in range(300) for word in unknown_words(sample(seed).prompt)
    ] == []


def test_an_unknown_word_has_the_number_of_unknown(encoder: TinyTextEncoder) -> None:
    tokens = encoder.tokenize(["a zebra"])[0]
    assert tokens[1] == UNKNOWN
    assert tokens[0] >= SPECIAL


@pytest.mark.parametrize(
    "other",
    [
        "A RED CAR ON A STREET",
        "a red car, on a street.",
        "  a red   car on a\nstreet!",
        "a red-car (on) a: street",
    ],
)
def test_case_and_punctuation_do_not_matter(
    encoder: TinyTextEncoder, other: str
) -> None:
    plain = encoder.tokenize(["a red car on a street"])
    torch.testing.assert_close(encoder.tokenize([other]), plain, rtol=0, atol=0)


@pytest.mark.parametrize(
    "prompt",
    [
        "two vehicles on a dark road",
        "a yellow robot arm and green boxes on a table, day",
        "night street, blue cars",
        "the white robotic arm with one purple sphere on a metal desk at sunset",
        "grey and gray houses in a city, evening",
        "cubes, blocks, balls",
    ],
)
def test_synonyms_and_plurals_are_known(encoder: TinyTextEncoder, prompt: str) -> None:
    assert unknown_words(prompt) == []


def test_an_alias_is_read_as_its_word(encoder: TinyTextEncoder) -> None:
    one, other = encoder.tokenize(
        ["an automobile, nighttime, town streets", "a car night city street"]
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize("prompt", ["", "  ", "...", ",!?"])
def test_an_empty_prompt_is_null(encoder: TinyTextEncoder, prompt: str) -> None:
    tokens = encoder.tokenize([prompt])[0]
    assert tokens[0] == NULL
    assert (tokens[1:] == PADDING).all()


def test_null_is_learned(encoder: TinyTextEncoder) -> None:
    # A weighted sum: layer norm keeps the plain sum of squares constant.
    summed = (encoder.encode([""]) * torch.arange(128)).sum()
    (gradient,) = torch.autograd.grad(summed, [encoder.embedding.weight])
    assert gradient[NULL].abs().sum() > 0
    assert gradient[SPECIAL:].abs().sum() == 0


def test_beyond_the_prompt_everything_is_zero(encoder: TinyTextEncoder) -> None:
    encoded = encoder.encode(["a red car", "a street at night, two blue cars"])
    assert encoded.shape == (2, 24, 128)
    assert (encoded[0, 3:] == 0).all()
    assert (encoded[0, :3].abs().sum(-1) > 0).all()
    assert (encoded[1, 7:] == 0).all()


def test_a_prompt_is_encoded_alike_in_any_company(encoder: TinyTextEncoder) -> None:
    alone = encoder.encode(["a red car"])
    among = encoder.encode(["a street at night, two blue cars", "a red car", ""])[1:2]
    torch.testing.assert_close(alone, among)


def test_no_prompts_give_no_rows(encoder: TinyTextEncoder) -> None:
    assert encoder.encode([]).shape == (0, 24, 128)


def test_a_long_prompt_is_cut(encoder: TinyTextEncoder) -> None:
    long = encoder.tokenize(["red " * 23 + "car boxes balls"])
    assert long.shape == (1, 24)
    assert (long != PADDING).all()
    torch.testing.assert_close(
        encoder.encode(["red " * 23 + "car boxes"]),
        encoder.encode(["red " * 23 + "car"]),
    )


def test_the_order_of_colours_changes_the_noun_they_belong_to(
    encoder: TinyTextEncoder,
) -> None:
    one = encoder.encode(["a red arm and blue boxes"])[0]
    other = encoder.encode(["a blue arm and red boxes"])[0]
    # The noun itself is the same word at the same place: only attention tells.
    assert (one[2] - other[2]).abs().max() > 1e-3


def test_word_dropout_makes_about_that_share_unknown(
    encoder: TinyTextEncoder,
) -> None:
    prompts = [sample(seed).prompt for seed in range(400)] + [""]
    generator = torch.Generator().manual_seed(0)
    whole = encoder.tokenize(prompts)
    thinned = encoder.tokenize(prompts, word_dropout=0.2, generator=generator)
    changed = whole != thinned
    assert 0.17 < changed.sum() / (whole >= SPECIAL).sum() < 0.23
    assert (thinned[changed] == UNKNOWN).all()
    assert thinned[-1, 0] == NULL


def test_word_dropout_repeats_with_its_seed(encoder: TinyTextEncoder) -> None:
    prompts = [sample(seed).prompt for seed in range(40)]
    one, other = (
        encoder.tokenize(
            prompts, word_dropout=0.2, generator=torch.Generator().manual_seed(3)
        )
        for _ in range(2)
    )
    assert (one == other).all()


def test_saved_weights_load_back(encoder: TinyTextEncoder, tmp_path: Path) -> None:
    save_file(encoder.state_dict(), tmp_path / "words.safetensors")
    again = load(tmp_path / "words.safetensors", device="cpu", dtype=torch.float32)
    prompts = ["a red car on a street at night", ""]
    torch.testing.assert_close(again.encode(prompts), encoder.encode(prompts))


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    save_file(TinyTextEncoder(channels=64).state_dict(), tmp_path / "words.safetensors")
    with pytest.raises(WeightsError, match="does not fit the text encoder"):
        load(tmp_path / "words.safetensors", device="cpu", dtype=torch.float32)


def test_without_weights_it_comes_in_the_dtype_asked_for() -> None:
    encoder = load(None, device="cpu", dtype=torch.bfloat16)
    assert encoder.encode(["a red car"]).dtype == torch.bfloat16
