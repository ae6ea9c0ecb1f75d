"""The official bases and branches have exactly the released parameters."""

import pytest
import torch

from worldweave import CosmosBranch, DiT
from worldweave_plugins.cosmos.config import COSMOS_7B, COSMOS_AV


def parameters(kind, config):
    with torch.device("meta"):
        return sum(p.numel() for p in kind(config).parameters())


@pytest.mark.parametrize(
    ("config", "dit", "branch"),
    [
        (COSMOS_7B, 7_236_208_640, 893_497_120),
        (COSMOS_AV, 7_236_192_256, 891_645_728),
    ],
    ids=["7b", "av"],
)
def test_sizes_are_the_released_ones(config, dit, branch):
    assert parameters(DiT, config) == dit
    assert parameters(CosmosBranch, config) == branch
