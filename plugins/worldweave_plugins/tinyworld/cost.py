"""What the autoencoder and the text encoder of tiny-world cost: run on meta."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worldweave.forecast.cost import Parts
from worldweave.forecast.trace import trace
from worldweave_plugins.tinyworld.autoencoder import (
    CHANNELS,
    COEFFICIENTS,
    STRIDE,
    HaarPCA,
)
from worldweave_plugins.tinyworld.words import TinyTextEncoder


def cost(frames: int, height: int, width: int) -> Parts:
    """Count one chunk of *frames*, 1 + 4 k, of height x width pixels."""
    with torch.device("meta"):
        model, words = HaarPCA(), TinyTextEncoder()
    video = torch.empty(1, 3, frames, height, width, device="meta")
    shape = (1 + (frames - 1) // STRIDE, height // STRIDE, width // STRIDE)
    latent = torch.empty(1, CHANNELS, *shape, device="meta")
    tokens = torch.empty(1, words.length, dtype=torch.int64, device="meta")
    encode = trace(lambda: model.encode(video), _known(model, video))
    hint = trace(lambda: model.encode_hint(video), _known(model, video))
    decode = trace(lambda: model.decode(latent), _known(model, latent))
    text = trace(lambda: words(tokens), _known(words, tokens))
    return Parts(
        encode_flops=encode.flops,
        hint_flops=hint.flops,
        hint_channels=COEFFICIENTS,
        decode_flops=decode.flops,
        text_flops=text.flops,
        encode_bytes=max(encode.peak, hint.peak) + video.nbytes,
        decode_bytes=decode.peak + latent.nbytes,
        text_bytes=text.peak,
        text_tokens=words.length,
        autoencoder_parameters=_values(model),
        text_parameters=_values(words),
        shares_rows=True,
    )


def _known(model: nn.Module, given: Tensor) -> list[Tensor]:
    return [*model.parameters(), *model.buffers(), given]


def _values(model: nn.Module) -> int:
    return sum(each.numel() for each in _known(model, torch.empty(0)))
