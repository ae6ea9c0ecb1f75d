"""What base and branches are told about one denoising step."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


# A named tuple, not an attrs class: torch.compile traces it without guards on
# attribute order, and it is a pytree, so it travels between devices as it is.
class Step(NamedTuple):
    """One denoising step, shared by the base and every branch.

    c_noise: (B,), 0.25 ln sigma. text: (B, L, text_channels). fps: frames per
    second of the video the latent stands for, or None to count frames.
    condition_mask: (B, 1, T, H, W), 1 on given latent frames, None for none.
    padding_mask: (B, 1, T, H, W), 1 on padded positions, None for none.
    """

    c_noise: Tensor
    text: Tensor
    fps: float | None = None
    condition_mask: Tensor | None = None
    padding_mask: Tensor | None = None
