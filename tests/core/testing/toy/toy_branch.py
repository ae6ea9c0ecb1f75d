"""A small sound branch, and what judges branches that tests derive from it."""

from __future__ import annotations

import attrs
import torch
from torch import nn

from worldweave import ControlBranch, Modality, discover
from worldweave.model.branch import zero_linear
from worldweave.model.patches import patchify, token_grid, with_masks
from worldweave.testing.kit import Examination
from worldweave.testing.subject import Subject
from worldweave_registry import Plugin, State


def subject(kind, **changes):
    modality = Modality(
        name="own",
        summary="for tests",
        license="MIT",
        preprocessor=None,
        branch=f"{kind.__module__}:{kind.__qualname__}",
        **changes,
    )
    plugin = Plugin(name="own", distribution="me", version="1", state=State.READY)
    return Subject(modality=modality, plugin=plugin, catalog=discover())


def verdict(check, kind, **changes):
    # Alone: what it needs is not looked at.
    alone = attrs.evolve(check, needs=())
    found = Examination(subject(kind, **changes), [alone]).verdict(check.name)
    return found.outcome, found.says, found.mend


class Slim(ControlBranch):
    """All that a branch needs to be, and nothing of ours: two linear layers."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        channels = config.latent_channels + config.hint_channels
        self.enter = nn.Linear(channels * config.patch_size, config.hidden)
        self.leave = zero_linear(config.hidden, config.hidden)

    def seen(self, latent, step, hint):
        hint = with_masks(hint, (), self.config.hint_channels)
        return patchify(torch.cat([latent, hint], 1), self.config.patch)

    def forward(self, latent, step, hint):
        tokens = self.leave(self.enter(self.seen(latent, step, hint)).tanh())
        return [tokens.unflatten(1, token_grid(latent, self.config.patch))]
