"""Training clips in memory: latents, prompts, and the controls of one modality."""

# N clip, C channel, T H W latent positions

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from worldweave.base import Autoencoder, Clip, Frames
from worldweave.io.sizes import to_unit
from worldweave_registry import WorldweaveError

MakeControl = Callable[[Clip], Frames]
ENCODE_BATCH = 16
#: Share of the prompts a training step leaves out: guidance needs the difference.
PROMPT_DROPOUT = 0.12


class ClipSet:
    """Clips whose videos are encoded once; controls are made when first used."""

    def __init__(self, clips: Iterable[Clip], autoencoder: Autoencoder) -> None:
        self.autoencoder = autoencoder
        self.clips = list(clips)
        if not self.clips:
            raise WorldweaveError(
                "there are no training clips; the dataset of the recipe must yield some"
            )
        parts = [
            self.clips[i : i + ENCODE_BATCH]
            for i in range(0, len(self.clips), ENCODE_BATCH)
        ]
        with torch.no_grad():
            self.latents = torch.cat(
                [
                    autoencoder.encode(torch.cat([to_unit(c.video) for c in part]))
                    for part in parts
                ]
            )
        self._controls: dict[tuple[MakeControl, int], Frames] = {}

    def __len__(self) -> int:
        return len(self.clips)

    def draw(self, size: int, generator: torch.Generator) -> list[int]:
        """Return *size* random clip numbers."""
        index: list[int] = torch.randint(
            len(self), (size,), generator=generator
        ).tolist()
        return index

    def prompts(self, index: Iterable[int]) -> list[str]:
        """Return the prompts of the numbered clips."""
        return [self.clips[i].prompt for i in index]

    def hints(self, index: Iterable[int], make: MakeControl) -> Tensor:
        """Return (N, C', T, H, W): the hints of the controls *make* gives."""
        controls = [self._control(i, make) for i in index]
        with torch.no_grad():
            return self.autoencoder.encode_hint(
                torch.cat([to_unit(control) for control in controls])
            )

    def _control(self, number: int, make: MakeControl) -> Frames:
        key = (make, number)
        if key not in self._controls:
            self._controls[key] = np.ascontiguousarray(make(self.clips[number]))
        return self._controls[key]


def drop(prompts: list[str], share: float, generator: torch.Generator) -> list[str]:
    """Replace a *share* of the prompts by the empty one, for guidance."""
    keep = torch.rand(len(prompts), generator=generator) >= share
    return [p if k else "" for p, k in zip(prompts, keep.tolist(), strict=True)]
