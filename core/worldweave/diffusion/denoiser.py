"""From a network to x0(x, sigma): preconditioning, given frames, guidance."""

# B batch, C channel, T H W latent positions, L text token

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import attrs
import torch
from torch import Tensor

from worldweave.diffusion.condition import GivenFrames
from worldweave.diffusion.edm import scaling


class Network(Protocol):
    """The base with its branches: latent (B, C, T, H, W), c_noise (B,), texts.

    Returns one output for each text, like the latent.
    """

    def __call__(
        self, latent: Tensor, c_noise: Tensor, texts: Sequence[Tensor], /
    ) -> Sequence[Tensor]: ...


class Finish(Protocol):
    """A last touch on each guided prediction."""

    def __call__(self, x0: Tensor, /) -> Tensor: ...


@attrs.frozen(kw_only=True)
class Denoiser:
    """Predict the clean latent; call with x (B, C, T, H, W) and sigma (a scalar).

    Guidance is c + guidance * (c - u): 0 switches it off and saves the second
    pass. Hints and given frames are in both passes, only the text differs.
    """

    network: Network
    text: Tensor
    negative_text: Tensor | None = None
    guidance: float = 0.0
    given: GivenFrames | None = None
    dtype: torch.dtype = torch.float32
    finish: Finish | None = None

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        texts = [self.text]
        if self.guidance and self.negative_text is not None:
            texts.append(self.negative_text)
        x0, *others = self._predictions(x, sigma, texts)
        for plain in others:
            x0 = x0 + self.guidance * (x0 - plain)
        return x0 if self.finish is None else self.finish(x0)

    def _predictions(
        self, x: Tensor, sigma: Tensor, texts: Sequence[Tensor]
    ) -> list[Tensor]:
        if self.given is not None:
            x = self.given.into_input(x, sigma)
        factor = scaling(sigma)
        c_noise = factor.noise.expand(len(x))
        # c_noise stays float32: in bfloat16 neighbouring steps would share a value.
        outputs = self.network(
            (factor.input * x).to(self.dtype),
            c_noise,
            [text.to(self.dtype) for text in texts],
        )
        # As many as texts: one too few would switch guidance off without a word.
        predicted = [
            factor.skip * x + factor.out * output.to(x.dtype)
            for _, output in zip(texts, outputs, strict=True)
        ]
        if self.given is None:
            return predicted
        return [self.given.into_output(x0) for x0 in predicted]
