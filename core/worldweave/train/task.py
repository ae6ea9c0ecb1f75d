"""What one training is: a model, its loss, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import nn

from worldweave.base import Clip
from worldweave.train.clip_source import clips_of
from worldweave.train.compiling import compiled_or_not
from worldweave.train.parallel import ALONE, Processes
from worldweave_registry import Base, Catalog, Lazy, Recipe, WorldweaveError

#: Returns the loss of one step; all its randomness comes from the generator, which
#: lives on the CPU on every machine.
Loss = Callable[[torch.Generator], torch.Tensor]
#: Returns named values of the model as it is now, with averaged weights in it.
Monitor = Callable[[], Mapping[str, float]]


def nothing_said(_: str) -> None:
    """Say nothing."""


@attrs.frozen(kw_only=True, eq=False)
class Task:
    """One training, ready for a `worldweave.train.loop.Trainer`.

    *loss* is the mean over this process's share of the batch (`Setup.share`).
    *save* writes the result to a folder and returns the files; the averaged
    weights are in the model by then. *started_from* says which weights the
    training began with; "" for fresh ones. *stands_on* says which frozen weights
    it is trained on, as `worldweave.train.given.names_of` does; "" where there are
    none. A saved state that started from or stands on others is refused.
    """

    what: str
    """What is trained, in words, such as "edge for tiny-world from 2000 clips": a
    saved state of something else is refused."""
    model: nn.Module
    """What is trained are its parameters that require a gradient."""
    loss: Loss
    recipe: Recipe
    save: Callable[[Path], list[Path]]
    monitors: tuple[Monitor, ...] = ()
    started_from: str = ""
    stands_on: str = ""
    first_fault: str = ""
    """What must be wrong, and whom to tell, where the very first loss or gradient is
    not finite: nothing was learned by then. "": the learning rate, as later."""
    about: str = ""
    """What else the user should know of it before it begins."""


CPU = torch.device("cpu")


@attrs.frozen(kw_only=True, eq=False)
class Setup:
    """What whoever builds a `Task` is given: what was asked, and where to compute."""

    base: Base
    catalog: Catalog
    overrides: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    """Fields of the recipe that the user gives other values."""
    clips: int = 2000
    """How many training clips to make, from *seed* on."""
    data_folder: Path | None = None
    """A folder of videos, captions and controls to train from; None: made clips."""
    is_examined: bool = True
    """Whether to look at the data first; who goes on has done so."""
    seed: int = 0
    device: torch.device = CPU
    compile: bool = False
    init: Path | None = None
    """Weights to start from: a file, or a folder of them; None: start afresh."""
    is_monitored: bool = True
    """Whether monitors are wanted; they cost clips of their own."""
    processes: Processes = ALONE
    say: Callable[[str], None] = nothing_said
    """Takes a line for the user."""

    def recipe(self, lazy: Lazy | None, what: str) -> Recipe:
        """Return the recipe with the user's changes; *what* names its owner.

        Raise WorldweaveError where there is none, or its batch cannot be shared.
        """
        if lazy is None:
            raise WorldweaveError(
                f"{what} has no training recipe; its plugin must name one to be trained"
            )
        recipe = lazy.load()
        if not isinstance(recipe, Recipe):
            raise WorldweaveError(f"{lazy.path} is {recipe!r}; it must be a Recipe")
        changed = attrs.evolve(recipe, **self.overrides)
        if changed.dataset is not None:
            # A recipe is found by its path alone: whose it is, that path knows.
            dataset = attrs.evolve(
                changed.dataset, plugin=lazy.plugin, report=lazy.report
            )
            changed = attrs.evolve(changed, dataset=dataset)
        self.processes.share(changed.batch_size)
        return changed

    def share(self, batch_size: int) -> slice:
        """Return which samples of a batch this process computes."""
        return self.processes.share(batch_size)

    def make_clips(self, maker: Lazy, seed: int, count: int) -> Iterator[Clip]:
        """Return clips, each looked at; see `worldweave.train.clip_source.clips_of`."""
        return clips_of(maker, self.base, seed, count, device=self.device, say=self.say)

    def compiled(self, module: nn.Module) -> Callable[..., Any]:
        """Return *module*, compiled if the user asked for it and it can be done."""
        if not self.compile:
            return module
        return compiled_or_not(module, self.device, self.say)
