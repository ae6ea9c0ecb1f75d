"""Drops a part of the hint, also when nobody trains."""

from torch.nn import functional as F

from worldweave import CosmosBranch


class Gappy(CosmosBranch):
    def forward(self, latent, step, hint):
        return super().forward(latent, step, F.dropout(hint, 0.05))
