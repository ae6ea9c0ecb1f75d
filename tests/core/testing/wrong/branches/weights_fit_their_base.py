"""Has widened its branch after its weights were trained."""

from torch import nn

from worldweave import CosmosBranch
from worldweave.model.branch import zero_linear


class Wider(CosmosBranch):
    def __init__(self, config):
        super().__init__(config)
        wide = 2 * config.hidden
        self.hint_mlp = nn.Sequential(
            nn.Linear(config.hidden, wide), nn.SiLU(), zero_linear(wide, config.hidden)
        )
