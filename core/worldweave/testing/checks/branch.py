"""A branch beside its base: it fits, changes nothing untrained, and lets it be."""

# B batch, T H W tokens along each axis, D hidden

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator, Sequence

import attrs
import torch
from torch import Tensor

from worldweave.loading import new_branch
from worldweave.model.branch import ControlBranch
from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT
from worldweave.model.patches import token_grid
from worldweave.model.weave import weave
from worldweave.testing.checks.listing import parts_can_be_imported
from worldweave.testing.kit import check, fail
from worldweave.testing.subject import (
    OTHER,
    SMALL,
    Inputs,
    Subject,
    frozen_dit,
    inputs,
)
from worldweave_registry import WorldweaveError, let_interrupts_pass, one_line

BOTH = (SMALL, OTHER)
#: Tokens (T, H, W): one latent frame, odd numbers, more rows than columns.
GRIDS = ((1, 3, 5), (3, 7, 2))
#: How far bfloat16 may be from float32, as a share of the residuals' norm. The
#: rounding of one number is 0.004; Cosmos' three blocks come to 0.006.
NEAR = 0.2


@check("its residuals fit any base", needs=(parts_can_be_imported,))
def residuals_fit_the_base(subject: Subject) -> None:
    """Run it for two bases, several batches and grids, and a step that says little."""
    for config in BOTH:
        _build_on_meta(subject, config)
        branch = subject.opened_branch(config).eval()
        for batch in (1, 2):
            for grid in GRIDS:
                _refuse_misfit(branch, _inputs_on(config, grid, batch), config)
        given = inputs(config)
        plain = given.step._replace(fps=None, condition_mask=None)
        # A base hands the one hint of a request to every sample without copying it.
        shared = given.hint[:1].expand_as(given.hint)
        _refuse_misfit(branch, attrs.evolve(given, step=plain, hint=shared), config)


def _build_on_meta(subject: Subject, config: DiTConfig) -> None:
    try:
        with torch.device("meta"):
            new_branch(subject.modality, config)
    except WorldweaveError as error:
        fail(
            f"it cannot be built on the meta device, as it is before its weights are "
            f"read: {one_line(error)}",
            "in __init__ only make parameters, buffers and modules; ask no tensor for "
            "its values there",
        )


def _inputs_on(config: DiTConfig, grid: tuple[int, int, int], batch: int) -> Inputs:
    t, h, w = (n * p for n, p in zip(grid, config.patch, strict=True))
    return inputs(config, batch=batch, size=(t, h, w))


def _refuse_misfit(branch: ControlBranch, given: Inputs, config: DiTConfig) -> None:
    with torch.no_grad():
        residuals = branch(given.latent, given.step, given.hint)
    case = f"for {named(config)} and a latent {tuple(given.latent.shape)}"
    if not isinstance(residuals, (list, tuple)):
        fail(
            f"{case} it returned a {type(residuals).__name__}",
            "return a list of tensors, one for each controlled block",
        )
    if not 1 <= len(residuals) <= config.blocks:
        fail(
            f"{case} it gave {len(residuals)} residuals",
            f"give 1 to {config.blocks}, one for each controlled block; "
            "config.control_blocks never exceeds config.blocks",
        )
    grid = token_grid(given.latent, config.patch)
    wanted = (len(given.latent), *grid, config.hidden)
    for block, residual in enumerate(residuals):
        if not isinstance(residual, Tensor):
            fail(
                f"{case} the residual for block {block} is a {type(residual).__name__}",
                "return tensors (B, T, H, W, D)",
            )
        if tuple(residual.shape) != wanted:
            fail(
                f"{case} the residual for block {block} is {tuple(residual.shape)}",
                f"give {wanted}, which is (B, T, H, W, D): T, H, W count the tokens of "
                f"the base (latent divided by config.patch) and D is config.hidden"
                + _hint_at_tokens(residual, wanted),
            )
        found = (residual.dtype, residual.device)
        if found != (given.latent.dtype, given.latent.device):
            fail(
                f"{case} the residual for block {block} is {found[0]} on {found[1]}",
                f"give it in the latent's own, {given.latent.dtype} on "
                f"{given.latent.device}",
            )


