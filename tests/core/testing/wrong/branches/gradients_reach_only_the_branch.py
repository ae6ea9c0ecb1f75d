"""Keeps a parameter of an earlier attempt that nothing uses."""

import torch
from torch import nn

from worldweave import CosmosBranch


class Gained(CosmosBranch):
    def __init__(self, config):
        super().__init__(config)
        self.gain = nn.Parameter(torch.ones(config.hidden))
