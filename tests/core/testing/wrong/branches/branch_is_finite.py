"""Divides by a spread that is zero where the hint is even."""

from worldweave import CosmosBranch


class Normed(CosmosBranch):
    def forward(self, latent, step, hint):
        spread = hint.std(dim=(-3, -2, -1), keepdim=True)
        return super().forward(latent, step, hint / spread)
