"""Train a small base: its DiT and, jointly, its text encoder."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from worldweave.base import Autoencoder
from worldweave.checkpoints import store
from worldweave.loading import config_of, part_of
from worldweave.model.dit import DiT
from worldweave.train.clips import (
    MONITORED,
    MONITORED_CLIPS,
    PROMPT_DROPOUT,
    ClipSet,
    drop,
    latent_dtype,
)
from worldweave.train.given import names_of, start_from
from worldweave.train.monitors import GateNorms, X0Error
from worldweave.train.objective import Objective
from worldweave.train.precision import autocast
from worldweave.train.task import Monitor, Setup, Task
from worldweave.train.words import counted
from worldweave_registry import Lazy, WorldweaveError, resolve

WORD_DROPOUT = 0.02
PARTS = ("dit", "text_encoder")


def base_task(setup: Setup) -> Task:
    """Describe the training of a base from the clips it renders itself.

    Raise WorldweaveError where the base makes no clips or has no recipe.
    """
    base = setup.base
    recipe = setup.recipe(base.recipe, f"base {base.name!r}")
    if base.clips is None:
        raise WorldweaveError(
            f"base {base.name!r} makes no training clips, so it cannot be trained here"
        )
    model = _fresh(setup)
    gates = GateNorms.of(model["dit"])
    start = _started(model, setup)
    frozen = _frozen(setup)
    autoencoder = _autoencoder(setup, frozen.get("autoencoder"))
    made = setup.make_clips(base.clips, setup.seed, setup.clips)
    dtype = latent_dtype(setup.clips)
    data = ClipSet(made, autoencoder, device=setup.device, dtype=dtype)
    encode = _encoding(model["text_encoder"])
    predict = setup.compiled(model["dit"])
    objective = Objective(sigma_mean=recipe.sigma_mean, sigma_std=recipe.sigma_std)
    share = setup.share(recipe.batch_size)

    def loss(generator: torch.Generator) -> Tensor:
        index = data.draw(recipe.batch_size, generator)
        prompts = drop(data.prompts_of(index), PROMPT_DROPOUT, generator)
        with autocast(setup.device):
            # The whole batch, small as words are: dropped words are drawn inside.
            text = encode(prompts, generator)
            return objective.loss(
                predict, data.latents(index), text[share], base.fps, generator, share
            )

    def save(folder: Path) -> list[Path]:
        return [_write(model[part], part, base.name, folder) for part in PARTS]

    return Task(
        what=f"base {base.name} from {counted(len(data), 'clip')}",
        model=model,
        loss=loss,
        recipe=recipe,
        save=save,
        monitors=_monitors(setup, base.clips, model, autoencoder, gates),
        started_from=start,
        stands_on=names_of(frozen),
    )


def _fresh(setup: Setup) -> nn.ModuleDict:
    """Return new weights; the same on every device, so drawn on the CPU."""
    torch.manual_seed(setup.seed)
    text_encoder = setup.base.text_encoder.load()(
        None, device=torch.device("cpu"), dtype=torch.float32
    )
    dit = DiT(config_of(setup.base))
    dit.initialize(torch.Generator().manual_seed(setup.seed))
    return nn.ModuleDict({"dit": dit, "text_encoder": text_encoder}).to(setup.device)


def _started(model: nn.ModuleDict, setup: Setup) -> str:
    if setup.init is None:
        return ""
    if not setup.init.is_dir():
        raise WorldweaveError(
            f"cannot start base {setup.base.name!r} from {setup.init}: there is no "
            f"such folder; give one that holds "
            f"{' and '.join(f'{part}.safetensors' for part in PARTS)}"
        )
    told = [start_from(model[p], setup.init, p, setup.device) for p in PARTS]
    return ", ".join(told)


def _encoding(text_encoder: Any) -> Callable[[list[str], torch.Generator], Tensor]:
    """Return what encodes prompts, some of their words dropped.

    To drop words is no part of the protocol: it is left to an encoder whose
    ``encode`` also takes word_dropout= and generator=.
    """
    encode = text_encoder.encode
    if not {"word_dropout", "generator"} <= inspect.signature(encode).parameters.keys():
        return lambda prompts, _: encode(prompts)
    return lambda prompts, generator: encode(
        prompts, word_dropout=WORD_DROPOUT, generator=generator
    )


def _frozen(setup: Setup) -> dict[str, Path]:
    """Return the files of what is not trained: the autoencoder's, if it has one."""
    weights = part_of(setup.base, "autoencoder")
    if weights is None:
        return {}
    return {"autoencoder": resolve(weights, setup.catalog.hook)}


def _autoencoder(setup: Setup, file: Path | None) -> Autoencoder:
    made: Autoencoder = setup.base.autoencoder.load()(
        file, device=setup.device, dtype=torch.float32
    )
    return made


def _monitors(
    setup: Setup,
    maker: Lazy,
    model: nn.ModuleDict,
    autoencoder: Autoencoder,
    gates: GateNorms,
) -> tuple[Monitor, ...]:
    if not setup.is_monitored:
        return ()
    made = setup.make_clips(maker, MONITORED, MONITORED_CLIPS)
    data = ClipSet(made, autoencoder, device=setup.device)
    every = range(len(data))
    text_encoder: Any = model["text_encoder"]
    error = X0Error(
        clean=data.latents(every),
        text=lambda: text_encoder.encode(data.prompts),
        fps=setup.base.fps,
        predictions={"plain": model["dit"]},
    )
    return (error, gates)


def _write(module: nn.Module, part: str, base: str, folder: Path) -> Path:
    """Write one part of a base as bfloat16 safetensors."""
    tensors = {k: v.to(torch.bfloat16) for k, v in module.state_dict().items()}
    path = folder / f"{part}.safetensors"
    store.write(path, tensors, {"kind": part, "base": base})
    return path
