"""The sizes of the tiny base: Cosmos' blocks, small enough for a laptop."""

from __future__ import annotations

from worldweave.model.config import DiTConfig

#: 64 x 96 pixels and 9 frames are 3 x 16 x 24 latent positions, 288 tokens.
CONFIG = DiTConfig(
    latent_channels=32,
    hidden=192,
    heads=4,
    blocks=6,
    text_channels=128,
    adaln_rank=48,
    hint_channels=192,
    hint_widths=(192,),
    max_size=(3, 16, 24),
    rope_ratios=(1.0, 1.0, 1.0),
    time_scale=10.0,
)
