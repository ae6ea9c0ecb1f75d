"""The parts of a block against formulas written out in double precision."""

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from worldweave.model.layers import (
    MLP,
    Attention,
    Block,
    Head,
    Modulation,
    RMSNorm,
    TimeEmbedding,
)
from worldweave.model.rope import rope_angles
from worldweave_kernels import norm_modulate, reference


@pytest.fixture
def given(config):
    """Everything a block is given besides its hidden state, and that."""
    generator = torch.Generator().manual_seed(8)
    width, tokens = config.hidden, 8

    def random(*shape):
        return torch.randn(*shape, generator=generator)

    angles = rope_angles(
        (2, 2, 2),
        head_width=config.head_width,
        ratios=(1.0, 1.0, 1.0),
        fps=24.0,
        base_fps=24.0,
        device=torch.device("cpu"),
    )
    return random(2, tokens, width), {
        "positions": random(tokens, width),
        "rope": (angles.cos(), angles.sin()),
        "text": random(2, 5, config.text_channels),
        "noise": random(2, width),
        "shared": random(2, 3 * width),
    }


def attend(weights, x, context, heads, rope):
    def project(which, source):
        out = (source @ weights[f"{which}.weight"].T).unflatten(-1, (heads, -1))
        if which == "v":
            return out
        rms = out.square().mean(-1, keepdim=True).add(1e-6).sqrt()
        return out / rms * weights[f"{which}_norm.weight"]

    q, k, v = project("q", x), project("k", context), project("v", context)
    if rope is not None:
        cos, sin = (each[:, None] for each in rope)
        q, k = (
            torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)
            for a, b in (q.chunk(2, -1), k.chunk(2, -1))
        )
    scores = torch.einsum("blhd,bmhd->bhlm", q, k) / math.sqrt(q.shape[-1])
    seen = torch.einsum("bhlm,bmhd->blhd", scores.softmax(-1), v).flatten(-2)
    return seen @ weights["out.weight"].T


def part(state, prefix):
    return {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}


def test_a_block_is_positions_then_three_gated_sub_blocks(config, alive, given):
    block = alive(Block(config))
    x, around = given
    state = {k: v.double() for k, v in block.state_dict().items()}
    h = x.double() + around["positions"].double()
    text, rope = around["text"].double(), [x.double() for x in around["rope"]]
    sub_blocks = (
        lambda y: attend(part(state, "self_attention."), y, y, config.heads, rope),
        lambda y: attend(part(state, "cross_attention."), y, text, config.heads, None),
        lambda y: (
            F.gelu(y @ state["mlp.up.weight"].T, approximate="none")
            @ state["mlp.down.weight"].T
        ),
    )
    for index, sub_block in enumerate(sub_blocks):
        down, up = (state[f"modulation.{index}.{n}.weight"] for n in ("down", "up"))
        low = F.silu(around["noise"].double()) @ down.T @ up.T
        total = low + around["shared"].double()
        shift, scale, gate = total[:, None].chunk(3, dim=-1)
        mean = h.mean(-1, keepdim=True)
        spread = h.var(-1, unbiased=False, keepdim=True).add(1e-6).sqrt()
        h = h + gate * sub_block((h - mean) / spread * (1 + scale) + shift)
    out = block(x, **around)
    torch.testing.assert_close(out.double(), h, rtol=1e-5, atol=1e-5)


def test_the_embedded_noise_level_is_the_normalised_sinusoid_not_the_mlps(
    config, alive
):
    time = alive(TimeEmbedding(config))
    c_noise = torch.tensor([-1.5, 0.8])
    half = config.hidden // 2
    frequency = [10000 ** (-k / half) for k in range(half)]
    wave = torch.tensor(
        [
            [math.cos(c * f) for f in frequency] + [math.sin(c * f) for f in frequency]
            for c in c_noise.tolist()
        ]
    )
    noise, shared = time(c_noise)
    rms = wave.square().mean(-1, keepdim=True).add(1e-6).sqrt()
    torch.testing.assert_close(noise, wave / rms * time.norm.weight)
    torch.testing.assert_close(shared, time.linear_2(F.silu(time.linear_1(wave))))


