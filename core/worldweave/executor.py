"""Who computes what a base predicts: this process alone, or several together."""

# B batch, C channel, T H W latent positions, t h w tokens

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from worldweave.diffusion.noise import gaussian
from worldweave.model.dit import DiT
from worldweave.model.step import Step
from worldweave.model.weave import RunBranch, weave

if TYPE_CHECKING:
    from worldweave.request.plan import Plan


class Executor(Protocol):
    """Computes for one chunk what depends on the model alone.

    Every process of several calls it with the same values, and gets the same.
    """

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes for all."""
        ...

    @property
    def layout(self) -> dict[str, int]:
        """How the work is shared, for the manifest: cfg, ring, ulysses and more."""
        ...

    def once(self, make: Callable[[], Plan]) -> Plan:
        """Return the plan that *make* makes, once for all processes.

        Raise everywhere what it says is wrong with the request.
        """
        ...

    def noise(self, seed: int, shape: Sequence[int]) -> Tensor:
        """Return the noise a chunk starts from, float32, on any device."""
        ...

    def outputs(
        self,
        dit: DiT,
        branches: Mapping[str, RunBranch],
        latent: Tensor,
        steps: Sequence[Step],
        hints: Mapping[str, Tensor],
        maps: Mapping[str, Tensor],
    ) -> list[Tensor]:
        """Return what *dit* makes of *latent* (B, C, T, H, W) under each of *steps*.

        Steps differ in their text alone. The rest is as `worldweave.model.weave` has
        it.
        """
        ...


class Alone:
    """This process does it all, one evaluation after another."""

    is_first = True

    @property
    def layout(self) -> dict[str, int]:
        return {"cfg": 1, "ring": 1, "ulysses": 1}

    def once(self, make: Callable[[], Plan]) -> Plan:
        return make()

    def noise(self, seed: int, shape: Sequence[int]) -> Tensor:
        return gaussian(seed, shape)

    def outputs(
        self,
        dit: DiT,
        branches: Mapping[str, RunBranch],
        latent: Tensor,
        steps: Sequence[Step],
        hints: Mapping[str, Tensor],
        maps: Mapping[str, Tensor],
    ) -> list[Tensor]:
        return [weave(dit, branches, latent, step, hints, maps) for step in steps]
