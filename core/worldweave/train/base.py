"""Train a small base: its DiT and, jointly, its text encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from worldweave.checkpoints import store
from worldweave.loading import config_of, part_of
from worldweave.model.dit import DiT
from worldweave.train.clips import PROMPT_DROPOUT, ClipSet, drop
from worldweave.train.loop import Trainer
from worldweave.train.objective import Objective
from worldweave.train.precision import autocast
from worldweave_registry import Base, Recipe, WorldweaveError, resolve

WORD_DROPOUT = 0.02


def base_trainer(
    base: Base,
    recipe: Recipe,
    folder: Path,
    *,
    clips: int,
    seed: int,
    compile: bool = False,
    hook: Any = None,
) -> Trainer:
    """Return a trainer for a new base that learns from *clips* rendered clips.

    *compile* makes steps about 1.3 times as fast after a minute's compilation; it
    needs a C++ compiler.
    """
    if base.clips is None:
        raise WorldweaveError(
            f"base {base.name!r} makes no training clips, so it cannot be trained here"
        )
    config = config_of(base)
    weights = part_of(base, "autoencoder")
    autoencoder = base.autoencoder.load()(
        None if weights is None else resolve(weights, hook),
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    data = ClipSet(base.clips.load()(seed, clips), autoencoder)
    torch.manual_seed(seed)
    text_encoder = base.text_encoder.load()(
        None, device=torch.device("cpu"), dtype=torch.float32
    )
    dit = DiT(config)
    dit.initialize(torch.Generator().manual_seed(seed))
    model = nn.ModuleDict({"dit": dit, "text_encoder": text_encoder})
    objective = Objective(sigma_mean=recipe.sigma_mean, sigma_std=recipe.sigma_std)

    predict = torch.compile(dit) if compile else dit

    def loss(generator: torch.Generator) -> Tensor:
        index = data.draw(recipe.batch_size, generator)
        prompts = drop(data.prompts(index), PROMPT_DROPOUT, generator)
        with autocast():
            text = text_encoder.encode(
                prompts, word_dropout=WORD_DROPOUT, generator=generator
            )
            return objective.loss(
                predict, data.latents[index], text, base.fps, generator
            )

    what = f"base {base.name} from {len(data)} clips"
    return Trainer(model, loss, recipe, folder, seed, what=what)


def save_base(trainer: Trainer, base: Base, folder: Path) -> list[Path]:
    """Write dit.safetensors and text_encoder.safetensors (bfloat16) to *folder*."""
    trainer.load_average()
    written = []
    for part in ("dit", "text_encoder"):
        module = trainer.model.get_submodule(part)
        tensors = {k: v.to(torch.bfloat16) for k, v in module.state_dict().items()}
        path = folder / f"{part}.safetensors"
        store.write(path, tensors, {"kind": part, "base": base.name})
        written.append(path)
    return written
