"""A branch or a map that does not fit the base is named, with both shapes."""

import pytest
import torch

from worldweave.model.branch import ControlBranch
from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT
from worldweave.model.step import Step
from worldweave.model.weave import weave

CONFIG = DiTConfig(
    latent_channels=4,
    hidden=24,
    heads=2,
    blocks=2,
    text_channels=8,
    adaln_rank=4,
    max_size=(4, 16, 16),
)


class Odd(ControlBranch):
    """Returns zeros of whatever shape it is told."""

    def __init__(self, *shapes):
        super().__init__()
        self.shapes = shapes

    def forward(self, latent, step, hint):
        return [torch.zeros(shape) for shape in self.shapes]


def run(branch, weights=None):
    latent = torch.zeros(1, 4, 2, 4, 4)
    step = Step(c_noise=torch.zeros(1), text=torch.zeros(1, 3, 8))
    weights = torch.ones(1, 2, 2, 2) if weights is None else weights
    hints = {"odd": torch.zeros(1, 4, 2, 4, 4)}
    return weave(DiT(CONFIG), {"odd": branch}, latent, step, hints, {"odd": weights})


def test_a_fitting_branch_runs():
    assert run(Odd((1, 2, 2, 2, 24))).shape == (1, 4, 2, 4, 4)


def test_a_residual_of_another_shape_is_refused():
    message = (
        r"'odd' gave a residual \(1, 2, 2, 3, 24\) for block 1.*\(1, 2, 2, 2, 24\)"
    )
    with pytest.raises(ValueError, match=message):
        run(Odd((1, 2, 2, 2, 24), (1, 2, 2, 3, 24)))


def test_more_residuals_than_blocks_are_refused():
    with pytest.raises(ValueError, match="gave 3 residuals but the base has 2 blocks"):
        run(Odd(*[(1, 2, 2, 2, 24)] * 3))


@pytest.mark.parametrize("shape", [(1, 2, 4, 4), (2, 2, 2, 2), (1, 1, 2, 2)])
def test_a_map_off_the_token_grid_is_refused(shape):
    with pytest.raises(ValueError, match=r"map of 'odd' is .*token grid"):
        run(Odd((1, 2, 2, 2, 24)), torch.ones(shape))
