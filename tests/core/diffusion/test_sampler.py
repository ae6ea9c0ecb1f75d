"""The noise levels and the RES sampler against independent mathematics."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from worldweave.diffusion.sampler import (
    SIGMA_MAX,
    SIGMA_MIN,
    noise_levels,
    sample,
    step,
)


def number(value):
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("steps", [1, 2, 35])
@pytest.mark.parametrize("sigma_max", [80.0, 70.0, 0.5])
def test_levels_fall_from_sigma_max_to_the_smallest(steps, sigma_max):
    levels = noise_levels(steps, sigma_max=sigma_max)
    assert levels.dtype == torch.float64
    assert levels.shape == (steps + 1,)
    assert levels[0].item() == pytest.approx(sigma_max, rel=1e-14)
    assert levels[-1].item() == pytest.approx(0.002, rel=1e-14)
    assert (levels.diff() < 0).all()


def test_levels_are_evenly_spaced_under_the_seventh_root():
    roots = noise_levels(10) ** (1 / 7)
    torch.testing.assert_close(roots.diff(), roots.diff()[:1].expand(10))


@pytest.mark.parametrize("steps", [0, -3])
def test_less_than_one_step_is_refused(steps):
    with pytest.raises(ValueError, match=f"steps is {steps}; it must be 1 or more"):
        noise_levels(steps)


@pytest.mark.parametrize("bad", [{"sigma_max": 0.002}, {"sigma_min": 0.0}])
def test_levels_that_would_not_fall_are_refused(bad):
    with pytest.raises(ValueError, match="sigma_max must be the larger"):
        noise_levels(5, **bad)


def reference_step(x, x0, older, before, now, then):
    """Equation by equation in lambda, as the official code has it, in NumPy."""
    lam = {name: -np.log(s) for name, s in zip("mst", (before, now, then), strict=True)}
    dt = lam["t"] - lam["s"]
    c2 = (lam["m"] - lam["s"]) / dt
    phi1 = np.expm1(-dt) / -dt
    phi2 = (phi1 - 1.0) / -dt
    b2 = phi2 / c2
    return np.exp(-dt) * x + dt * ((phi1 - b2) * x0 + b2 * older)


@pytest.mark.parametrize("levels", [(80.0, 64.0, 50.0), (0.5, 0.1, 0.002)])
def test_a_later_step_is_the_released_formula(levels):
    x, x0, older = np.random.default_rng(0).normal(size=(3, 4, 5))
    wanted = reference_step(x, x0, older, *levels)
    tensors = [torch.from_numpy(a) for a in (x, x0, older)]
    found = step(*tensors, *(number(s) for s in levels))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-12)


def test_the_first_step_is_eulers():
    x, x0 = torch.randn(2, 3, dtype=torch.float64)
    found = step(x, x0, None, None, number(80.0), number(60.0))
    torch.testing.assert_close(found, x + (60.0 - 80.0) * (x - x0) / 80.0)


@pytest.mark.parametrize(("slope", "offset"), [(0.0, 3.0), (2.0, -1.0)])
def test_a_step_is_exact_for_a_prediction_linear_in_log_sigma(slope, offset):
    before, now, then = 3.0, 1.7, 0.6

    def predicted(lam: Any) -> Any:
        return offset + slope * lam

    # dx / dlambda = x0(lambda) - x, solved by Gauss-Legendre quadrature.
    start, end = -math.log(now), -math.log(then)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    lam = (nodes + 1) / 2 * (end - start) + start
    integral = (end - start) / 2 * np.sum(weights * np.exp(lam - end) * predicted(lam))
    wanted = math.exp(start - end) * 5.0 + integral
    found = step(
        number(5.0),
        number(predicted(start)),
        number(predicted(-math.log(before))),
        number(before),
        number(now),
        number(then),
    )
    assert found.item() == pytest.approx(wanted, rel=1e-12)


def test_a_constant_prediction_is_approached_in_a_straight_line():
    levels = noise_levels(7)
    goal, start = torch.randn(2, 3, dtype=torch.float64)
    states = []

    def predict(x: Tensor, sigma: Tensor) -> Tensor:
        states.append(x)
        return goal

    out = sample(predict, start, levels)
    assert torch.equal(out, goal)
    for x, sigma in zip(states, levels, strict=True):
        wanted = goal + sigma / levels[0] * (start - goal)
        torch.testing.assert_close(x, wanted, rtol=1e-12, atol=1e-12)


def test_twice_the_steps_make_a_quarter_of_the_error():
    # Gaussian data: the best prediction and the exact trajectory are known.
    spread = 0.5

    def predict(x: Tensor, sigma: Tensor) -> Tensor:
        return x * spread**2 / (spread**2 + sigma**2)

    def error(steps: int) -> float:
        levels = noise_levels(steps)
        out = sample(predict, levels[:1].clone(), levels)
        exact = SIGMA_MAX * math.sqrt(
            (spread**2 + SIGMA_MIN**2) / (spread**2 + SIGMA_MAX**2)
        )
        return abs(out.item() / predict(number(exact), number(SIGMA_MIN)).item() - 1)

    assert error(40) / error(80) == pytest.approx(4.0, abs=0.5)
    assert error(35) < 0.03


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_there_is_one_evaluation_per_level_and_the_last_is_the_result(steps):
    levels = noise_levels(steps)
    seen: list[float] = []
    ticks: list[int] = []

    def predict(x: Tensor, sigma: Tensor) -> Tensor:
        seen.append(sigma.item())
        return x * 0 + len(seen)

    out = sample(
        predict, torch.ones(1, dtype=torch.float64), levels, progress=ticks.append
    )
    assert seen == levels.tolist()
    assert out.item() == steps + 1
    assert ticks == list(range(1, steps + 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_predictions_are_made_in_the_dtype_of_the_start(dtype):
    def predict(x: Tensor, sigma: Tensor) -> Tensor:
        assert x.dtype == sigma.dtype == dtype
        return x

    assert sample(predict, torch.ones(2, dtype=dtype), noise_levels(3)).dtype == dtype


def test_the_state_between_predictions_is_double():
    # Each step nears a goal far from nought; float32 would lose the difference.
    levels = noise_levels(200, sigma_max=0.003)
    goal = torch.full((1,), 1000.0)
    states = []

    def predict(x: Tensor, sigma: Tensor) -> Tensor:
        states.append(x)
        return goal

    sample(predict, goal + 0.01, levels)
    wanted = 1000.0 + float(levels[-1] / levels[0]) * (float(goal + 0.01) - 1000.0)
    assert states[-1].item() == torch.tensor(wanted).item()
