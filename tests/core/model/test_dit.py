"""The base: its size, its inputs, where residuals enter, how it starts."""

import attrs
import pytest
import torch

from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (DiTConfig(), 7_236_208_640),
        (DiTConfig(condition_mask=False, hint_channels=16), 7_236_192_256),
    ],
    ids=["7B", "AV"],
)
def test_a_released_base_has_exactly_its_parameters(config, parameters):
    with torch.device("meta"):
        base = DiT(config)
    assert count(base) == parameters
    assert not list(base.buffers())


def test_the_output_has_the_shape_of_the_latent(base, latent, step):
    out = base(latent, step)
    assert out.shape == latent.shape
    assert out.isfinite().all()


def test_under_autocast_the_hidden_state_keeps_the_dtype_of_the_parameters(
    base, latent, step
):
    seen = []
    for block in base.blocks:
        block.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        base(latent, step)
    assert seen == [torch.float32] * len(base.blocks)


def test_masks_default_to_zeros(base, latent, step):
    zeros = torch.zeros_like(latent[:, :1])
    explicit = step._replace(condition_mask=zeros, padding_mask=zeros)
    assert torch.equal(base(latent, step), base(latent, explicit))


@pytest.mark.parametrize("mask", ["condition_mask", "padding_mask"])
def test_each_mask_is_seen(base, latent, step, mask):
    ones = torch.ones_like(latent[:, :1])
    changed = base(latent, step._replace(**{mask: ones}))
    assert (changed - base(latent, step)).abs().max() > 0.01


def test_a_mask_of_one_sample_serves_the_batch(base, latent, step):
    mask = torch.ones_like(latent[:, :1])
    one, each = (
        base(latent, step._replace(condition_mask=m)) for m in (mask[:1], mask)
    )
    assert torch.equal(one, each)


def test_an_av_base_has_no_condition_channel(config, alive, latent, step):
    av = alive(DiT(attrs.evolve(config, condition_mask=False)))
    assert av.patch_embed.in_features == (config.latent_channels + 1) * 4
    given = step._replace(condition_mask=torch.ones_like(latent[:, :1]))
    assert torch.equal(av(latent, given), av(latent, step))


def test_the_padding_mask_is_the_last_input_channel(base, latent, step):
    mask = torch.ones_like(latent[:, :1])
    plain = base.embed(latent, step)
    padded = base.embed(latent, step._replace(padding_mask=mask))
    wanted = base.patch_embed.weight[:, -4:].sum(dim=1).expand_as(plain)
    torch.testing.assert_close(padded - plain, wanted, rtol=0, atol=1e-5)


def test_samples_of_a_batch_do_not_mix(base, latent, step):
    both = base(latent, step)
    for i in range(2):
        alone = step._replace(
            c_noise=step.c_noise[i : i + 1], text=step.text[i : i + 1]
        )
        torch.testing.assert_close(
            base(latent[i : i + 1], alone), both[i : i + 1], rtol=1e-5, atol=1e-5
        )


def test_text_padded_with_zeros_is_still_attended(base, latent, step):
    padded = torch.cat([step.text, torch.zeros_like(step.text)], dim=1)
    changed = base(latent, step._replace(text=padded))
    assert (changed - base(latent, step)).abs().max() > 0.01


def test_noise_text_and_fps_all_matter(base, latent, step):
    plain = base(latent, step)
    for other in (
        step._replace(c_noise=step.c_noise + 0.5),
        step._replace(text=-step.text),
        step._replace(fps=8.0),
    ):
        assert (base(latent, other) - plain).abs().max() > 1e-3


def test_a_larger_time_scale_is_a_larger_noise_level(config, alive, latent, step):
    fast = alive(DiT(attrs.evolve(config, time_scale=10.0)))
    slow = alive(DiT(config))
    scaled = step._replace(c_noise=10 * step.c_noise)
    torch.testing.assert_close(
        fast(latent, step), slow(latent, scaled), rtol=1e-5, atol=1e-5
    )


def test_residuals_are_added_after_their_whole_block(base, latent, step, maps):
    residuals = [torch.randn(2, 3, 2, 3, 24) for _ in range(2)]
    x = base.embed(latent, step)
    around = base.surroundings(latent, step, base.config.rope_ratios)
    for index, block in enumerate(base.blocks):
        x = block(x, **around)
        if index < 2:
            x = x + (maps.unsqueeze(-1) * residuals[index]).flatten(1, 3)
    tokens = base.head(x, around["noise"], around["shared"])
    # Row, column, channel of a patch: the order in which the head writes.
    cut = tokens.view(2, 3, 2, 3, 2, 2, 4)
    wanted = cut.permute(0, 6, 1, 2, 4, 3, 5).reshape(latent.shape)
    torch.testing.assert_close(base(latent, step, [residuals], [maps]), wanted)


def test_branches_of_different_depth_work_side_by_side(base, latent, step, maps):
    short, long = ([torch.randn(2, 3, 2, 3, 24) for _ in range(n)] for n in (1, 3))
    filled = [*short, torch.zeros_like(long[1]), torch.zeros_like(long[2])]
    wanted = base(latent, step, [filled, long], [maps, 1 - maps])
    assert torch.equal(base(latent, step, [short, long], [maps, 1 - maps]), wanted)


def test_each_branch_needs_its_map(base, latent, step, maps):
    residuals = [torch.zeros(2, 3, 2, 3, 24)]
    with pytest.raises(ValueError, match=r"2 branches gave residuals .* 1 maps"):
        base(latent, step, [residuals, residuals], [maps])


def test_the_base_counts_time_with_its_own_ratio(config, alive, latent, step):
    own = alive(DiT(attrs.evolve(config, rope_ratios=(2.0, 1.0, 1.0))))
    branches = attrs.evolve(own.config, branch_rope_ratios=(4.0, 1.0, 1.0))
    assert torch.equal(alive(DiT(branches))(latent, step), own(latent, step))
    other = alive(DiT(attrs.evolve(config, rope_ratios=(4.0, 1.0, 1.0))))
    assert (other(latent, step) - own(latent, step)).abs().max() > 1e-4


def test_a_bfloat16_base_stays_near_the_float32_one(base, latent, step):
    exact = base(latent, step)
    half = base.to(torch.bfloat16)
    rounded = half(
        latent.to(torch.bfloat16), step._replace(text=step.text.to(torch.bfloat16))
    )
    assert rounded.dtype == torch.bfloat16
    assert rounded.isfinite().all()
    error = (rounded.float() - exact).square().mean().sqrt()
    assert error < 0.1 * exact.std()


def test_an_untrained_base_predicts_no_change(config, latent, step):
    base = DiT(config)
    base.initialize(torch.Generator().manual_seed(3))
    assert not base(latent, step).any()


def test_the_start_of_training_follows_from_the_seed_alone(config):
    states: list[dict[str, torch.Tensor]] = []
    for seed in (3, 3, 4):
        torch.manual_seed(len(states))
        base = DiT(config)
        base.initialize(torch.Generator().manual_seed(seed))
        states.append(base.state_dict())
    first, again, other = states
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["patch_embed.weight"], other["patch_embed.weight"])


def test_blocks_start_closed_but_not_dead(config):
    base = DiT(config)
    base.initialize(torch.Generator().manual_seed(3))
    for name, weight in base.blocks.named_parameters():
        is_closed = ".modulation." in name and name.endswith(".up.weight")
        assert bool(weight.any()) is not is_closed
    assert base.positions.t.std().item() == pytest.approx(0.02, rel=0.3)
    assert base.time.linear_2.weight.std().item() == pytest.approx(0.02, rel=0.1)
