"""Prompts to text tokens with the encoder half of T5-11B."""

# B prompts, L text tokens, D channels

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from worldweave import WeightsError
from worldweave_plugins.cosmos import folders
from worldweave_plugins.cosmos.config import COSMOS_7B

LENGTH: Final = 512
"""Tokens of every prompt, the padding included: the DiT attends to all of them."""
PADDING: Final = "<pad>"
WHAT: Final = "the T5 text encoder"


class T5TextEncoder:
    """Text to 512 tokens of 1024 channels, zero beyond the end of the text.

    As Cosmos-Transfer1 `t5_text_encoder`, but in the dtype it was loaded in,
    where the released code computes in fp32. Longer text is cut.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        """Wrap a T5EncoderModel and a tokenizers.Tokenizer, which is changed."""
        self.model = model
        self.tokenizer = tokenizer
        tokenizer.enable_truncation(LENGTH)
        tokenizer.enable_padding(
            length=LENGTH, pad_id=tokenizer.token_to_id(PADDING), pad_token=PADDING
        )

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Encode prompts as (B, 512, 1024)."""
        texts = self.tokenizer.encode_batch(list(prompts))
        device = self.model.device
        tokens = torch.tensor([text.ids for text in texts], device=device)
        is_text = torch.tensor([text.attention_mask for text in texts], device=device)
        hidden: Tensor = self.model(
            input_ids=tokens, attention_mask=is_text
        ).last_hidden_state
        # Filled rather than multiplied: padding attends to nothing sensible.
        return hidden.masked_fill(is_text[..., None] == 0, 0.0)


def load(
    weights: Path | None, *, device: torch.device | str, dtype: torch.dtype
) -> T5TextEncoder:
    """Read a folder with config.json, tokenizer.json and the weights.

    The weights are in safetensors or pytorch_model.bin; a decoder in them is
    left out. Raise WeightsError if it is none or does not fit, WorldweaveError
    without transformers.
    """
    path, vocabulary = folders.named_files(
        weights, WHAT, "config.json", "tokenizer.json"
    )
    config = folders.read_json(path)
    width = COSMOS_7B.text_channels
    if config.get("model_type") != "t5" or config.get("d_model") != width:
        raise WeightsError(
            f"{path} describes a {config.get('model_type')!r} of "
            f"{config.get('d_model')} channels, but Cosmos was trained with a 't5' of "
            f"{width}: google-t5/t5-11b"
        )
    # The file itself, not AutoTokenizer: exactly what T5TokenizerFast computes, and
    # neither sentencepiece nor protobuf is needed.
    tokenizer = _tokenizer(vocabulary, config)
    model = folders.read_model(
        folders.library("transformers").T5EncoderModel,
        path.parent,
        WHAT,
        is_whole=False,
        dtype=dtype,
    )
    return T5TextEncoder(model.to(device), tokenizer)


def _tokenizer(path: Path, config: dict[str, Any]) -> Any:
    """Read tokenizer.json; raise WeightsError if it is none or another model's."""
    kind = folders.library("tokenizers").Tokenizer
    try:
        tokenizer = kind.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise WeightsError(f"cannot read {path}: {error}; get it again") from error
    size, known = tokenizer.get_vocab_size(), config.get("vocab_size", 0)
    if size > known:
        raise WeightsError(
            f"{path} has {size} tokens, but the model beside it knows {known}; "
            "get both from one place"
        )
    if tokenizer.token_to_id(PADDING) is None:
        raise WeightsError(f"{path} has no token {PADDING!r}, so it is not T5's")
    return tokenizer
