"""Train one branch; the base stays frozen."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from worldweave.base import Clip, Frames
from worldweave.checkpoints import store
from worldweave.loading import LoadedBase, Placement, load_base, new_branch
from worldweave.model.branch import ControlBranch
from worldweave.model.step import Step
from worldweave.request.check import make_preprocessor
from worldweave.request.controls import run_preprocessor
from worldweave.train.clips import (
    MONITORED,
    MONITORED_CLIPS,
    PROMPT_DROPOUT,
    ClipSet,
    MakeControl,
    drop,
    latent_dtype,
)
from worldweave.train.given import names_of, start_from
from worldweave.train.monitors import GateNorms, X0Error
from worldweave.train.objective import Objective
from worldweave.train.precision import autocast
from worldweave.train.task import Setup, Task
from worldweave_registry import Modality, Recipe, WorldweaveError


class Controlled(nn.Module):
    """A frozen base and the one branch that is trained, at map 1."""

    def __init__(self, base: nn.Module, branch: ControlBranch) -> None:
        super().__init__()
        self.base = base
        self.branch = branch

    def forward(self, latent: Tensor, step: Step, hint: Tensor) -> Tensor:
        """Return the base's output under full control."""
        residuals = self.branch(latent, step, hint)
        ones = torch.ones_like(residuals[0][..., 0])
        out: Tensor = self.base(latent, step, [residuals], [ones])
        return out


def branch_task(setup: Setup, modality: Modality) -> Task:
    """Describe the training of *modality*'s branch for the base of *setup*.

    Raise WorldweaveError where the recipe, clips or the base's weights are missing.
    """
    recipe = setup.recipe(modality.recipe, f"modality {modality.name!r}")
    maker = recipe.dataset or setup.base.clips
    if maker is None:
        raise WorldweaveError(
            f"neither the recipe of {modality.name!r} nor base {setup.base.name!r} "
            "makes training clips; name a dataset in the recipe"
        )
    loaded = load_base(
        setup.base,
        Placement(device=setup.device, dtype=torch.float32),
        hook=setup.catalog.hook,
    )
    made = setup.make_clips(maker, setup.seed, setup.clips)
    watched: Iterable[Clip] = ()
    if setup.is_monitored:
        watched = setup.make_clips(maker, MONITORED, MONITORED_CLIPS)
    return task_of(setup, modality, loaded, recipe, made, watched)


def task_of(
    setup: Setup,
    modality: Modality,
    base: LoadedBase,
    recipe: Recipe,
    clips: Iterable[Clip],
    watched: Iterable[Clip] = (),
) -> Task:
    """Describe the training of a branch for a base in memory.

    The branch is fresh and starts from the base, or from the weights *setup*
    names. *watched* are the held-out clips of the monitors; none: no monitors.
    """
    torch.manual_seed(setup.seed)
    branch = new_branch(modality, base.config)
    branch.start_from(base.dit)
    branch.to(setup.device)
    gates = GateNorms.of(branch)
    start = ""
    if setup.init is not None:
        start = start_from(branch, setup.init, modality.name, setup.device)
    model = Controlled(base.dit.requires_grad_(False), branch)
    control = control_maker(modality)
    dtype = latent_dtype(setup.clips)
    data = ClipSet(clips, base.autoencoder, control, device=setup.device, dtype=dtype)
    network = setup.compiled(model)
    objective = Objective(sigma_mean=recipe.sigma_mean, sigma_std=recipe.sigma_std)
    share = setup.share(recipe.batch_size)

    def loss(generator: torch.Generator) -> Tensor:
        index = data.draw(recipe.batch_size, generator)
        prompts = drop(data.prompts_of(index), PROMPT_DROPOUT, generator)
        hint = data.hints(index[share])
        with torch.no_grad():
            text = base.text_encoder.encode(prompts[share])
        with autocast(setup.device):
            return objective.loss(
                lambda latent, step: network(latent, step, hint),
                data.latents(index),
                text,
                base.description.fps,
                generator,
                share,
            )

    held_out = list(watched)
    return Task(
        what=f"{modality.name} for {base.description.name} from {len(data)} clips",
        model=model,
        loss=loss,
        recipe=recipe,
        save=lambda folder: [_write(branch, modality, base.description.name, folder)],
        monitors=(_x0_error(base, model, control, held_out), gates) if held_out else (),
        started_from=start,
        stands_on=names_of(base.files),
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
        return run_preprocessor(modality.name, preprocess, clip.video)

    return make


def _x0_error(
    base: LoadedBase, model: Controlled, control: MakeControl, clips: Iterable[Clip]
) -> X0Error:
    """Compare the right hint with none and with that of the clip before."""
    device = base.placement.device
    data = ClipSet(clips, base.autoencoder, control, device=device)
    every = range(len(data))
    hints = data.hints(every)
    others = hints.roll(1, 0)
    with torch.no_grad():
        text = base.text_encoder.encode(data.prompts)
    return X0Error(
        clean=data.latents(every),
        text=lambda: text,
        fps=base.description.fps,
        predictions={
            "right": lambda latent, step: model(latent, step, hints),
            "none": model.base,
            "wrong": lambda latent, step: model(latent, step, others),
        },
    )


def _write(branch: ControlBranch, modality: Modality, base: str, folder: Path) -> Path:
    """Write a branch as bfloat16 safetensors."""
    tensors = {k: v.to(torch.bfloat16) for k, v in branch.state_dict().items()}
    path = folder / f"{modality.name}.safetensors"
    metadata = {"kind": "branch", "modality": modality.name, "base": base}
    store.write(path, tensors, metadata)
    return path
