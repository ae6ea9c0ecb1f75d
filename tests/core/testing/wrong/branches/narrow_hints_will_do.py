"""Mixes the channels of the hint, and takes it that all are there."""

from torch import nn

from worldweave import CosmosBranch


class Mixed(CosmosBranch):
    def __init__(self, config):
        super().__init__(config)
        self.mix = nn.Conv3d(config.hint_channels, config.hint_channels, 1)

    def forward(self, latent, step, hint):
        return super().forward(latent, step, self.mix(hint))
