"""The EDM training objective: predict the clean latent at a random noise level."""

# B batch, C channel, T H W latent positions, L text token

from __future__ import annotations

from collections.abc import Callable

import attrs
import torch
from torch import Tensor

from worldweave.diffusion.edm import Scaling, loss_weight, per_sample, scaling
from worldweave.model.step import Step

#: Maps (latent, step) to the network output F.
Predict = Callable[[Tensor, Step], Tensor]


@attrs.frozen(kw_only=True)
class Objective:
    """How noise levels and given frames are drawn.

    ln sigma is normal with *sigma_mean* and *sigma_std* (EDM's P_mean, P_std). A
    share *given_rate* of the samples knows its first latent frame, as every chunk
    of a long video but the first does.
    """

    sigma_mean: float
    sigma_std: float
    given_rate: float = 0.25
    augment_sigma: float = 0.001

    def loss(
        self,
        predict: Predict,
        clean: Tensor,
        text: Tensor,
        fps: float,
        generator: torch.Generator,
        share: slice = slice(None),
    ) -> Tensor:
        """Return the weighted squared x0 error, averaged over B and positions.

        *clean* is (B, C, T, H, W). Given frames neither count nor are predicted.
        Noise is drawn for all of B on the generator's device, the CPU, so that it
        is the same everywhere; only the *share* of B is computed, and *text* is
        (share of B, L, channels).
        """
        batch = len(clean)
        spread = torch.randn(batch, generator=generator)
        has_given = torch.rand(batch, generator=generator) < self.given_rate
        noise = torch.randn(clean.shape, generator=generator)[share].to(clean.device)
        clean = clean[share]
        sigma = (spread * self.sigma_std + self.sigma_mean).exp()[share]
        sigma = sigma.to(clean.device)
        given = torch.zeros_like(clean[:, :1])
        given[:, :, 0] = per_sample(has_given[share].to(clean.device), clean)[:, :, 0]
        noisy = clean + per_sample(sigma, clean) * noise

        factor = scaling(sigma)
        known = scaling(torch.tensor(self.augment_sigma)).input * clean
        seen = given * known + (1 - given) * per_sample(factor.input, clean) * noisy
        step = Step(c_noise=factor.noise, text=text, fps=fps, condition_mask=given)
        x0 = _clean(noisy, factor, predict(seen, step))
        error = (1 - given) * (x0 - clean) ** 2
        weighted: Tensor = per_sample(loss_weight(sigma), clean) * error
        return weighted.mean()


def predicted_clean(
    predict: Predict, noisy: Tensor, sigma: float, text: Tensor, fps: float
) -> Tensor:
    """Return x0 (B, C, T, H, W) as predicted from *noisy*, clean + sigma * noise."""
    factor = scaling(torch.full((len(noisy),), sigma, device=noisy.device))
    nothing_given = torch.zeros_like(noisy[:, :1])
    step = Step(c_noise=factor.noise, text=text, fps=fps, condition_mask=nothing_given)
    seen = per_sample(factor.input, noisy) * noisy
    return _clean(noisy, factor, predict(seen, step))


def _clean(noisy: Tensor, factor: Scaling, output: Tensor) -> Tensor:
    x0 = per_sample(factor.skip, noisy) * noisy
    return x0 + per_sample(factor.out, noisy) * output.float()
