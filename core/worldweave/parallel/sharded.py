"""A DiT and its branches on the tokens of one rank, sharing every parameter."""

# B batch, T H W latent positions, L token, N tokens of a rank, D hidden, H head

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast, overload

import attrs
import torch
from torch import Tensor, nn

from worldweave.model.branch import CosmosBranch
from worldweave.model.dit import DiT, Trunk
from worldweave.model.layers import EPS, Attention, RMSNorm
from worldweave.model.patches import Triple
from worldweave.model.step import Step
from worldweave.parallel.lockstep import Lockstep
from worldweave.parallel.view import view_of
from worldweave_kernels import qk_norm_rope_pack
from worldweave_kernels.parallel import Ranks, Share
from worldweave_kernels.parallel.attention import early_attention
from worldweave_kernels.reference import rotate
from worldweave_registry import WorldweaveError


@attrs.define(eq=False)
class Place:
    """Where the tokens of this rank lie in the chunk that is being made.

    latent: (T, H, W) of the whole latent.
    """

    ranks: Ranks
    lockstep: Lockstep
    share: Share
    latent: Triple


class SharedAttention(nn.Module):
    """The self-attention of a block whose tokens lie on several ranks."""

    def __init__(self, own: Attention, place: Place) -> None:
        super().__init__()
        self.own = own
        self.place = place

    def forward(
        self, x: Tensor, context: Tensor, rope: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Let the tokens x (B, N, D) of this rank look at those of all ranks.

        *rope* are the cosines and sines (N, d / 2) of this rank's tokens.
        """
        plan = self.place.ranks.plan
        if plan.early_values and self.place.lockstep.is_alone:
            seen = self._early(x, context, rope)
        else:
            packed = qk_norm_rope_pack(
                self._heads(self.own.q(x)),
                self._heads(self.own.k(context)),
                self._heads(self.own.v(context)),
                self.own.q_norm.weight,
                self.own.k_norm.weight,
                *rope,
                world=plan.ulysses,
                chunks=plan.chunks,
                eps=EPS,
            )
            seen = self.place.lockstep.attention(packed)
        out: Tensor = self.own.out(seen)
        return out

    def _early(self, x: Tensor, context: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
        own = self.own
        (seen,) = early_attention(
            lambda: [self._heads(own.v(context))],
            lambda: [_turned(self._heads(own.k(context)), own.k_norm, rope)],
            lambda: [_turned(self._heads(own.q(x)), own.q_norm, rope)],
            self.place.share,
            self.place.ranks,
        )
        return seen

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.own.heads, -1)


def _turned(x: Tensor, norm: RMSNorm, rope: tuple[Tensor, Tensor]) -> Tensor:
    """Normalise and rotate (B, N, H, d) as `qk_norm_rope_pack` does."""
    wide = torch.promote_types(x.dtype, torch.float32)
    weight = norm.weight.to(wide)
    normal = nn.functional.rms_norm(x.to(wide), x.shape[-1:], weight, EPS)
    return rotate(normal, *rope).to(x.dtype)


class OnTokens(Trunk):
    """A trunk that is given a strip of tokens and told where they lie."""

    place: Place
    #: What never changes from step to step, cut to this rank's tokens.
    cut: dict[Any, dict[str, Any]]

    def surroundings(
        self, latent: Tensor, step: Step, ratios: tuple[float, float, float]
    ) -> dict[str, Any]:
        """Return what every block is given, positions and angles of these tokens."""
        share = self.place.share
        tables = tuple(map(_state, self.positions.parameters()))
        key = (self.place.latent, share, step.fps, latent.device, ratios, tables)
        if key not in self.cut:
            size = self.place.latent
            all_of_it = latent.new_empty(1).expand(*latent.shape[:2], *size)
            around = super().surroundings(all_of_it, step, ratios)
            cos, sin = around["rope"]
            # One chunk is like the next: only what is in use is kept, and of that this
            # rank's part. A view of the whole would keep it all, 0.5 GB for the 7B.
            self.cut.clear()
            self.cut[key] = {
                "positions": share.cut(around["positions"], 0).clone(),
                "rope": (share.cut(cos, 0).clone(), share.cut(sin, 0).clone()),
            }
        noise, shared = self.time(step.c_noise)
        moving = {"text": step.text, "noise": noise, "shared": shared}
        return self.cut[key] | moving


class ShardedDiT(OnTokens, DiT):
    """A base whose hidden state lies on several ranks."""


class ShardedBranch(OnTokens, CosmosBranch):
    """A branch whose hidden state lies on several ranks."""


def _state(table: Tensor) -> tuple[Any, ...]:
    """Return what changes with the values of *table*, but in inference mode."""
    version = 0 if table.is_inference() else table._version
    return table.data_ptr(), version, table.dtype


def refuse_other_code(dit: DiT) -> None:
    """Raise WorldweaveError for a DiT whose class replaces what is shared here."""
    kind = type(dit)
    if not _has_methods_of(DiT, kind):
        raise WorldweaveError(
            f"the base is a {kind.__name__}, which has code of its own; only "
            "worldweave.model.dit.DiT itself can be shared by several processes"
        )


def structure(module: nn.Module) -> tuple[int, ...]:
    """Return what changes where a module or a hook is put in, or taken out."""
    return tuple(
        part
        for each in module.modules()
        for part in (id(each), len(each._forward_hooks), len(each._forward_pre_hooks))
    )


def sharded_base(dit: DiT, place: Place) -> ShardedDiT:
    """Return *dit* as it runs on the tokens of *place*, with the same parameters."""
    return cast("ShardedDiT", _sharded(ShardedDiT, dit, place))


def sharded_branch(
    branch: CosmosBranch, place: Place, residuals: Residuals
) -> ShardedBranch:
    """Do as `sharded_base` for a branch; each residual is there once it is computed."""
    view = cast("ShardedBranch", _sharded(ShardedBranch, branch, place))
    view.zero = nn.ModuleList(Announced(each, residuals) for each in view.zero)
    return view


def is_local(branch: nn.Module) -> bool:
    """Return whether *branch* is known to work token by token but for attention.

    It is where nothing of Cosmos-Transfer1's is replaced: neither a method nor a
    module. Any other may look at neighbours; it is run whole on every rank.
    """
    if not isinstance(branch, CosmosBranch):
        return False
    if not _has_methods_of(CosmosBranch, type(branch)):
        return False
    if any("forward" in vars(each) for each in branch.modules()):
        return False
    with torch.device("meta"):
        plain = CosmosBranch(branch.config)
    hooked = (
        each._forward_hooks or each._forward_pre_hooks for each in branch.modules()
    )
    return not any(hooked) and _kinds(branch) == _kinds(plain)


def _has_methods_of(plain: type[Trunk], kind: type[nn.Module]) -> bool:
    names = ("__call__", "forward", "embed", "surroundings")
    return all(getattr(kind, name, None) is getattr(plain, name) for name in names)


def _kinds(module: nn.Module) -> dict[str, Any]:
    """Return the type and size of every module within, by name."""
    return {
        name: (type(each), str(each.extra_repr()))
        for name, each in module.named_modules()
        if name
    }


def _sharded(kind: type[OnTokens], trunk: Trunk, place: Place) -> OnTokens:
    view = view_of(trunk)
    made = kind.__new__(kind)
    made.__dict__ = view.__dict__
    made.place, made.cut = place, {}
    for block in made.blocks:
        own = cast("Attention", block.self_attention)
        block.self_attention = SharedAttention(own, place)
    return made


class Residuals(Sequence[Tensor]):
    """The residuals of a branch that is running: the base waits for each."""

    def __init__(self, name: str, count: int, lockstep: Lockstep) -> None:
        self._name, self._count, self._lockstep = name, count, lockstep
        self._made: list[Tensor] = []

    def start(self) -> None:
        """Forget those of the last evaluation."""
        self._made = []

    def announce(self, residual: Tensor) -> None:
        """Take the next one, (B, N, D)."""
        self._made.append(residual[:, None, None])

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Tensor: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tensor]: ...
    def __getitem__(self, index: int | slice) -> Tensor | Sequence[Tensor]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(self._count))]
        self._lockstep.wait_until(
            lambda: index < len(self._made), f"residual {index} of {self._name!r}"
        )
        return self._made[index]

    def __iter__(self) -> Iterator[Tensor]:
        return (self[at] for at in range(self._count))


class Announced(nn.Module):
    """A projection whose output is a residual: the base hears of it at once."""

    def __init__(self, own: nn.Module, residuals: Residuals) -> None:
        super().__init__()
        self.own = own
        self.residuals = residuals

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, N, D) to the residual (B, N, D)."""
        residual: Tensor = self.own(x)
        self.residuals.announce(residual)
        return residual
