"""Where the seconds of a request on P GPUs go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from worldweave_kernels.parallel.plan import ParallelPlan


class Spent(NamedTuple):
    """Seconds of one rank: whichever of *exchange* is hidden costs nothing."""

    compute: float = 0.0
    imbalance: float = 0.0
    exchange: float = 0.0
    hidden: float = 0.0
    launches: float = 0.0

    @property
    def exposed(self) -> float:
        return self.exchange - self.hidden

    @property
    def total(self) -> float:
        return self.compute + self.imbalance + self.exposed + self.launches

    def plus(self, other: Spent) -> Spent:
        return Spent(*(a + b for a, b in zip(self, other, strict=True)))

    def times(self, count: float) -> Spent:
        return Spent(*(each * count for each in self))


class Serial(NamedTuple):
    """Seconds of what is not the network. The first three are part of the diffusion."""

    sampling: float
    guidance: float
    gather: float
    text: float
    autoencoder: float

    @property
    def in_diffusion(self) -> float:
        return self.sampling + self.guidance + self.gather

    @property
    def around(self) -> float:
        return self.text + self.autoencoder


@dataclass(frozen=True)
class Forecast:
    """A request on P GPUs: seconds by part."""

    plan: ParallelPlan
    network: Spent
    serial: Serial

    @property
    def diffusion(self) -> float:
        """The network, sampling, and what is exchanged for either."""
        return self.network.total + self.serial.in_diffusion

    @property
    def remainder(self) -> float:
        """All that more GPUs do not divide, or not by design."""
        return sum(self.serial)

    @property
    def whole(self) -> float:
        return self.diffusion + self.serial.around
