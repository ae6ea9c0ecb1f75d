"""Mend what a small base gets wrong between its tokens, after the Haar synthesis."""

# B batch, T frames, H W pixels, D channels

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

SHRINK = 2


class Restorer(nn.Module):
    """Add a correction to a decoded video: (B, 3, T, H, W) to the same.

    The latents keep 32 of 192 coefficients, and a small DiT draws neighbouring
    tokens that do not quite meet. Both show as 4 x 4 and 8 x 8 blocks. This
    network sees across them and over time. Fresh, it corrects nothing.
    """

    def __init__(self, *, channels: int = 48, blocks: int = 3) -> None:
        super().__init__()
        pixels = 3 * SHRINK**2
        self.enter = nn.Conv2d(pixels, channels, 3, padding=1)
        self.blocks = nn.ModuleList([RestorerBlock(channels) for _ in range(blocks)])
        self.leave = nn.Conv2d(channels, pixels, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]

    def forward(self, video: Tensor) -> Tensor:
        """Return *video*, -1..1 and not clamped, corrected."""
        batch, colours, frames, height, width = video.shape
        pictures = video.transpose(1, 2).flatten(0, 1)
        hidden = self.enter(F.pixel_unshuffle(pictures, SHRINK))
        for block in self.blocks:
            hidden = block(hidden, frames)
        correction = F.pixel_shuffle(self.leave(hidden), SHRINK)
        shape = (batch, frames, colours, height, width)
        return video + correction.reshape(shape).transpose(1, 2)


class RestorerBlock(nn.Module):
    """Two convolutions over space around one over time, with a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.time = nn.Conv1d(channels, channels, 3, padding=1, groups=channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=2, dilation=2)

    def forward(self, hidden: Tensor, frames: int) -> Tensor:
        """Map (B T, D, H, W) to the same; *frames* is T."""
        inner = F.silu(self.first(F.silu(hidden)))
        inner = inner + self._over_time(inner, frames)
        out: Tensor = hidden + self.second(F.silu(inner))
        return out

    def _over_time(self, hidden: Tensor, frames: int) -> Tensor:
        channels, *size = hidden.shape[1:]
        clips = hidden.reshape(-1, frames, channels, math.prod(size))
        batch, places = clips.shape[0], clips.shape[3]
        lines = clips.permute(0, 3, 2, 1).reshape(-1, channels, frames)
        mixed: Tensor = self.time(lines)
        mixed = mixed.reshape(batch, places, channels, frames).permute(0, 3, 2, 1)
        return mixed.reshape(hidden.shape)
