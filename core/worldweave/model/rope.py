"""Where a token is: rotary angles in 3-D and learned per-axis positions."""

# T H W tokens along each axis, d channels of one head, D hidden

from __future__ import annotations

import torch
from torch import Tensor, nn

from worldweave.model.config import DiTConfig


def rope_angles(
    grid: tuple[int, int, int],
    *,
    head_width: int,
    ratios: tuple[float, float, float],
    fps: float | None,
    base_fps: float,
    device: torch.device,
    bf16: bool = False,
) -> Tensor:
    """Return the rotary angle of every token and channel pair, (T*H*W, d / 2) float32.

    A head's channels are split into time, height and width; height and width get
    d // 6 * 2 each, time the rest. Frequencies follow NTK scaling: the base 10000
    is multiplied by ratio ** (n / (n - 2)) for an axis of n channels. Time counts
    in frames at *base_fps*: a 12 fps video moves two positions a frame.

    Source: Cosmos-Transfer1, `VideoRopePosition3DEmb`. With *bf16* positions,
    frequencies and their product are rounded to bfloat16, as the released code
    does in a bfloat16 model.
    """
    dtype = torch.bfloat16 if bf16 else torch.float32
    side = head_width // 6 * 2
    widths = (head_width - 2 * side, side, side)
    angles = []
    for axis, (count, width, ratio) in enumerate(
        zip(grid, widths, ratios, strict=True)
    ):
        position = torch.arange(count, device=device, dtype=torch.float32).to(dtype)
        if axis == 0 and fps is not None:
            position = position / fps * base_fps
        power = torch.arange(0, width, 2, device=device, dtype=torch.float32) / width
        theta = 10000.0 * ratio ** (width / (width - 2)) if width > 2 else 10000.0
        frequency = 1.0 / theta ** power.to(dtype)
        shape = [1, 1, 1, -1]
        shape[axis] = count
        angles.append(
            torch.outer(position, frequency).float().view(shape).expand(*grid, -1)
        )
    return torch.cat(angles, dim=-1).reshape(-1, head_width // 2)


class LearnedPositions(nn.Module):
    """One learned vector per row, column and frame; their sum, at unit RMS.

    Added to the hidden state before *every* block (Cosmos-Transfer1,
    `LearnablePosEmbAxis`), so a block always knows that the sky is up.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        frames, rows, columns = config.max_size
        _, patch_h, patch_w = config.patch
        self.t = nn.Parameter(torch.empty(frames, config.hidden))
        self.h = nn.Parameter(torch.empty(rows // patch_h, config.hidden))
        self.w = nn.Parameter(torch.empty(columns // patch_w, config.hidden))
        for table in (self.t, self.h, self.w):
            nn.init.trunc_normal_(table, std=0.02)

    def forward(self, grid: tuple[int, int, int]) -> Tensor:
        """Return (T*H*W, D). Raise ValueError where the grid exceeds the tables."""
        for axis, count, table in zip(
            "THW", grid, (self.t, self.h, self.w), strict=True
        ):
            if count > len(table):
                raise ValueError(
                    f"{count} tokens along {axis}, but this base has positions for "
                    f"{len(table)}; use a smaller or shorter video"
                )
        frames, rows, columns = grid
        total = (
            self.t[:frames, None, None]
            + self.h[None, :rows, None]
            + self.w[None, None, :columns]
        ).reshape(frames * rows * columns, -1)
        norm = torch.linalg.vector_norm(
            total, dim=-1, keepdim=True, dtype=torch.float32
        )
        rms = norm * total.shape[-1] ** -0.5
        unit: Tensor = total / (1e-6 + rms).to(total.dtype)
        return unit
