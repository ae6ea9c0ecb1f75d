"""One chunk: controls to hints, noise to latent, latent to frames."""

# C channel, T H W latent positions

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import torch
from torch import Tensor

from worldweave.base import Frames
from worldweave.diffusion.compat import tile_merge
from worldweave.diffusion.condition import GivenFrames
from worldweave.diffusion.denoiser import Denoiser
from worldweave.diffusion.noise import gaussian
from worldweave.diffusion.sampler import noise_levels, sample
from worldweave.io.sizes import to_frames, to_unit
from worldweave.loading import LoadedBase
from worldweave.model.branch import ControlBranch
from worldweave.model.step import Step
from worldweave.model.weave import weave
from worldweave_registry import WeightsError


@attrs.frozen(kw_only=True, eq=False)
class ChunkInput:
    """What one chunk is made from; frames are uint8 (T, H, W, 3).

    text and negative_text are (1, L, channels); maps are (1, t, h, w) on the token
    grid, normalised. known: the frames that begin the chunk, already made. start: the
    source frames to start from (SDEdit).
    """

    text: Tensor
    negative_text: Tensor | None
    controls: dict[str, Frames]
    maps: dict[str, Tensor]
    size: tuple[int, int]
    known: Frames | None
    start: Frames | None
    steps: int
    guidance: float
    sigma_max: float
    seed: int
    fps: float
    released: bool


def denoise(
    base: LoadedBase,
    branches: Mapping[str, ControlBranch],
    chunk: ChunkInput,
    tick: Callable[[int], None],
) -> Frames:
    """Return the frames of *chunk*, known ones included."""
    hints = {name: _encode_hint(base, c) for name, c in chunk.controls.items()}
    maps = {n: m.to(base.placement.device) for n, m in chunk.maps.items()}
    noise = gaussian(chunk.seed, _latent_shape(base, chunk.size))
    noise = noise.to(base.placement.device)
    given = _given(base, chunk, noise)
    mask = given.mask()

    def network(latent: Tensor, c_noise: Tensor, text: Tensor) -> Tensor:
        step = Step(c_noise=c_noise, text=text, fps=chunk.fps, condition_mask=mask)
        return weave(base.dit, branches, latent, step, hints, maps)

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
    levels = noise_levels(chunk.steps, sigma_max=chunk.sigma_max)
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
    return to_frames(base.autoencoder.decode(latent))


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
    return base.autoencoder.encode(to_unit(frames).to(base.placement.device)).float()


def _encode_hint(base: LoadedBase, control: Frames) -> Tensor:
    hint = base.autoencoder.encode_hint(to_unit(control).to(base.placement.device))
    return hint.to(base.placement.dtype)


def _latent_shape(base: LoadedBase, size: tuple[int, int]) -> tuple[int, ...]:
    frames = 1 + (base.description.chunk_frames - 1) // base.autoencoder.time_stride
    stride = base.autoencoder.space_stride
    channels = base.config.latent_channels
    return (1, channels, frames, size[0] // stride, size[1] // stride)
