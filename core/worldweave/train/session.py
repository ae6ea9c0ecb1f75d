"""One training from its name to its result: what `worldweave train` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import torch

from worldweave.base import HELD_OUT
from worldweave.loading import Placement, load_base
from worldweave.train.base import base_trainer, save_base
from worldweave.train.branch import branch_trainer, save_branch
from worldweave.train.loop import Trainer
from worldweave_registry import (
    Base,
    Catalog,
    Lazy,
    Modality,
    Recipe,
    WorldweaveError,
    discover,
)


@attrs.frozen(kw_only=True)
class Session:
    """A trainer ready to run and what to do with its result."""

    trainer: Trainer
    folder: Path
    resumed: str | None
    save: Callable[[], list[Path]]

    @classmethod
    def open(
        cls,
        name: str,
        base: str,
        folder: Path,
        *,
        steps: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        clips: int = 2000,
        seed: int = 0,
        compile: bool = False,
        catalog: Catalog | None = None,
    ) -> Session:
        """Prepare the training of modality *name* (or "base") against *base*.

        Raise WorldweaveError where the name, the recipe or the clips are missing,
        or a saved state in *folder* belongs to another training.
        """
        if not 0 <= seed <= HELD_OUT - clips:
            raise WorldweaveError(
                f"seed {seed} with {clips} clips reaches into the held-out clips "
                f"(from {HELD_OUT}); choose a smaller seed or fewer clips"
            )
        catalog = discover() if catalog is None else catalog
        description = catalog.find_base(base)
        changes = {
            "steps": steps,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
        }
        given = {key: value for key, value in changes.items() if value is not None}
        if name == "base":
            recipe = _recipe(description.recipe, f"base {base!r}", given)
            trainer = base_trainer(
                description,
                recipe,
                folder,
                clips=clips,
                seed=seed,
                compile=compile,
                hook=catalog.hook,
            )
            return cls(
                trainer=trainer,
                folder=folder,
                resumed=trainer.resume(),
                save=lambda: save_base(trainer, description, folder),
            )
        modality = catalog.find(name)
        recipe = _recipe(modality.recipe, f"modality {name!r}", given)
        trainer = _branch_trainer(
            modality, description, recipe, folder, clips, seed, compile, catalog
        )
        return cls(
            trainer=trainer,
            folder=folder,
            resumed=trainer.resume(),
            save=lambda: [save_branch(trainer, modality, base, folder)],
        )

    def opening(self) -> str:
        """Return one line on what is trained and from where."""
        count = sum(p.numel() for p in self.trainer.named.values())
        steps = self.trainer.recipe.steps
        start = self.resumed or "from the start"
        return f"{count:,} trainable parameters, {steps} steps, {start}"

    def finish(self) -> list[str]:
        """Write the result if all steps are done; return what happened, in lines."""
        if self.trainer.step < self.trainer.recipe.steps:
            return [
                f"stopped at step {self.trainer.step} of {self.trainer.recipe.steps}; "
                "the same command goes on from here"
            ]
        return [f"{path}: trained weights" for path in self.save()]


def _recipe(lazy: Lazy | None, what: str, given: dict[str, Any]) -> Recipe:
    if lazy is None:
        raise WorldweaveError(
            f"{what} has no training recipe; its plugin must name one to be trained"
        )
    recipe = lazy.load()
    if not isinstance(recipe, Recipe):
        raise WorldweaveError(f"{lazy.path} is {recipe!r}; it must be a Recipe")
    return attrs.evolve(recipe, **given)


def _branch_trainer(
    modality: Modality,
    base: Base,
    recipe: Recipe,
    folder: Path,
    clips: int,
    seed: int,
    compile: bool,
    catalog: Catalog,
) -> Trainer:
    maker = recipe.dataset or base.clips
    if maker is None:
        raise WorldweaveError(
            f"neither the recipe of {modality.name!r} nor base {base.name!r} makes "
            "training clips; name a dataset in the recipe"
        )
    loaded = load_base(
        base,
        Placement(device=torch.device("cpu"), dtype=torch.float32),
        hook=catalog.hook,
    )
    return branch_trainer(
        modality,
        loaded,
        recipe,
        folder,
        maker.load()(seed, clips),
        seed=seed,
        compile=compile,
    )
