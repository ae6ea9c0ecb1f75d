"""From a network to x0(x, sigma): preconditioning, given frames, guidance."""

# B batch, C channel, T H W latent positions, L text token

from __future__ import annotations

from typing import Protocol

import attrs
import torch
from torch import Tensor

from worldweave.diffusion.condition import GivenFrames
from worldweave.diffusion.edm import scaling


class Network(Protocol):
    """The base with its branches: latent (B, C, T, H, W), c_noise (B,), text."""

    def __call__(self, latent: Tensor, c_noise: Tensor, text: Tensor, /) -> Tensor: ...


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
        x0 = self._predict(x, sigma, self.text)
        if self.guidance and self.negative_text is not None:
            plain = self._predict(x, sigma, self.negative_text)
            x0 = x0 + self.guidance * (x0 - plain)
        return x0 if self.finish is None else self.finish(x0)

    def _predict(self, x: Tensor, sigma: Tensor, text: Tensor) -> Tensor:
        if self.given is not None:
            x = self.given.into_input(x, sigma)
        factor = scaling(sigma)
        c_noise = factor.noise.expand(len(x))
        # c_noise stays float32: in bfloat16 neighbouring steps would share a value.
        output = self.network(
            (factor.input * x).to(self.dtype), c_noise, text.to(self.dtype)
        )
        x0 = factor.skip * x + factor.out * output.to(x.dtype)
        return x0 if self.given is None else self.given.into_output(x0)
