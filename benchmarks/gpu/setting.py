"""Where the stages run, and at what sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from worldweave_kernels.bench.measure import Call, Stopwatch, in_turn
from worldweave_kernels.bench.rank_block import COSMOS_7B, TINY, BlockShape
from worldweave_kernels.bench.results import Timing


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
    #: Where the rows of the package's own benchmark are kept, for it to draw.
    rows: Path | None = None

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
        ranks=(1, 2, 4, 8, 16, 32, 64),
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
        ranks=(1, 2, 4, 8),
        is_toy=True,
    )


def timed(
    setting: Setting, calls: dict[str, Call], *, host_ahead: bool = True
) -> dict[str, Timing]:
    """Time *calls* in turn, as long as *setting* says.

    Without *host_ahead* the time that the host takes to launch counts.
    """
    return in_turn(
        calls,
        Stopwatch(setting.device, host_ahead=host_ahead),
        seconds=setting.seconds,
        repeats=setting.repeats,
    )
