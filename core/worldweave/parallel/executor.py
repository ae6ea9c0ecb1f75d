"""Evaluations of a base that the ranks of a plan compute together."""

# B batch, C channel, T H W latent positions, L token, N tokens of a rank,
# P values of a token's patch

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast
from weakref import WeakKeyDictionary

import attrs
import torch
import torch.distributed as dist
from torch import Tensor, nn

from worldweave.blame import NamedBranch
from worldweave.diffusion.noise import gaussian
from worldweave.model.branch import ControlBranch, CosmosBranch, refuse_hint
from worldweave.model.dit import DiT
from worldweave.model.patches import patchify, token_grid
from worldweave.model.step import Step
from worldweave.model.weave import (
    RunBranch,
    refuse_count,
    refuse_map,
    refuse_residuals,
    weave,
)
from worldweave.parallel.graph import evaluate_for
from worldweave.parallel.handover import made_once
from worldweave.parallel.lockstep import Lockstep
from worldweave.parallel.sharded import (
    Place,
    Residuals,
    ShardedDiT,
    is_local,
    sharded_base,
    sharded_branch,
    structure,
)
from worldweave.parallel.strip import strip, strip_tokens, whole
from worldweave.request.plan import Plan
from worldweave_kernels.parallel import Ranks, Share
from worldweave_kernels.parallel.attention import sequence_attention
from worldweave_kernels.parallel.share import all_gather

Maps = Mapping[str, Tensor]
Branches = Mapping[str, RunBranch]


