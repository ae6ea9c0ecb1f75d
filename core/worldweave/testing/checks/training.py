"""Whether a branch can be trained: two steps of its recipe, with the real trainer."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import attrs
import numpy as np
import torch
from torch import Tensor

from worldweave.base import Clip, Frames
from worldweave.loading import LoadedBase, load_branch
from worldweave.testing.bases import loaded_base
from worldweave.testing.checks.branch import some
from worldweave.testing.checks.weights import weights_round_trip
from worldweave.testing.kit import check, fail, where
from worldweave.testing.subject import Subject, video
from worldweave.train.branch import task_of
from worldweave.train.loop import Trainer
from worldweave.train.progress import Progress
from worldweave.train.random_options import RandomOptions
from worldweave.train.task import Setup
from worldweave_registry import Base, Lazy, Recipe, WorldweaveError, one_line

STEPS = 2
BATCH = 2
CLIPS = 2


@check(
    "two steps of its training run",
    needs=(weights_round_trip,),
)
def two_training_steps_run(subject: Subject) -> None:
    """Train a fresh branch on a few clips; look at losses, base, branch and file."""
    whole = subject.recipe()
    recipe = attrs.evolve(whole, steps=STEPS, batch_size=min(BATCH, whole.batch_size))
    kept = loaded_base(subject)
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
                f"{STEPS} steps and batches of {recipe.batch_size}",
            )
        _refuse_touched_base(base, kept)
        if all(map(torch.equal, before, _values(trainer.model))):
            fail(
                f"{STEPS} steps at a learning rate of up to {whole.learning_rate:g} "
                "have left the branch as it was",
                "raise the learning rate in the recipe, to 1e-3 for instance",
            )
        trainer.load_average()
        trainer.model.eval()
        _refuse_lost_result(subject, base, task.save(Path(folder)))


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
    except (Exception, SystemExit):
        return False
    shape, dtype = getattr(made, "shape", None), getattr(made, "dtype", None)
    return bool(shape == source.shape and dtype == source.dtype)


def _clips_of(dataset: Lazy, subject: Subject, base: Base) -> list[Clip]:
    setup = Setup(base=base, catalog=subject.catalog, clips=CLIPS)
    try:
        made: Iterable[Clip] = setup.make_clips(dataset, 0, CLIPS)
        clips = list(islice(made, CLIPS))
    except (Exception, SystemExit) as error:
        fail(
            f"the dataset of its recipe, {dataset}, raised {one_line(error)}"
            f"{where(error)}",
            "make it a callable (seed, count) that yields worldweave.Clip",
        )
    strange = [each for each in clips if not isinstance(each, Clip)]
    if strange or not clips:
        what = type(strange[0]).__name__ if strange else "nothing"
        fail(
            f"the dataset of its recipe, {dataset}, yields {what}",
            f"called with (0, {CLIPS}), it must yield {CLIPS} worldweave.Clip",
        )
    for number, clip in enumerate(clips):
        _refuse_odd(number, clip, base, dataset)
    return clips


def _refuse_odd(number: int, clip: Clip, base: Base, dataset: Lazy) -> None:
    """Refuse a clip that is not what the base makes at once."""
    shape, dtype = np.shape(clip.video), getattr(clip.video, "dtype", None)
    shapes = [(base.chunk_frames, *size, 3) for size in base.sizes]
    if shape not in shapes or dtype != np.uint8:
        fail(
            f"clip {number} of the dataset of its recipe, {dataset}, is {dtype} "
            f"{shape}",
            f"for {base.name} yield videos uint8 "
            f"{' or '.join(map(str, shapes))} (T, H, W, 3)",
        )


def _values(model: torch.nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters() if p.requires_grad]


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
