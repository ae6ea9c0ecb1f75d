"""Train one branch; the base stays frozen."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from worldweave.base import Clip, Frames
from worldweave.checkpoints import store
from worldweave.loading import LoadedBase, new_branch
from worldweave.model.branch import ControlBranch
from worldweave.model.step import Step
from worldweave.request.check import make_preprocessor
from worldweave.request.controls import run_preprocessor
from worldweave.train.clips import PROMPT_DROPOUT, ClipSet, MakeControl, drop
from worldweave.train.loop import Trainer
from worldweave.train.objective import Objective
from worldweave.train.precision import autocast
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


def branch_trainer(
    modality: Modality,
    base: LoadedBase,
    recipe: Recipe,
    folder: Path,
    clips: Iterable[Clip],
    *,
    seed: int,
    compile: bool = False,
) -> Trainer:
    """Return a trainer for a fresh branch of *modality*, started from the base."""
    torch.manual_seed(seed)
    branch = new_branch(modality, base.config)
    branch.start_from(base.dit)
    model = Controlled(base.dit.requires_grad_(False), branch)
    network = torch.compile(model) if compile else model
    data = ClipSet(clips, base.autoencoder)
    make = control_maker(modality)
    objective = Objective(sigma_mean=recipe.sigma_mean, sigma_std=recipe.sigma_std)

    def loss(generator: torch.Generator) -> Tensor:
        index = data.draw(recipe.batch_size, generator)
        prompts = drop(data.prompts(index), PROMPT_DROPOUT, generator)
        hint = data.hints(index, make)
        with torch.no_grad():
            text = base.text_encoder.encode(prompts)
        with autocast():
            return objective.loss(
                lambda latent, step: network(latent, step, hint),
                data.latents[index],
                text,
                base.description.fps,
                generator,
            )

    what = f"{modality.name} for {base.description.name} from {len(data)} clips"
    return Trainer(model, loss, recipe, folder, seed, what=what)


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


def save_branch(trainer: Trainer, modality: Modality, base: str, folder: Path) -> Path:
    """Write the averaged branch as bfloat16 safetensors to *folder*."""
    trainer.load_average()
    branch = trainer.model.get_submodule("branch")
    tensors = {k: v.to(torch.bfloat16) for k, v in branch.state_dict().items()}
    path = folder / f"{modality.name}.safetensors"
    metadata = {"kind": "branch", "modality": modality.name, "base": base}
    store.write(path, tensors, metadata)
    return path
