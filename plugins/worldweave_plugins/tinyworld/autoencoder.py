"""Compress video with a causal Haar transform, a fixed basis, a learned decoder."""

# B batch, C channel, T frames, H W pixels; t h w positions in the latent

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from worldweave.checkpoints import store
from worldweave.io.sizes import to_unit
from worldweave.parallel.row_layers import LAYERS, sharing_rows
from worldweave.parallel.rows import Rows
from worldweave_plugins.tinyworld.clips import clips
from worldweave_plugins.tinyworld.restorer import Restorer, RestorerBlock

STRIDE: Final = 4
COEFFICIENTS: Final = 3 * STRIDE**3
CHANNELS: Final = 32
SIGMA: Final = 0.5
"""Standard deviation of the latent over all channels."""


class HaarPCA(nn.Module):
    """Video to 4 x 4 x 4 Haar coefficients to their first principal components.

    Causal: the first frame is repeated to fill the first block, every later
    block holds 4 new frames. The basis is fitted once and never trained.
    Components are divided by the root of their standard deviation: fully
    whitened, invisible detail would weigh as much as the layout. What is decoded
    goes through a learned restorer, which a fresh fit leaves without effect.
    Computes in fp32, returns the dtype it was given.
    """

    time_stride = STRIDE
    space_stride = STRIDE

    mean: Tensor
    basis: Tensor
    scale: Tensor
    haar: Tensor
    hint_scale: Tensor

    def __init__(self, *, channels: int = CHANNELS) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(COEFFICIENTS))
        self.register_buffer("basis", torch.eye(COEFFICIENTS)[:channels])
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("haar", haar_matrix(), persistent=False)
        hint_scale = torch.ones(COEFFICIENTS)
        hint_scale[:: STRIDE**3] = STRIDE**-1.5
        self.register_buffer("hint_scale", hint_scale, persistent=False)
        self.restorer = Restorer().requires_grad_(False)

    @classmethod
    def fit(cls, videos: Iterable[Tensor], *, channels: int = CHANNELS) -> HaarPCA:
        """Fit the basis to videos (B, 3, T, H, W) in -1..1; one pass, fp64."""
        model = cls(channels=channels)
        count = 0
        total = torch.zeros(COEFFICIENTS, dtype=torch.float64)
        products = torch.zeros(COEFFICIENTS, COEFFICIENTS, dtype=torch.float64)
        for video in videos:
            rows = model._analyse(video).flatten(0, -2).double()
            count += len(rows)
            total += rows.sum(0)
            products += rows.T @ rows
        mean = total / count
        variance, vectors = torch.linalg.eigh(
            products / count - torch.outer(mean, mean)
        )
        variance, basis = variance.flip(0)[:channels], vectors.flip(1).T[:channels]
        # A vector's sign is arbitrary: fix it, so that a fit is repeatable.
        largest = basis.abs().argmax(1, keepdim=True)
        basis = basis * basis.gather(1, largest).sign()
        scale = variance.clamp_min(1e-12) ** -0.25
        scale *= SIGMA / (variance * scale**2).mean().sqrt()
        model.mean.copy_(mean)
        model.basis.copy_(basis)
        model.scale.copy_(scale)
        return model

    def encode(self, video: Tensor) -> Tensor:
        """Encode (B, 3, T, H, W) in -1..1, T = 1 + 4 n, as (B, C, 1 + n, H/4, W/4)."""
        coefficients = self._analyse(video) - self.mean
        latent = (coefficients @ self.basis.T) * self.scale
        return latent.movedim(-1, 1).to(video.dtype)

    def decode(self, latent: Tensor) -> Tensor:
        """Decode (B, C, t, h, w) to (B, 3, 4 t - 3, 4 h, 4 w), not clamped."""
        video: Tensor = self.restorer(self.synthesise(latent))
        return video.to(latent.dtype)

    def synthesise(self, latent: Tensor) -> Tensor:
        """Decode as far as the transform goes: fp32, before any restoring."""
        components = latent.float().movedim(1, -1) / self.scale
        return self._synthesise(components @ self.basis + self.mean)

    def encode_hint(self, control: Tensor) -> Tensor:
        """Rearrange a control into all its coefficients, (B, 192, t, h, w).

        Nothing is lost: the PCA basis fits pictures and would blur edges and
        flat colours. The mean of each block keeps its value in -1..1 instead of
        8 times that; the rest of an edge control then has a root mean square
        of about 0.5.
        """
        hint = self._analyse(control) * self.hint_scale
        return hint.movedim(-1, 1).to(control.dtype)

    def decode_hint(self, hint: Tensor) -> Tensor:
        """Invert ``encode_hint``."""
        coefficients = hint.float().movedim(1, -1) / self.hint_scale
        return self._synthesise(coefficients).to(hint.dtype)

    def on_rows(self, rows: Rows) -> HaarPCA:
        """Return it for one rank's *rows*: see `worldweave.base.SharesRows`.

        The transform is local to 4 x 4 pixels; the restorer looks at rows around them.
        """
        # Conv1d runs over time.
        local = dict.fromkeys([HaarPCA, Restorer, RestorerBlock, nn.Conv1d])
        return sharing_rows(self, rows, {**LAYERS, **local})

    def save(self, path: Path) -> None:
        """Write basis and restorer to a safetensors file; all of it or nothing."""
        store.write(path, self.state_dict(), {"kind": "autoencoder"})

    def _analyse(self, video: Tensor) -> Tensor:
        """Map (B, 3, T, H, W) to fp32 coefficients (B, t, h, w, 192)."""
        batch, channels, frames, height, width = video.shape
        if channels != 3 or frames % STRIDE != 1 or height % STRIDE or width % STRIDE:
            raise ValueError(
                f"video is {tuple(video.shape)}; expected (B, 3, 1 + {STRIDE} n, H, W) "
                f"with H and W divisible by {STRIDE}; crop or resize it"
            )
        first = video[:, :, :1].expand(-1, -1, STRIDE - 1, -1, -1)
        blocks = torch.cat([first, video], dim=2).float()
        blocks = blocks.reshape(
            batch, 3, -1, STRIDE, height // STRIDE, STRIDE, width // STRIDE, STRIDE
        ).permute(0, 2, 4, 6, 1, 3, 5, 7)
        return (blocks.flatten(5) @ self.haar.T).flatten(4)

    def _synthesise(self, coefficients: Tensor) -> Tensor:
        """Invert ``_analyse``; the first block's four frames are averaged."""
        batch, times, rows, columns, _ = coefficients.shape
        positions = (batch, times, rows, columns, 3)
        blocks = coefficients.reshape(*positions, STRIDE**3) @ self.haar
        video = (
            blocks.reshape(*positions, STRIDE, STRIDE, STRIDE)
            .permute(0, 4, 1, 5, 2, 6, 3, 7)
            .reshape(batch, 3, times * STRIDE, rows * STRIDE, columns * STRIDE)
        )
        first = video[:, :, :STRIDE].mean(2, keepdim=True)
        return torch.cat([first, video[:, :, STRIDE:]], dim=2)


def haar_matrix() -> Tensor:
    """Return the orthonormal 4 x 4 x 4 Haar packet transform, (64, 64)."""
    pair = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / 2**0.5
    line = torch.kron(pair, pair)
    return torch.kron(torch.kron(line, line), line)


def load(
    weights: Path | None, *, device: torch.device | str, dtype: torch.dtype
) -> HaarPCA:
    """Read the autoencoder; without weights, fit it to 64 clips now.

    It keeps its own precision: ``dtype`` is that of the model around it.
    Raises ``WeightsError`` where the file does not fit exactly.
    """
    if weights is None:
        return HaarPCA.fit(to_unit(clip.video) for clip in clips(0, 64)).to(device)
    model = HaarPCA()
    what = "the autoencoder of tiny-world"
    store.load(model, weights, device=device, dtype=None, what=what)
    return model