def _hint_at_tokens(residual: Tensor, wanted: tuple[int, ...]) -> str:
    tokens = wanted[1] * wanted[2] * wanted[3]
    if tuple(residual.shape) == (wanted[0], tokens, wanted[4]):
        return "; residual.unflatten(1, (T, H, W)) brings (B, L, D) to it"
    return ""


def named(config: DiTConfig) -> str:
    """Return *config* in words, so that an author can build the same."""
    patch = "x".join(map(str, config.patch))
    return f"a base of {config.blocks} blocks, width {config.hidden}, patch {patch}"


@check(
    "a hint may have fewer channels than the base allows for",
    needs=(residuals_fit_the_base,),
)
def narrow_hints_will_do(subject: Subject) -> None:
    """Run it with as many hint channels as the latent has: the 7B gives 16 of 128."""
    for config in BOTH:
        branch, given = subject.opened_branch(config).eval(), inputs(config)
        narrow = given.hint[:, : min(config.latent_channels, config.hint_channels - 1)]
        try:
            run(branch, attrs.evolve(given, hint=narrow))
        except BaseException as error:
            let_interrupts_pass(error)
            fail(
                f"for {named(config)} and {narrow.shape[1]} of "
                f"{config.hint_channels} hint channels it raised {one_line(error)}",
                "pad the hint with zeros, as worldweave.model.patches.with_masks(hint, "
                "(), config.hint_channels) does",
                error,
            )


@check(
    "it computes in bfloat16, close to float32",
    needs=(residuals_fit_the_base,),
)
def branch_runs_in_bfloat16(subject: Subject) -> None:
    """Run it in both precisions, with the same weights and inputs."""
    for config in BOTH:
        branch, given = subject.opened_branch(config).eval(), inputs(config)
        with subject.own_dice(0):
            exact = run(branch, given)
        try:
            with subject.own_dice(0):
                rough = run(branch.to(torch.bfloat16), given.to(torch.bfloat16))
        except BaseException as error:
            let_interrupts_pass(error)
            fail(
                f"for {named(config)} in bfloat16 it raised {one_line(error)}",
                "make new tensors in the latent's precision, such as "
                "latent.new_zeros(...) or torch.arange(...).to(latent)",
                error,
            )
        for block, (fine, coarse) in enumerate(zip(exact, rough, strict=True)):
            _refuse_rough(block, fine, coarse)


def _refuse_rough(block: int, fine: Tensor, coarse: Tensor) -> None:
    if coarse.dtype != torch.bfloat16:
        fail(
            f"in bfloat16 the residual for block {block} is {coarse.dtype}",
            "bring it back with .to(latent.dtype): a float32 tensor made in forward "
            "widens all that it meets",
        )
    lost = int((fine.isfinite() & ~coarse.isfinite()).sum())
    if lost:
        fail(
            f"in bfloat16 {lost} values of the residual for block {block} are not "
            "finite, though they are in float32",
            "compute the delicate part (a norm, a softmax, a division) in float32 and "
            "bring its result back with .to(latent.dtype)",
        )
    sound = fine.isfinite()
    fine, coarse = fine[sound], coarse[sound].float()
    distance = float((fine - coarse).norm() / fine.norm().clamp_min(1e-12))
    if distance > NEAR:
        fail(
            f"in bfloat16 the residual for block {block} is {distance:.0%} away from "
            f"that in float32; {NEAR:.0%} is allowed",
            "compute in float32 what loses precision (positions, frequencies, sums of "
            "many values) and bring its result back with .to(latent.dtype)",
        )


def run(branch: ControlBranch, given: Inputs) -> list[Tensor]:
    with torch.no_grad():
        return list(branch(given.latent, given.step, given.hint))


@check(
    "untrained it changes nothing, bit for bit",
    needs=(branch_runs_in_bfloat16,),
)
def fresh_branch_changes_nothing(subject: Subject) -> None:
    """Compare the base's output with and without it, at map 1."""
    for config in BOTH:
        for dtype in (torch.float32, torch.bfloat16):
            base = copy.deepcopy(frozen_dit(config)).to(dtype)
            branch = subject.branch(config).to(dtype).eval()
            given = inputs(config).to(dtype)
            _refuse_change(base, branch, given, "")
            branch.start_from(base)
            _refuse_change(base, branch, given, " after start_from(base)")


