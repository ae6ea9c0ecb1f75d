"""The training loss: EDM's, with frames that are given left out."""

import math

import pytest
import torch

from worldweave.train.clips import drop
from worldweave.train.objective import Objective

TEXT = torch.zeros(64, 1, 1)


@pytest.fixture
def clean():
    generator = torch.Generator().manual_seed(0)
    return 0.5 * torch.randn(64, 2, 3, 4, 4, generator=generator)


class Recorder:
    """A network that keeps its input and answers with *answer*."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, latent, step):
        self.latent, self.step = latent, step
        return self.answer(latent, step)


def loss(predict, clean, seed=1, **changes):
    objective = Objective(**{"sigma_mean": 0.0, "sigma_std": 1.0} | changes)
    generator = torch.Generator().manual_seed(seed)
    return objective.loss(predict, clean, TEXT[: len(clean)], 24.0, generator)


def sigma_of(step):
    return (4 * step.c_noise).exp().view(-1, 1, 1, 1, 1)


def perfect(clean):
    """The network output that predicts *clean* exactly."""

    def answer(latent, step):
        sigma = sigma_of(step)
        total = sigma**2 + 0.25
        noisy = latent * total.sqrt()
        return (clean - 0.25 / total * noisy) / (0.5 * sigma / total.sqrt())

    return answer


def test_a_perfect_prediction_costs_nothing(clean):
    assert loss(Recorder(perfect(clean)), clean, given_rate=0.0).item() < 1e-8


def test_an_error_of_the_network_output_costs_its_square_at_any_noise(clean):
    def off_by_a_half(latent, step):
        return perfect(clean)(latent, step) + 0.5

    found = loss(Recorder(off_by_a_half), clean, given_rate=0.0)
    assert found.item() == pytest.approx(0.25, rel=1e-3)


def test_a_network_that_says_nothing_costs_about_one(clean):
    silent = Recorder(lambda latent, step: torch.zeros_like(latent))
    assert loss(silent, clean, given_rate=0.0).item() == pytest.approx(1.0, abs=0.05)


def test_noise_levels_are_log_normal(clean):
    many = clean[:1].expand(4000, -1, -1, -1, -1)
    seen = Recorder(lambda latent, step: latent)
    Objective(sigma_mean=0.5, sigma_std=1.2).loss(
        seen, many, TEXT[:1], 24.0, torch.Generator().manual_seed(0)
    )
    logarithms = 4 * seen.step.c_noise
    assert logarithms.mean().item() == pytest.approx(0.5, abs=0.06)
    assert logarithms.std().item() == pytest.approx(1.2, abs=0.06)


def test_the_networks_input_has_unit_variance(clean):
    seen = Recorder(lambda latent, step: latent)
    loss(seen, clean, given_rate=0.0)
    assert seen.latent.std().item() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_the_samples_knows_its_first_frame(clean, share):
    seen = Recorder(lambda latent, step: latent)
    loss(seen, clean, given_rate=share)
    mask = seen.step.condition_mask
    assert mask.shape == (64, 1, 3, 4, 4)
    assert not mask[:, :, 1:].any()
    known = mask[:, 0, 0, 0, 0]
    assert torch.equal(mask[:, 0, 0], known.view(-1, 1, 1).expand(-1, 4, 4))
    assert known.mean().item() == pytest.approx(share, abs=0.15)


def test_given_frames_are_shown_clean_and_at_their_own_scale(clean):
    seen = Recorder(lambda latent, step: latent)
    loss(seen, clean, given_rate=1.0, augment_sigma=0.1)
    wanted = clean[:, :, 0] / math.sqrt(0.1**2 + 0.25)
    torch.testing.assert_close(seen.latent[:, :, 0], wanted)


def test_given_frames_cost_nothing_whatever_is_predicted(clean):
    def wrong_where_given(latent, step):
        spoiled = step.condition_mask * 1e3
        sigma = sigma_of(step)
        # Given frames are not noised, so the perfect answer is only for the rest.
        return torch.where(
            spoiled > 0, spoiled + 0 * sigma, perfect(clean)(latent, step)
        )

    assert loss(Recorder(wrong_where_given), clean, given_rate=1.0).item() < 1e-8


def test_the_same_generator_gives_the_same_loss(clean):
    answer = Recorder(lambda latent, step: latent)
    assert loss(answer, clean, seed=5) == loss(answer, clean, seed=5)
    assert loss(answer, clean, seed=5) != loss(answer, clean, seed=6)


def test_a_share_of_the_prompts_becomes_empty():
    prompts = [f"prompt {n}" for n in range(1000)]
    left = drop(prompts, 0.12, torch.Generator().manual_seed(0))
    assert all(new in ("", old) for old, new in zip(prompts, left, strict=True))
    assert left.count("") == pytest.approx(120, abs=40)
    assert drop(prompts, 0.0, torch.Generator()) == prompts
    assert set(drop(prompts, 1.0, torch.Generator())) == {""}
