"""What the paper does not tell, fitted to what it tells: two figures, no more.

The plain design is computed for every count of Table 5; how much of the assumed rates a
run reaches, and the gap between two kernels of eager torch, are those that leave the
least relative error over all its rows, squared and summed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from worldweave_kernels.bench.communication import Figure
from worldweave_kernels.bench.scaling_figures import (
    PAPER,
    PAPER_WORK,
    PLAIN,
    Assumptions,
    Gpu,
    Published,
    Work,
)
from worldweave_kernels.bench.scaling_model import Model

_SOURCE = "to the diffusion of the paper's six rows"
_ROUNDS = 4


class Residual(NamedTuple):
    """A row of the paper, and how far the fitted plain design is off it."""

    paper: Published
    diffusion: float
    whole: float
    speedup: float

    @property
    def off_diffusion(self) -> float:
        return self.diffusion / self.paper.diffusion - 1

    @property
    def off_whole(self) -> float:
        return self.whole / self.paper.whole - 1


class Fit(NamedTuple):
    """Both designs' figures after the fit, and what it left."""

    gpu: Gpu
    figures: Assumptions
    residuals: tuple[Residual, ...]

    @property
    def worst(self) -> float:
        """The largest relative error of a row's diffusion."""
        return max(abs(each.off_diffusion) for each in self.residuals)


def fitted(
    gpu: Gpu,
    figures: Assumptions,
    work: Work = PAPER_WORK,
    *,
    efficiency: bool = True,
    gap: bool = True,
    paper: Sequence[Published] = PAPER,
) -> Fit:
    """Return *gpu* and *figures* with efficiency and gap, as asked, fitted to *paper*.

    Times are linear in the slowness 1 / efficiency and in the gap, but for a product
    that is bound by memory: a few rounds of linear least squares are enough. A gap
    below zero is none.
    """
    slowness, wait = 1.0, 0.0

    def relative(slowness: float, wait: float) -> list[float]:
        """Return the modelled diffusion of each row as a multiple of the published."""
        on, with_ = _with(gpu, figures, slowness, wait)
        model = Model(on, PLAIN, with_, work)
        return [model.forecast(row.gpus).diffusion / row.diffusion for row in paper]

    for _ in range(_ROUNDS):
        base = relative(slowness, wait)
        left = [1 - each for each in base]
        slower = relative(1.01 * slowness, wait)
        along = [(b - a) / (0.01 * slowness) for a, b in zip(base, slower, strict=True)]
        later = relative(slowness, wait + 1e-6)
        across = [(b - a) / 1e-6 for a, b in zip(base, later, strict=True)]
        step, more = _least_squares(along, across, left)
        if not efficiency:
            step, more = 0.0, _dot(across, left) / _dot(across, across)
        if not gap or wait + more < 0:
            more = -wait
            step = _alone(along, across, left, more) if efficiency else 0.0
        slowness, wait = slowness + step, wait + more
    found = _with(gpu, figures, slowness, wait)
    gpu = found[0] if efficiency else gpu
    figures = found[1] if gap else figures
    return Fit(gpu, figures, residuals(gpu, figures, work, paper))


def residuals(
    gpu: Gpu, figures: Assumptions, work: Work, paper: Sequence[Published] = PAPER
) -> tuple[Residual, ...]:
    """Hold the plain design against each row of *paper*."""
    model = Model(gpu, PLAIN, figures, work)
    alone = model.forecast(1).diffusion
    found = []
    for row in paper:
        told = model.forecast(row.gpus)
        speedup = alone / told.diffusion
        found.append(Residual(row, told.diffusion, told.whole, speedup))
    return tuple(found)


def _with(
    gpu: Gpu, figures: Assumptions, slowness: float, gap: float
) -> tuple[Gpu, Assumptions]:
    efficiency = Figure(1 / slowness, "", "fitted", _SOURCE)
    wait = Figure(gap, "s", "fitted", _SOURCE)
    return (
        dataclasses.replace(gpu, efficiency=efficiency),
        dataclasses.replace(figures, gap=wait),
    )


def _least_squares(
    a: Sequence[float], b: Sequence[float], y: Sequence[float]
) -> tuple[float, float]:
    """Return u, v that leave the least of y - u a - v b, squared and summed."""
    aa, ab, bb = _dot(a, a), _dot(a, b), _dot(b, b)
    ay, by = _dot(a, y), _dot(b, y)
    det = aa * bb - ab * ab
    return (ay * bb - by * ab) / det, (by * aa - ay * ab) / det


def _alone(
    a: Sequence[float], b: Sequence[float], y: Sequence[float], v: float
) -> float:
    """Return the u of `_least_squares` where v is given."""
    return (_dot(a, y) - v * _dot(a, b)) / _dot(a, a)


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))
