"""The sampler of Cosmos: RES multistep of second order on EDM's noise levels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SIGMA_MIN = 0.002
SIGMA_MAX = 80.0
RHO = 7.0

Predict = Callable[[Tensor, Tensor], Tensor]


def noise_levels(
    steps: int, *, sigma_max: float = SIGMA_MAX, sigma_min: float = SIGMA_MIN
) -> Tensor:
    """Return steps + 1 falling noise levels, float64, from sigma_max to sigma_min.

    Karras et al. 2022, equation 5, with rho = 7. Raise ValueError for fewer than
    one step or a range that does not fall.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; it must be 1 or more")
    if not sigma_max > sigma_min > 0:
        raise ValueError(
            f"sigma_max is {sigma_max} and sigma_min {sigma_min}; "
            "sigma_max must be the larger and both positive"
        )
    ramp = torch.arange(steps + 1, dtype=torch.float64) / steps
    low, high = sigma_min ** (1 / RHO), sigma_max ** (1 / RHO)
    levels: Tensor = (high + ramp * (low - high)) ** RHO
    return levels


def sample(
    predict: Predict,
    start: Tensor,
    levels: Tensor,
    *,
    progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Denoise *start* (already at levels[0]) through *levels* to a clean latent.

    *predict* maps (x, sigma) to x0 and is called len(levels) times: once per step
    and once more at the last level, whose prediction is the result. The state is
    float64 between calls; *predict* gets the dtype of *start*.
    """
    x = start
    older: Tensor | None = None
    for index in range(len(levels) - 1):
        x0 = predict(x.to(start.dtype), levels[index].to(start)).double()
        before = levels[index - 1] if index else None
        x = step(x.double(), x0, older, before, levels[index], levels[index + 1])
        older = x0
        if progress is not None:
            progress(index + 1)
    clean = predict(x.to(start.dtype), levels[-1].to(start))
    if progress is not None:
        progress(len(levels))
    return clean


def step(
    x: Tensor,
    x0: Tensor,
    older: Tensor | None,
    before: Tensor | None,
    now: Tensor,
    then: Tensor,
) -> Tensor:
    """Take x from noise level *now* to *then*; *older* was predicted at *before*.

    The first step has no history and is Euler's. Later steps are RES "2ab"
    (Zhang et al. 2023, exponential Adams-Bashforth in lambda = -ln sigma).
    """
    if older is None or before is None:
        ratio = float(then / now)
        return (1 - ratio) * x0 + ratio * x
    h = float(torch.log(now / then))
    c2 = float(torch.log(now / before)) / h
    b2 = phi_2(-h) / c2
    b1 = phi_1(-h) - b2
    return float(then / now) * x + h * (b1 * x0 + b2 * older)


def phi_1(z: float) -> float:
    """Return (e^z - 1) / z."""
    return float(torch.expm1(torch.tensor(z, dtype=torch.float64))) / z


def phi_2(z: float) -> float:
    """Return (phi_1(z) - 1) / z."""
    return (phi_1(z) - 1.0) / z