def test_the_head_takes_the_first_two_thirds_of_the_shared_modulation(
    config, alive, given
):
    head = alive(Head(config))
    x, around = given
    out = head(x, around["noise"], around["shared"])
    shift, scale = (
        head.modulation.up(head.modulation.down(F.silu(around["noise"])))
        + around["shared"][:, : 2 * config.hidden]
    ).chunk(2, dim=-1)
    wanted = head.linear(norm_modulate(x, shift[:, None], scale[:, None]))
    torch.testing.assert_close(out, wanted)
    moved = around["shared"].clone()
    moved[:, 2 * config.hidden :] += 1.0
    assert torch.equal(head(x, around["noise"], moved), out)


def test_modulation_comes_in_the_order_shift_scale_gate(config):
    modulation = Modulation(config, 3)
    torch.nn.init.zeros_(modulation.up.weight)
    width = config.hidden
    shared = torch.cat([torch.full((1, width), float(n)) for n in range(3)], dim=-1)
    parts = modulation(torch.zeros(1, width), shared)
    assert [p.unique().item() for p in parts] == [0.0, 1.0, 2.0]
    assert all(p.shape == (1, 1, width) for p in parts)


def test_modulating_with_zeros_only_normalises():
    x = torch.randn(1, 3, 24) * 5 + 2
    out = norm_modulate(x, torch.zeros(1, 1, 24), torch.zeros(1, 1, 24))
    assert out.mean(-1).abs().max() < 1e-5
    torch.testing.assert_close(out.var(-1, unbiased=False), torch.ones(1, 3))


def test_a_norm_brings_any_scale_to_its_weights():
    norm = RMSNorm(3)
    norm.weight.data = torch.tensor([1.0, 2.0, 3.0])
    out = norm(torch.full((1, 3), 1000.0))
    torch.testing.assert_close(out, torch.tensor([[1.0, 2.0, 3.0]]))


def test_a_norm_keeps_its_dtype_under_the_autocast_of_a_gpu():
    # Which computes norms in float32; torch follows its rules without a GPU, too.
    with FakeTensorMode(), torch.device("cuda"), torch.no_grad():
        torch.set_autocast_enabled("cuda", True)
        try:
            norm = RMSNorm(8)
            out = norm(torch.empty(1, 2, 8, dtype=torch.bfloat16))
            assert F.rms_norm(out, (8,)).dtype == torch.float32
        finally:
            torch.set_autocast_enabled("cuda", False)
    assert out.dtype == torch.bfloat16


def test_rotation_reaches_queries_and_keys_of_self_attention_only(config, alive):
    attention = alive(Attention(config, config.hidden))
    x = torch.randn(1, 8, config.hidden, generator=torch.Generator().manual_seed(1))
    ones = torch.ones(8, config.head_width // 2)
    still = attention(x, x, None)
    torch.testing.assert_close(attention(x, x, (ones, 0 * ones)), still)
    turn = torch.linspace(0, 3, 8)[:, None] * ones
    turned = attention(x, x, (turn.cos(), turn.sin()))
    assert not torch.allclose(turned, still, atol=1e-3)


def test_rotation_is_computed_in_float32():
    x = torch.ones(1, 1, 1, 2, dtype=torch.bfloat16)
    angle = torch.full((1, 1), 100.03)
    wanted = math.cos(100.03) - math.sin(100.03)
    out = reference.rotate(x, angle.cos(), angle.sin())
    assert out[0, 0, 0, 0].item() == pytest.approx(wanted, rel=0.01)


def test_the_mlp_uses_the_exact_gelu(config):
    mlp = MLP(config)
    x = torch.linspace(-3, 3, config.hidden)[None]
    inner = mlp.up(x)
    exact = 0.5 * inner * (1 + torch.erf(inner / math.sqrt(2)))
    torch.testing.assert_close(mlp(x), mlp.down(exact), rtol=0, atol=1e-6)
