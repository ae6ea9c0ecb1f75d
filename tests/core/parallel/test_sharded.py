"""Which branches can be computed token by token, and what is shared with the model."""

import gc
import weakref

import pytest
import torch
from torch import nn

from worldweave import WorldweaveError
from worldweave.model.branch import CosmosBranch
from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT
from worldweave.parallel.executor import InParallel
from worldweave.parallel.lockstep import Lockstep
from worldweave.parallel.sharded import (
    Place,
    Residuals,
    is_local,
    refuse_other_code,
    sharded_base,
)
from worldweave_kernels.parallel import ParallelPlan, Ranks, Share

CONFIG = DiTConfig(
    latent_channels=4,
    hidden=16,
    heads=2,
    blocks=2,
    text_channels=8,
    adaln_rank=4,
    mlp_ratio=2,
    hint_channels=4,
    hint_widths=(8,),
    control_blocks=1,
    max_size=(2, 4, 4),
)


class Renamed(CosmosBranch):
    """Nothing but another name."""


class Louder(CosmosBranch):
    def forward(self, latent, step, hint):
        return [2 * each for each in super().forward(latent, step, hint)]


class Mixing(nn.Linear):
    """Takes its neighbours for itself."""

    def forward(self, x):
        return super().forward(x.roll(1, dims=1))


def with_other_modules():
    branch = CosmosBranch(CONFIG)
    first = branch.hint_mlp[0]
    branch.hint_mlp[0] = Mixing(first.in_features, first.out_features)
    return branch


def with_a_hook():
    branch = CosmosBranch(CONFIG)
    branch.blocks[0].register_forward_hook(lambda module, given, out: out.flip(1))
    return branch


def with_a_forward_of_its_own():
    branch = CosmosBranch(CONFIG)
    branch.mine = branch.forward
    branch.forward = lambda *given: branch.mine(*given)
    return branch


def with_one_more():
    branch = CosmosBranch(CONFIG)
    branch.extra = nn.Conv3d(1, 1, 3)
    return branch


@pytest.mark.parametrize("kind", [CosmosBranch, Renamed])
def test_cosmos_branch_works_token_by_token(kind):
    assert is_local(kind(CONFIG))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Louder(CONFIG),
        lambda: nn.Linear(2, 2),
        with_other_modules,
        with_a_hook,
        with_a_forward_of_its_own,
        with_one_more,
    ],
    ids=[
        "overridden",
        "another class",
        "other modules",
        "a hook",
        "a forward of its own",
        "one more",
    ],
)
def test_whatever_replaces_a_part_of_it_may_look_around(make):
    assert not is_local(make())


@pytest.fixture
def place():
    ranks = Ranks(ParallelPlan(), torch.device("cpu"))
    return Place(ranks, Lockstep(list), Share(8), (2, 4, 4))


def test_a_sharded_base_has_the_very_parameters_of_the_base(place):
    base = DiT(CONFIG)
    sharded = sharded_base(base, place)
    theirs = {each.data_ptr() for each in base.parameters()}
    assert {each.data_ptr() for each in sharded.parameters()} == theirs


def test_the_base_stays_as_it_was(place):
    base = DiT(CONFIG)
    before = {name: type(each) for name, each in base.named_modules()}
    sharded_base(base, place)
    assert {name: type(each) for name, each in base.named_modules()} == before
    assert type(base) is DiT


class Otherwise(DiT):
    def forward(self, *given):
        return 2 * super().forward(*given)


def test_a_base_with_code_of_its_own_is_refused():
    refuse_other_code(DiT(CONFIG))
    with pytest.raises(WorldweaveError, match="the base is a Otherwise, which has"):
        refuse_other_code(Otherwise(CONFIG))


def test_residuals_are_as_many_as_promised_and_come_in_order():
    residuals = Residuals("edge", 2, Lockstep(list))
    residuals.start()
    for value in (1.0, 2.0):
        residuals.announce(torch.full((1, 3, 4), value))
    assert len(residuals) == 2
    assert [float(each.mean()) for each in residuals] == [1.0, 2.0]
    assert [each.shape for each in residuals[:2]] == [(1, 1, 1, 3, 4)] * 2
    with pytest.raises(RuntimeError, match="residual 2 of 'edge' was promised"):
        residuals[2]


def test_a_branch_that_is_let_go_is_freed():
    executor = InParallel(Ranks(ParallelPlan(), torch.device("cpu")))
    branch = CosmosBranch(CONFIG)
    assert not executor.runs_whole(branch)
    left = weakref.ref(branch)
    weights = weakref.ref(branch.zero[0].weight)
    del branch
    gc.collect()
    assert left() is None
    assert weights() is None
