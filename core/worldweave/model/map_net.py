"""Learned maps: from the hints of all modalities to how much each should count."""

# B batch, C channel, T H W latent positions; t h w tokens, D width

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from worldweave.model.branch import zero_linear
from worldweave.model.config import DiTConfig
from worldweave.model.patches import patchify, token_grid, with_masks

#: 32 makes half a megabyte of bfloat16 for six modalities of the tiny base.
WIDTH = 32
DEPTH = 2


class MapNet(nn.Module):
    """Predicts how modalities share one, from the hints of all that take part.

    It knows the modalities of *names* and works with any of them in any order. Each
    hint is looked at on its own, with a few tokens of its surroundings, and then
    beside the mean of all: what one modality should do depends on the others.
    """

    def __init__(
        self,
        config: DiTConfig,
        names: Iterable[str],
        *,
        width: int = WIDTH,
        depth: int = DEPTH,
    ) -> None:
        super().__init__()
        self.config = config
        self.names = tuple(sorted(set(names)))
        if not self.names:
            raise ValueError("a map network knows no modality; name one or more")
        # How the hint of a modality enters, and how its map leaves.
        channels = config.hint_channels * config.patch_size
        self.embeds = nn.ModuleDict(
            {_key(name): nn.Linear(channels, width) for name in self.names}
        )
        self.heads = nn.ModuleDict(
            {_key(name): zero_linear(width, 1) for name in self.names}
        )
        self.trunk = nn.ModuleList(Neighbours(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.join = nn.Linear(2 * width, width)

    def forward(self, hints: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return float32 values (B, t, h, w) in 0..1 on the token grid, by name.

        Hints are (1 or B, C', T, H, W), of one size. The values of all sum to one:
        what is learned is who gets which share, and a modality alone gets all. A
        fresh network gives all the same. Raise ValueError for no hint, an unknown
        modality, or sizes that differ.
        """
        self._refuse_misfit(hints)
        # Always in one order, so that that of the request changes no bit.
        names = sorted(hints)
        looks = [self._look(name, hints[name]) for name in names]
        batch = max(len(look) for look in looks)
        context = torch.stack([x.expand(batch, -1, -1, -1, -1) for x in looks]).mean(0)
        logits = [
            self._logit(name, look, context)
            for name, look in zip(names, looks, strict=True)
        ]
        shares = dict(zip(names, torch.stack(logits).softmax(0), strict=True))
        return {name: shares[name] for name in hints}

    def _look(self, name: str, hint: Tensor) -> Tensor:
        """Return what is seen in a hint, (1 or B, t, h, w, D)."""
        padded = with_masks(hint, (), self.config.hint_channels)
        tokens = patchify(padded, self.config.patch)
        grid = token_grid(hint, self.config.patch)
        x: Tensor = self.embeds[_key(name)](tokens).reshape(len(hint), *grid, -1)
        for layer in self.trunk:
            x = layer(x)
        seen: Tensor = self.norm(x)
        return seen

    def _logit(self, name: str, look: Tensor, context: Tensor) -> Tensor:
        both = torch.cat([look.expand_as(context), context], dim=-1)
        joined = nn.functional.silu(self.join(both))
        logit: Tensor = self.heads[_key(name)](joined)
        return logit.squeeze(-1).float()

    def _refuse_misfit(self, hints: Mapping[str, Tensor]) -> None:
        if not hints:
            raise ValueError("there are no hints to predict maps from; give some")
        unknown = sorted(set(hints) - set(self.names))
        if unknown:
            raise ValueError(
                f"these learned maps know {', '.join(self.names)} but not "
                f"{', '.join(unknown)}; train some that do"
            )
        sizes = {name: tuple(hint.shape[-3:]) for name, hint in hints.items()}
        if len(set(sizes.values())) > 1:
            told = ", ".join(f"{n} {'x'.join(map(str, s))}" for n, s in sizes.items())
            raise ValueError(
                f"hints are of different sizes (T, H, W): {told}; bring all controls "
                "to the video's size"
            )


class Neighbours(nn.Module):
    """Add to every token what lies around it: one token in time, one in space."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Conv3d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, t, h, w, D) to the same shape."""
        mixed = self.mix(self.norm(x).movedim(-1, 1)).movedim(1, -1)
        return x + nn.functional.silu(mixed)


def _key(name: str) -> str:
    # A modality may be called "keys" or "type", which a ModuleDict cannot hold.
    return f"for_{name}"
