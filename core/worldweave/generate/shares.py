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
from worldweave.request.maps.tokens import on_tokens, shrunk
from worldweave.request.sources import MapArray
from worldweave.request.survey import Survey

WHOLE = "everywhere"


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


def chunks_of(looked: Survey) -> list[Chunk]:
    """Return the chunks the video will be made in."""
    length = looked.base.chunk_frames
    return cut(looked.footage.frames, length, looked.request.overlap)


def shares(looked: Survey) -> list[Share]:
    """Return the shares of all regions, chunk by chunk; the whole picture first.

    They are normalised where the residuals are added, on the tokens, and averaged
    over all denoising steps.
    """
    regions = {WHOLE: np.ones((1, 1, 1), np.float32)}
    for name, mask in looked.regions().items():
        regions[name] = shrunk(
            mask.astype(np.float32), looked.grid.rows, looked.grid.columns
        )
    found = []
    for chunk in chunks_of(looked):
        effective = _effective(looked, chunk)
        parts = _on_tokens(looked, regions, chunk)
        for region, part in parts.items():
            found.append(_share(looked, region, chunk, part, effective))
    return found


def _effective(looked: Survey, chunk: Chunk) -> dict[str, Tensor]:
    request = looked.request
    values = on_tokens(
        looked.maps,
        chunk.start,
        looked.footage.frames,
        looked.grid,
        released=request.compat is not None,
    )
    schedules = {n: looked.prepared[n].control.schedule for n in looked.maps}
    blend = Blend(
        values=values,
        schedules={n: s for n, s in schedules.items() if s is not None},
        levels=noise_levels(
            request.steps or looked.base.steps, sigma_max=request.sigma_max
        ),
        is_final=request.compat is not None,
    )
    return blend.effective()


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


def alive_steps(looked: Survey, name: str) -> int:
    """Return at how many evaluations the branch of *name* will run in all chunks.

    Of maps that are not known yet it is taken to run at every one.
    """
    levels = looked.request.steps or looked.base.steps
    chunks = chunks_of(looked)
    if name not in looked.maps:
        return (levels + 1) * len(chunks)
    return sum(_alive(looked, name, chunk) for chunk in chunks)


def _alive(looked: Survey, name: str, chunk: Chunk) -> int:
    one = attrs.evolve(looked, maps={name: looked.maps[name]})
    request = looked.request
    values = on_tokens(one.maps, chunk.start, looked.footage.frames, looked.grid)
    if not torch.any(values[name]):
        return 0
    schedule = looked.prepared[name].control.schedule
    levels = noise_levels(
        request.steps or looked.base.steps, sigma_max=request.sigma_max
    )
    if schedule is None:
        return len(levels)
    from worldweave.request.maps.schedule import factor

    return sum(factor(schedule, at, levels) > 0 for at in range(len(levels)))
