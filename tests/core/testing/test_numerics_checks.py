"""What a branch computes unsoundly is told from what it may do."""

import math

import pytest
import torch
from torch import nn
from toy_branch import Slim, verdict

from worldweave.testing.checks import branch, numerics
from worldweave.testing.kit import Outcome


class Cancels(Slim):
    def seen(self, latent, step, hint):
        return super().seen(latent, step, hint) / ((1 + 1e-3 * step.text[0, 0, :1]) - 1)


class Waves(Slim):
    def seen(self, latent, step, hint):
        return (1000 * super().seen(latent, step, hint)).sin()


class FixedDtype(Slim):
    def seen(self, latent, step, hint):
        return super().seen(latent, step, hint).float()


class InFloat32(Slim):
    def seen(self, latent, step, hint):
        return super().seen(latent.float(), step, hint.float()).to(latent.dtype)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Cancels, "not finite, though they are in float32"),
        (Waves, "away from that in float32; 20% is allowed"),
        (FixedDtype, "raised RuntimeError: mat1 and mat2"),
        (InFloat32, ""),
    ],
)
def test_what_bfloat16_spoils_is_told(kind, said):
    outcome, says, _ = verdict(branch.branch_runs_in_bfloat16, kind)
    assert outcome is (Outcome.FAILED if said else Outcome.PASSED)
    assert said in says


class Rooted(Slim):
    """Finite, but the slope of a root at zero is not."""

    def __init__(self, config):
        super().__init__(config)
        self.scale = nn.Parameter(torch.ones(config.hint_channels, 1, 1, 1))

    def seen(self, latent, step, hint):
        level = (hint * self.scale).square().sum(1, keepdim=True).sqrt()
        return super().seen(latent, step, hint * self.scale + level)


class Exploding(Slim):
    def seen(self, latent, step, hint):
        return super().seen(latent, step, hint.exp() - hint.exp())


class Thin(Slim):
    """Adds what float32 keeps, and bfloat16 rounds away."""

    def seen(self, latent, step, hint):
        hint = hint / ((1 + 1e-4 * torch.ones_like(hint)) - 1)
        return super().seen(latent, step, hint)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            Rooted,
            "the gradient of scale, where the hint is zero everywhere, has 4 of 4",
        ),
        (Exploding, "spread of 100, residual 0 has"),
        (Thin, "values that are not finite (bfloat16)"),
    ],
)
def test_values_that_are_not_finite_are_told_with_their_hint(kind, said):
    outcome, says, _ = verdict(numerics.branch_is_finite, kind)
    assert outcome is Outcome.FAILED
    assert said in says


class Mutates(Slim):
    def seen(self, latent, step, hint):
        hint *= 2
        return super().seen(latent, step, hint)


class Smooths(Slim):
    last = 0.0

    def seen(self, latent, step, hint):
        before, self.last = self.last, float(hint.mean())
        return super().seen(latent, step, hint - before)


class Cached(Slim):
    made: dict = {}  # noqa: RUF012 -- the mistake

    def forward(self, latent, step, hint):
        if latent.shape not in self.made:
            self.made[latent.shape] = super().forward(latent, step, hint)
        return self.made[latent.shape]


class SmoothsWithAnother(Slim):
    """Its first call differs from all that follow, so that twice is not enough."""

    top = -math.inf

    def seen(self, latent, step, hint):
        self.top = max(self.top, float(hint.max()))
        return super().seen(latent, step, hint / self.top)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Mutates, "changes its inputs in place: hint"),
        (Smooths, "two calls with the same inputs differ by up to"),
        (Cached, "give the same residuals, bit for bit"),
        (SmoothsWithAnother, "depends on what it was called with before"),
    ],
)
def test_what_is_not_the_same_every_time_is_told(kind, said):
    outcome, says, _ = verdict(numerics.branch_is_deterministic, kind)
    assert outcome is Outcome.FAILED
    assert said in says


class DropsInTraining(Slim):
    def seen(self, latent, step, hint):
        hint = nn.functional.dropout(hint, 0.5, self.training)
        return super().seen(latent, step, hint)


def test_dropout_in_training_alone_is_fine():
    outcome, says, _ = verdict(numerics.branch_is_deterministic, DropsInTraining)
    assert outcome is Outcome.PASSED, says
