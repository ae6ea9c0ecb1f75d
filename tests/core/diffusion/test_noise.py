"""Noise follows from the seed alone."""

import numpy as np
import pytest
import torch

from worldweave.diffusion.noise import gaussian

SHAPE = (1, 2, 3, 4, 5)


def test_the_same_seed_gives_the_same_noise_whatever_else_happened():
    first = gaussian(7, SHAPE)
    torch.manual_seed(1)
    np.random.seed(1)
    torch.randn(5)
    torch.set_default_dtype(torch.float64)
    try:
        second = gaussian(7, SHAPE)
    finally:
        torch.set_default_dtype(torch.float32)
    assert second.dtype == torch.float32
    assert torch.equal(first, second)


def test_drawing_noise_leaves_the_global_generators_alone():
    before = torch.random.get_rng_state(), repr(np.random.get_state())
    gaussian(7, SHAPE)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert repr(np.random.get_state()) == before[1]


def test_a_default_device_does_not_move_it():
    with torch.device("meta"):
        noise = gaussian(7, SHAPE)
    assert torch.equal(noise, gaussian(7, SHAPE))


def test_seeds_give_different_noise():
    assert not torch.equal(gaussian(0, SHAPE), gaussian(1, SHAPE))


def test_it_is_standard_normal():
    noise = gaussian(3, (100, 1000))
    assert noise.mean().item() == pytest.approx(0.0, abs=0.02)
    assert noise.std().item() == pytest.approx(1.0, abs=0.02)
