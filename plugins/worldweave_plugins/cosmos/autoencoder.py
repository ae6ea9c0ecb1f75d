"""The Cosmos autoencoder CV8x8x8, as diffusers reads it, with its statistics."""

# B batch, C channel, T frames, H W pixels; t latent frames

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from worldweave import WeightsError
from worldweave.parallel.rows import Rows
from worldweave_plugins.cosmos import folders, rows_of_pictures

SIGMA: Final = 0.5
"""Standard deviation of the latent: the sigma_data of the diffusion."""
KIND: Final = "AutoencoderKLCosmos"
WHAT: Final = "the Cosmos autoencoder"


class CosmosAutoencoder:
    """Video to latent and back, 8 times smaller along every axis.

    The first frame stands alone, then every latent frame holds 8 frames. The
    latent is (E(video) - mean) / std * 0.5 with a mean and a std for each
    channel and each latent frame, the first differing most (Cosmos-Transfer1
    `pretrained_vae`). Both are applied in fp32; the released code rounds them
    to bf16. A result has the dtype of its input.
    """

    def __init__(self, model: Any, config: Mapping[str, Any]) -> None:
        """Wrap *model*, an AutoencoderKLCosmos, and its config.json."""
        self.model = model
        self.time_stride = int(config["temporal_compression_ratio"])
        self.space_stride = int(config["spatial_compression_ratio"])
        self.mean = _statistic("latents_mean", config).to(model.device)
        self.std = _statistic("latents_std", config).to(model.device)
        if self.mean.shape != self.std.shape or not bool((self.std > 0).all()):
            raise WeightsError(
                f"{WHAT} has latents_mean {tuple(self.mean.shape)} and latents_std "
                f"{tuple(self.std.shape)}; expected one shape and positive "
                "deviations; get its config.json again"
            )

    @property
    def longest(self) -> int:
        """The frames there are statistics for: 121 with the released file."""
        return 1 + (self.mean.shape[2] - 1) * self.time_stride

    @torch.no_grad()
    def encode(self, video: Tensor) -> Tensor:
        """Encode (B, 3, T, H, W) in -1..1, T = 1 + 8 k, as (B, 16, 1+k, H/8, W/8).

        Raise ValueError for another shape, or more than `longest` frames.
        """
        self._check(video)
        placed = video.to(self.model.device, self.model.dtype)
        posterior = self.model.encode(placed, return_dict=False)[0]
        latent: Tensor = posterior.mode().float()
        frames = latent.shape[2]
        latent = (latent - self.mean[:, :, :frames]) / self.std[:, :, :frames]
        return (latent * SIGMA).to(video.dtype)

    def encode_hint(self, control: Tensor) -> Tensor:
        """Encode a control exactly as a video."""
        return self.encode(control)

    @torch.no_grad()
    def decode(self, latent: Tensor) -> Tensor:
        """Decode (B, 16, t, H/8, W/8) to (B, 3, 1 + 8 (t - 1), H, W), not clamped.

        Raise ValueError for a latent of more than `longest` frames.
        """
        frames = latent.shape[2]
        if frames > self.mean.shape[2]:
            raise ValueError(
                f"latent has {frames} frames, but there are statistics for "
                f"{self.mean.shape[2]}; decode it in chunks"
            )
        placed = latent.to(self.model.device).float() / SIGMA
        placed = placed * self.std[:, :, :frames] + self.mean[:, :, :frames]
        video: Tensor = self.model.decode(
            placed.to(self.model.dtype), return_dict=False
        )[0]
        return video.to(latent.dtype)

    def on_rows(self, rows: Rows) -> CosmosAutoencoder:
        """Return it for one rank's *rows*: see `worldweave.base.SharesRows`."""
        other = copy.copy(self)
        other.model = rows_of_pictures.on_rows(self.model, rows)
        return other

    def _check(self, video: Tensor) -> None:
        shape, stride, cell = tuple(video.shape), self.time_stride, self.space_stride
        if (
            video.ndim != 5
            or shape[1] != 3
            or shape[2] % stride != 1
            or shape[2] > self.longest
            or shape[3] % cell
            or shape[4] % cell
        ):
            raise ValueError(
                f"video is {shape}; expected (B, 3, 1 + {stride} k, H, W) with at most "
                f"{self.longest} frames and H and W divisible by {cell}; "
                "cut it into chunks and resize it"
            )


def load(
    weights: Path | None, *, device: torch.device | str, dtype: torch.dtype
) -> CosmosAutoencoder:
    """Read a folder with config.json and diffusion_pytorch_model.safetensors.

    On a CPU it computes in fp32 whatever *dtype* is. Raise WeightsError if it is
    none or does not fit exactly, WorldweaveError without diffusers.
    """
    path, file = folders.named_files(
        weights, WHAT, "config.json", "diffusion_pytorch_model.safetensors"
    )
    config = folders.read_json(path)
    if config.get("_class_name") != KIND:
        raise WeightsError(
            f"{path} describes {config.get('_class_name')!r}, but {WHAT} is {KIND!r}; "
            "docs/cosmos.md says where to get it"
        )
    # torch has no bf16 pooling in 3-D on the CPU, and there is little to save.
    on_cpu = torch.device(device).type == "cpu"
    model = folders.read_model(
        getattr(folders.library("diffusers"), KIND),
        file.parent,
        WHAT,
        torch_dtype=torch.float32 if on_cpu else dtype,
        use_safetensors=True,
        # True would need accelerate, to save some of 0.4 GB.
        low_cpu_mem_usage=False,
    )
    return CosmosAutoencoder(model.to(device), model.config)


def _statistic(name: str, config: Mapping[str, Any]) -> Tensor:
    """Return a statistic (1, C, t, 1, 1); the file lists it channel by channel."""
    channels = int(config["latent_channels"])
    listed = torch.tensor(config[name] or (), dtype=torch.float32)
    if listed.numel() == 0 or listed.numel() % channels:
        raise WeightsError(
            f"{WHAT} lists {listed.numel()} values of {name}, which do not share out "
            f"over {channels} channels; take the one called CV8x8x8-1.0"
        )
    return listed.view(1, channels, -1, 1, 1)
