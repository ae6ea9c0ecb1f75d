"""Pairs of a data folder, read from its files at every step."""

# B clip of a batch, b of this process, C channel, T H W latent positions

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from worldweave.base import Clip, Frames
from worldweave.io.sizes import to_unit
from worldweave.loading import LoadedBase
from worldweave.train.clips import MONITORED_CLIPS, PROMPT_DROPOUT, MakeControl, drop
from worldweave.train.data.films import Footage
from worldweave.train.pairs import Batch
from worldweave.train.random_options import RandomOptions
from worldweave_registry import Modality, WorldweaveError


class StreamedPairs:
    """Windows from anywhere in the videos; none stays in memory.

    The videos of a batch have one size: the first is drawn among all, the others
    among those of its size. A control that is a file wins; otherwise *control*
    makes it, or the preprocessor with *options* drawn anew.
    """

    def __init__(
        self,
        footage: Sequence[Footage],
        base: LoadedBase,
        modality: Modality,
        control: MakeControl,
        options: RandomOptions | None = None,
    ) -> None:
        if not footage:
            raise WorldweaveError("there are no videos to train on; add some")
        self.footage = footage
        self.base = base
        self.modality = modality
        self.control = control
        self.options = options
        self.length = base.description.chunk_frames
        self._of_size: defaultdict[tuple[int, int], list[Footage]] = defaultdict(list)
        for each in footage:
            self._of_size[each.size].append(each)

    def __len__(self) -> int:
        return len(self.footage)

    def draw(self, size: int, generator: torch.Generator, share: slice) -> Batch:
        """Return *size* random windows; only those of the *share* are read."""
        first = _one(self.footage, generator)
        alike = self._of_size[first.size]
        chosen = [first, *(_one(alike, generator) for _ in range(size - 1))]
        starts = [
            int(
                torch.randint(
                    each.video.frames - self.length + 1, (), generator=generator
                )
            )
            for each in chosen
        ]
        prompts = drop([f.prompt for f in chosen], PROMPT_DROPOUT, generator)
        options = [self._options(generator) for _ in chosen]
        latents, hints = [], []
        with torch.no_grad():
            # One by one: a window of a large base fills a memory.
            for each, start, drawn in zip(
                chosen[share], starts[share], options[share], strict=True
            ):
                clip = each.window(start, self.length, self.modality)
                latents.append(self._encoded(self.base.autoencoder.encode, clip.video))
                made = self._control(clip, drawn)
                hints.append(self._encoded(self.base.autoencoder.encode_hint, made))
        own = torch.cat(latents)
        whole = own.new_zeros(size, *own.shape[1:])
        whole[share] = own
        return Batch(latents=whole, prompts=prompts[share], hints=torch.cat(hints))

    def _options(self, generator: torch.Generator) -> dict[str, Any] | None:
        return None if self.options is None else self.options.draw(generator)

    def _control(self, clip: Clip, options: dict[str, Any] | None) -> Frames:
        if options is None or self.options is None or clip.controls:
            return self.control(clip)
        return self.options.control(options, clip.video)

    def _encoded(self, encode: Callable[[Tensor], Tensor], frames: Frames) -> Tensor:
        return encode(to_unit(frames).to(self.base.placement.device)).float()


def watched_clips(
    footage: Sequence[Footage], length: int, modality: Modality
) -> list[Clip]:
    """Return up to 16 different windows of *length* frames for the monitors.

    They are spread over the videos and have the size that most of these have.
    """
    if not footage:
        return []
    ((size, _),) = Counter(each.size for each in footage).most_common(1)
    alike = [each for each in footage if each.size == size]
    places = []
    for at, each in enumerate(alike[:MONITORED_CLIPS]):
        windows = each.video.frames - length + 1
        wanted = len(range(at, MONITORED_CLIPS, len(alike)))
        count = min(windows, wanted)
        places += [(each, windows * n // count) for n in range(count)]
    return [each.window(start, length, modality) for each, start in places]


def _one(footage: Sequence[Footage], generator: torch.Generator) -> Footage:
    return footage[int(torch.randint(len(footage), (), generator=generator))]
