"""Name the plugin whose branch fails in the middle of something."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from worldweave.model.branch import ControlBranch
from worldweave.model.step import Step
from worldweave.model.weave import MisfitError, RunBranch
from worldweave_registry import Modality, PluginError, WorldweaveError, one_line


def named(name: str, modality: Modality, branch: ControlBranch) -> RunBranch:
    """Return what runs *branch*; whatever it raises becomes a PluginError.

    Not what the machine lacks: where memory runs out, nobody is to blame.
    """

    def run(latent: Tensor, step: Step, hint: Tensor) -> Sequence[Tensor]:
        try:
            residuals: Sequence[Tensor] = branch(latent, step, hint)
            return residuals
        except (WorldweaveError, torch.OutOfMemoryError, MemoryError):
            raise
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"the branch of {name!r} failed: {one_line(error)}; "
                f"{modality.branch.report}"
            ) from error

    return run


@contextlib.contextmanager
def misfits_named(modalities: Mapping[str, Modality]) -> Iterator[None]:
    """Say which plugin's residuals do not fit the base."""
    try:
        yield
    except MisfitError as error:
        report = modalities[error.branch].branch.report
        raise PluginError(f"{error}; {report}") from error
