"""Keeps random frequencies outside of its weights."""

import torch

from worldweave import CosmosBranch


class Waves(CosmosBranch):
    """Each channel of the hint as a wave of its own length."""

    def __init__(self, config):
        super().__init__(config)
        self.frequency = 1 + torch.rand(config.hint_channels, 1, 1, 1)

    def forward(self, latent, step, hint):
        frequency = self.frequency[: hint.shape[1]].to(hint)
        return super().forward(latent, step, (hint * frequency).sin())
