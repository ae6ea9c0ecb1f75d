"""Our DiT computes what diffusers' port of the official base computes."""

from typing import Any

import pytest
import torch
from diffusers import CosmosTransformer3DModel

from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT
from worldweave.model.step import Step

TOP = {
    "patch_embed": "patch_embed.proj",
    "positions": "learnable_pos_embed",
    "time.linear_1": "time_embed.t_embedder.linear_1",
    "time.linear_2": "time_embed.t_embedder.linear_2",
    "time.norm": "time_embed.norm",
    "head.modulation.down": "norm_out.linear_1",
    "head.modulation.up": "norm_out.linear_2",
    "head.linear": "proj_out",
}
IN_BLOCK = {
    f"{ours}_attention.{part}": f"{theirs}.{name}"
    for ours, theirs in (("self", "attn1"), ("cross", "attn2"))
    for part, name in (
        ("q", "to_q"),
        ("k", "to_k"),
        ("v", "to_v"),
        ("out", "to_out.0"),
        ("q_norm", "norm_q"),
        ("k_norm", "norm_k"),
    )
} | {
    "mlp.up": "ff.net.0.proj",
    "mlp.down": "ff.net.2",
    **{f"modulation.{i}.down": f"norm{i + 1}.linear_1" for i in range(3)},
    **{f"modulation.{i}.up": f"norm{i + 1}.linear_2" for i in range(3)},
}


def their_name(name):
    module, _, leaf = name.rpartition(".")
    if module == "positions":
        return f"learnable_pos_embed.pos_emb_{leaf}"
    if module.startswith("blocks."):
        _, index, rest = module.split(".", 2)
        return f"transformer_blocks.{index}.{IN_BLOCK[rest]}.{leaf}"
    return f"{TOP[module]}.{leaf}"


@pytest.fixture(
    params=[
        DiTConfig(
            latent_channels=4,
            hidden=48,
            heads=2,
            blocks=3,
            text_channels=16,
            adaln_rank=8,
            max_size=(8, 24, 32),
        ),
        DiTConfig(
            latent_channels=6,
            hidden=60,
            heads=3,
            blocks=2,
            text_channels=10,
            adaln_rank=4,
            mlp_ratio=2,
            max_size=(16, 16, 20),
            rope_ratios=(1.5, 3.0, 2.0),
        ),
    ],
    ids=["48 wide", "60 wide"],
)
def pair(request):
    """Ours and theirs with the same random weights, norms included."""
    config = request.param
    theirs: Any = CosmosTransformer3DModel(
        # The padding mask is a channel as any other; their own way to append it
        # needs torchvision.
        in_channels=config.input_channels,
        concat_padding_mask=False,
        out_channels=config.latent_channels,
        num_attention_heads=config.heads,
        attention_head_dim=config.head_width,
        num_layers=config.blocks,
        mlp_ratio=config.mlp_ratio,
        text_embed_dim=config.text_channels,
        adaln_lora_dim=config.adaln_rank,
        max_size=config.max_size,
        patch_size=config.patch,
        rope_scale=config.rope_ratios,
    )
    generator = torch.Generator().manual_seed(5)
    for parameter in theirs.parameters():
        if parameter.ndim == 1:
            parameter.normal_(1.0, 0.3, generator=generator)
        else:
            spread = 0.6 * parameter.shape[-1] ** -0.5
            parameter.normal_(0.0, spread, generator=generator)
    ours = DiT(config)
    state = theirs.state_dict()
    names = {name: their_name(name) for name in ours.state_dict()}
    assert set(names.values()) == set(state)
    ours.load_state_dict({name: state[other] for name, other in names.items()})
    return ours.eval(), theirs.eval()


def inputs(config, grid, fps):
    generator = torch.Generator().manual_seed(6)
    frames, rows, columns = grid
    shape = (2, config.latent_channels, frames, 2 * rows, 2 * columns)
    mask = (2, 1, *shape[2:])
    return torch.randn(shape, generator=generator), Step(
        c_noise=torch.tensor([-1.2, 0.9]),
        text=torch.randn(2, 7, config.text_channels, generator=generator),
        fps=fps,
        condition_mask=torch.randint(2, mask, generator=generator).float(),
        padding_mask=torch.randint(2, mask, generator=generator).float(),
    )


@pytest.mark.parametrize("fps", [24.0, 10.0])
@pytest.mark.parametrize("grid", [(4, 5, 3), (1, 6, 8)], ids=["video", "image"])
def test_the_base_equals_that_of_diffusers(pair, grid, fps):
    ours, theirs = pair
    latent, step = inputs(ours.config, grid, fps)
    masks = torch.cat([step.condition_mask, step.padding_mask], dim=1)
    wanted = theirs(
        latent,
        timestep=step.c_noise,
        encoder_hidden_states=step.text,
        fps=fps,
        condition_mask=masks,
        return_dict=False,
    )[0]
    out = ours(latent, step)
    assert wanted.std() > 0.1
    torch.testing.assert_close(out, wanted, atol=1e-5, rtol=0)


def test_frames_are_counted_where_no_fps_is_given(pair):
    ours, theirs = pair
    latent, step = inputs(ours.config, (3, 2, 2), None)
    masks = torch.cat([step.condition_mask, step.padding_mask], dim=1)
    wanted = theirs(
        latent,
        timestep=step.c_noise,
        encoder_hidden_states=step.text,
        condition_mask=masks,
        return_dict=False,
    )[0]
    torch.testing.assert_close(ours(latent, step), wanted, atol=1e-5, rtol=0)
