"""What one of U ranks computes in a block of a video DiT; nothing is exchanged.

Made of the public operations, of the self-attention that ranks share, and of plain
matrix products with random weights, so that it runs alone, on one device that stands
for all ranks: their shares are equal.
"""

# B batch, L token, D hidden, H head, U rank, C chunk of a rank's heads,
# N token of this rank (L / U), M text token, h head of a chunk, d channels of one

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from worldweave_kernels.attention import attention
from worldweave_kernels.norm_modulate import gate_residual_norm_modulate
from worldweave_kernels.parallel import ParallelPlan, Ranks, Share
from worldweave_kernels.parallel.attention import early_attention, sequence_attention
from worldweave_kernels.parallel.exchange import VirtualExchange
from worldweave_kernels.qk_rope_pack import qk_norm_rope_pack
from worldweave_kernels.reference import rotate

EPS = 1e-6
_SUB_BLOCKS = ("self", "cross", "mlp")


@dataclass(frozen=True)
class BlockShape:
    """The sizes of a block, over all ranks."""

    tokens: int
    hidden: int
    heads: int
    text: int
    adaln_rank: int
    mlp_ratio: int = 4

    def refuse_ranks(self, ranks: int) -> None:
        """Raise ValueError where *ranks* cannot share this block evenly."""
        for size, what in ((self.heads, "heads"), (self.tokens, "tokens")):
            if ranks < 1 or size % ranks:
                raise ValueError(
                    f"{ranks} ranks cannot share {size} {what} evenly; give a divisor"
                )


#: 121 frames of 1280x704: 16 x 44 x 80 tokens.
COSMOS_7B = BlockShape(tokens=56_320, hidden=4096, heads=32, text=512, adaln_rank=256)
TINY = BlockShape(tokens=256, hidden=128, heads=4, text=16, adaln_rank=16)
SHAPES = {"cosmos-7b": COSMOS_7B, "tiny": TINY}


