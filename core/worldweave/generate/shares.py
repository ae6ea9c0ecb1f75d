"""How much each modality will count, where and when, before anything is loaded."""

# T frames; t h w tokens

from __future__ import annotations

from collections.abc import Mapping

import attrs
import numpy as np
import torch
from torch import Tensor

from worldweave.diffusion.sampler import noise_levels
from worldweave.generate.blend import Blend
from worldweave.request.chunks import Chunk, cut
from worldweave.request.maps.schedule import factor
from worldweave.request.maps.tokens import on_tokens
from worldweave.request.regions import WHOLE
from worldweave.request.sources import MapArray
from worldweave.request.survey import Survey

__all__ = ["WHOLE", "Runs", "Share", "chunks_of", "runs", "shares"]


@attrs.frozen(kw_only=True)
class Share:
    """Mean effective value of each modality in one region of one chunk.

    values: None where a model has to run before it is known; what is not known may
    take a share of the others'. pixels: the part of the chunk that the region is,
    0..1; with 0 there are no values.
    """

    region: str
    chunk: int
    pixels: float
    values: Mapping[str, float | None]


@attrs.frozen(kw_only=True)
class Runs:
    """How often the branch of a modality will run, in all chunks together.

    evaluations: those it takes part in. chunks: those whose control is encoded.
    """

    evaluations: int
    chunks: int


def chunks_of(looked: Survey) -> list[Chunk]:
    """Return the chunks the video will be made in."""
    length = looked.base.chunk_frames
    return cut(looked.footage.frames, length, looked.request.overlap)


def shares(looked: Survey) -> list[Share]:
    """Return the shares of all regions, chunk by chunk; the whole picture first.

    They are normalised where the residuals are added, on the tokens, and averaged
    over all denoising steps.
    """
    regions = {WHOLE: np.ones((1, 1, 1), np.float32), **looked.regions()}
    found = []
    for chunk in chunks_of(looked):
        effective = _effective(looked, chunk)
        parts = _on_tokens(looked, regions, chunk)
        for region, part in parts.items():
            found.append(_share(looked, region, chunk, part, effective))
    return found


def _effective(looked: Survey, chunk: Chunk) -> dict[str, Tensor]:
    schedules = {n: looked.prepared[n].control.schedule for n in looked.maps}
    blend = Blend(
        values=_values(looked, chunk),
        schedules={n: s for n, s in schedules.items() if s is not None},
        levels=_levels(looked),
        is_final=looked.request.compat is not None,
    )
    return blend.effective()


def _values(looked: Survey, chunk: Chunk) -> dict[str, Tensor]:
    """Return the known maps of *chunk* as the model will be given them."""
    return on_tokens(
        looked.maps,
        chunk.start,
        looked.footage.frames,
        looked.grid,
        released=looked.request.compat is not None,
    )


def _levels(looked: Survey) -> Tensor:
    steps = looked.request.steps or looked.base.steps
    return noise_levels(steps, sigma_max=looked.request.sigma_max)


def _on_tokens(
    looked: Survey, regions: Mapping[str, MapArray], chunk: Chunk
) -> dict[str, Tensor]:
    frames = looked.footage.frames
    parts = on_tokens(regions, chunk.start, frames, looked.grid)
    return {name: part[0] for name, part in parts.items()}


def _share(
    looked: Survey,
    region: str,
    chunk: Chunk,
    part: Tensor,
    effective: Mapping[str, Tensor],
) -> Share:
    pixels = float(part.mean())
    values: dict[str, float | None] = {}
    for name in looked.prepared if pixels else ():
        values[name] = None
        if name in effective:
            values[name] = float((effective[name] * part).sum() / part.sum())
    return Share(region=region, chunk=chunk.index, pixels=pixels, values=values)


def runs(looked: Survey) -> dict[str, Runs]:
    """Return how often the branch of each modality will run.

    Of a map that is not known yet it is taken to run at every evaluation.
    """
    levels = _levels(looked)
    chunks = chunks_of(looked)
    whole = Runs(evaluations=len(levels) * len(chunks), chunks=len(chunks))
    found = dict.fromkeys(looked.prepared, whole)
    alive = [_alive(looked, chunk) for chunk in chunks]
    for name in looked.maps:
        schedule = looked.prepared[name].control.schedule
        steps = [
            at
            for at in range(len(levels))
            if schedule is None or factor(schedule, at, levels) > 0
        ]
        times = sum(name in names for names in alive)
        found[name] = Runs(
            evaluations=times * len(steps),
            # A network that predicts maps looks at all hints.
            chunks=len(chunks) if looked.learned else times,
        )
    return found


def _alive(looked: Survey, chunk: Chunk) -> set[str]:
    """Return the modalities whose maps are not zero in *chunk*."""
    return {name for name, map_ in _values(looked, chunk).items() if torch.any(map_)}
