"""The branch: what turns a latent and a hint into residuals for the base."""

# B batch, C channel, T H W latent positions (after patching: tokens), D hidden

from __future__ import annotations

import abc
from itertools import pairwise

import torch
from torch import Tensor, nn

from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT, Trunk
from worldweave.model.patches import patchify, token_grid, with_masks
from worldweave.model.step import Step


class ControlBranch(nn.Module, abc.ABC):
    """Turns one modality's hint into residuals for the frozen base.

    A fresh branch returns zeros: adding it changes nothing until it is trained.
    """

    @abc.abstractmethod
    def forward(self, latent: Tensor, step: Step, hint: Tensor) -> list[Tensor]:
        """Return one residual (B, T, H, W, D) per controlled block, first block first.

        *latent* (B, C, T, H, W) is the scaled noisy video the base sees, *hint*
        (B or 1, C', T, H, W) the latent of the control video, *step* the rest.
        """

    def start_from(self, base: DiT) -> None:
        """Take over what is worth taking from *base* before training starts."""


class CosmosBranch(Trunk, ControlBranch):
    """Cosmos-Transfer1's branch: a copy of the first blocks, fed with the hint.

    The hint goes through a small network of its own, token by token, and enters
    after block 0. Each block's output leaves through a zero-initialised
    projection. The head is never run: released files carry one, and so do we, so
    that they load and save key for key.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__(config, config.control_blocks)
        width = config.hidden
        self.hint_embed = nn.Linear(
            (config.hint_channels + 1) * config.patch_size, width, bias=False
        )
        layers: list[nn.Module] = []
        for narrow, wide in pairwise((width, *config.hint_widths)):
            layers += [nn.Linear(narrow, wide), nn.SiLU()]
        self.hint_mlp = nn.Sequential(
            *layers, zero_linear(config.hint_widths[-1], width)
        )
        self.zero = nn.ModuleList(
            zero_linear(width, width) for _ in range(config.control_blocks)
        )
        self.head.requires_grad_(False)

    def forward(self, latent: Tensor, step: Step, hint: Tensor) -> list[Tensor]:
        """Return one residual (B, T, H, W, D) per block of the branch."""
        refuse_hint(hint, latent)
        grid = token_grid(latent, self.config.patch)
        padded = with_masks(hint, (step.padding_mask,), self.config.hint_channels)
        guide = self.hint_mlp(self.hint_embed(patchify(padded, self.config.patch)))
        x = self.embed(latent, step)
        around = self.surroundings(latent, step, self.config.branch_rope_ratios)
        residuals = []
        for index, (block, zero) in enumerate(zip(self.blocks, self.zero, strict=True)):
            x = block(x, **around)
            if index == 0:
                # After block 0, as the released weights were trained.
                x = x + guide
            residuals.append(zero(x).unflatten(1, grid))
        return residuals

    @torch.no_grad()
    def start_from(self, base: DiT) -> None:
        """Copy the embeddings and first blocks of *base*, as the paper does."""
        own = self.state_dict()
        theirs = {k: v for k, v in base.state_dict().items() if k in own}
        self.load_state_dict(theirs, strict=False)


def refuse_hint(hint: Tensor, latent: Tensor) -> None:
    """Raise ValueError unless the hint is as long, high and wide as the latent."""
    if hint.shape[-3:] != latent.shape[-3:]:
        raise ValueError(
            f"hint is {tuple(hint.shape[-3:])} (T, H, W) but the latent is "
            f"{tuple(latent.shape[-3:])}; bring the control to the video's size"
        )


def zero_linear(width_in: int, width_out: int) -> nn.Linear:
    """Return a projection that gives zeros until it is trained."""
    layer = nn.Linear(width_in, width_out)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