class RankBlock:
    """A block as rank 0 of *ranks* computes it, with random values.

    Outside self-attention it works on its L / U tokens, inside on H / U heads of all
    tokens. Where ranks would exchange, what it sends is taken for what it receives:
    as many bytes in the same layout, only with other values. Keys and values of the
    text are made once per request and are not part of it; control is not either.

    chunks, early_values: as a `ParallelPlan` has them. Raise ValueError where the ranks
    cannot share the block so.
    """

    def __init__(
        self,
        shape: BlockShape,
        ranks: int,
        *,
        device: torch.device | str,
        dtype: torch.dtype,
        seed: int = 0,
        chunks: int = 1,
        early_values: bool = False,
    ) -> None:
        shape.refuse_ranks(ranks)
        plan = ParallelPlan(ulysses=ranks, chunks=chunks, early_values=early_values)
        plan.refuse_misfit(shape.heads)
        self.shape = shape
        self.ranks = Ranks(plan, torch.device(device))
        self.share = Share.of(shape.tokens, self.ranks)
        generator = torch.Generator(device).manual_seed(seed)

        def random(*size: int, scale: float = 1.0) -> Tensor:
            made = torch.randn(size, device=device, dtype=dtype, generator=generator)
            return made * scale

        def linear(wide: int, narrow: int) -> Tensor:
            return random(wide, narrow, scale=narrow**-0.5)

        rows, hidden = shape.tokens // ranks, shape.hidden
        width, inner = hidden // shape.heads, shape.mlp_ratio * hidden
        self.x = random(1, rows, hidden)
        self.positions = random(rows, hidden)
        self.noise = random(1, 1, hidden)
        self.shared = random(1, 1, 3 * hidden, scale=0.1)
        self.text = [random(1, shape.text, shape.heads, width) for _ in "kv"]
        angles = random(rows, width // 2).float()
        self.rope = (angles.cos(), angles.sin())
        self.norms = [1 + random(width, scale=0.1) for _ in range(3)]
        self.down = {name: linear(shape.adaln_rank, hidden) for name in _SUB_BLOCKS}
        self.up = {name: linear(3 * hidden, shape.adaln_rank) for name in _SUB_BLOCKS}
        self.qkv = [linear(hidden, hidden) for _ in "qkv"]
        self.out = linear(hidden, hidden)
        self.cross = [linear(hidden, hidden) for _ in ("q", "out")]
        self.mlp = [linear(inner, hidden), linear(hidden, inner)]

    @torch.no_grad()
    def __call__(self) -> Tensor:
        """Return the hidden state (B, L / U, D) after the block."""
        begun = self.begun()
        return self.ended(begun, self.self_attention(begun.seen))

    def begun(self) -> Begun:
        """Return the block as it is before its self-attention."""
        shift, scale, gate = self._modulation("self")
        x, seen = gate_residual_norm_modulate(
            self.x, None, None, shift, scale, positions=self.positions, eps=EPS
        )
        return Begun(x, seen, gate)

    def ended(self, begun: Begun, answer: Tensor) -> Tensor:
        """Return the block's result; *answer*: what its heads saw, (B, L / U, D)."""
        update = F.linear(answer, self.out)
        shift, scale, next_gate = self._modulation("cross")
        x, seen = gate_residual_norm_modulate(
            begun.x, update, begun.gate, shift, scale, eps=EPS
        )
        update = self._cross_attention(seen)
        shift, scale, gate = self._modulation("mlp")
        x, seen = gate_residual_norm_modulate(
            x, update, next_gate, shift, scale, eps=EPS
        )
        widen, narrow = self.mlp
        return x + gate * F.linear(F.gelu(F.linear(seen, widen)), narrow)

    def self_attention(self, seen: Tensor) -> Tensor:
        """Map (B, L / U, D) to its like, by way of H / U heads of all L tokens."""
        if self.ranks.plan.early_values:
            to_q, to_k, to_v = self.qkv
            q_norm, k_norm, _ = self.norms
            (answer,) = early_attention(
                lambda: [self._heads(F.linear(seen, to_v))],
                lambda: [self._turned(F.linear(seen, to_k), k_norm)],
                lambda: [self._turned(F.linear(seen, to_q), q_norm)],
                self.share, self.ranks, exchange=VirtualExchange(),
            )  # fmt: skip
            return answer
        return _together([self.sent(seen)], self)[0]

    def sent(self, seen: Tensor) -> Tensor:
        """Return q, k and v of these tokens, (C, U, B, N, 3, h, d), rank by rank."""
        q, k, v = (self._heads(F.linear(seen, each)) for each in self.qkv)
        q_norm, k_norm = self.norms[:2]
        cos, sin = self.rope
        plan = self.ranks.plan
        return qk_norm_rope_pack(
            q, k, v, q_norm, k_norm, cos, sin,
            world=plan.ulysses, chunks=plan.chunks, eps=EPS,
        )  # fmt: skip

    def _cross_attention(self, seen: Tensor) -> Tensor:
        to_query, to_out = self.cross
        q = self._heads(F.linear(seen, to_query))
        q = F.rms_norm(q, q.shape[-1:], self.norms[2], EPS)
        answer = attention(q, *self.text, scale=q.shape[-1] ** -0.5)
        return F.linear(answer.reshape(seen.shape), to_out)

    def _modulation(self, of: str) -> tuple[Tensor, ...]:
        """Return shift, scale and gate (B or 1, 1, D), as adaLN-LoRA makes them."""
        low = F.linear(F.linear(F.silu(self.noise), self.down[of]), self.up[of])
        return (low + self.shared).chunk(3, dim=-1)

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.shape.heads, -1)

    def _turned(self, x: Tensor, weight: Tensor) -> Tensor:
        """Normalise and rotate as `qk_norm_rope_pack` does, an operation at a time."""
        wide = self._heads(x).to(torch.promote_types(x.dtype, torch.float32))
        normal = F.rms_norm(wide, wide.shape[-1:], weight.to(wide.dtype), EPS)
        return rotate(normal, *self.rope).to(x.dtype)


class Begun(NamedTuple):
    """A block before its self-attention: x and what that sees, (B, N, D), its gate."""

    x: Tensor
    seen: Tensor
    gate: Tensor


class Grouped:
    """*blocks* that share one exchange: a base block and the branches of its depth.

    None needs another. Heads of all of them are attended to at once; all else is done
    one block after another. Values do not leave early: all leave together.
    """

    def __init__(self, blocks: Sequence[RankBlock]) -> None:
        self.blocks = list(blocks)

    @torch.no_grad()
    def __call__(self) -> Tensor:
        """Return the hidden states (blocks * B, L / U, D), block by block."""
        begun = [each.begun() for each in self.blocks]
        packed = [
            block.sent(each.seen)
            for block, each in zip(self.blocks, begun, strict=True)
        ]
        answers = _together(packed, self.blocks[0])
        both = zip(self.blocks, begun, answers, strict=True)
        return torch.cat([block.ended(each, answer) for block, each, answer in both])


def _together(packed: Sequence[Tensor], of: RankBlock) -> list[Tensor]:
    """Return what the heads of each of *packed* saw, in one exchange there and back."""
    return sequence_attention(packed, of.share, of.ranks, exchange=VirtualExchange())


def graphed(compute: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Record *compute* as a CUDA graph; return what replays it, and its output.

    A graph is launched once for all its kernels: what the host takes to launch each
    of them no longer counts.
    """
    beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    beside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(beside):
        # Kernels compile and libraries find their work space before the recording.
        for _ in range(3):
            compute()
    torch.cuda.current_stream().wait_stream(beside)
    graph = torch.cuda.CUDAGraph()
    # What other threads ask of the driver, NCCL's watchdog for one, does not end it.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        out = compute()
    return graph.replay, out
