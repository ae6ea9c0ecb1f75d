"""Returns tokens one after another, as its blocks have them."""

from worldweave import CosmosBranch


class Tokens(CosmosBranch):
    def forward(self, latent, step, hint):
        return [each.flatten(1, 3) for each in super().forward(latent, step, hint)]
