"""One training from its name to its result: what `worldweave train` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import torch

from worldweave.base import HELD_OUT
from worldweave.blame import blamed
from worldweave.train.base import base_task
from worldweave.train.branch import branch_task
from worldweave.train.canary import Canary
from worldweave.train.loop import Trainer
from worldweave.train.maps import maps_task
from worldweave.train.parallel import ALONE, Processes
from worldweave.train.states import States
from worldweave.train.task import Setup, Task, nothing_said
from worldweave.train.watch import Watch
from worldweave.train.words import counted
from worldweave_registry import (
    Catalog,
    PluginError,
    Recipe,
    UnknownModalityError,
    WorldweaveError,
    discover,
)

#: Steps between two looks at the model.
MONITOR_EVERY = 250
#: Of rendered clips, where the user names no number.
CLIPS = 2000
#: For trainings that are of no modality, where the user names none.
BASE = "tiny-world"


@attrs.frozen(kw_only=True)
class Session:
    """A trainer ready to run and what to do with its result."""

    task: Task
    trainer: Trainer
    folder: Path
    resumed: str | None
    device: torch.device

    @classmethod
    def open(
        cls,
        name: str,
        base: str | None,
        folder: Path,
        *,
        steps: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        clips: int | None = None,
        data_folder: Path | None = None,
        seed: int = 0,
        modalities: Sequence[str] = (),
        init: Path | None = None,
        device: torch.device | None = None,
        compile: bool = False,
        monitor_every: int = MONITOR_EVERY,
        alarm_after: int | None = None,
        catalog: Catalog | None = None,
        processes: Processes = ALONE,
        say: Callable[[str], None] = nothing_said,
    ) -> Session:
        """Prepare the training *name* for *base*: "base", "maps", a modality, or one
        of the base's own trainings.

        *base* None: the one the modality's recipe is made for, or tiny-world. A
        modality is trained from rendered *clips*, 2000 where it is None, or from
        the videos of *data_folder*. *modalities* are those that learned maps are
        for; none given: all that have weights for the base. *monitor_every* 0: no
        monitors. The canary's alarm is raised from step *alarm_after* on; None: 10
        times the recipe's warm-up, at least 500. Raise WorldweaveError where the
        name, the recipe or the clips are missing, the data cannot be trained on, or
        a saved state in *folder* belongs to another training.
        """
        if data_folder is not None and clips is not None:
            raise WorldweaveError(
                f"clips is {clips} and data is {data_folder}: clips are rendered "
                "where there is no data; leave one of them out"
            )
        if data_folder is not None:
            clips = 0
        elif clips is None:
            clips = CLIPS
        if not 0 <= seed <= HELD_OUT - clips:
            raise WorldweaveError(
                f"seed {seed} with {clips} clips reaches into the held-out clips "
                f"(from {HELD_OUT}); choose a smaller seed or fewer clips"
            )
        catalog = discover() if catalog is None else catalog
        base = base_for(name, base, catalog, say)
        changes = {
            "steps": steps,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
        }
        setup = Setup(
            base=catalog.find_base(base),
            catalog=catalog,
            overrides={k: v for k, v in changes.items() if v is not None},
            clips=clips,
            data_folder=data_folder,
            is_examined=processes.is_first and not States(folder).steps(),
            seed=seed,
            device=torch.device("cpu") if device is None else device,
            compile=compile,
            init=init,
            is_monitored=monitor_every > 0 and processes.is_first,
            processes=processes,
            say=say,
        )
        task = build(name, setup, modalities)
        watch = Watch(
            folder,
            task.monitors,
            Canary(after=_alarm_after(task) if alarm_after is None else alarm_after),
            every=monitor_every,
            title=task.what,
            say=say,
        )
        trainer = Trainer(task, folder, seed, processes=processes, watch=watch)
        return cls(
            task=task,
            trainer=trainer,
            folder=folder,
            resumed=trainer.resume(),
            device=setup.device,
        )

    def opening(self) -> str:
        """Return one line on what is trained, where, and from which step on."""
        count = sum(p.numel() for p in self.trainer.named.values())
        steps = self.trainer.recipe.steps
        start = self.resumed or "from the start"
        if self.task.started_from:
            start += f" ({self.task.started_from})"
        where = self.device.type
        if self.trainer.processes.count > 1:
            where = f"{self.trainer.processes.count} processes, {where}"
        about = f"; {self.task.about}" if self.task.about else ""
        return (
            f"{count:,} trainable parameters, {counted(steps, 'step')} on {where}, "
            f"{start}{about}"
        )

    def finish(self, reason: str = "") -> list[str]:
        """Write the result if all steps are done; return what happened, in lines.

        *reason* is why the trainer stopped earlier, if it did. Raise
        WorldweaveError where the result cannot be written; the state remains.
        """
        if self.trainer.step < self.trainer.recipe.steps:
            why = f" ({reason})" if reason else ""
            return [
                f"stopped at step {self.trainer.step} of "
                f"{self.trainer.recipe.steps}{why}; "
                "the same command goes on from here"
            ]
        self.trainer.load_average()
        try:
            return [f"{path}: trained weights" for path in self.save()]
        except WorldweaveError as error:
            raise WorldweaveError(
                f"{error}; the trained state is kept, and the same command writes "
                "the result once there is room"
            ) from error

    def save(self) -> list[Path]:
        """Write the result, from the weights the model has now; return the files."""
        self.trainer.model.eval()
        return self.task.save(self.folder)


def base_for(
    name: str, asked: str | None, catalog: Catalog, say: Callable[[str], None]
) -> str:
    """Return the base to train *name* for: the one asked for, or its recipe's.

    *say* is told where the two differ.
    """
    usual = _recipes_base(name, BASE if asked is None else asked, catalog)
    if asked is None:
        return BASE if usual is None else usual
    if usual not in (None, asked):
        say(
            f"the recipe of {name!r} is made for base {usual!r}; its steps, batch and "
            f"learning rate may not suit {asked!r}"
        )
    return asked


def _recipes_base(name: str, base: str, catalog: Catalog) -> str | None:
    """Return the base the recipe of modality *name* is made for.

    None where *name* is no modality or has no recipe: `build` tells what is wrong.
    """
    if name in ("base", "maps"):
        return None
    try:
        if name in catalog.find_base(base).trainings:
            return None
    except WorldweaveError:
        pass  # It need not be there to name another.
    try:
        lazy = catalog.find(name).recipe
        recipe = None if lazy is None else lazy.load()
    except WorldweaveError:
        return None
    return recipe.base if isinstance(recipe, Recipe) else None


def build(name: str, setup: Setup, modalities: Sequence[str] = ()) -> Task:
    """Find what *name* is and describe its training.

    *modalities* are for maps alone. Raise UnknownModalityError where *name* is
    nothing that can be trained.
    """
    trainings = setup.base.trainings
    if setup.data_folder is not None and (
        name in ("base", "maps") or name in trainings
    ):
        raise WorldweaveError(
            f"{name!r} is trained from clips that base {setup.base.name!r} renders, "
            f"not from a folder; leave out --data {setup.data_folder}"
        )
    if name == "maps":
        return maps_task(setup, modalities)
    if modalities:
        raise WorldweaveError(
            f"modalities {', '.join(modalities)} are given, but the training of "
            f"{name!r} takes none; leave them out, or train maps"
        )
    if name == "base":
        return base_task(setup)
    if name in trainings:
        return _own_task(name, setup)
    try:
        modality = setup.catalog.find(name)
    except UnknownModalityError as error:
        if not trainings:
            raise
        raise UnknownModalityError(
            f"{error}; base {setup.base.name!r} itself also trains: "
            f"base, {', '.join(sorted(trainings))}, maps"
        ) from error
    return branch_task(setup, modality)


def _own_task(name: str, setup: Setup) -> Task:
    lazy = setup.base.trainings[name]
    make = lazy.load()
    with blamed(f"the training {name!r} of base {setup.base.name!r}", lazy.report):
        task = make(setup)
    if not isinstance(task, Task):
        raise PluginError(
            f"{lazy.path} made a {type(task).__name__}; it must return a "
            f"worldweave.train.task.Task; {lazy.report}"
        )
    if setup.init is not None and not task.started_from:
        raise WorldweaveError(
            f"{name!r} cannot start from given weights; leave out --init"
        )
    return task


def _alarm_after(task: Task) -> int:
    return max(500, 10 * task.recipe.warmup)
