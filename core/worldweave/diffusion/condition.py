"""Latent frames that are given: fed to the network, kept in the result."""

# B batch, C channel, T H W latent positions

from __future__ import annotations

import attrs
import torch
from torch import Tensor

from worldweave.diffusion.edm import scaling


@attrs.frozen(kw_only=True)
class GivenFrames:
    """The first *count* frames of *latent* (B, C, T, H, W) are known.

    The network sees them with a little noise of *augment_sigma*, scaled as if the
    whole input were at that noise level; the result has them exactly
    (Cosmos-Transfer1 `model_v2w`). *noise* has the latent's shape.
    """

    latent: Tensor
    count: int
    noise: Tensor
    augment_sigma: float = 0.001

    def mask(self) -> Tensor:
        """Return (B, 1, T, H, W), 1 on given frames: the network's mask channel."""
        mask = torch.zeros_like(self.latent[:, :1])
        mask[:, :, : self.count] = 1.0
        return mask

    def into_input(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Replace the given frames of the noisy *x*, before its input scaling.

        At noise below *augment_sigma* the network's own frames are the cleaner
        ones and nothing is replaced.
        """
        augment = torch.full_like(sigma, self.augment_sigma)
        if self.count == 0 or bool(augment >= sigma):
            return x
        noisy = self.latent + self.noise * augment
        noisy = noisy * (scaling(augment).input / scaling(sigma).input)
        mask = self.mask()
        return mask * noisy + (1 - mask) * x

    def into_output(self, x0: Tensor) -> Tensor:
        """Replace the given frames of the prediction by the known ones."""
        if self.count == 0:
            return x0
        mask = self.mask()
        return mask * self.latent + (1 - mask) * x0
