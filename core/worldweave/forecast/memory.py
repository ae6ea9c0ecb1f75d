"""How much memory a generation takes at most: on the host, and on its device."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import torch

from worldweave.forecast.cost import Evaluation, Parts

#: What a process with worldweave and all it needs held on the machine of
#: docs/benchmarks/forecast.md; taken where the system does not tell.
PROCESS = 400_000_000
#: Code of the kernels that the first computation reads in, their buffers, and what
#: the allocator keeps of what was freed. Calibrated: see docs/benchmarks/forecast.md.
KERNELS = 45_000_000
#: Pictures that the encoder of a video holds, in bytes per pixel of one: H.264 looks
#: ahead some 40 frames and keeps its references, at 1.5 bytes a pixel.
ENCODER = 60 * 1.5
#: float32 latents the sampler holds around an evaluation: noise, given frames, state,
#: prediction and two more; then two in float64.
LATENTS = 6 * 4 + 2 * 8
#: What a CUDA context takes on the host and on the device. Not measured here.
CUDA_HOST = 1_500_000_000
CUDA_DEVICE = 600_000_000


@attrs.frozen(kw_only=True)
class Memory:
    """Bytes by part: what is held throughout, and what only one stage takes.

    process: the interpreter and its libraries. stages: of which the largest counts.
    reading: the most that was held in all while videos, labels and maps were read, at
    their own size, with no weights yet in memory; 0: not known.
    """

    process: int
    weights: int
    videos: int
    latents: int
    stages: Mapping[str, int]
    kernels: int
    on_host: bool
    device_context: int = 0
    host_weights: int = 0
    reading: int = 0

    @property
    def computing(self) -> int:
        """Weights, latents and the largest stage: what lies where it is computed."""
        return self.weights + self.latents + max(self.stages.values())

    @property
    def host(self) -> int:
        """Return the most the process holds in the machine's own memory."""
        fixed = self.process + self.kernels + self.videos
        later = fixed + (self.computing if self.on_host else self.host_weights)
        return max(later, self.reading)

    @property
    def device(self) -> int | None:
        """Return the most that lies on a GPU; None where none computes."""
        return None if self.on_host else self.computing + self.device_context

    @property
    def peak(self) -> int:
        """Return the most that lies where it is computed."""
        on_device = self.device
        return self.host if on_device is None else on_device

    def by_part(self) -> dict[str, int]:
        """Return the bytes under the names they are shown with."""
        parts = {
            "process": self.process + self.kernels,
            "weights": self.weights,
            "videos and maps": self.videos,
            "latents, hints and text": self.latents,
            **self.stages,
        }
        if self.reading > self.process:
            parts["reading and drawing"] = self.reading - self.process
        if not self.on_host:
            parts["loading on the host"] = self.host_weights
            parts["device context"] = self.device_context
        return parts


@attrs.frozen(kw_only=True)
class Held:
    """What stays in memory from the request to the end.

    frames: of the finished video, (H, W) its size; chunk: frames of one chunk.
    sources: videos in memory besides controls (the source: 1 or 0). maps: bytes of
    all maps as they are kept.
    """

    frames: int
    chunk: int
    size: tuple[int, int]
    sources: int
    controls: int
    maps: int

    def video_bytes(self) -> int:
        """Return the bytes of source, controls, the pieces made and the whole."""
        frame = 3 * self.size[0] * self.size[1]
        videos = (self.sources + self.controls + 2) * self.frames
        # One chunk of each control on its way to the autoencoder, and the last piece.
        return frame * (videos + (self.controls + 1) * self.chunk) + self.maps


def memory(
    one: Evaluation,
    parts: Parts | None,
    held: Held,
    *,
    device: torch.device,
    dtype: torch.dtype,
    text_channels: int,
    text_tokens: int,
    guided: bool,
    process: int | None,
    reading: int | None = None,
) -> Memory:
    """Add up what a generation holds; *process* None: what it was elsewhere.

    reading: the most that was held in all until the maps were drawn.
    """
    on_host = device.type == "cpu"
    wide = dtype.itemsize
    branches = len(one.branch_parameters)
    values = one.base_parameters + sum(one.branch_parameters.values())
    weights = values * wide
    stages = {"evaluation": one.peak}
    host_weights = 0
    if parts is not None:
        # On a CPU autoencoders compute in float32: torch lacks some of bfloat16.
        autoencoder = parts.autoencoder_parameters * (4 if on_host else wide)
        text = parts.text_parameters * wide
        weights += autoencoder + text
        share = 1.0 if on_host else wide / 4
        stages |= {
            "encode": int(parts.encode_bytes * share),
            "decode": int(parts.decode_bytes * share),
            "text": int(parts.text_bytes * wide / 4),
        }
        host_weights = max(autoencoder, text)
    if on_host:
        stages["video file"] = int(ENCODER * held.size[0] * held.size[1])
    tokens = (2 if guided else 1) * text_tokens * text_channels * wide
    return Memory(
        process=PROCESS if process is None else process,
        weights=weights,
        videos=held.video_bytes(),
        latents=LATENTS * one.latent_values
        + branches * one.hint_values * wide
        + tokens,
        stages=stages,
        kernels=KERNELS if on_host else CUDA_HOST,
        on_host=on_host,
        device_context=0 if on_host else CUDA_DEVICE,
        host_weights=host_weights,
        reading=reading or 0,
    )
