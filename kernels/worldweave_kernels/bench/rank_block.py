"""What one of U ranks computes in a block of a video DiT; nothing is exchanged.

Made of the public operations and of plain matrix products with random weights, so
that it runs alone, on one device that stands for all ranks: their shares are equal.
"""

# B batch, L token, D hidden, H head, U rank, N token of this rank (L / U),
# M text token, d channels of one head

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from worldweave_kernels.attention import attention
from worldweave_kernels.norm_modulate import gate_residual_norm_modulate
from worldweave_kernels.qk_rope_pack import qk_norm_rope_pack

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
    """

    def __init__(
        self,
        shape: BlockShape,
        ranks: int,
        *,
        device: torch.device | str,
        dtype: torch.dtype,
        seed: int = 0,
    ) -> None:
        shape.refuse_ranks(ranks)
        self.shape, self.ranks = shape, ranks
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
        shift, scale, gate = self._modulation("self")
        x, seen = gate_residual_norm_modulate(
            self.x, None, None, shift, scale, positions=self.positions, eps=EPS
        )
        update = self.self_attention(seen)
        shift, scale, next_gate = self._modulation("cross")
        x, seen = gate_residual_norm_modulate(x, update, gate, shift, scale, eps=EPS)
        update = self._cross_attention(seen)
        shift, scale, gate = self._modulation("mlp")
        x, seen = gate_residual_norm_modulate(
            x, update, next_gate, shift, scale, eps=EPS
        )
        widen, narrow = self.mlp
        return x + gate * _projected(F.gelu(_projected(seen, widen)), narrow)

    def self_attention(self, seen: Tensor) -> Tensor:
        """Map (B, L / U, D) to its like, by way of H / U heads of all L tokens."""
        return self.joined(self.attended(self.sent(seen)))

    def sent(self, seen: Tensor) -> Tensor:
        """Return q, k and v of these tokens, (U, B, N, 3, H / U, d), rank by rank."""
        q, k, v = (self._heads(_projected(seen, each)) for each in self.qkv)
        q_norm, k_norm = self.norms[:2]
        cos, sin = self.rope
        packed = qk_norm_rope_pack(
            q, k, v, q_norm, k_norm, cos, sin, world=self.ranks, eps=EPS
        )
        return packed[0]

    def attended(self, received: Tensor) -> Tensor:
        """Map what all ranks sent to this one to its answers, (U, B, N, H / U, d)."""
        ranks, batch, _, _, heads, width = received.shape
        # With a batch of one, all tokens of these heads as they lie; with more, each
        # of them is gathered from all ranks.
        tokens = received.transpose(0, 1).reshape(batch, -1, 3, heads, width)
        answer = attention(*tokens.unbind(2), scale=width**-0.5)
        return answer.reshape(batch, ranks, -1, heads, width).transpose(0, 1)

    def joined(self, back: Tensor) -> Tensor:
        """Project what comes back, (U, B, N, H / U, d): heads of a token by rank."""
        rows = back.permute(1, 2, 0, 3, 4).flatten(2)
        return _projected(rows, self.out)

    def _cross_attention(self, seen: Tensor) -> Tensor:
        to_query, to_out = self.cross
        q = self._heads(_projected(seen, to_query))
        q = F.rms_norm(q, q.shape[-1:], self.norms[2], EPS)
        answer = attention(q, *self.text, scale=q.shape[-1] ** -0.5)
        return _projected(answer.reshape(seen.shape), to_out)

    def _modulation(self, of: str) -> tuple[Tensor, ...]:
        """Return shift, scale and gate (B or 1, 1, D), as adaLN-LoRA makes them."""
        low = _projected(_projected(F.silu(self.noise), self.down[of]), self.up[of])
        return (low + self.shared).chunk(3, dim=-1)

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.shape.heads, -1)


def grouped(blocks: Sequence[RankBlock]) -> RankBlock:
    """Return one block that computes *blocks* at once, as a batch.

    A base block and the control blocks of its depth: none needs another. Products
    are batched over their weights. Positions, angles, noise and weights of norms are
    those of the first: as much work as with each its own.
    """
    whole = copy.copy(blocks[0])
    whole.x = torch.cat([each.x for each in blocks])
    for name in ("text", "qkv", "cross", "mlp"):
        ours = zip(*(getattr(each, name) for each in blocks), strict=True)
        join = torch.cat if name == "text" else torch.stack
        setattr(whole, name, [join(each) for each in ours])
    whole.out = torch.stack([each.out for each in blocks])
    for name in ("down", "up"):
        ranks = {of: [getattr(each, name)[of] for each in blocks] for of in _SUB_BLOCKS}
        setattr(whole, name, {of: torch.stack(each) for of, each in ranks.items()})
    return whole


def _projected(x: Tensor, weight: Tensor) -> Tensor:
    """Return x (B, N, K) by *weight* (D, K), or by one (B, D, K) for each."""
    if weight.ndim == 2:
        return F.linear(x, weight)
    return torch.bmm(x.expand(len(weight), -1, -1), weight.transpose(1, 2))


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
    with torch.cuda.graph(graph):
        out = compute()
    return graph.replay, out
