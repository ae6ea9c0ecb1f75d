"""What a generation computes: counted on the real modules, without their weights."""

# T H W latent positions, L text tokens

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import attrs
import torch
from torch import Tensor

from worldweave.blame import NamedBranch, blamed, misfits_named
from worldweave.forecast.trace import Watch, watching
from worldweave.loading import new_branch
from worldweave.model.branch import ControlBranch
from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT
from worldweave.model.step import Step
from worldweave.model.weave import weave

if TYPE_CHECKING:
    from worldweave.forecast.ranks import OnRanks
    from worldweave_registry import Modality


@attrs.frozen(kw_only=True)
class Parts:
    """What surrounds a DiT costs for one chunk: its autoencoder and text encoder.

    flops: floating-point operations of one video encoded, of one control encoded to
    a hint (None: as a video), of one latent decoded, of one prompt encoded. bytes: the
    most alive during each, weights aside, in float32. hint_channels: of a hint, None:
    those of the latent. text_tokens: of every prompt.
    parameters: values in the weights.
    """

    encode_flops: int
    decode_flops: int
    text_flops: int
    encode_bytes: int
    decode_bytes: int
    text_bytes: int = 0
    hint_flops: int | None = None
    hint_channels: int | None = None
    text_tokens: int = 512
    autoencoder_parameters: int = 0
    text_parameters: int = 0
    shares_rows: bool = False


@attrs.frozen(kw_only=True)
class Evaluation:
    """One evaluation of the base with all its branches.

    flops: by branch, and of the base alone. peak: bytes of activations at most alive,
    inputs aside. parameters: by branch, and of the base. tokens: of the latent, each of
    hidden values. shared: the peak on one of several ranks, by how they share the
    tokens (ring, ulysses). whole: the branches that each of them runs whole.
    """

    base_flops: int
    branch_flops: Mapping[str, int]
    peak: int
    base_parameters: int
    branch_parameters: Mapping[str, int]
    hint_values: int
    latent_values: int
    tokens: int
    hidden: int
    shared: Mapping[tuple[int, int], int] = attrs.field(factory=dict)
    whole: tuple[str, ...] = ()


class _Watched(ControlBranch):
    """A branch whose operations are told apart from the rest."""

    def __init__(
        self, name: str, modality: Modality, branch: ControlBranch, watch: Watch
    ) -> None:
        super().__init__()
        self.what = f"the branch of {name!r}, run on torch's meta device,"
        self.report = modality.branch.report
        self.branch = branch
        self.watch = watch
        self.flops = 0
        self.depth = 0

    def forward(self, latent: Tensor, step: Step, hint: Tensor) -> list[Tensor]:
        before = self.watch.flops
        with blamed(self.what, self.report):
            residuals: list[Tensor] = self.branch(latent, step, hint)
        self.flops += self.watch.flops - before
        self.depth = len(residuals)
        return residuals


