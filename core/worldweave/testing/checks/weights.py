"""What is kept of a branch: its weights, in a file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor

from worldweave.checkpoints import store
from worldweave.loading import Placement, config_of, load_branch
from worldweave.model.config import DiTConfig
from worldweave.testing.checks.branch import (
    BOTH,
    branch_runs_in_bfloat16,
    residuals_fit_the_base,
    run,
)
from worldweave.testing.checks.numerics import (
    branch_is_deterministic,
    equal,
    furthest,
)
from worldweave.testing.kit import check, fail
from worldweave.testing.subject import SMALL, Inputs, NotApplicable, Subject, inputs
from worldweave_registry import (
    Base,
    Weights,
    WeightsError,
    WorldweaveError,
    let_interrupts_pass,
    locate,
    one_line,
)
from worldweave_registry.fetch import is_local

CPU = torch.device("cpu")


@check(
    "its weights come back from a file as they were",
    needs=(branch_runs_in_bfloat16, branch_is_deterministic),
)
def weights_round_trip(subject: Subject) -> None:
    """Save it after use, load it as a pipeline does, and compare what they return."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "branch.safetensors"
        for config in BOTH:
            branch, given = subject.opened_branch(config).eval(), inputs(config)
            run(branch, given)  # some make tensors only now
            store.write(path, branch.state_dict())
            for dtype in (torch.float32, torch.bfloat16):
                expected = run(branch.to(dtype), given.to(dtype))
                got = _of_file(subject, config, dtype, path, given.to(dtype))
                if not equal(expected, got):
                    fail(
                        f"read back from its file, in {dtype}, it returns something "
                        f"else, by up to {furthest(expected, got):.3g}",
                        _REGISTER,
                    )


_REGISTER = (
    "make every tensor that forward needs in __init__, as a parameter or a "
    "persistent buffer (register_buffer), or compute it in forward; plain tensor "
    "attributes and what is made later are not saved"
)


def _of_file(
    subject: Subject, config: DiTConfig, dtype: torch.dtype, path: Path, given: Inputs
) -> list[Tensor]:
    """Return the residuals of a branch built on the meta device and read from *path*.

    Its dice are others than those of the branch that was saved.
    """
    place = Placement(device=CPU, dtype=dtype)
    try:
        with subject.own_dice(1):
            loaded = load_branch(subject.modality, config, place, path)
    except WorldweaveError as error:
        reason = one_line(error).replace(str(path), "what it saved")
        fail(f"its weights cannot be read back: {reason}", _REGISTER)
    try:
        return run(loaded, given)
    except BaseException as error:
        let_interrupts_pass(error)
        fail(f"read back from its file it raised {one_line(error)}", _REGISTER, error)


@check(
    "weights it ships fit their base",
    needs=(residuals_fit_the_base,),
)
def weights_fit_their_base(subject: Subject) -> None:
    """Load, strictly, each file that is on this machine; nothing is fetched."""
    branches = [each for each in subject.modality.weights if each.part == "branch"]
    if not branches:
        raise NotApplicable("it brings no weights")
    reasons = []
    for weights in branches:
        try:
            _load_shipped(subject, weights)
        except NotApplicable as reason:
            reasons.append(str(reason))
    if len(reasons) == len(branches):
        raise NotApplicable("; ".join(reasons))


def _load_shipped(subject: Subject, weights: Weights) -> None:
    if not is_local(weights.uri):
        raise NotApplicable(f"{weights.uri!r} has to be fetched")
    try:
        base = subject.catalog.find_base(weights.base)
        path = locate(weights, subject.catalog.hook)
    except WorldweaveError as error:
        raise NotApplicable(str(error)) from error
    if not path.is_file():
        raise NotApplicable(f"there is no file {str(path)!r}")
    # Nothing of it stays in memory there, however large it is.
    place = Placement(device=torch.device("meta"), dtype=torch.bfloat16)
    config = _config_of(base)
    try:
        names = set(store.header(path).shapes)
    except WeightsError as error:
        fail(
            f"weights {weights.uri!r} cannot be read: {one_line(error)}",
            "ship the .safetensors file that worldweave train has written, whole",
        )
    try:
        load_branch(subject.modality, config, place, path)
    except WeightsError as error:
        again = f"worldweave train {subject.modality.name} --base {base.name}"
        fail(
            f"weights {weights.uri!r} do not fit {base.name}: {one_line(error)}",
            f"train them anew for it with: {again}"
            if names & set(subject.branch(SMALL).state_dict())
            else f"they are no weights of this branch: name the file of: {again}",
        )


def _config_of(base: Base) -> DiTConfig:
    try:
        return config_of(base)
    except BaseException as error:
        let_interrupts_pass(error)
        raise NotApplicable(
            f"base {base.name!r} cannot be loaded: {one_line(error)}"
        ) from error


CHECKS = (weights_round_trip, weights_fit_their_base)
