"""Training clips in memory: latents, prompts, and the controls of one modality."""

# N clip, C channel, T H W latent positions; F frame, Y X pixel

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from worldweave.base import HELD_OUT, Autoencoder, Clip, Frames
from worldweave.io.sizes import to_unit
from worldweave_registry import WorldweaveError

MakeControl = Callable[[Clip], Frames]
ENCODE_BATCH = 16
#: Share of the prompts a training step leaves out: guidance needs the difference.
PROMPT_DROPOUT = 0.12
#: From this many clips on, latents are kept in half precision: 10000 clips of the
#: tiny world are 0.7 GB instead of 1.5 GB. Its rounding, 0.0002 at a value of 0.5,
#: is far below the noise of any step.
MANY = 4000
#: What monitors look at: held out, and not what `worldweave evaluate` takes.
MONITORED = HELD_OUT + 50_000
MONITORED_CLIPS = 16


class ClipSet:
    """Clips as a training uses them: videos encoded once, the rest of a clip let go.

    With *control*, which makes a clip's control video, hints can be asked for.
    Everything lies on *device*.
    """

    def __init__(
        self,
        clips: Iterable[Clip],
        autoencoder: Autoencoder,
        control: MakeControl | None = None,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.autoencoder = autoencoder
        self.prompts: list[str] = []
        latents: list[Tensor] = []
        controls: list[Tensor] = []
        with torch.no_grad():
            for part in _batches(clips):
                videos = torch.cat([to_unit(clip.video) for clip in part])
                latents.append(autoencoder.encode(videos.to(device)).to(dtype))
                self.prompts += [clip.prompt for clip in part]
                if control is not None:
                    made = [np.ascontiguousarray(control(clip)) for clip in part]
                    controls.append(torch.from_numpy(np.stack(made)).to(device))
        if not latents:
            raise WorldweaveError(
                "there are no training clips; the dataset of the recipe must yield some"
            )
        self._latents = torch.cat(latents)
        self._controls = torch.cat(controls) if controls else None

    def __len__(self) -> int:
        return len(self.prompts)

    def draw(self, size: int, generator: torch.Generator) -> list[int]:
        """Return *size* random clip numbers."""
        index: list[int] = torch.randint(
            len(self), (size,), generator=generator
        ).tolist()
        return index

    def latents(self, index: Iterable[int]) -> Tensor:
        """Return float32 (N, C, T, H, W): the latents of the numbered clips."""
        return self._latents[list(index)].float()

    def prompts_of(self, index: Iterable[int]) -> list[str]:
        """Return the prompts of the numbered clips."""
        return [self.prompts[i] for i in index]

    def controls(self, index: Iterable[int]) -> Tensor:
        """Return uint8 (N, F, Y, X, 3): the controls of the numbered clips."""
        if self._controls is None:
            raise ValueError("these clips have no controls; give ClipSet a control")
        return self._controls[list(index)]

    def hints(self, index: Iterable[int]) -> Tensor:
        """Return (N, C', T, H, W): the hints of the numbered clips' controls."""
        return self.hints_of(self.controls(index))

    def hints_of(self, controls: Tensor) -> Tensor:
        """Return (N, C', T, H, W): the hints of controls uint8 (N, F, Y, X, 3)."""
        frames = controls.permute(0, 4, 1, 2, 3)
        with torch.no_grad():
            return self.autoencoder.encode_hint(frames.float() / 255 * 2 - 1)


def drop(prompts: list[str], share: float, generator: torch.Generator) -> list[str]:
    """Replace a *share* of the prompts by the empty one, for guidance."""
    keep = torch.rand(len(prompts), generator=generator) >= share
    return [p if k else "" for p, k in zip(prompts, keep.tolist(), strict=True)]


def _batches(clips: Iterable[Clip]) -> Iterator[list[Clip]]:
    rest = iter(clips)
    while part := list(islice(rest, ENCODE_BATCH)):
        yield part


def latent_dtype(count: int) -> torch.dtype:
    """Return the precision in which the latents of *count* clips are kept."""
    return torch.float16 if count >= MANY else torch.float32
