"""Train one branch; the base stays frozen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs
import torch
from torch import Tensor, nn

from worldweave.base import Clip, Frames
from worldweave.blame import NamedBranch, blamed, misfits_named
from worldweave.checkpoints import store
from worldweave.loading import LoadedBase, Placement, load_base, new_branch
from worldweave.model.branch import ControlBranch
from worldweave.model.dit import DiT
from worldweave.model.patches import token_grid
from worldweave.model.step import Step
from worldweave.model.weave import RunBranch, weave
from worldweave.request.check import make_preprocessor
from worldweave.request.controls import report_of, run_preprocessor
from worldweave.train.clips import (
    MONITORED,
    MONITORED_CLIPS,
    ClipSet,
    MakeControl,
    latent_dtype,
)
from worldweave.train.data.folder import OpenedFolder, open_data
from worldweave.train.data.stream import StreamedPairs, watched_clips
from worldweave.train.given import names_of, start_from
from worldweave.train.monitors import GateNorms, X0Error
from worldweave.train.objective import Objective, Predict
from worldweave.train.pairs import ClipPairs, Pairs, VariedPairs
from worldweave.train.precision import autocast
from worldweave.train.random_options import RandomOptions
from worldweave.train.task import Monitor, Setup, Task
from worldweave.train.words import counted
from worldweave_registry import Modality, PluginError, Recipe, WorldweaveError


class Controlled(nn.Module):
    """A frozen base and the one branch that is trained, at map 1.

    name: of its modality, for errors. run: what runs the branch; None: itself.
    """

    def __init__(
        self,
        base: DiT,
        branch: ControlBranch,
        *,
        name: str,
        run: RunBranch | None = None,
    ) -> None:
        super().__init__()
        self.base = base
        self.branch = branch
        self.name = name
        self.run: RunBranch = branch.forward if run is None else run

    def forward(self, latent: Tensor, step: Step, hint: Tensor) -> Tensor:
        """Return the base's output under full control.

        Raise MisfitError where the residuals do not fit.
        """
        grid = token_grid(latent, self.base.config.patch)
        ones = latent.new_ones(len(latent), *grid)
        name = self.name
        return weave(
            self.base, {name: self.run}, latent, step, {name: hint}, {name: ones}
        )


def branch_task(setup: Setup, modality: Modality) -> Task:
    """Describe the training of *modality*'s branch for the base of *setup*.

    Raise WorldweaveError where the recipe, clips or the base's weights are missing,
    or the data folder holds what cannot be trained on.
    """
    recipe = setup.recipe(modality.recipe, f"modality {modality.name!r}")
    # Before anything is read or rendered.
    options = RandomOptions.of(modality, recipe)
    if setup.data_folder is not None:
        opened = open_data(
            setup.data_folder,
            modality,
            setup.base,
            setup.say,
            is_examined=setup.is_examined,
        )
        return _streamed(setup, modality, _loaded(setup), recipe, options, opened)
    maker = recipe.dataset or setup.base.clips
    if maker is None:
        raise WorldweaveError(
            f"neither the recipe of {modality.name!r} nor base {setup.base.name!r} "
            "makes training clips; give a folder of videos with --data, or name a "
            "dataset in the recipe"
        )
    loaded = _loaded(setup)
    made = setup.make_clips(maker, setup.seed, setup.clips)
    watched: Iterable[Clip] = ()
    if setup.is_monitored:
        watched = setup.make_clips(maker, MONITORED, MONITORED_CLIPS)
    return _rendered(setup, modality, loaded, recipe, options, made, watched)


def task_of(
    setup: Setup,
    modality: Modality,
    base: LoadedBase,
    recipe: Recipe,
    clips: Iterable[Clip],
    watched: Iterable[Clip] = (),
) -> Task:
    """Describe the training of a branch for a base in memory, from rendered clips.

    The branch is fresh and starts from the base, or from the weights *setup*
    names. *watched* are the held-out clips of the monitors; none: no monitors.
    """
    options = RandomOptions.of(modality, recipe)
    return _rendered(setup, modality, base, recipe, options, clips, watched)


def data_task_of(
    setup: Setup,
    modality: Modality,
    base: LoadedBase,
    recipe: Recipe,
    opened: OpenedFolder,
) -> Task:
    """Describe the training of a branch for a base in memory, from a data folder."""
    options = RandomOptions.of(modality, recipe)
    return _streamed(setup, modality, base, recipe, options, opened)


def _rendered(
    setup: Setup,
    modality: Modality,
    base: LoadedBase,
    recipe: Recipe,
    options: RandomOptions | None,
    clips: Iterable[Clip],
    watched: Iterable[Clip],
) -> Task:
    place, dtype = setup.device, latent_dtype(setup.clips)
    pairs: ClipPairs | VariedPairs
    if options is None:
        control = control_maker(modality)
        pairs = ClipPairs(clips, base.autoencoder, control, device=place, dtype=dtype)
    else:
        pairs = VariedPairs(clips, base.autoencoder, options, device=place, dtype=dtype)
        if all(pairs.has_control):
            setup.say(
                f"the clips bring their own controls of {modality.name!r}, so the "
                "random_options of its recipe change nothing"
            )
    clips_in_words = counted(len(pairs), "clip")
    what = f"{modality.name} for {base.description.name} from {clips_in_words}"
    return _task(setup, modality, base, recipe, pairs, list(watched), what)


def _streamed(
    setup: Setup,
    modality: Modality,
    base: LoadedBase,
    recipe: Recipe,
    options: RandomOptions | None,
    opened: OpenedFolder,
) -> Task:
    control = control_maker(modality)
    pairs = StreamedPairs(opened.trained, base, modality, control, options)
    watched: list[Clip] = []
    if setup.is_monitored:
        length = base.description.chunk_frames
        watched = watched_clips(opened.watched, length, modality)
    what = (
        f"{modality.name} for {base.description.name} from "
        f"{counted(len(opened), 'video')} (files {opened.fingerprint})"
    )
    task = _task(setup, modality, base, recipe, pairs, watched, what)
    return attrs.evolve(task, about=opened.about())


def _task(
    setup: Setup,
    modality: Modality,
    base: LoadedBase,
    recipe: Recipe,
    pairs: Pairs,
    watched: Sequence[Clip],
    what: str,
) -> Task:
    torch.manual_seed(setup.seed)
    branch = new_branch(modality, base.config)
    report = modality.branch.report
    with blamed(f"start_from of the branch of {modality.name!r}", report):
        branch.start_from(base.dit)
    branch.to(setup.device)
    gates = GateNorms.of(branch)
    start = ""
    if setup.init is not None:
        start = start_from(branch, setup.init, modality.name, setup.device)
    model = Controlled(
        base.dit.requires_grad_(False),
        branch,
        name=modality.name,
        # What is compiled is not asked whose fault it is.
        run=None if setup.compile else NamedBranch(modality.name, modality, branch),
    )
    network = setup.compiled(model)
    objective = Objective(sigma_mean=recipe.sigma_mean, sigma_std=recipe.sigma_std)
    share = setup.share(recipe.batch_size)

    def loss(generator: torch.Generator) -> Tensor:
        batch = pairs.draw(recipe.batch_size, generator, share)
        with torch.no_grad():
            text = base.text_encoder.encode(batch.prompts)
        with autocast(setup.device), misfits_named({modality.name: modality}):
            made = objective.loss(
                lambda latent, step: network(latent, step, batch.hints),
                batch.latents,
                text,
                base.description.fps,
                generator,
                share,
            )
        if not made.requires_grad:
            raise PluginError(
                f"the branch of {modality.name!r} cannot be trained: no gradient "
                "reaches its parameters; its residuals must depend on them and not "
                f"be detached; {report}"
            )
        return made

    monitors: tuple[Monitor, ...] = ()
    if watched:
        error = _x0_error(base, model, control_maker(modality), watched)
        monitors = (error, gates)
    return Task(
        what=what,
        model=model,
        loss=loss,
        recipe=recipe,
        save=lambda folder: [_write(branch, modality, base.description.name, folder)],
        monitors=monitors,
        started_from=start,
        stands_on=names_of(base.files),
        first_fault=f"the branch of {modality.name!r} must give finite residuals with "
        f"finite gradients; {report}",
    )


def _loaded(setup: Setup) -> LoadedBase:
    return load_base(
        setup.base,
        Placement(device=setup.device, dtype=torch.float32),
        hook=setup.catalog.hook,
    )


def control_maker(modality: Modality) -> MakeControl:
    """Return what makes a clip's control: its maker's own, or the preprocessor."""
    preprocess = make_preprocessor(modality.name, modality, {})

    def make(clip: Clip) -> Frames:
        if modality.name in clip.controls:
            return clip.controls[modality.name]
        if preprocess is None:
            raise WorldweaveError(
                f"{modality.name!r} has no preprocessor and the clips carry no control "
                "for it; train it on clips that do"
            )
        return run_preprocessor(
            modality.name, preprocess, clip.video, report=report_of(modality)
        )

    return make


def _x0_error(
    base: LoadedBase, model: Controlled, control: MakeControl, clips: Iterable[Clip]
) -> X0Error:
    """Compare the right hint with none and with that of the clip before.

    A single clip has no other: then there is no wrong hint.
    """
    device = base.placement.device
    held_out = ClipSet(clips, base.autoencoder, control, device=device)
    every = range(len(held_out))
    hints = held_out.hints(every)
    others = hints.roll(1, 0)
    with torch.no_grad():
        text = base.text_encoder.encode(held_out.prompts)
    predictions: dict[str, Predict] = {
        "right": lambda latent, step: model(latent, step, hints),
        "none": model.base,
    }
    if len(held_out) > 1:
        predictions["wrong"] = lambda latent, step: model(latent, step, others)
    return X0Error(
        clean=held_out.latents(every),
        text=lambda: text,
        fps=base.description.fps,
        predictions=predictions,
    )


def _write(branch: ControlBranch, modality: Modality, base: str, folder: Path) -> Path:
    """Write a branch as bfloat16 safetensors."""
    tensors = {k: v.to(torch.bfloat16) for k, v in branch.state_dict().items()}
    path = folder / f"{modality.name}.safetensors"
    metadata = {"kind": "branch", "modality": modality.name, "base": base}
    store.write(path, tensors, metadata)
    return path
