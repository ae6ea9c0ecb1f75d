"""Which tokens a rank has, and all of them together again."""

# L token, S ranks that share them, N tokens of each (L / S, rounded up)

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from worldweave_kernels.parallel.ranks import Ranks


@dataclass(frozen=True)
class Share:
    """The tokens, of *tokens*, that rank *index* of *parts* has: N in a row.

    Where L is no multiple of S the last ranks have fewer: what is missing to N is
    padding, at the very end of all tokens.
    """

    tokens: int
    parts: int = 1
    index: int = 0

    @classmethod
    def of(cls, tokens: int, ranks: Ranks) -> Share:
        """Return the share of this rank."""
        return cls(tokens, ranks.plan.sequence, ranks.sequence_index)

    @property
    def size(self) -> int:
        """N: the tokens of a rank, padding included."""
        return -(-self.tokens // self.parts)

    @property
    def start(self) -> int:
        """The first token of this rank."""
        return min(self.index * self.size, self.tokens)

    @property
    def held(self) -> int:
        """The tokens of this rank that are no padding."""
        return min(self.start + self.size, self.tokens) - self.start

    def held_by(self, first: int, count: int) -> int:
        """Return the tokens, without padding, of *count* ranks from *first* on."""
        end = min((first + count) * self.size, self.tokens)
        return max(0, end - first * self.size)

    def cut(self, x: Tensor, dim: int) -> Tensor:
        """Return this rank's part of *x* along *dim*, of L, padded with zeros to N."""
        if x.shape[dim] != self.tokens:
            raise ValueError(
                f"there are {x.shape[dim]} tokens along axis {dim} of "
                f"{tuple(x.shape)}, but {self.tokens} are shared"
            )
        own = x.narrow(dim, self.start, self.held)
        missing = self.size - self.held
        if not missing:
            return own
        shape = list(x.shape)
        shape[dim] = missing
        return torch.cat([own, x.new_zeros(shape)], dim)

    def join(self, x: Tensor, dim: int, group: dist.ProcessGroup | None) -> Tensor:
        """Return what all ranks of *group* have of *x*, N along *dim*: L of it."""
        if group is None:
            return x.narrow(dim, 0, self.tokens)
        mine = x.movedim(dim, 0).contiguous()
        every = mine.new_empty(self.parts * self.size, *mine.shape[1:])
        all_gather(every, mine, group)
        return every[: self.tokens].movedim(0, dim)


def all_gather(into: Tensor, mine: Tensor, group: dist.ProcessGroup) -> None:
    """Gather *mine* of all ranks of *group*, one after another, into one tensor."""
    # torch 2.13 calls it so, and warns of the older name, all that 2.11 has.
    gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
    gather(into, mine, group=group)
