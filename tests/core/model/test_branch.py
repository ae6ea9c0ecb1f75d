"""The Cosmos branch: what it reads, where the hint enters, what it starts from."""

import attrs
import pytest
import torch
from torch import nn

from worldweave.model.branch import ControlBranch, CosmosBranch
from worldweave.model.config import DiTConfig


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (DiTConfig(), 893_497_120),
        (DiTConfig(condition_mask=False, hint_channels=16), 891_645_728),
    ],
    ids=["7B", "AV"],
)
def test_a_released_branch_has_exactly_its_parameters(config, parameters):
    with torch.device("meta"):
        branch = CosmosBranch(config)
    assert sum(p.numel() for p in branch.parameters()) == parameters


def test_a_residual_per_controlled_block_on_the_token_grid(branch, latent, step, hint):
    residuals = branch(latent, step, hint)
    assert [tuple(r.shape) for r in residuals] == [(2, 3, 2, 3, 24)] * 3
    assert all(r.isfinite().all() and r.std() > 0.01 for r in residuals)


def test_a_fresh_branch_returns_zeros(config, latent, step, hint):
    for residual in CosmosBranch(config)(latent, step, hint):
        assert torch.equal(residual, torch.zeros_like(residual))


def test_a_fresh_branch_is_a_control_branch_that_could_learn(config):
    branch = CosmosBranch(config)
    assert isinstance(branch, ControlBranch)
    # All zero inside, too, and nothing could ever move.
    *inner, _ = [m for m in branch.hint_mlp.children() if isinstance(m, nn.Linear)]
    assert all(layer.weight.any() for layer in inner)


def test_the_hint_enters_after_block_0_and_before_its_projection(
    branch, latent, step, hint
):
    guides = []
    for each in (hint, -hint):
        mask = torch.zeros_like(each[:, :1])
        channels = torch.cat([each, mask], dim=1).view(2, 7, 3, 2, 2, 3, 2)
        tokens = channels.permute(0, 2, 3, 5, 1, 4, 6).reshape(2, 18, 28)
        guides.append(branch.hint_mlp(branch.hint_embed(tokens)))
    # Nothing bends the hint between its own network and residual 0, so two
    # hints differ there by a linear map of their guides, at any noise level.
    wanted = (guides[0] - guides[1]) @ branch.zero[0].weight.T
    for c_noise in (step.c_noise, step.c_noise + 1):
        at = step._replace(c_noise=c_noise)
        one, other = (branch(latent, at, h)[0].flatten(1, 3) for h in (hint, -hint))
        torch.testing.assert_close(one - other, wanted, rtol=0, atol=1e-4)
    assert wanted.std() > 0.1


def test_later_blocks_read_the_hint_but_get_it_only_once(branch, latent, step, hint):
    grid, width = (3, 2, 3), 24
    x = branch.embed(latent, step)
    around = branch.surroundings(latent, step, branch.config.branch_rope_ratios)
    first = branch.blocks[0](x, **around)
    projected = branch(latent, step, hint)[0].flatten(1, 3) - branch.zero[0].bias
    guided = projected @ torch.linalg.inv(branch.zero[0].weight.T)
    assert (guided - first).std() > 0.1
    second = branch.blocks[1](guided, **around)
    wanted = branch.zero[1](second).view(2, *grid, width)
    torch.testing.assert_close(
        branch(latent, step, hint)[1], wanted, rtol=1e-3, atol=1e-3
    )


def test_a_narrow_hint_is_padded_with_zeros(branch, latent, step, hint):
    narrow = hint[:, :4]
    wide = torch.cat([narrow, torch.zeros_like(hint[:, 4:])], dim=1)
    for one, other in zip(
        branch(latent, step, narrow), branch(latent, step, wide), strict=True
    ):
        assert torch.equal(one, other)


def test_more_hint_channels_than_the_branch_takes_are_refused(
    branch, latent, step, hint
):
    with pytest.raises(ValueError, match=r"hint has 12 channels, .* at most 6"):
        branch(latent, step, torch.cat([hint, hint], dim=1))


@pytest.mark.parametrize("axis", [2, 3, 4])
def test_a_hint_of_another_size_is_refused(branch, latent, step, hint, axis):
    other = torch.cat([hint, hint], dim=axis)
    with pytest.raises(ValueError, match=r"but the latent is \(3, 4, 6\)"):
        branch(latent, step, other)


def test_the_padding_mask_is_seen_beside_the_hint_too(branch, latent, step, hint):
    with torch.no_grad():
        branch.patch_embed.weight[:, -4:] = 0.0
    padded = step._replace(padding_mask=torch.ones_like(latent[:, :1]))
    change = branch(latent, padded, hint)[0] - branch(latent, step, hint)[0]
    assert change.abs().max() > 0.01


def test_the_branch_counts_time_with_its_own_ratio(config, alive, latent, step, hint):
    def residual(**ratios):
        branch = alive(CosmosBranch(attrs.evolve(config, **ratios)), 1)
        return branch(latent, step, hint)[2]

    own = residual(rope_ratios=(2.0, 1.0, 1.0))
    assert torch.equal(residual(rope_ratios=(4.0, 1.0, 1.0)), own)
    assert (residual(branch_rope_ratios=(4.0, 1.0, 1.0)) - own).abs().max() > 1e-4


def test_the_head_is_carried_but_never_trained(branch, latent, step, hint):
    assert any(name.startswith("head.") for name in branch.state_dict())
    assert not any(p.requires_grad for p in branch.head.parameters())
    sum(r.square().sum() for r in branch(latent, step, hint)).backward()
    assert all(p.grad is None for p in branch.head.parameters())


def test_every_other_weight_gets_a_gradient(branch, latent, step, hint):
    sum(r.square().sum() for r in branch(latent, step, hint)).backward()
    idle = [
        name
        for name, p in branch.named_parameters()
        if not name.startswith("head.") and (p.grad is None or not p.grad.any())
    ]
    assert idle == []


def test_a_branch_starts_from_the_first_blocks_of_the_base(config, base):
    branch = CosmosBranch(config)
    before = {k: v.clone() for k, v in branch.state_dict().items()}
    branch.start_from(base)
    theirs, own = base.state_dict(), branch.state_dict()
    shared = theirs.keys() & own.keys()
    assert {name.split(".")[1] for name in shared if name.startswith("blocks")} == {
        "0",
        "1",
        "2",
    }
    assert all(torch.equal(own[name], theirs[name]) for name in shared)
    rest = own.keys() - shared
    assert {name.split(".")[0] for name in rest} == {"hint_embed", "hint_mlp", "zero"}
    assert all(torch.equal(own[name], before[name]) for name in rest)


def test_the_copy_is_no_tie(config, base):
    branch = CosmosBranch(config)
    branch.start_from(base)
    kept = base.patch_embed.weight.clone()
    with torch.no_grad():
        branch.patch_embed.weight.add_(1.0)
    assert torch.equal(base.patch_embed.weight, kept)


def test_a_bfloat16_branch_stays_near_the_float32_one(branch, latent, step, hint):
    exact = branch(latent, step, hint)
    half = torch.bfloat16
    rounded = branch.to(half)(
        latent.to(half), step._replace(text=step.text.to(half)), hint.to(half)
    )
    for one, other in zip(rounded, exact, strict=True):
        assert one.dtype == half
        assert one.isfinite().all()
        assert (one.float() - other).square().mean().sqrt() < 0.1 * other.std()