def _refuse_change(base: DiT, branch: ControlBranch, given: Inputs, when: str) -> None:
    with torch.no_grad():
        alone: Tensor = base(given.latent, given.step)
        led = _woven(base, branch, given)
    if not torch.equal(alone, led):
        furthest = float((alone - led).abs().max())
        fail(
            f"an untrained branch{when} moves the base's output by up to "
            f"{furthest:.3g} ({given.latent.dtype}, {named(base.config)})",
            "send every residual through a projection of zeros, such as "
            "worldweave.model.branch.zero_linear, and leave that alone in start_from",
        )


def _woven(base: DiT, branch: ControlBranch, given: Inputs) -> Tensor:
    """Return the base's output under full control."""
    ones = torch.ones(len(given.latent), *token_grid(given.latent, base.config.patch))
    return weave(
        base, {"it": branch}, given.latent, given.step, {"it": given.hint}, {"it": ones}
    )


@check(
    "training reaches all of the branch and nothing of the base",
    needs=(residuals_fit_the_base,),
)
def gradients_reach_only_the_branch(subject: Subject) -> None:
    """Go backward through a frozen base and a branch that has started from it."""
    for config in BOTH:
        base = copy.deepcopy(frozen_dit(config))
        branch = subject.opened_branch(config)
        branch.start_from(base)
        _refuse_sharing(base, branch)
        with subject.own_dice(0):
            out = _woven(base, branch.train(), inputs(config))
        if out.requires_grad:
            out.square().mean().backward()  # type: ignore[no-untyped-call]
        _refuse_unreached(branch)
        _refuse_touched(base, frozen_dit(config))
        if _keeps_the_base(subject, config):
            fail(
                "after start_from(base) the branch keeps a part of the base",
                "copy values and let the base go: keep neither it nor its modules",
            )


def _refuse_sharing(base: DiT, branch: ControlBranch) -> None:
    places = {t.untyped_storage().data_ptr(): n for n, t in _tensors(base)}
    shared = [
        f"{name} is {places[place]} of the base"
        for name, tensor in _tensors(branch)
        if (place := tensor.untyped_storage().data_ptr()) in places and tensor.numel()
    ]
    if shared:
        fail(
            f"after start_from(base) it holds the base's own tensors ({some(shared)}), "
            "so training it would change the base for all",
            "copy them: copy.deepcopy(base.blocks[0]), or load_state_dict",
        )


def _tensors(module: torch.nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters()
    yield from module.named_buffers()


def _refuse_unreached(branch: ControlBranch) -> None:
    trained = {n: p for n, p in branch.named_parameters() if p.requires_grad}
    unreached = [n for n, p in trained.items() if p.grad is None or not p.grad.any()]
    if not trained:
        fail(
            "no parameter of the branch asks for a gradient, so it cannot be trained",
            "leave requires_grad on for those to be trained",
        )
    if unreached:
        fail(
            f"no gradient, or none but zero, reaches {len(unreached)} of "
            f"{len(trained)} parameters: {some(unreached)}",
            "use them in forward without detach(), no_grad or a factor of zero, take "
            "them out, or freeze them with requires_grad_(False)",
        )


def _refuse_touched(base: DiT, before: DiT) -> None:
    held = dict(_tensors(before))
    changed = [n for n, t in _tensors(base) if not torch.equal(t, held[n])]
    if changed:
        fail(
            f"it has changed tensors of the base: {some(changed)}",
            "only read the base in start_from; change nothing in place",
        )
    asked = [n for n, p in base.named_parameters() if p.requires_grad]
    if asked:
        fail(
            f"it has unfrozen parameters of the base: {some(asked)}",
            "never call requires_grad_ on what belongs to the base",
        )


def _keeps_the_base(subject: Subject, config: DiTConfig) -> bool:
    """Tell whether a part of the base lives on in a branch that started from it."""
    base = copy.deepcopy(frozen_dit(config))
    branch = subject.branch(config)
    branch.start_from(base)
    parts = [weakref.ref(each) for each in base.modules()]
    del base
    # Modules point at their parts and never back, so that nothing waits for the
    # collector.
    return any(part() is not None for part in parts)


def some(names: Sequence[str], most: int = 4) -> str:
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


CHECKS = (
    residuals_fit_the_base,
    narrow_hints_will_do,
    branch_runs_in_bfloat16,
    fresh_branch_changes_nothing,
    gradients_reach_only_the_branch,
)
