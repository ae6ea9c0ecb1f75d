"""Makes a ramp in float32, which widens what it meets."""

import torch

from worldweave import CosmosBranch


class Ramp(CosmosBranch):
    """Full control of the uppermost row, half of the lowest."""

    def forward(self, latent, step, hint):
        residuals = super().forward(latent, step, hint)
        ramp = torch.linspace(1.0, 0.5, residuals[0].shape[2])
        return [each * ramp[:, None, None] for each in residuals]