def evaluation(
    config: DiTConfig,
    modalities: Mapping[str, Modality],
    latent: tuple[int, int, int],
    *,
    text_tokens: int,
    hint_channels: int | None = None,
    dtype: torch.dtype = torch.float32,
    fps: float = 24.0,
    on_ranks: Collection[tuple[int, int]] = (),
) -> Evaluation:
    """Count one evaluation for a *latent* of (T, H, W) on meta tensors.

    Every branch class is built and run, whoever wrote it. hint_channels: of the
    autoencoder's hints, None: as the latent's, or as many as the branches take.
    on_ranks: watch one of several ranks too, for each of these (ring, ulysses).
    Raise PluginError where a branch cannot be built, fails or does not fit.
    """
    with torch.device("meta"):
        base = DiT(config).to(dtype).requires_grad_(False)
        kinds: dict[str, ControlBranch] = {}
        for modality in modalities.values():
            # One of each class is enough: it has no values.
            if modality.branch.path not in kinds:
                built = new_branch(modality, config).to(dtype)
                kinds[modality.branch.path] = built.requires_grad_(False)
    built_for = {name: kinds[each.branch.path] for name, each in modalities.items()}
    channels = hint_channels or min(config.hint_channels, config.latent_channels)
    t, h, w = (n // p for n, p in zip(latent, config.patch, strict=True))

    def empty(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
        return torch.empty(shape, device="meta", dtype=dtype)

    noisy = empty(1, config.latent_channels, *latent)
    hint = empty(1, channels, *latent)
    share = empty(1, t, h, w, dtype=torch.float32)
    step = Step(
        c_noise=empty(1, dtype=torch.float32),
        text=empty(1, text_tokens, config.text_channels),
        fps=fps,
        condition_mask=empty(1, 1, *latent, dtype=torch.float32),
    )
    known = [noisy, hint, share, step.c_noise, step.text]
    for module in (base, *kinds.values()):
        known += [*module.parameters(), *module.buffers()]
    with misfits_named(modalities), watching(known) as watch:
        branches = {
            name: _Watched(name, modalities[name], each, watch)
            for name, each in built_for.items()
        }
        hints = dict.fromkeys(branches, hint)
        maps = dict.fromkeys(branches, share)
        weave(base, branches, noisy, step, hints, maps)
    watched: OnRanks | None = None
    if on_ranks:
        # It imports what exchanges; who does not ask for it need not.
        from worldweave.forecast.ranks import watch_ranks
        from worldweave.parallel.view import view_of

        named = {
            name: NamedBranch(name, modalities[name], view_of(each))
            for name, each in built_for.items()
        }
        # Below the last residual a block takes what the one before it did.
        shallow = view_of(base)
        deepest = max((each.depth for each in branches.values()), default=0)
        shallow.blocks = shallow.blocks[: deepest + 2]
        with misfits_named(modalities):
            watched = watch_ranks(
                shallow, named, noisy, step, hints, maps, known, on_ranks
            )
    branch_flops = {name: each.flops for name, each in branches.items()}
    return Evaluation(
        base_flops=watch.flops - sum(branch_flops.values()),
        branch_flops=branch_flops,
        peak=watch.peak,
        base_parameters=_values(base),
        branch_parameters={name: _values(each) for name, each in built_for.items()},
        hint_values=hint.numel(),
        latent_values=noisy.numel(),
        tokens=t * h * w,
        hidden=config.hidden,
        shared={} if watched is None else watched.peaks,
        whole=() if watched is None else watched.whole,
    )


def _values(module: torch.nn.Module) -> int:
    return sum(each.numel() for each in [*module.parameters(), *module.buffers()])


@attrs.frozen(kw_only=True)
class Cost:
    """Floating-point operations of a whole generation, by part."""

    base: int
    branches: Mapping[str, int]
    encode: int = 0
    decode: int = 0
    text: int = 0

    @property
    def denoise(self) -> int:
        """The base and its branches."""
        return self.base + sum(self.branches.values())

    @property
    def total(self) -> int:
        return self.denoise + self.encode + self.decode + self.text

    def by_part(self) -> dict[str, int]:
        """Return the operations under the names they are shown with."""
        return {
            "base": self.base,
            **{f"branch {name}": count for name, count in self.branches.items()},
            "encode": self.encode,
            "decode": self.decode,
            "text": self.text,
        }


def total_cost(
    one: Evaluation,
    parts: Parts | None,
    known: Parts | None,
    *,
    chunks: int,
    steps: int,
    guided: bool,
    evaluations: Mapping[str, int] | None = None,
    encoded: Mapping[str, int] | None = None,
    from_source: bool = False,
) -> Cost:
    """Add up a generation of *chunks*.

    known: what encoding the given frames of a later chunk costs, None without any.
    guided: each evaluation runs twice. Of all chunks together, evaluations: those a
    branch takes part in, of steps + 1 a chunk; encoded: the chunks whose control is
    encoded; all where a branch is not named. from_source: each chunk starts from the
    encoded source.
    """
    every, twice = chunks * (steps + 1), 2 if guided else 1
    asked, hints = evaluations or {}, encoded or {}
    branches = {
        name: count * twice * asked.get(name, every)
        for name, count in one.branch_flops.items()
    }
    base = one.base_flops * twice * every
    if parts is None:
        return Cost(base=base, branches=branches)
    hint = parts.encode_flops if parts.hint_flops is None else parts.hint_flops
    encode = hint * sum(hints.get(name, chunks) for name in one.branch_flops)
    encode += chunks * parts.encode_flops if from_source else 0
    encode += (chunks - 1) * known.encode_flops if known is not None else 0
    return Cost(
        base=base,
        branches=branches,
        encode=encode,
        decode=chunks * parts.decode_flops,
        text=parts.text_flops * (2 if guided else 1),
    )
