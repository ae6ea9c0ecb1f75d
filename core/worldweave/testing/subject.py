"""The modality under test, and all that checks need to look at it."""

# B batch, C channel, T H W latent positions

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor

from worldweave.base import Frames
from worldweave.loading import new_branch
from worldweave.model.branch import ControlBranch
from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT
from worldweave.model.step import Step
from worldweave.request.check import Preprocessor
from worldweave_registry import (
    Base,
    Catalog,
    Lazy,
    Modality,
    Plugin,
    Recipe,
    WorldweaveError,
    discover,
)

#: Two bases that share no size, so that nothing fits both by chance.
SMALL = DiTConfig(
    latent_channels=4,
    hidden=16,
    heads=2,
    blocks=4,
    text_channels=8,
    adaln_rank=4,
    hint_channels=4,
    hint_widths=(12,),
    control_blocks=3,
    max_size=(4, 16, 16),
    rope_ratios=(1.0, 1.0, 1.0),
)
OTHER = attrs.evolve(
    SMALL,
    latent_channels=6,
    hidden=24,
    heads=3,
    blocks=2,
    hint_channels=10,
    hint_widths=(8, 20),
    control_blocks=2,
    patch=(1, 1, 1),
    condition_mask=False,
)
#: Noise levels c_noise = ln(sigma) / 4 at both ends of the sampler's range.
NOISE = (-1.6, 1.1)


class NotApplicable(Exception):  # noqa: N818 -- a verdict, not a mistake
    """Why there is nothing to look at for a check."""


@attrs.frozen(kw_only=True)
class Subject:
    """A modality, the plugin it comes from, and the base to try it on."""

    modality: Modality
    plugin: Plugin
    catalog: Catalog = attrs.field(repr=False)
    base_name: str = "tiny-world"

    @classmethod
    def find(
        cls, name: str, *, base: str = "tiny-world", catalog: Catalog | None = None
    ) -> Subject:
        """Look *name* up among the installed plugins; raise as `Catalog.find` does."""
        catalog = discover() if catalog is None else catalog
        return cls(
            modality=catalog.find(name),
            plugin=catalog.plugin_of(name),
            catalog=catalog,
            base_name=base,
        )

    @property
    def base(self) -> Base:
        """The base to try the modality on; NotApplicable where there is none."""
        try:
            return self.catalog.find_base(self.base_name)
        except WorldweaveError as error:
            raise NotApplicable(str(error)) from error

    @property
    def packages(self) -> frozenset[str]:
        """The packages that its parts lie in, by the names at the top; never ours."""
        told = attrs.asdict(self.modality, recurse=False).values()
        paths = [str(each) for each in told if isinstance(each, Lazy)]
        tops = {path.partition(":")[0].partition(".")[0] for path in paths}
        return frozenset(tops - {"worldweave"})

    def preprocessor(self) -> Preprocessor:
        """Return a new preprocessor with default options.

        NotApplicable where the user brings the control.
        """
        if self.modality.preprocessor is None:
            raise NotApplicable("it has no preprocessor: users bring the control video")
        made: Preprocessor = self.modality.preprocessor.load()()
        return made

    def recipe(self) -> Recipe:
        """Return the recipe; NotApplicable where there is none."""
        if self.modality.recipe is None:
            raise NotApplicable("it has no recipe, so it cannot be trained")
        recipe = self.modality.recipe.load()
        if not isinstance(recipe, Recipe):
            raise TypeError(f"{self.modality.recipe} is {recipe!r}; expected a Recipe")
        return recipe

    def metric(self) -> Any:
        """Return the metric with its default settings; NotApplicable without one."""
        if self.modality.metric is None:
            raise NotApplicable("it has no metric of its own")
        return self.modality.metric.load()()

    def branch(self, config: DiTConfig, *, seed: int = 0) -> ControlBranch:
        """Build an untrained branch, the same for the same seed."""
        with self.own_dice(seed):
            return new_branch(self.modality, config)

    def opened_branch(self, config: DiTConfig, *, seed: int = 0) -> ControlBranch:
        """Build a branch as training leaves it: nothing in it is zero any more."""
        branch = self.branch(config, seed=seed)
        dice = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in branch.parameters():
                noise = torch.randn(parameter.shape, generator=dice)
                parameter.add_(0.05 * noise.to(parameter))
        return branch

    @staticmethod
    @contextlib.contextmanager
    def own_dice(seed: int) -> Iterator[None]:
        """Seed torch's global dice, and put them back as they were."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield


def video(
    frames: int = 9, height: int = 64, width: int = 96, *, seed: int = 0
) -> Frames:
    """Return uint8 (T, H, W, 3): coloured boxes that move before a shaded ground."""
    dice = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    ground = 60 + 100 * rows / max(height - 1, 1) + 30 * np.sin(columns / 7)
    made = np.repeat(ground[None, ..., None], frames, 0).repeat(3, -1)
    for _ in range(4):
        y, x = dice.uniform(0, height), dice.uniform(0, width)
        speed = dice.uniform(-3, 3, 2)
        half = dice.uniform(0.08, 0.2) * min(height, width) + 1
        colour = dice.uniform(0, 255, 3)
        for at in range(frames):
            is_inside = (abs(rows - (y + at * speed[0]) % height) < half) & (
                abs(columns - (x + at * speed[1]) % width) < half
            )
            made[at][is_inside] = colour
    shown: Frames = np.clip(made, 0, 255).astype(np.uint8)
    return shown


@attrs.frozen(kw_only=True, eq=False)
class Inputs:
    """What a branch and a base are called with: latent, step, hint."""

    latent: Tensor
    step: Step
    hint: Tensor

    def to(self, dtype: torch.dtype) -> Inputs:
        """Return the same in another precision; c_noise stays float32."""
        step = self.step._replace(
            text=self.step.text.to(dtype),
            condition_mask=_as(self.step.condition_mask, dtype),
        )
        return Inputs(latent=self.latent.to(dtype), step=step, hint=self.hint.to(dtype))


def _as(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if mask is None else mask.to(dtype)


def inputs(
    config: DiTConfig,
    *,
    batch: int = 2,
    size: tuple[int, int, int] = (2, 4, 6),
    seed: int = 0,
) -> Inputs:
    """Return random inputs for a base of *config*; *size* is (T, H, W) of the latent.

    The samples of a batch have different noise levels.
    """
    dice = torch.Generator().manual_seed(seed)
    latent = torch.randn(batch, config.latent_channels, *size, generator=dice)
    mask = torch.zeros(batch, 1, *size)
    return Inputs(
        latent=latent,
        step=Step(
            c_noise=torch.linspace(*NOISE, batch),
            text=torch.randn(batch, 3, config.text_channels, generator=dice),
            fps=24.0,
            condition_mask=mask,
        ),
        hint=torch.randn(batch, config.hint_channels, *size, generator=dice),
    )


@functools.cache
def frozen_dit(config: DiTConfig) -> DiT:
    """Return a frozen base of *config* with random weights, the same every time."""
    with Subject.own_dice(7):
        dit = DiT(config)
        with torch.no_grad():
            for parameter in dit.parameters():
                # A fresh DiT has a head of zeros, which would hide every change.
                parameter.add_(0.05 * torch.randn_like(parameter))
    return dit.eval().requires_grad_(False)
