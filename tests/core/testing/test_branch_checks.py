"""The checks of a branch tell one mistake from another, and pass what is sound."""

import math
import re

import attrs
import pytest
import torch
from torch import nn

from worldweave import ControlBranch, CosmosBranch, Modality, Weights, discover
from worldweave.checkpoints import store
from worldweave.model.branch import zero_linear
from worldweave.model.patches import patchify, token_grid, with_masks
from worldweave.testing.checks import branch, numerics, weights
from worldweave.testing.kit import Examination, Outcome
from worldweave.testing.subject import SMALL, Subject
from worldweave_registry import Plugin, State

CHECKS = (*branch.CHECKS, *numerics.CHECKS, *weights.CHECKS)


def subject(kind, **changes):
    modality = Modality(
        name="own",
        summary="for tests",
        license="MIT",
        preprocessor=None,
        branch=f"{__name__}:{kind.__qualname__}",
        **changes,
    )
    plugin = Plugin(name="own", distribution="me", version="1", state=State.READY)
    return Subject(modality=modality, plugin=plugin, catalog=discover())


def verdict(check, kind, **changes):
    # Alone: what it needs is not looked at.
    found = Examination(subject(kind, **changes), [alone(check)]).verdict(check.name)
    return found.outcome, found.says, found.mend


def alone(check):
    return attrs.evolve(check, needs=())


class Slim(ControlBranch):
    """All that a branch needs to be, and nothing of ours: two linear layers."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        channels = config.latent_channels + config.hint_channels
        self.enter = nn.Linear(channels * config.patch_size, config.hidden)
        self.leave = zero_linear(config.hidden, config.hidden)

    def seen(self, latent, step, hint):
        hint = with_masks(hint, (), self.config.hint_channels)
        return patchify(torch.cat([latent, hint], 1), self.config.patch)

    def forward(self, latent, step, hint):
        tokens = self.leave(self.enter(self.seen(latent, step, hint)).tanh())
        return [tokens.unflatten(1, token_grid(latent, self.config.patch))]


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


# What computes unsoundly


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


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            Rooted,
            "the gradient of scale, where the hint is zero everywhere, has 4 of 4",
        ),
        (Exploding, "spread of 100, residual 0 has"),
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


# What does not keep


class Forgets(Slim):
    """Lays a tensor on the CPU whatever torch is told: built anew it is another."""

    def __init__(self, config):
        super().__init__(config)
        self.phase = torch.rand(1, device="cpu")

    def seen(self, latent, step, hint):
        return super().seen(latent, step, hint + self.phase.to(hint))


class NotPersistent(Slim):
    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("phase", torch.rand(1), persistent=False)

    def seen(self, latent, step, hint):
        return super().seen(latent, step, hint + self.phase)


class Late(Slim):
    def seen(self, latent, step, hint):
        if not hasattr(self, "late"):
            self.late = nn.Parameter(torch.rand(1, dtype=latent.dtype))
        return super().seen(latent, step, hint + self.late)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Forgets, "in torch.float32, it returns something else"),
        (NotPersistent, "keeps buffer 'phase' out of its state dict"),
        (Late, "cannot be read back: what it saved does not fit"),
    ],
)
def test_what_is_lost_in_a_file_is_told(kind, said):
    outcome, says, mend = verdict(weights.weights_round_trip, kind)
    assert outcome is Outcome.FAILED
    assert said in says
    assert "register_buffer" in mend


class Kept(Slim):
    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("phase", torch.rand(1))

    def seen(self, latent, step, hint):
        return super().seen(latent, step, hint + self.phase)


def test_a_buffer_that_is_saved_comes_back():
    outcome, says, _ = verdict(weights.weights_round_trip, Kept)
    assert outcome is Outcome.PASSED, says


# Weights that are shipped


def shipped(tmp_path, base="tiny-world", *, config=None, uri=None):
    from worldweave_plugins.tinyworld.config import CONFIG

    path = tmp_path / "own.safetensors"
    store.write(path, Slim(config or CONFIG).state_dict())
    return [Weights(base=base, uri=uri or str(path), license="MIT")]


def test_weights_for_their_base_pass(tmp_path):
    check = weights.weights_fit_their_base
    outcome, says, _ = verdict(check, Slim, weights=shipped(tmp_path))
    assert outcome is Outcome.PASSED, says


def test_weights_of_another_base_are_told(tmp_path):
    check = weights.weights_fit_their_base
    found = verdict(check, Slim, weights=shipped(tmp_path, config=SMALL))
    assert found[0] is Outcome.FAILED
    assert "do not fit tiny-world" in found[1]
    assert "worldweave train own --base tiny-world" in found[2]


@pytest.mark.parametrize(
    ("base", "uri", "reason"),
    [
        ("nowhere", None, "no plugin supplies the base 'nowhere'"),
        ("tiny-world", "gone.safetensors", "there is no file 'gone.safetensors'"),
        ("tiny-world", "moon://there", "no plugin fetches 'moon://there'"),
    ],
)
def test_weights_that_cannot_be_had_are_left_out(tmp_path, base, uri, reason):
    check = weights.weights_fit_their_base
    given = shipped(tmp_path, base, uri=uri)
    outcome, says, _ = verdict(check, Slim, weights=given)
    assert outcome is Outcome.LEFT_OUT
    assert reason in says
    # Beside others that can be had they keep nobody from looking.
    bad = shipped(tmp_path, config=SMALL)
    assert verdict(check, Slim, weights=[*given, *bad])[0] is Outcome.FAILED