class InParallel:
    """Computes with all ranks of a plan; every one of them gets the same.

    The tokens of an evaluation are shared by the ranks of a sequence; with cfg 2 one
    half of them computes what is wanted, the other what is not (guidance). Whoever
    calls has the whole latent, and gets the whole output: what is computed from it,
    such as the guidance itself, is the same on every rank, bit for bit.
    """

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self._place = Place(ranks, Lockstep(self._attend), Share(1), (1, 1, 1))
        self._evaluate = evaluate_for(ranks)
        # Weak, so that a branch that is disabled is freed.
        self._views: WeakKeyDictionary[nn.Module, View] = WeakKeyDictionary()

    @property
    def is_first(self) -> bool:
        """Whether this rank speaks and writes for all."""
        return self.ranks.is_first

    @property
    def layout(self) -> dict[str, int]:
        """The plan, field by field."""
        return dataclasses.asdict(self.ranks.plan)

    def once(self, make: Callable[[], Plan]) -> Plan:
        """Return the plan that the first rank makes; all ranks call this at once.

        Raise everywhere what is wrong with the request.
        """
        group = self.ranks.everyone
        return make() if group is None else made_once(make, self.is_first, group)

    def noise(self, seed: int, shape: Sequence[int]) -> Tensor:
        """Return noise that the first rank has made, float32, where the ranks are."""
        ranks = self.ranks
        if ranks.everyone is None:
            return gaussian(seed, shape)
        if self.is_first:
            noise = gaussian(seed, shape).to(ranks.device)
        else:
            noise = torch.empty(tuple(shape), device=ranks.device)
        dist.broadcast(noise, src=0, group=ranks.everyone)
        return noise

    def outputs(
        self,
        dit: DiT,
        branches: Branches,
        latent: Tensor,
        steps: Sequence[Step],
        hints: Mapping[str, Tensor],
        maps: Maps,
    ) -> list[Tensor]:
        """Return what *dit* makes of *latent* (B, C, T, H, W) under each of *steps*."""
        patch = dit.config.patch
        grid = token_grid(latent, patch)
        self._settle(latent, grid)
        is_split = self.ranks.plan.cfg == len(steps) == 2
        mine = [steps[self.ranks.cfg_index]] if is_split else steps
        made = [
            self._evaluate(self._evaluated, dit, branches, latent, step, hints, maps)
            for step in mine
        ]
        rows = self._both_halves(made[0]) if is_split else self._joined(made)
        return [whole(each, grid, patch) for each in rows]

    def runs_whole(self, branch: RunBranch) -> bool:
        """Return whether every rank computes all of *branch*: it may look around."""
        return self._shared(branch) is None

    def _settle(self, latent: Tensor, grid: tuple[int, int, int]) -> None:
        """Take the share of this rank in a latent of this size."""
        tokens = grid[0] * grid[1] * grid[2]
        t, h, w = latent.shape[-3:]
        self._place.share = Share.of(tokens, self.ranks)
        self._place.latent = (t, h, w)

    def _attend(self, packed: Sequence[Tensor]) -> list[Tensor]:
        return sequence_attention(packed, self._place.share, self.ranks)

    def _joined(self, made: Sequence[Tensor]) -> Tensor:
        """Return all tokens of each output, (texts, B, L, P), of (B, N, P)."""
        return self._place.share.join(torch.stack(list(made)), 2, self.ranks.sequence)

    def _both_halves(self, made: Tensor) -> Tensor:
        """Return all tokens with the text and without, (2, B, L, P), of (B, N, P)."""
        share, mine = self._place.share, made.transpose(0, 1).contiguous()
        every = mine.new_empty(2 * share.parts * share.size, *mine.shape[1:])
        if self.ranks.everyone is None:
            raise ValueError("these ranks have no groups; make them with Ranks.join")
        # They are in this order: the halves of guidance slowest.
        all_gather(every, mine, self.ranks.everyone)
        halves = every.view(2, share.parts * share.size, *mine.shape[1:])
        return halves[:, : share.tokens].transpose(1, 2)

    def _evaluated(
        self,
        dit: DiT,
        branches: Branches,
        latent: Tensor,
        step: Step,
        hints: Mapping[str, Tensor],
        maps: Maps,
    ) -> Tensor:
        """Return this rank's tokens of one output, (B, N, P)."""
        patch = dit.config.patch
        if self.ranks.plan.sequence == 1:
            return patchify(weave(dit, branches, latent, step, hints, maps), patch)
        share, tokens = self._place.share, (len(latent), *token_grid(latent, patch))
        own_step = _own_step(step, latent, share, patch)
        own_latent = strip(latent, share, patch)
        residuals: list[Sequence[Tensor]] = []
        tasks: list[Callable[[], Any]] = []
        for name, run in branches.items():
            hint = hints[name].expand(len(latent), -1, -1, -1, -1)
            refuse_map(name, maps[name], tokens)
            shared = self._shared(run)
            if shared is None:
                made = run(latent, step, hint)
                refuse_residuals(name, made, dit, tokens)
                # A copy: a part of it would keep all of it in memory.
                residuals.append([strip_tokens(each, share).clone() for each in made])
                continue
            view, awaited = shared
            refuse_count(name, len(awaited), dit)
            refuse_hint(hint, latent)
            awaited.start()
            residuals.append(awaited)
            own_hint = strip(hint, share, patch)
            tasks.append(partial(_run_as(run, view), own_latent, own_step, own_hint))
        values = [strip_tokens(maps[name], share) for name in branches]
        tasks.append(partial(self._base(dit), own_latent, own_step, residuals, values))
        try:
            *_, out = self._run(tasks)
        finally:
            for each in residuals:
                if isinstance(each, Residuals):
                    each.start()  # they are in the output: nobody need keep them
        return patchify(out, patch)

    def _run(self, tasks: Sequence[Callable[[], Any]]) -> list[Any]:
        run = self._place.lockstep.run
        if self.ranks.plan.shared_exchange:
            return run(tasks)
        # Still in there: what fails in an exchange is nobody's branch.
        return [run([task])[0] for task in tasks]

    def _base(self, dit: DiT) -> ShardedDiT:
        view = self._seen(dit, lambda: (sharded_base(dit, self._place), None))
        return cast("ShardedDiT", view.module)

    def _shared(self, run: RunBranch) -> tuple[ControlBranch, Residuals] | None:
        """Return the branch on this rank's tokens; None where it runs whole."""
        branch = run.branch if isinstance(run, NamedBranch) else run
        if not isinstance(branch, CosmosBranch):
            return None
        name = run.name if isinstance(run, NamedBranch) else "a branch"

        def make() -> tuple[nn.Module | None, Residuals | None]:
            if not is_local(branch):
                return None, None
            residuals = Residuals(name, len(branch.zero), self._place.lockstep)
            return sharded_branch(branch, self._place, residuals), residuals

        view = self._seen(branch, make)
        if view.module is None or view.residuals is None:
            return None
        return cast("ControlBranch", view.module), view.residuals

    def _seen(
        self,
        module: nn.Module,
        make: Callable[[], tuple[nn.Module | None, Residuals | None]],
    ) -> View:
        """Return the view of *module*, made anew where its modules are others."""
        now = structure(module)
        known = self._views.get(module)
        if known is None or known.structure != now:
            known = self._views[module] = View(now, *make())
        return known


@attrs.frozen(eq=False)
class View:
    """A base or branch on this rank's tokens, and what it was made of.

    module: None for a branch that runs whole. residuals: of a branch.
    """

    structure: tuple[int, ...]
    module: nn.Module | None
    residuals: Residuals | None


def _run_as(run: RunBranch, view: ControlBranch) -> RunBranch:
    """Return *run* with *view* in place of its branch: blame stays where it is."""
    return attrs.evolve(run, branch=view) if isinstance(run, NamedBranch) else view


def _own_step(
    step: Step, latent: Tensor, share: Share, patch: tuple[int, int, int]
) -> Step:
    """Return *step* with the masks of this rank's tokens."""

    def cut(mask: Tensor | None) -> Tensor | None:
        if mask is None:
            return None
        return strip(mask.expand(len(latent), -1, *latent.shape[-3:]), share, patch)

    return step._replace(
        condition_mask=cut(step.condition_mask), padding_mask=cut(step.padding_mask)
    )
