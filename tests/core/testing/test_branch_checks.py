"""The checks of a branch beside its base tell one mistake from another."""

import re

import pytest
import torch
from torch import nn
from toy_branch import Slim, verdict

from worldweave import CosmosBranch
from worldweave.testing.checks import branch, numerics, weights
from worldweave.testing.kit import Outcome

CHECKS = (*branch.CHECKS, *numerics.CHECKS, *weights.CHECKS)


@pytest.mark.parametrize("kind", [CosmosBranch, Slim])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_sound_branch_passes(check, kind):
    outcome, says, _ = verdict(check, kind)
    if check is weights.weights_fit_their_base:
        assert (outcome, says) == (Outcome.LEFT_OUT, "it brings no weights")
    else:
        assert outcome is Outcome.PASSED, says


# What does not fit


class AlwaysThree(Slim):
    def forward(self, latent, step, hint):
        return 3 * super().forward(latent, step, hint)


class Nothing(Slim):
    def forward(self, latent, step, hint):
        return []


class Generated(Slim):
    def forward(self, latent, step, hint):
        yield from super().forward(latent, step, hint)


class Arrays(Slim):
    def forward(self, latent, step, hint):
        return [each.numpy() for each in super().forward(latent, step, hint)]


class Wide(Slim):
    def forward(self, latent, step, hint):
        return [each.double() for each in super().forward(latent, step, hint)]


class OnlyEven(Slim):
    def forward(self, latent, step, hint):
        (made,) = super().forward(latent, step, hint)
        small = made[:, :, ::2]
        return [small.repeat_interleave(2, 2)]


class NeedsFps(Slim):
    def forward(self, latent, step, hint):
        return [each * (step.fps / 24) for each in super().forward(latent, step, hint)]


class Views(Slim):
    def forward(self, latent, step, hint):
        return super().forward(latent, step, hint.view(-1).view(hint.shape))


class LooksEarly(Slim):
    def __init__(self, config):
        super().__init__(config)
        self.size = float(self.enter.weight.max())


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (AlwaysThree, "3 residuals"),
        (Nothing, "0 residuals"),
        (Generated, "a generator"),
        (Arrays, "a ndarray"),
        (Wide, "is torch.float64"),
        (OnlyEven, r"is \(1, 1, 4, 5, 16\)"),
        (NeedsFps, "TypeError"),
        (Views, "RuntimeError: view"),
        (LooksEarly, "meta device"),
    ],
)
def test_residuals_that_do_not_fit_are_told(kind, said):
    outcome, says, mend = verdict(branch.residuals_fit_the_base, kind)
    assert outcome is Outcome.FAILED
    assert re.search(said, says), says
    assert mend


# What changes the base


class StartsFull(Slim):
    def start_from(self, base):
        with torch.no_grad():
            self.leave.weight.fill_(0.1)


def test_a_start_that_fills_the_zeros_is_told():
    outcome, says, _ = verdict(branch.fresh_branch_changes_nothing, StartsFull)
    assert outcome is Outcome.FAILED
    assert "after start_from(base) moves the base's output" in says


class SharesABlock(CosmosBranch):
    def start_from(self, base):
        self.blocks[0] = base.blocks[0]


class SharesStorage(CosmosBranch):
    def start_from(self, base):
        self.patch_embed.weight = nn.Parameter(base.patch_embed.weight.data)


class HidesTheBase(Slim):
    def start_from(self, base):
        self.bases = [base]


class HidesABlock(Slim):
    def start_from(self, base):
        self.first = [base.blocks[0]]


class ScalesTheBase(Slim):
    def start_from(self, base):
        with torch.no_grad():
            base.blocks[0].mlp.down.weight.mul_(0.5)


class Unfreezes(Slim):
    def start_from(self, base):
        base.blocks[1].requires_grad_(True)


class Detached(Slim):
    def forward(self, latent, step, hint):
        return [each.detach() for each in super().forward(latent, step, hint)]


class CutInTheMiddle(Slim):
    def seen(self, latent, step, hint):
        return self.once(super().seen(latent, step, hint)).detach()

    def __init__(self, config):
        super().__init__(config)
        width = self.enter.in_features
        self.once = nn.Linear(width, width)


class TimesZero(Slim):
    def seen(self, latent, step, hint):
        return super().seen(latent, step, hint + 0 * self.gain)

    def __init__(self, config):
        super().__init__(config)
        self.gain = nn.Parameter(torch.ones(1))


class AllFrozen(Slim):
    def __init__(self, config):
        super().__init__(config)
        self.requires_grad_(False)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (SharesABlock, "the base's own tensors (blocks.0.self_attention.q.weight"),
        (SharesStorage, "patch_embed.weight is patch_embed.weight of the base"),
        (HidesTheBase, "keeps a part of the base"),
        (HidesABlock, "keeps a part of the base"),
        (ScalesTheBase, "changed tensors of the base: blocks.0.mlp.down.weight"),
        (Unfreezes, "unfrozen parameters of the base: blocks.1."),
        (Detached, "4 of 4 parameters: enter.weight"),
        (CutInTheMiddle, "2 of 6 parameters: once.weight, once.bias"),
        (TimesZero, "1 of 5 parameters: gain"),
        (AllFrozen, "no parameter of the branch asks for a gradient"),
    ],
)
def test_training_that_goes_astray_is_told(kind, said):
    outcome, says, mend = verdict(branch.gradients_reach_only_the_branch, kind)
    assert outcome is Outcome.FAILED
    assert said in says
    assert mend


class HeadFrozen(CutInTheMiddle):
    def __init__(self, config):
        super().__init__(config)
        self.once.requires_grad_(False)


def test_what_is_frozen_needs_no_gradient():
    outcome, says, _ = verdict(branch.gradients_reach_only_the_branch, HeadFrozen)
    assert outcome is Outcome.PASSED, says
