"""Where the stages run, and at what sizes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from worldweave_kernels.bench.rank_block import COSMOS_7B, TINY, BlockShape


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A GPU at the sizes of the 7B base, or a CPU at toy sizes to try the script."""

    device: str
    dtype: torch.dtype
    block: BlockShape
    #: Seconds of measuring for each provider, and repetitions if they are fixed.
    seconds: float
    repeats: int | None
    #: Head counts of attention, and ranks.
    heads: tuple[int, ...]
    ranks: tuple[int, ...]
    #: What only costs time where nothing is measured: compilers, whole test suites.
    is_toy: bool

    @property
    def head_width(self) -> int:
        """Channels of a head."""
        return self.block.hidden // self.block.heads

    @property
    def most_ranks(self) -> int:
        """Ranks of which each has one head."""
        return self.block.heads


def on_a_gpu() -> Setting:
    """Return the setting that the predictions are about."""
    return Setting(
        device="cuda",
        dtype=torch.bfloat16,
        block=COSMOS_7B,
        seconds=0.5,
        repeats=None,
        heads=(32, 8, 4, 2, 1),
        ranks=(1, 4, 8, 32, 64),
        is_toy=False,
    )


def toy() -> Setting:
    """Return the setting of a dry run: its numbers mean nothing."""
    return Setting(
        device="cpu",
        dtype=torch.float32,
        block=TINY,
        seconds=0.0,
        repeats=1,
        heads=(4, 1),
        ranks=(1, 4, 8),
        is_toy=True,
    )
