"""Forgets to begin with zeros."""

from torch import nn

from worldweave import CosmosBranch


class Plain(CosmosBranch):
    """Leaves through projections as torch makes them."""

    def __init__(self, config):
        super().__init__(config)
        self.zero = nn.ModuleList(
            nn.Linear(config.hidden, config.hidden)
            for _ in range(config.control_blocks)
        )
