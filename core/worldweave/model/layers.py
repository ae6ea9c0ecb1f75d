"""What a transformer block is made of."""

# B batch, L token, D hidden, M text token

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from worldweave.model.config import DiTConfig
from worldweave_kernels import (
    attention,
    gate_residual_norm_modulate,
    norm_modulate,
    qk_norm_rope_pack,
)

EPS = 1e-6


class RMSNorm(nn.Module):
    """Scale to unit root mean square, then by a learned weight."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        # On GPUs autocast computes norms in float32, and leaves them there.
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), EPS).to(x.dtype)


class Attention(nn.Module):
    """Multi-head attention with RMS-normalised queries and keys, no biases."""

    def __init__(self, config: DiTConfig, context_channels: int) -> None:
        super().__init__()
        width = config.hidden
        self.heads = config.heads
        self.q = nn.Linear(width, width, bias=False)
        self.k = nn.Linear(context_channels, width, bias=False)
        self.v = nn.Linear(context_channels, width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.q_norm = RMSNorm(config.head_width)
        self.k_norm = RMSNorm(config.head_width)

    def forward(
        self, x: Tensor, context: Tensor, rope: tuple[Tensor, Tensor] | None
    ) -> Tensor:
        """Let x (B, L, D) look at context (B, M, C).

        *rope*, cosines and sines (L, d / 2), rotates both, which are then one.
        """
        heads = (self.heads, x.shape[-1] // self.heads)
        q = self.q(x).unflatten(-1, heads)
        k = self.k(context).unflatten(-1, heads)
        v = self.v(context).unflatten(-1, heads)
        if rope is None:
            q, k = self.q_norm(q), self.k_norm(k)
        else:
            weights = (self.q_norm.weight, self.k_norm.weight)
            packed = qk_norm_rope_pack(q, k, v, *weights, *rope, eps=EPS)
            q, k, v = packed.squeeze((0, 1)).unbind(2)
        seen = attention(q, k, v, scale=heads[1] ** -0.5)
        out: Tensor = self.out(seen.flatten(-2))
        return out


class MLP(nn.Module):
    """Two bias-free projections around an exact GELU."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        inner = config.mlp_ratio * config.hidden
        self.up = nn.Linear(config.hidden, inner, bias=False)
        self.down = nn.Linear(inner, config.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(F.gelu(self.up(x)))
        return out


class Modulation(nn.Module):
    """adaLN-LoRA: shift, scale (and gate) of one sub-block from the noise level.

    A low-rank projection of the embedded noise level plus *shared*, which is the
    same for all sub-blocks of all blocks.
    """

    def __init__(self, config: DiTConfig, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.down = nn.Linear(config.hidden, config.adaln_rank, bias=False)
        self.up = nn.Linear(config.adaln_rank, parts * config.hidden, bias=False)

    def forward(self, noise: Tensor, shared: Tensor) -> tuple[Tensor, ...]:
        """Return *parts* tensors (B, 1, D) in the order shift, scale, gate."""
        low = self.up(self.down(F.silu(noise)))
        total = low + shared[:, : low.shape[-1]]
        return tuple(total.unsqueeze(1).chunk(self.parts, dim=-1))


class TimeEmbedding(nn.Module):
    """c_noise to the embedded noise level and the shared part of the modulation.

    The embedding handed on is the RMS-normalised raw sinusoid, not the output of
    the two projections: those make the shared shift, scale and gate
    (Cosmos-Transfer1, `TimestepEmbedding` with adaLN-LoRA).
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        width = config.hidden
        self.scale = config.time_scale
        self.linear_1 = nn.Linear(width, width, bias=False)
        self.linear_2 = nn.Linear(width, 3 * width, bias=False)
        self.norm = RMSNorm(width)
        nn.init.normal_(self.linear_1.weight, std=0.02)
        nn.init.normal_(self.linear_2.weight, std=0.02)

    def forward(self, c_noise: Tensor) -> tuple[Tensor, Tensor]:
        """Map (B,) to (B, D) and (B, 3 D)."""
        half = self.linear_1.in_features // 2
        index = torch.arange(half, device=c_noise.device, dtype=torch.float32)
        frequency = torch.exp(-math.log(10000.0) * index / half)
        angle = self.scale * c_noise.float().unsqueeze(-1) * frequency
        wave = torch.cat([angle.cos(), angle.sin()], dim=-1)
        wave = wave.to(self.linear_1.weight.dtype)
        return self.norm(wave), self.linear_2(F.silu(self.linear_1(wave)))


class Block(nn.Module):
    """Self-attention, cross-attention and MLP, each modulated and gated."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.self_attention = Attention(config, config.hidden)
        self.cross_attention = Attention(config, config.text_channels)
        self.mlp = MLP(config)
        self.modulation = nn.ModuleList(Modulation(config, 3) for _ in range(3))

    def forward(
        self,
        x: Tensor,
        *,
        positions: Tensor,
        rope: tuple[Tensor, Tensor],
        text: Tensor,
        noise: Tensor,
        shared: Tensor,
    ) -> Tensor:
        """Map (B, L, D) to (B, L, D); *positions* (L, D) are added first."""
        own, cross, mlp = self.modulation
        shift, scale, gate = own(noise, shared)
        x, seen = gate_residual_norm_modulate(
            x, None, None, shift, scale, positions=positions, eps=EPS
        )
        update = self.self_attention(seen, seen, rope)
        shift, scale, next_gate = cross(noise, shared)
        x, seen = gate_residual_norm_modulate(x, update, gate, shift, scale, eps=EPS)
        update = self.cross_attention(seen, text, None)
        shift, scale, gate = mlp(noise, shared)
        x, seen = gate_residual_norm_modulate(
            x, update, next_gate, shift, scale, eps=EPS
        )
        out: Tensor = x + gate * self.mlp(seen)
        return out


class Head(nn.Module):
    """Modulate once more and project every token to its patch."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.modulation = Modulation(config, 2)
        self.linear = nn.Linear(
            config.hidden, config.patch_size * config.latent_channels, bias=False
        )

    def forward(self, x: Tensor, noise: Tensor, shared: Tensor) -> Tensor:
        """Map (B, L, D) to (B, L, patch_size * latent_channels)."""
        shift, scale = self.modulation(noise, shared)
        out: Tensor = self.linear(norm_modulate(x, shift, scale, eps=EPS))
        return out
