"""Prompts are encoded on the first rank; the others are told."""

# B prompts, L text token

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from worldweave.base import TextEncoder
from worldweave_kernels.parallel import Ranks

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


class FirstRankText:
    """Encodes prompts where *encoder* is: on the first rank, once for all."""

    def __init__(self, encoder: TextEncoder, ranks: Ranks) -> None:
        self.encoder = encoder
        self.ranks = ranks

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Return (B, L, channels) on every rank. All ranks call this at once."""
        ranks = self.ranks
        if ranks.everyone is None:
            return self.encoder.encode(prompts)
        text = torch.empty(0)
        about = torch.zeros(4, dtype=torch.int64, device=ranks.device)
        if ranks.is_first:
            text = self.encoder.encode(prompts).to(ranks.device).contiguous()
            about = about.new_tensor([*text.shape, DTYPES.index(text.dtype)])
        dist.broadcast(about, src=0, group=ranks.everyone)
        if not ranks.is_first:
            *shape, dtype = about.tolist()
            text = torch.empty(shape, dtype=DTYPES[dtype], device=ranks.device)
        dist.broadcast(text, src=0, group=ranks.everyone)
        return text
