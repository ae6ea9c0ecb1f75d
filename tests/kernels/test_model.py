"""The model computes the same on every backend."""

import pytest
import torch

from worldweave.model.branch import CosmosBranch
from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT
from worldweave.model.fusion import normalize
from worldweave.model.step import Step
from worldweave.model.weave import weave
from worldweave_kernels.agreement import relative_error
from worldweave_kernels.dispatch import ENVIRONMENT


@pytest.fixture
def config():
    return DiTConfig(
        latent_channels=4,
        hidden=32,
        heads=2,
        blocks=2,
        text_channels=8,
        adaln_rank=4,
        mlp_ratio=2,
        hint_channels=4,
        hint_widths=(8,),
        control_blocks=1,
        max_size=(4, 8, 8),
    )


@pytest.fixture
def models(config):
    """A base and two branches in which nothing is zero."""
    generator = torch.Generator().manual_seed(0)
    made = DiT(config), CosmosBranch(config), CosmosBranch(config)
    for model in made:
        for parameter in model.parameters():
            parameter.data.normal_(std=0.2, generator=generator)
    return made


@pytest.fixture
def compute(models, device):
    """Return the output, and any gradients of a branch, on the device of Triton."""

    def compute():
        base, first, second = (each.to(device) for each in models)
        generator = torch.Generator().manual_seed(1)

        def random(*shape):
            return torch.randn(*shape, generator=generator).to(device)

        latent, hints = random(2, 4, 2, 4, 4), random(2, 1, 4, 2, 4, 4)
        step = Step(
            c_noise=random(2),
            text=random(2, 3, 8),
            fps=24.0,
            condition_mask=torch.zeros_like(latent[:, :1]),
        )
        maps = normalize([random(1, 2, 2, 2).abs() + 0.2 for _ in range(2)])
        branches = {"first": first, "second": second}
        out = weave(
            base,
            branches,
            latent,
            step,
            dict(zip(branches, hints, strict=True)),
            dict(zip(branches, maps, strict=True)),
        )
        if not out.requires_grad:
            return [out]
        used = [p for name, p in first.named_parameters() if "head." not in name]
        return [out, *torch.autograd.grad(out.square().sum(), used)]

    return compute


def test_output_and_gradients_are_the_same_with_triton(compute, monkeypatch):
    wanted = compute()
    # Attention has no Triton backward: where gradients are wanted a library is taken.
    monkeypatch.setenv(ENVIRONMENT, "triton,attention=sdpa")
    found = compute()
    for ours, theirs in zip(found, wanted, strict=True):
        assert relative_error(ours, theirs) < 1e-5
    assert any(not torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_output_is_the_same_with_triton_alone(compute, monkeypatch):
    with torch.inference_mode():
        (wanted,) = compute()
        monkeypatch.setenv(ENVIRONMENT, "triton")
        (found,) = compute()
    assert relative_error(found, wanted) < 1e-5
    assert not torch.equal(found, wanted)
