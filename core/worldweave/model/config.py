"""The sizes of a DiT and its branches, in one frozen place."""

from __future__ import annotations

import attrs
from attrs.validators import ge, gt


def _heads_divide_hidden(config: DiTConfig, _: object, heads: int) -> None:
    if heads < 1 or config.hidden % heads or (config.hidden // heads) % 2:
        raise ValueError(
            f"hidden {config.hidden} needs an even number of channels per head, "
            f"but heads is {heads}"
        )


@attrs.frozen(kw_only=True)
class DiTConfig:
    """Everything that decides shapes and positions. Defaults are Cosmos-Transfer1 7B.

    Axis triples are (T, H, W). *max_size* is in latent positions; positions are
    learned per token, so the tables have max_size / patch rows (Cosmos keeps the
    temporal patch out of that and so do we, as it is 1 everywhere).
    """

    latent_channels: int = attrs.field(default=16, validator=gt(0))
    hidden: int = attrs.field(default=4096, validator=gt(0))
    heads: int = attrs.field(default=32, validator=_heads_divide_hidden)
    blocks: int = attrs.field(default=28, validator=gt(0))
    text_channels: int = attrs.field(default=1024, validator=gt(0))
    adaln_rank: int = attrs.field(default=256, validator=gt(0))
    mlp_ratio: int = attrs.field(default=4, validator=gt(0))
    patch: tuple[int, int, int] = (1, 2, 2)
    #: One more input channel: 1 on latent frames that are given, 0 elsewhere.
    #: The AV base was trained without it.
    condition_mask: bool = True
    #: Hint channels after zero-padding: 128 for the 7B, 16 for AV.
    hint_channels: int = attrs.field(default=128, validator=gt(0))
    #: Widths of the per-token hint network, before the final zero projection.
    hint_widths: tuple[int, ...] = (16, 16, 32, 32, 96, 96, 256)
    control_blocks: int = attrs.field(default=3, validator=ge(1))
    max_size: tuple[int, int, int] = (128, 240, 240)
    #: NTK ratios of the rotary positions. The released branches never got the
    #: temporal ratio of their base, so theirs is 1.
    rope_ratios: tuple[float, float, float] = (2.0, 1.0, 1.0)
    branch_rope_ratios: tuple[float, float, float] = (1.0, 1.0, 1.0)
    #: Radians of the fastest time wave per unit of c_noise. 1 as released; more
    #: helps a small base tell noise levels apart.
    time_scale: float = attrs.field(default=1.0, validator=gt(0.0))
    base_fps: float = attrs.field(default=24.0, validator=gt(0.0))
    #: Compute rotary angles in bfloat16 as the released code does when the model
    #: is bfloat16: up to 0.15 rad off. Only for compat="cosmos-transfer1".
    bf16_rope: bool = False

    @property
    def head_width(self) -> int:
        """Channels per attention head."""
        return self.hidden // self.heads

    @property
    def patch_size(self) -> int:
        """Latent positions per token."""
        t, h, w = self.patch
        return t * h * w

    @property
    def input_channels(self) -> int:
        """Latent, condition mask if any, padding mask."""
        return self.latent_channels + int(self.condition_mask) + 1
