"""Say whose fault it is where the code of a plugin fails in the middle of something."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import attrs
import torch
from torch import Tensor

from worldweave.model.branch import ControlBranch
from worldweave.model.step import Step
from worldweave.model.weave import MisfitError
from worldweave_registry import (
    Modality,
    PluginError,
    WorldweaveError,
    let_interrupts_pass,
    one_line,
)


@contextlib.contextmanager
def blamed(what: str, report: str) -> Iterator[None]:
    """Turn whatever a plugin's code raises into one line that names it.

    *what* failed, such as "the preprocessor of 'edge'"; *report* is whom to tell
    (`Plugin.report`, `Lazy.report`). What the plugin says to the user, a
    WorldweaveError, stays that. Where memory runs out nobody is blamed.
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except WorldweaveError as error:
        raise WorldweaveError(f"{what}: {one_line(error)}") from error
    except BaseException as error:
        let_interrupts_pass(error)
        if "DefaultCPUAllocator" in str(error):
            raise  # torch's word for memory that runs out where there is no GPU
        raise PluginError(f"{what} failed: {one_line(error)}; {report}") from error


@attrs.frozen(eq=False)
class NamedBranch:
    """Runs *branch* and blames its plugin where that fails."""

    name: str
    modality: Modality
    branch: ControlBranch

    def __call__(self, latent: Tensor, step: Step, hint: Tensor) -> Sequence[Tensor]:
        with blamed(f"the branch of {self.name!r}", self.modality.branch.report):
            residuals: Sequence[Tensor] = self.branch(latent, step, hint)
        return residuals


@contextlib.contextmanager
def misfits_named(modalities: Mapping[str, Modality]) -> Iterator[None]:
    """Say which plugin's residuals do not fit the base."""
    try:
        yield
    except MisfitError as error:
        report = modalities[error.branch].branch.report
        raise PluginError(f"{error}; {report}") from error
