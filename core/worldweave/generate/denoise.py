"""One chunk: controls to hints, noise to latent, latent to frames."""

# C channel, T H W latent positions

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs
import torch
from torch import Tensor

from worldweave.base import Frames
from worldweave.diffusion.compat import tile_merge
from worldweave.diffusion.condition import GivenFrames
from worldweave.diffusion.denoiser import Denoiser
from worldweave.diffusion.sampler import noise_levels, sample
from worldweave.generate.blend import Blend
from worldweave.io.sizes import to_frames, to_unit
from worldweave.loading import LoadedBase
from worldweave.model.map_net import MapNet
from worldweave.model.step import Step
from worldweave.model.weave import RunBranch
from worldweave.request.sources import Schedule
from worldweave_registry import WeightsError


@attrs.frozen(kw_only=True, eq=False)
class ChunkInput:
    """What one chunk is made from; frames are uint8 (T, H, W, 3).

    text and negative_text are (1, L, channels); maps are (1, t, h, w) on the token
    grid, not yet normalised. learned: of the modalities without a map, the network
    that predicts it and the factor of its prediction. known: the frames that begin
    the chunk, already made. start: the source frames to start from (SDEdit).
    """

    text: Tensor
    negative_text: Tensor | None
    controls: dict[str, Frames]
    maps: dict[str, Tensor]
    learned: dict[str, tuple[MapNet, float]]
    schedules: dict[str, Schedule]
    size: tuple[int, int]
    known: Frames | None
    start: Frames | None
    steps: int
    guidance: float
    sigma_max: float
    seed: int
    fps: float
    released: bool


@attrs.frozen(kw_only=True, eq=False)
class ChunkOutput:
    """The frames of a chunk, known ones included, and the maps (t, h, w) as they were
    in effect."""

    frames: Frames
    effective: dict[str, Tensor]


def denoise(
    base: LoadedBase,
    branches: Mapping[str, RunBranch],
    chunk: ChunkInput,
    tick: Callable[[int], None],
) -> ChunkOutput:
    """Make *chunk*. A branch whose map is zero at a step is not run there."""
    hints = {name: _encode_hint(base, chunk.controls[name]) for name in _seen(chunk)}
    levels = noise_levels(chunk.steps, sigma_max=chunk.sigma_max)
    blend = Blend(
        values=_values(base, chunk, hints),
        schedules=chunk.schedules,
        levels=levels,
        is_final=chunk.released,
    )
    noise = base.executor.noise(chunk.seed, _latent_shape(base, chunk.size))
    noise = noise.to(base.placement.device)
    given = _given(base, chunk, noise)
    mask = given.mask()

    def network(
        latent: Tensor, c_noise: Tensor, texts: Sequence[Tensor]
    ) -> Sequence[Tensor]:
        steps = [
            Step(c_noise=c_noise, text=text, fps=chunk.fps, condition_mask=mask)
            for text in texts
        ]
        maps = blend.at(c_noise)
        running = {name: branches[name] for name in branches if name in maps}
        return base.executor.outputs(base.dit, running, latent, steps, hints, maps)

    predict = Denoiser(
        network=network,
        text=chunk.text,
        negative_text=chunk.negative_text,
        guidance=chunk.guidance,
        given=given,
        dtype=base.placement.dtype,
        # The released code merges tiles only in the model class that knows given
        # frames.
        finish=tile_merge if chunk.released and base.config.condition_mask else None,
    )
    start = noise * levels[0].to(noise)
    if chunk.start is not None:
        start = start + _encode(base, chunk.start)
    latent = sample(predict, start, levels, progress=tick)
    if not torch.isfinite(latent).all():
        used = ", ".join(["the base", *(f"branch {name!r}" for name in branches)])
        raise WeightsError(
            f"the result has values that are not finite in {base.placement.dtype}; "
            f"check the weights of {used}, or compute in float32"
        )
    frames = to_frames(base.autoencoder.decode(latent))
    return ChunkOutput(frames=frames, effective=blend.effective())


def _seen(chunk: ChunkInput) -> list[str]:
    """Return the modalities whose control matters in *chunk*.

    That of a map that is zero in this chunk does not, unless maps are learned: they
    look at all.
    """
    alive = [name for name in chunk.controls if chunk.learned or chunk.maps[name].any()]
    return sorted(alive)


def _values(
    base: LoadedBase, chunk: ChunkInput, hints: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the values of every map, given or predicted, on the model's device."""
    values = {n: m.to(base.placement.device) for n, m in chunk.maps.items()}
    for net in dict.fromkeys(net for net, _ in chunk.learned.values()):
        known = {name: hint for name, hint in hints.items() if name in net.names}
        predicted = net(known)
        for name, (own, scale) in chunk.learned.items():
            if own is net:
                values[name] = predicted[name].float() * scale
    # One order, so that the order in which maps are given changes no bit.
    return {name: values[name] for name in sorted(values)}


def _given(base: LoadedBase, chunk: ChunkInput, noise: Tensor) -> GivenFrames:
    """Return what is known: the latent frames that *known* frames fill completely.

    Nothing for a base without a condition mask: it was never trained with any.
    """
    latent = torch.zeros_like(noise)
    count = 0
    if chunk.known is not None and base.config.condition_mask:
        stride = base.autoencoder.time_stride
        count = 1 + (len(chunk.known) - 1) // stride
        whole = chunk.known[: 1 + (count - 1) * stride]
        latent[:, :, :count] = _encode(base, whole)
    return GivenFrames(latent=latent, count=count, noise=noise)


def _encode(base: LoadedBase, frames: Frames) -> Tensor:
    return base.autoencoder.encode(to_unit(frames, base.placement.device)).float()


def _encode_hint(base: LoadedBase, control: Frames) -> Tensor:
    hint = base.autoencoder.encode_hint(to_unit(control, base.placement.device))
    return hint.to(base.placement.dtype)


def _latent_shape(base: LoadedBase, size: tuple[int, int]) -> tuple[int, ...]:
    frames = 1 + (base.description.chunk_frames - 1) // base.autoencoder.time_stride
    stride = base.autoencoder.space_stride
    channels = base.config.latent_channels
    return (1, channels, frames, size[0] // stride, size[1] // stride)
