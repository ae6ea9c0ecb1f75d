"""What a step of a branch's training learns from: latents, prompts, hints."""

# B clip of a batch, b of this process, C channel, T H W latent positions

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import attrs
import numpy as np
import torch
from torch import Tensor

from worldweave.base import Autoencoder, Clip, Frames
from worldweave.train.clips import PROMPT_DROPOUT, ClipSet, MakeControl, drop
from worldweave.train.random_options import RandomOptions


@attrs.frozen(kw_only=True, eq=False)
class Batch:
    """The pairs of one step; latents beyond the share are not looked at."""

    latents: Tensor
    """float32 (B, C, T, H, W)"""
    prompts: list[str]
    """b of them"""
    hints: Tensor
    """(b, C', T, H, W)"""


class Pairs(Protocol):
    """Clips and their controls, to draw from."""

    def __len__(self) -> int:
        """Return how many clips there are."""
        ...

    def draw(self, size: int, generator: torch.Generator, share: slice) -> Batch:
        """Return *size* random pairs.

        All that is random comes from the generator and is drawn for the whole
        batch; only the *share* of it has to be computed.
        """
        ...


class ClipPairs:
    """Clips in memory, their controls made once."""

    def __init__(
        self,
        clips: Iterable[Clip],
        autoencoder: Autoencoder,
        control: MakeControl,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.clips = ClipSet(clips, autoencoder, control, device=device, dtype=dtype)

    def __len__(self) -> int:
        return len(self.clips)

    def draw(self, size: int, generator: torch.Generator, share: slice) -> Batch:
        """Return *size* random clips."""
        index = self.clips.draw(size, generator)
        prompts = drop(self.clips.prompts_of(index), PROMPT_DROPOUT, generator)
        return Batch(
            latents=self.clips.latents(index),
            prompts=prompts[share],
            hints=self.clips.hints(index[share]),
        )


class VariedPairs:
    """Clips in memory, their controls made anew each time with drawn options.

    A control that a clip brings along stays what it is.
    """

    def __init__(
        self,
        clips: Iterable[Clip],
        autoencoder: Autoencoder,
        options: RandomOptions,
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.options = options
        self.has_control: list[bool] = []
        self.clips = ClipSet(clips, autoencoder, self._kept, device=device, dtype=dtype)

    def __len__(self) -> int:
        return len(self.clips)

    def draw(self, size: int, generator: torch.Generator, share: slice) -> Batch:
        """Return *size* random clips, each with a control of its own."""
        index = self.clips.draw(size, generator)
        prompts = drop(self.clips.prompts_of(index), PROMPT_DROPOUT, generator)
        drawn = [self.options.draw(generator) for _ in index]
        kept = self.clips.controls(index[share])
        made = [
            frames if self.has_control[i] else self.options.control(options, frames)
            for i, options, frames in zip(
                index[share], drawn[share], kept.cpu().numpy(), strict=True
            )
        ]
        controls = torch.from_numpy(np.stack(made)).to(kept.device)
        return Batch(
            latents=self.clips.latents(index),
            prompts=prompts[share],
            hints=self.clips.hints_of(controls),
        )

    def _kept(self, clip: Clip) -> Frames:
        """Return the clip's own control, or the video to make one from."""
        name = self.options.modality.name
        self.has_control.append(name in clip.controls)
        return clip.controls.get(name, clip.video)
