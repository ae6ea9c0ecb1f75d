"""Whether a branch can be trained: two steps of its recipe, with the real trainer."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import attrs
import torch
from torch import Tensor

from worldweave.base import Clip, Frames
from worldweave.loading import LoadedBase, load_branch
from worldweave.testing.bases import loaded_base
from worldweave.testing.checks.branch import some
from worldweave.testing.checks.weights import weights_round_trip
from worldweave.testing.kit import check, fail
from worldweave.testing.subject import Subject, video
from worldweave.train.branch import task_of
from worldweave.train.loop import Trainer
from worldweave.train.progress import Progress
from worldweave.train.random_options import RandomOptions
from worldweave.train.task import Setup
from worldweave_registry import (
    Base,
    Lazy,
    Recipe,
    WorldweaveError,
    let_interrupts_pass,
    one_line,
)

STEPS = 2
BATCH = 2
CLIPS = 2
#: A weight that moves by less stays, for float32, mostly where it is.
STILL = 1e-8


@check(
    "two steps of its training run",
    needs=(weights_round_trip,),
)
def two_training_steps_run(subject: Subject) -> None:
    """Train a fresh branch on a few clips; look at losses, base, branch and file.

    Without warm-up: at the learning rate itself weights must move and stay finite.
    """
    whole = subject.recipe()
    kept = loaded_base(subject)
    _refuse_unknown_base(subject, whole)
    size = min(BATCH, whole.batch_size)
    recipe = attrs.evolve(whole, steps=STEPS, batch_size=size, warmup=0, cooldown=0.0)
    clips = _clips(subject, kept.description, recipe)
    if subject.modality.name in clips[0].controls:
        # Nothing is drawn for controls that are there.
        recipe = attrs.evolve(recipe, random_options={})
    # A plugin that harms its base harms this copy alone.
    base = attrs.evolve(kept, dit=copy.deepcopy(kept.dit))
    setup = Setup(base=base.description, catalog=subject.catalog, clips=len(clips))
    with tempfile.TemporaryDirectory() as folder, subject.own_dice(0):
        try:
            task = task_of(setup, subject.modality, base, recipe, clips)
            trainer = Trainer(task, Path(folder), setup.seed)
            before = _values(trainer.model)
            told: list[Progress] = []
            trainer.run(told.append)
        except WorldweaveError as error:
            fail(
                f"its training failed: {one_line(error)}",
                "mend what it names; the recipe was used as it is, with "
                f"{STEPS} steps, batches of {size}, no warm-up and no cool-down",
            )
        _refuse_touched_base(base, kept)
        _refuse_learning_rate(whole.learning_rate, before, _values(trainer.model))
        trainer.load_average()
        trainer.model.eval()
        _refuse_lost_result(subject, base, task.save(Path(folder)))


def _refuse_unknown_base(subject: Subject, recipe: Recipe) -> None:
    try:
        subject.catalog.find_base(recipe.base)
    except WorldweaveError as error:
        fail(
            f"its recipe is made for a base that is not there: {one_line(error)}",
            "name in the recipe a base that is installed, and among the dependencies "
            "the package that brings it",
        )


def _refuse_learning_rate(
    rate: float, before: dict[str, Tensor], now: dict[str, Tensor]
) -> None:
    """Refuse one at which no weight moves, or some are no numbers any more."""
    told = f"{STEPS} steps at its learning rate, {rate:g}, "
    if not all(each.isfinite().all() for each in now.values()):
        fail(
            f"{told}have made weights infinite",
            "lower the learning rate in the recipe, to 1e-3 for instance",
        )
    moved = max(
        (float((now[n] - was).abs().max()) for n, was in before.items() if n in now),
        default=0.0,
    )
    if moved <= STILL:
        fail(
            f"{told}have moved no weight by more than {moved:.1g}",
            "raise the learning rate in the recipe, to 1e-3 for instance",
        )


def _clips(subject: Subject, base: Base, recipe: Recipe) -> list[Clip]:
    """Return clips of the recipe's dataset, or made ones where it has none.

    Where the preprocessor cannot make their controls they bring some along: why it
    cannot is for the checks of preprocessors to say.
    """
    if recipe.dataset is not None:
        clips = _clips_of(recipe.dataset, subject, base)
    else:
        videos = [
            video(base.chunk_frames, *base.sizes[0], seed=n) for n in range(CLIPS)
        ]
        clips = [Clip(video=each, prompt="") for each in videos]
    if _can_make_controls(subject, recipe, clips[0].video):
        return clips
    return [
        attrs.evolve(
            clip, controls={subject.modality.name: 255 - clip.video, **clip.controls}
        )
        for clip in clips
    ]


def _can_make_controls(subject: Subject, recipe: Recipe, source: Frames) -> bool:
    try:
        RandomOptions.of(subject.modality, recipe)
        made = subject.preprocessor()(source.copy())
    except BaseException as error:
        let_interrupts_pass(error)
        return False
    shape, dtype = getattr(made, "shape", None), getattr(made, "dtype", None)
    return bool(shape == source.shape and dtype == source.dtype)


def _clips_of(dataset: Lazy, subject: Subject, base: Base) -> list[Clip]:
    """Return what a training would take of *dataset*."""
    setup = Setup(base=base, catalog=subject.catalog, clips=CLIPS)
    try:
        return list(setup.make_clips(dataset, 0, CLIPS))
    except WorldweaveError as error:
        fail(
            f"the dataset of its recipe fails: {one_line(error)}",
            f"called with (0, {CLIPS}), it must yield {CLIPS} worldweave.Clip, or "
            "fewer where it has no more",
            error.__cause__,
        )


def _values(model: torch.nn.Module) -> dict[str, Tensor]:
    return {
        name: p.detach().clone()
        for name, p in model.named_parameters()
        if p.requires_grad
    }


def _refuse_touched_base(base: LoadedBase, kept: LoadedBase) -> None:
    before = kept.dit.state_dict()
    now = base.dit.state_dict()
    changed = [n for n, t in before.items() if not torch.equal(t, now[n])]
    if changed:
        fail(
            f"training has changed tensors of the base: {some(changed)}",
            "the branch must copy what it takes over in start_from",
        )


def _refuse_lost_result(subject: Subject, base: LoadedBase, files: list[Path]) -> None:
    for file in files:
        try:
            load_branch(subject.modality, base.config, base.placement, file)
        except WorldweaveError as error:
            fail(
                f"the result of its training cannot be loaded: {one_line(error)}",
                "make all that is trained in __init__ of the branch",
            )


CHECKS = (two_training_steps_run,)
