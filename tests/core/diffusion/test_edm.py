"""The identities that define EDM's preconditioning."""

import pytest
import torch

from worldweave.diffusion.edm import SIGMA_DATA, loss_weight, per_sample, scaling

SIGMAS = torch.logspace(-4, 3, 50, dtype=torch.float64)


def test_the_networks_input_has_unit_variance():
    total = scaling(SIGMAS).input ** 2 * (SIGMAS**2 + SIGMA_DATA**2)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_the_networks_target_has_unit_variance():
    # F = (x0 - skip * (x0 + sigma * noise)) / out
    factor = scaling(SIGMAS)
    variance = (1 - factor.skip) ** 2 * SIGMA_DATA**2 + factor.skip**2 * SIGMAS**2
    torch.testing.assert_close(variance / factor.out**2, torch.ones_like(SIGMAS))


def test_the_loss_of_the_network_output_counts_the_same_at_every_level():
    counted = loss_weight(SIGMAS) * scaling(SIGMAS).out ** 2
    torch.testing.assert_close(counted, torch.ones_like(SIGMAS))


def test_without_noise_the_prediction_is_the_input():
    factor = scaling(torch.tensor(1e-9, dtype=torch.float64))
    assert factor.skip.item() == pytest.approx(1.0)
    assert factor.out.item() == pytest.approx(0.0, abs=1e-8)


def test_in_pure_noise_the_prediction_is_the_networks():
    factor = scaling(torch.tensor(1e6, dtype=torch.float64))
    assert factor.skip.item() == pytest.approx(0.0, abs=1e-6)
    assert factor.out.item() == pytest.approx(SIGMA_DATA)


def test_the_noise_label_is_a_quarter_of_the_logarithm():
    labels = scaling(torch.tensor([80.0, 1.0, 0.002])).noise
    assert labels.tolist() == pytest.approx([1.0955067, 0.0, -1.5536520])


def test_factors_keep_the_dtype_of_sigma():
    assert {f.dtype for f in scaling(SIGMAS)} == {torch.float64}
    assert {f.dtype for f in scaling(SIGMAS.float())} == {torch.float32}


def test_one_value_per_sample_multiplies_a_video():
    video = torch.ones(2, 1, 3, 1, 1)
    out = per_sample(torch.tensor([2.0, 3.0]), video) * video
    assert out.flatten().tolist() == [2.0] * 3 + [3.0] * 3
