"""EDM preconditioning (Karras et al. 2022, table 1) as Cosmos uses it."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SIGMA_DATA = 0.5


class Scaling(NamedTuple):
    """Factors of x0 = skip * x + out * F(input * x, noise), shaped like sigma."""

    skip: Tensor
    out: Tensor
    input: Tensor
    noise: Tensor


def scaling(sigma: Tensor) -> Scaling:
    """Return the preconditioning at noise level *sigma* > 0, in its dtype."""
    total = sigma**2 + SIGMA_DATA**2
    return Scaling(
        skip=SIGMA_DATA**2 / total,
        out=sigma * SIGMA_DATA / total.sqrt(),
        input=total.rsqrt(),
        noise=0.25 * sigma.log(),
    )


def loss_weight(sigma: Tensor) -> Tensor:
    """Return EDM's weight of the squared x0 error at *sigma*."""
    weight: Tensor = (sigma**2 + SIGMA_DATA**2) / (sigma * SIGMA_DATA) ** 2
    return weight


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """Shape (B,) so that it multiplies (B, C, T, H, W)."""
    return values.reshape(-1, *[1] * (like.ndim - 1)).to(torch.float32)
