"""A modality as people wrote them for worldweave 0.1, with their habits.

Hooks that name fewer arguments than they are called with, a preprocessor without
attrs, weights that say no more than they must, an import path in a Lazy of its own.
Never bring this file up to date: it stands for plugins whose authors are gone.
"""

from pathlib import Path

import numpy as np

import worldweave
from worldweave import Lazy, Modality, Recipe, Weights, hookimpl

RECIPE = Recipe(steps=3, learning_rate=1e-3)


class Frost:
    per_frame = True

    def __call__(self, video):
        return np.maximum(video, 128)


class Whiteness:
    higher_is_better = True

    def __call__(self, video, reference):
        return float((video >= 128).mean())


def frost_branch(config):
    """Make a branch; a function will do where the docs show a class."""
    import torch

    class FrostBranch(worldweave.ControlBranch):
        def __init__(self):
            super().__init__()
            self.config = config
            channels = config.hint_channels
            self.out = torch.nn.Linear(channels, config.hidden)
            torch.nn.init.zeros_(self.out.weight)
            torch.nn.init.zeros_(self.out.bias)

        def forward(self, latent, step, hint):
            pt, ph, pw = self.config.patch
            seen = hint[:, :, ::pt, ::ph, ::pw].permute(0, 2, 3, 4, 1)
            seen = seen.expand(latent.shape[0], *seen.shape[1:])
            return [self.out(seen)] * self.config.control_blocks

    return FrostBranch()


@hookimpl
def worldweave_modalities():
    yield Modality(
        name="frost",
        summary="Everything dark turns pale",
        license="MIT",
        preprocessor=Lazy("frost:Frost"),
        branch="frost:frost_branch",
        recipe="frost:RECIPE",
        metric="frost:Whiteness",
        weights=[Weights(base="pond", uri="frost://branch", license="MIT")],
    )


@hookimpl
def worldweave_fetch(uri):
    return Path("/frost") / uri[8:] if uri[:8] == "frost://" else None


@hookimpl
def worldweave_map(prompt):
    return prompt.upper() if "frost" in prompt else None


@hookimpl
def worldweave_foreground(classifier):
    return {"snowman": True} if classifier == "frost" else None


@hookimpl
def worldweave_models(task):
    return [worldweave.Model(name="icicle", license="MIT")] if task == "map" else None
