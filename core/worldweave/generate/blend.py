"""The maps of one chunk as each denoising step uses them."""

# t h w tokens

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import attrs
import torch
from torch import Tensor

from worldweave.model.fusion import normalize
from worldweave.request.maps.schedule import factor
from worldweave.request.sources import Schedule


@attrs.frozen(kw_only=True, eq=False, slots=False)
class Blend:
    """Maps on the token grid, and what becomes of them from step to step.

    values: (1, t, h, w) by modality, as asked for, 0..1. schedules: of those that
    depend on the step. levels: all noise levels, falling; the model is evaluated once
    at each. is_final: the values are normalised already and stay as they are.
    """

    values: Mapping[str, Tensor]
    schedules: Mapping[str, Schedule]
    levels: Tensor
    is_final: bool = False

    def at(self, c_noise: Tensor) -> dict[str, Tensor]:
        """Return normalised maps for noise *c_noise* (B,), 0.25 ln sigma, all alike.

        What is zero everywhere is left out: its branch need not run. Where sums are
        one or less nothing is changed, bit for bit.
        """
        if not self.schedules:
            return self._constant
        return self._maps_at(self._step_of(float(c_noise[0])))

    def effective(self) -> dict[str, Tensor]:
        """Return maps (t, h, w) as they were in effect, the mean over all steps."""
        steps = range(len(self.levels)) if self.schedules else range(1)
        all_steps = [self._maps_at(step) for step in steps]
        zero = {name: torch.zeros_like(v) for name, v in self.values.items()}
        return {
            name: torch.stack([maps.get(name, zero[name]) for maps in all_steps])
            .mean(dim=0)[0]
            .cpu()
            for name in self.values
        }

    @cached_property
    def _constant(self) -> dict[str, Tensor]:
        return self._maps_at(0)

    @cached_property
    def _made(self) -> dict[int, dict[str, Tensor]]:
        return {}

    def _step_of(self, c_noise: float) -> int:
        return int((self.levels.log() - 4 * c_noise).abs().argmin())

    def _maps_at(self, step: int) -> dict[str, Tensor]:
        # Guidance asks twice for each step, and the report once more.
        if step not in self._made:
            self._made[step] = self._make(step)
        return self._made[step]

    def _make(self, step: int) -> dict[str, Tensor]:
        asked = {}
        for name, values in self.values.items():
            schedule = self.schedules.get(name)
            share = 1.0 if schedule is None else factor(schedule, step, self.levels)
            # At 1 the values are not touched: they keep their bits.
            asked[name] = values if share == 1.0 else values * share
        alive = {name: values for name, values in asked.items() if bool(values.any())}
        if self.is_final:
            return alive
        return dict(zip(alive, normalize(list(alive.values())), strict=True))
