"""How a branch computes: finite values, from its inputs alone, and from all of them."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import torch
from torch import Tensor

from worldweave.testing.checks.branch import (
    BOTH,
    branch_runs_in_bfloat16,
    named,
    residuals_fit_the_base,
    run,
)
from worldweave.testing.kit import check, fail
from worldweave.testing.subject import Inputs, Subject, inputs

#: How far a sample may be from what it is alone, as a share of its norm: rounding
#: alone comes to less than 0.00001.
APART = 1e-4


@check(
    "another hint gives other residuals",
    needs=(residuals_fit_the_base,),
)
def hint_is_heeded(subject: Subject) -> None:
    """Change the hint and nothing else, once nothing in the branch is zero."""
    for config in BOTH:
        branch, given = subject.opened_branch(config).eval(), inputs(config)
        another = attrs.evolve(given, hint=inputs(config, seed=1).hint)
        with subject.own_dice(0):
            first = cloned(run(branch, given))
        with subject.own_dice(0):
            second = run(branch, another)
        if equal(first, second):
            fail(
                f"for {named(config)} two hints give the same residuals, bit for bit: "
                "no control can have any effect",
                "compute the residuals from the hint, and key no cache by shapes alone",
            )


@check(
    "whatever the hint, its residuals are finite, in float32 and in bfloat16",
    needs=(branch_runs_in_bfloat16,),
)
def branch_is_finite(subject: Subject) -> None:
    """Try ordinary, empty, even and huge hints, at both ends of the noise."""
    for config in BOTH:
        branch, given = subject.opened_branch(config).eval(), inputs(config)
        rough = subject.opened_branch(config).eval().to(torch.bfloat16)
        hints = {
            "random": given.hint,
            "zero everywhere": torch.zeros_like(given.hint),
            "0.7 everywhere": torch.full_like(given.hint, 0.7),
            "random with a spread of 100": 100 * given.hint,
        }
        for kind, hint in hints.items():
            branch.zero_grad(set_to_none=True)
            residuals = branch(given.latent, given.step, hint)
            _refuse_infinite(residuals, f"where the hint is {kind}")
            total = sum((r.square().mean() for r in residuals), torch.zeros(()))
            if total.requires_grad:
                total.backward()
            for name, parameter in branch.named_parameters():
                if parameter.grad is not None:
                    _refuse_infinite(
                        [parameter.grad],
                        f"the gradient of {name}, where the hint is {kind},",
                    )
            narrow = attrs.evolve(given, hint=hint).to(torch.bfloat16)
            _refuse_infinite(run(rough, narrow), f"where the hint is {kind}")


def _refuse_infinite(values: Sequence[Tensor], where: str) -> None:
    for block, each in enumerate(values):
        if not each.isfinite().all():
            what = where if "gradient" in where else f"{where}, residual {block}"
            dtype = str(each.dtype).removeprefix("torch.")
            fail(
                f"{what} has {int((~each.isfinite()).sum())} of {each.numel()} values "
                f"that are not finite ({dtype})",
                "a hint may be even: add a small number to what is divided by, and "
                "under a square root"
                + "; one that float32 keeps and bfloat16 does not is too small"
                * (each.dtype == torch.bfloat16),
            )


@check(
    "the same inputs give the same bits, and nothing is kept in between",
    needs=(branch_is_finite,),
)
def branch_is_deterministic(subject: Subject) -> None:
    """Call it with one thing, another, and the first again; look at its inputs."""
    for config in BOTH:
        branch = subject.opened_branch(config).eval()
        given, another = inputs(config), inputs(config, seed=1)
        with subject.own_dice(1):
            first = cloned(run(branch, given))
        _refuse_mutation(given, inputs(config))
        with subject.own_dice(2):
            again = cloned(run(branch, given))
        if not equal(first, again):
            fail(
                "in eval mode two calls with the same inputs differ by up to "
                f"{furthest(first, again):.3g}",
                "throw no dice in forward; let dropout ask self.training",
            )
        between = cloned(run(branch, another))
        with subject.own_dice(1):
            fresh = run(subject.opened_branch(config).eval(), another)
        if equal(first, between):
            fail(
                "another latent, text and hint of the same shape give the same "
                "residuals, bit for bit",
                "compute them from the inputs, and key no cache by shapes alone",
            )
        if not equal(between, fresh) or not equal(first, run(branch, given)):
            fail(
                "what it returns depends on what it was called with before",
                "keep nothing between calls: assign nothing to self in forward, and "
                "key no cache by shapes alone",
            )


def _refuse_mutation(given: Inputs, before: Inputs) -> None:
    pairs = {
        "latent": (given.latent, before.latent),
        "hint": (given.hint, before.hint),
        "step.text": (given.step.text, before.step.text),
        "step.c_noise": (given.step.c_noise, before.step.c_noise),
    }
    changed = [name for name, (now, was) in pairs.items() if not torch.equal(now, was)]
    if changed:
        fail(
            f"it changes its inputs in place: {', '.join(changed)}",
            "write x = x + y in place of x += y, or clone first: the base and other "
            "branches use the same tensors",
        )


def cloned(residuals: Sequence[Tensor]) -> list[Tensor]:
    return [each.clone() for each in residuals]


def equal(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return len(some) == len(others) and all(map(torch.equal, some, others))


def furthest(some: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    return max(
        float((a.float() - b.float()).abs().max())
        for a, b in zip(some, others, strict=True)
    )


@check(
    "a sample in a batch gets what it gets alone",
    needs=(branch_is_deterministic,),
)
def samples_do_not_mix(subject: Subject) -> None:
    """Run two samples together and each by itself; rounding may differ."""
    for config in BOTH:
        branch, given = subject.opened_branch(config).eval(), _unlike(inputs(config))
        with subject.own_dice(0):
            together = run(branch, given)
        for at in range(2):
            with subject.own_dice(0):
                alone = run(branch, _sample(given, at))
            for block, (one, all_) in enumerate(zip(alone, together, strict=True)):
                off = (one[0] - all_[at]).norm() / one[0].norm().clamp_min(1e-12)
                # Also where it is no number: that is for another check to say.
                if off > APART:
                    fail(
                        f"for {named(config)} residual {block} of sample {at} is "
                        f"{float(off):.1%} away from what it is without the other "
                        "sample of its batch",
                        "take no mean, norm or maximum over the first axis: with and "
                        "without prompt are two samples of a batch",
                    )


def _unlike(given: Inputs) -> Inputs:
    """Return *given*, two samples, with a hint and a latent far off in the second."""
    far = torch.tensor([0.0, 3.0]).view(2, 1, 1, 1, 1)
    return attrs.evolve(given, latent=given.latent + far, hint=given.hint + far)


def _sample(given: Inputs, at: int) -> Inputs:
    """Return one sample of *given* as a batch of its own."""
    part = slice(at, at + 1)
    mask = given.step.condition_mask
    step = given.step._replace(
        c_noise=given.step.c_noise[part],
        text=given.step.text[part],
        condition_mask=None if mask is None else mask[part],
    )
    return Inputs(latent=given.latent[part], step=step, hint=given.hint[part])


CHECKS = (
    hint_is_heeded,
    branch_is_finite,
    branch_is_deterministic,
    samples_do_not_mix,
)
