"""How a branch computes: finite values, and the same ones every time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from worldweave.testing.checks.branch import BOTH, residuals_fit_the_base, run
from worldweave.testing.kit import check, fail
from worldweave.testing.subject import Inputs, Subject, inputs


@check(
    "whatever the hint, its residuals are finite",
    needs=(residuals_fit_the_base,),
)
def branch_is_finite(subject: Subject) -> None:
    """Try ordinary, empty, even and huge hints, at both ends of the noise."""
    for config in BOTH:
        branch, given = subject.opened_branch(config).eval(), inputs(config)
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


def _refuse_infinite(values: Sequence[Tensor], where: str) -> None:
    for block, each in enumerate(values):
        if not each.isfinite().all():
            what = where if "gradient" in where else f"{where}, residual {block}"
            fail(
                f"{what} has {int((~each.isfinite()).sum())} of {each.numel()} values "
                "that are not finite (float32)",
                "a hint may be even: add a small number to what is divided by, and "
                "under a square root",
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


CHECKS = (branch_is_finite, branch_is_deterministic)
