"""The official files, converted, compute what the official code computed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from worldweave.checkpoints import store
from worldweave.checkpoints.convert import convert
from worldweave.diffusion.compat import tile_merge
from worldweave.diffusion.condition import GivenFrames
from worldweave.diffusion.denoiser import Denoiser
from worldweave.diffusion.noise import gaussian
from worldweave.diffusion.sampler import noise_levels, sample
from worldweave.executor import Alone
from worldweave.generate.blend import Blend
from worldweave.model.branch import CosmosBranch
from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT
from worldweave.model.step import Step
from worldweave.model.weave import weave
from worldweave.request.maps.tokens import TokenGrid, on_tokens, released_tokens

GOLDEN = Path(__file__).parents[1] / "golden"
SIZES = json.loads((GOLDEN / "config.json").read_text())
SAMPLER = SIZES["sampler"]
CONFIG = DiTConfig(
    latent_channels=SIZES["in_channels"],
    hidden=SIZES["model_channels"],
    heads=SIZES["num_heads"],
    blocks=SIZES["num_blocks"],
    text_channels=SIZES["text_channels"],
    adaln_rank=SIZES["adaln_lora_rank"],
    patch=tuple(SIZES["patch"]),
    condition_mask=SIZES["condition_mask"],
    hint_channels=SIZES["hint_channels"],
    control_blocks=SIZES["control_blocks"],
    max_size=tuple(SIZES["max_size"]),
    rope_ratios=(SIZES["base_rope_t_ratio"], 1.0, 1.0),
    branch_rope_ratios=(SIZES["control_rope_t_ratio"], 1.0, 1.0),
)


@pytest.fixture(scope="module")
def golden():
    return load_file(GOLDEN / "golden.safetensors")


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    def load(kind, stem):
        path = tmp_path_factory.mktemp("converted") / f"{stem}.safetensors"
        convert(GOLDEN / f"{stem}.pt", path)
        with torch.device("meta"):
            module = kind(CONFIG)
        store.load(module, path, device="cpu", dtype=torch.float32, what=stem)
        return module.eval().requires_grad_(False)

    return load


@pytest.fixture(scope="module")
def base(load):
    return load(DiT, "base_model")


@pytest.fixture(scope="module")
def branches(load):
    return {name: load(CosmosBranch, f"{name}_control") for name in SIZES["controls"]}


@pytest.fixture
def woven(golden, base, branches):
    """One pass of the base under the control of those branches that have a map."""

    def woven(maps):
        step = Step(
            c_noise=golden["c_noise"],
            text=golden["text"],
            fps=SIZES["fps"],
            condition_mask=golden["condition_mask"],
        )
        active = {name: branches[name] for name in maps}
        hints = {name: golden[f"hint.{name}"] for name in maps}
        return weave(base, active, golden["x"], step, hints, maps)

    return woven


@pytest.fixture
def sampled(golden, base, branches):
    """The whole sampler, with guidance and given frames."""

    executor = Alone()

    def sampled(known=0, start=None, sigma_max=SAMPLER["sigma_max"], finish=tile_merge):
        latent = golden["condition_latent"]
        noise = gaussian(SAMPLER["seed"], latent.shape)
        given = GivenFrames(
            latent=latent,
            count=known,
            noise=noise,
            augment_sigma=SAMPLER["augment_sigma"],
        )
        name = SAMPLER["control"]

        def network(x, c_noise, texts):
            steps = [
                Step(
                    c_noise=c_noise,
                    text=text,
                    fps=SIZES["fps"],
                    condition_mask=given.mask(),
                )
                for text in texts
            ]
            weights = {name: constant(SAMPLER["weight"])}
            hints = {name: golden["sampler.hint"]}
            active = {name: branches[name]}
            return executor.outputs(base, active, x, steps, hints, weights)

        denoiser = Denoiser(
            network=network,
            text=golden["text"],
            negative_text=golden["negative_text"],
            guidance=SAMPLER["guidance"],
            given=given,
            finish=finish,
        )
        levels = noise_levels(SAMPLER["steps"], sigma_max=sigma_max)
        return sample(denoiser, noise * sigma_max if start is None else start, levels)

    return sampled


def constant(weight):
    return torch.full((1, 3, 4, 6), float(weight))


def largest_difference(one, other):
    assert one.shape == other.shape
    return float((one - other).abs().max())


def test_the_base_alone(woven, golden):
    assert largest_difference(woven({}), golden["out.base"]) < 1e-5


def test_one_branch(woven, golden):
    single = SIZES["single"]
    out = woven({single["control"]: constant(single["weight"])})
    assert largest_difference(out, golden["out.single"]) < 1e-5


def test_two_branches_with_a_number_each(woven, golden):
    weights = golden["weights.scalar"]
    out = woven({"edge": constant(weights[0]), "vis": constant(weights[1])})
    assert largest_difference(out, golden["out.multi_scalar"]) < 1e-5


def test_two_branches_with_a_map_each(woven, golden):
    edge, vis = golden["weights.token_map"][:, :, 0]
    out = woven({"edge": edge, "vis": vis})
    assert largest_difference(out, golden["out.multi_map"]) < 1e-5


@pytest.mark.parametrize("known", [0, 1])
def test_the_whole_sampler_with_given_latent_frames(sampled, golden, known):
    out = sampled(known)
    assert largest_difference(out, golden[f"out.sample_cond{known}"]) < 5e-5


def test_the_whole_sampler_from_a_noised_video(sampled, golden):
    out = sampled(start=golden["sdedit.start"], sigma_max=SAMPLER["sdedit_sigma_max"])
    assert largest_difference(out, golden["out.sample_sdedit"]) < 5e-5


def test_without_the_tile_merge_quirk_the_sampler_goes_elsewhere(sampled, golden):
    out = sampled(finish=None)
    assert largest_difference(out, golden["out.sample_cond0"]) > 1e-4


def test_pixel_maps_come_to_tokens_as_in_the_released_code(golden):
    tokens = released_tokens(golden["weights.pixel_map"].float(), (3, 8, 12))
    wanted = golden["weights.pixel_to_token"][:, 0, 0]
    assert torch.equal(tokens.float(), wanted)


def test_a_request_with_compat_gets_the_released_maps(golden):
    pixels = golden["weights.pixel_map"].float().numpy()
    grid = TokenGrid(frames=17, stride=8, rows=4, columns=6)
    maps = on_tokens({"edge": pixels[0], "vis": pixels[1]}, 0, 17, grid, released=True)
    wanted = golden["weights.pixel_to_token"][:, :, 0]
    # They come shared out already, in bfloat16, and nothing may touch them again.
    blend = Blend(values=maps, schedules={}, levels=noise_levels(2), is_final=True)
    for used in (maps, blend.at(torch.zeros(1))):
        assert torch.equal(used["edge"], wanted[0])
        assert torch.equal(used["vis"], wanted[1])


def test_the_default_maps_differ_from_the_released_ones(golden):
    pixels = golden["weights.pixel_map"].float().numpy().clip(0, 1)
    grid = TokenGrid(frames=17, stride=8, rows=4, columns=6)
    values = on_tokens({"edge": pixels[0], "vis": pixels[1]}, 0, 17, grid)
    maps = Blend(values=values, schedules={}, levels=noise_levels(2)).at(torch.zeros(1))
    wanted = golden["weights.pixel_to_token"][:, :, 0]
    assert largest_difference(maps["edge"], wanted[0]) > 0.01
    assert largest_difference(maps["vis"], wanted[1]) > 0.01


def test_the_noise_is_numpys(golden):
    shape = golden["condition_latent"].shape
    wanted = np.random.RandomState(1).standard_normal(shape).astype(np.float32)
    assert np.array_equal(gaussian(1, shape).numpy(), wanted)
