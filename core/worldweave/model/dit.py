"""The frozen video diffusion transformer that all branches steer."""

# B batch, C channel, T H W latent positions (after patching: tokens), D hidden,
# L = T * H * W tokens

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from worldweave.model.config import DiTConfig
from worldweave.model.fusion import fuse
from worldweave.model.layers import Block, Head, Modulation, TimeEmbedding
from worldweave.model.patches import patchify, token_grid, unpatchify, with_masks
from worldweave.model.rope import LearnedPositions, rope_angles
from worldweave.model.step import Step


class Trunk(nn.Module):
    """What a base and a Cosmos branch have in common: everything but the flow."""

    def __init__(self, config: DiTConfig, blocks: int) -> None:
        super().__init__()
        self.config = config
        self.patch_embed = nn.Linear(
            config.input_channels * config.patch_size, config.hidden, bias=False
        )
        self.positions = LearnedPositions(config)
        self.time = TimeEmbedding(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(blocks))
        self.head = Head(config)

    def embed(self, latent: Tensor, step: Step) -> Tensor:
        """Map the latent and its masks to tokens (B, L, D).

        In the dtype of the parameters, under autocast too: all that follows is added
        to these.
        """
        masks: tuple[Tensor | None, ...] = (step.padding_mask,)
        if self.config.condition_mask:
            masks = (step.condition_mask, *masks)
        tokens: Tensor = self.patch_embed(
            patchify(with_masks(latent, masks), self.config.patch)
        )
        return tokens.to(self.positions.t.dtype)

    def surroundings(
        self, latent: Tensor, step: Step, ratios: tuple[float, float, float]
    ) -> dict[str, Any]:
        """Return what every block is given besides the hidden state."""
        grid = token_grid(latent, self.config.patch)
        noise, shared = self.time(step.c_noise)
        angles = rope_angles(
            grid,
            head_width=self.config.head_width,
            ratios=ratios,
            fps=step.fps,
            base_fps=self.config.base_fps,
            device=latent.device,
            bf16=self.config.bf16_rope,
        )
        return {
            "positions": self.positions(grid),
            "rope": (angles.cos(), angles.sin()),
            "text": step.text,
            "noise": noise,
            "shared": shared,
        }


class DiT(Trunk):
    """Predict the EDM network output F from a scaled noisy latent.

    Cosmos-Transfer1's base (`GeneralDIT` and its video-conditioned and AV
    variants), one implementation for every size.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__(config, config.blocks)

    def forward(
        self,
        latent: Tensor,
        step: Step,
        residuals: Sequence[Sequence[Tensor]] = (),
        maps: Sequence[Tensor] = (),
    ) -> Tensor:
        """Map (B, C, T, H, W) to the same shape.

        *residuals* holds, per branch, one (B, T, H, W, D) tensor for each
        controlled block, first block first; *maps* one (B or 1, T, H, W) tensor
        per branch, already normalised. They are added after the whole block.
        """
        if len(residuals) != len(maps):
            raise ValueError(
                f"{len(residuals)} branches gave residuals but there are {len(maps)} "
                "maps; give one map per branch"
            )
        grid = token_grid(latent, self.config.patch)
        x = self.embed(latent, step)
        around = self.surroundings(latent, step, self.config.rope_ratios)
        for index, block in enumerate(self.blocks):
            x = block(x, **around)
            active = [
                (branch[index], weights)
                for branch, weights in zip(residuals, maps, strict=True)
                if index < len(branch)
            ]
            if active:
                hidden = x.unflatten(1, grid)
                x = fuse(hidden, [r for r, _ in active], [m for _, m in active])
                x = x.flatten(1, 3)
        patches = self.head(x, around["noise"], around["shared"])
        return unpatchify(patches, grid, self.config.patch)

    @torch.no_grad()
    def initialize(self, generator: torch.Generator) -> None:
        """Give a new base its training start: random weights, closed gates.

        As Cosmos (`GeneralDIT`), but with a zero head, so that an untrained base
        predicts no change instead of noise.
        """
        for name, parameter in self.named_parameters():
            if name.startswith(("positions.", "time.linear_")):
                parameter.normal_(std=0.02, generator=generator)
            elif parameter.ndim == 2:
                nn.init.xavier_uniform_(parameter, generator=generator)
        for name, module in self.named_modules():
            if name.startswith("blocks.") and isinstance(module, Modulation):
                module.up.weight.zero_()
        self.head.linear.weight.zero_()
