"""Encode prompts of the tiny world's closed vocabulary."""

# B prompts, L words, D channels

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from worldweave.checkpoints import store
from worldweave_plugins.tinyworld.prompts import VOCABULARY, split

PADDING: Final = 0
UNKNOWN: Final = 1
NULL: Final = 2
SPECIAL: Final = 3


class TinyTextEncoder(nn.Module):
    """Embed words, add positions, let them see each other once.

    The one attention layer lets "red arm and blue boxes" bind each colour to
    its noun. It is trained together with the base.
    """

    def __init__(
        self, *, length: int = 24, channels: int = 128, heads: int = 4
    ) -> None:
        super().__init__()
        self.length = length
        self.channels = channels
        self.heads = heads
        self.number = {word: SPECIAL + i for i, word in enumerate(VOCABULARY)}
        self.embedding = nn.Embedding(SPECIAL + len(VOCABULARY), channels)
        self.position = nn.Parameter(torch.empty(length, channels))
        self.attention_norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.attention_out = nn.Linear(channels, channels, bias=False)
        self.mlp_norm = nn.LayerNorm(channels)
        self.mlp_in = nn.Linear(channels, 2 * channels)
        self.mlp_out = nn.Linear(2 * channels, channels)
        self.out_norm = nn.LayerNorm(channels)
        nn.init.normal_(self.embedding.weight, std=0.5)
        nn.init.normal_(self.position, std=0.02)

    def tokenize(
        self,
        prompts: Sequence[str],
        *,
        word_dropout: float = 0.0,
        generator: Generator | None = None,
    ) -> Tensor:
        """Return word numbers, int64 (B, L) on the CPU, zero beyond each prompt.

        An empty prompt is the one word "null". Words past L are cut. With
        ``word_dropout`` that share of words becomes "unknown", as in training.
        """
        tokens = torch.zeros(len(prompts), self.length, dtype=torch.int64)
        for row, prompt in zip(tokens, prompts, strict=True):
            words = [self.number.get(word, UNKNOWN) for word in split(prompt)]
            words = words[: self.length] or [NULL]
            row[: len(words)] = torch.tensor(words)
        if word_dropout > 0.0:
            drawn = torch.rand(tokens.shape, generator=generator) < word_dropout
            tokens[drawn & (tokens >= SPECIAL)] = UNKNOWN
        return tokens

    def encode(
        self,
        prompts: Sequence[str],
        *,
        word_dropout: float = 0.0,
        generator: Generator | None = None,
    ) -> Tensor:
        """Encode prompts as (B, L, D), zero beyond each prompt."""
        tokens = self.tokenize(prompts, word_dropout=word_dropout, generator=generator)
        encoded: Tensor = self(tokens.to(self.position.device))
        return encoded

    def forward(self, tokens: Tensor) -> Tensor:
        """Map word numbers (B, L) to (B, L, D)."""
        is_word = tokens != PADDING
        hidden = self.embedding(tokens) + self.position
        hidden = hidden + self._attend(self.attention_norm(hidden), is_word)
        hidden = hidden + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(hidden))))
        encoded: Tensor = self.out_norm(hidden) * is_word[..., None]
        return encoded

    def _attend(self, hidden: Tensor, is_word: Tensor) -> Tensor:
        batch, length, channels = hidden.shape
        width = channels // self.heads
        qkv = self.qkv(hidden).view(batch, length, 3, self.heads, width)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(
            q, k, v, attn_mask=is_word[:, None, None, :]
        )
        out: Tensor = self.attention_out(
            seen.transpose(1, 2).reshape(batch, length, channels)
        )
        return out


def load(
    weights: Path | None, *, device: torch.device | str, dtype: torch.dtype
) -> TinyTextEncoder:
    """Build the encoder; without weights it is untrained.

    Raises ``WeightsError`` where the file does not fit exactly.
    """
    encoder = TinyTextEncoder()
    if weights is not None:
        what = "the text encoder of tiny-world"
        store.load(encoder, weights, device=device, dtype=dtype, what=what)
    return encoder.to(device=device, dtype=dtype)
