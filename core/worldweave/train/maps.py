"""Train learned maps; the base and all branches stay frozen."""

# B batch, C channel, T H W latent positions; t h w tokens, D hidden

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from worldweave.base import Clip
from worldweave.checkpoints.map_file import save_map_net
from worldweave.loading import LoadedBase, Placement, load_base
from worldweave.model.fusion import normalize
from worldweave.model.map_net import MapNet
from worldweave.model.patches import token_grid
from worldweave.model.step import Step
from worldweave.train.branches import (
    Branches,
    ControlledClips,
    branch_files,
    load_branches,
    with_weights,
)
from worldweave.train.clips import (
    MONITORED,
    MONITORED_CLIPS,
    PROMPT_DROPOUT,
    drop,
    latent_dtype,
)
from worldweave.train.given import names_of, start_from
from worldweave.train.monitors import SIGMAS, X0Error, gain
from worldweave.train.objective import Objective, Predict
from worldweave.train.precision import autocast
from worldweave.train.task import Setup, Task
from worldweave.train.words import counted
from worldweave_registry import Lazy, Recipe, WorldweaveError

PART = "maps"
#: Noise above what a branch is trained with: at little noise no hint matters.
RECIPE = Recipe(
    steps=400,
    learning_rate=3e-3,
    batch_size=8,
    warmup=20,
    sigma_mean=1.0,
    sigma_std=1.2,
)

#: What makes maps (1 or B, t, h, w), not yet normalised, from hints by name.
MakeMaps = Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]]


def maps_task(setup: Setup, modalities: Sequence[str] = ()) -> Task:
    """Describe the training of learned maps for the base of *setup*.

    *modalities* are those to weave; none given: all that have weights for the base
    which the user's licences allow.
    Raise WorldweaveError where weights or clips are missing.
    """
    base = setup.base
    recipe = setup.recipe(Lazy(f"{__name__}:RECIPE"), "the training of maps")
    if base.clips is None:
        raise WorldweaveError(
            f"base {base.name!r} makes no training clips, so no maps can be learned "
            "for it here"
        )
    asked = modalities or with_weights(setup.catalog, base.name)
    names = sorted(set(asked))
    if len(names) < 2:
        raise WorldweaveError(
            f"maps share one between modalities, but there are {len(names)} "
            f"({', '.join(names) or 'none'}) to weave for base {base.name!r}; name two "
            "or more, or train branches first: worldweave train edge --base "
            f"{base.name}"
        )
    files = branch_files(setup.catalog, base.name, names)
    placement = Placement(device=setup.device, dtype=torch.float32)
    loaded = load_base(base, placement, hook=setup.catalog.hook)
    branches = load_branches(setup.catalog, loaded, files)
    watched: Iterable[Clip] = ()
    if setup.is_monitored:
        watched = setup.make_clips(base.clips, MONITORED, MONITORED_CLIPS)
    clips = setup.make_clips(base.clips, setup.seed, setup.clips)
    return task_of(setup, loaded, branches, recipe, clips, watched)


def task_of(
    setup: Setup,
    base: LoadedBase,
    branches: Branches,
    recipe: Recipe,
    clips: Iterable[Clip],
    watched: Iterable[Clip] = (),
) -> Task:
    """Describe the training of maps for a base and branches in memory.

    Each step weaves a random choice of the branches, so that the maps are good for
    any. *watched* are the held-out clips of the monitor; none: no monitor.
    """
    torch.manual_seed(setup.seed)
    names = tuple(branches.networks)
    net = MapNet(base.config, names).to(setup.device)
    start = ""
    if setup.init is not None:
        start = start_from(net, setup.init, PART, setup.device)
    data = ControlledClips(
        clips,
        base.autoencoder,
        branches.controls,
        device=setup.device,
        dtype=latent_dtype(setup.clips),
    )
    run_base = setup.compiled(base.dit)
    run = {name: setup.compiled(each) for name, each in branches.networks.items()}
    objective = Objective(sigma_mean=recipe.sigma_mean, sigma_std=recipe.sigma_std)
    share = setup.share(recipe.batch_size)

    def loss(generator: torch.Generator) -> Tensor:
        index = data.clips.draw(recipe.batch_size, generator)
        prompts = drop(data.clips.prompts_of(index), PROMPT_DROPOUT, generator)
        chosen = some(names, generator)
        hints = data.hints(index[share], chosen)
        with torch.no_grad():
            text = base.text_encoder.encode(prompts[share])
        with autocast(setup.device):
            return objective.loss(
                woven(run_base, run, hints, net),
                data.clips.latents(index),
                text,
                base.description.fps,
                generator,
                share,
            )

    def save(folder: Path) -> list[Path]:
        path = folder / f"{PART}.safetensors"
        save_map_net(path, net, base=base.description.name)
        return [path]

    held_out = list(watched)
    return Task(
        what=f"maps of {' '.join(sorted(names))} for {base.description.name} from "
        f"{counted(len(data.clips), 'clip')}",
        model=net,
        loss=loss,
        recipe=recipe,
        save=save,
        monitors=(_monitor(setup, base, branches, net, held_out),) if held_out else (),
        started_from=start,
        stands_on=names_of({**base.files, **branches.files}),
    )


def woven(
    base: Callable[..., Any],
    branches: Mapping[str, Callable[..., Any]],
    hints: Mapping[str, Tensor],
    make_maps: MakeMaps,
) -> Predict:
    """Return what predicts with the branches of *hints* under the maps made of them.

    Gradients reach the maps alone: residuals do not depend on them.
    """

    def predict(latent: Tensor, step: Step) -> Tensor:
        with torch.no_grad():
            residuals = [branches[n](latent, step, hint) for n, hint in hints.items()]
        # In float32, which costs little: on a CPU the bfloat16 gradient of a small
        # Conv3d may be NaN (torch 2.13, 2 x 2 x 2 tokens).
        with torch.autocast(latent.device.type, enabled=False):
            values = make_maps(hints)
        maps = normalize([values[name] for name in hints])
        out: Tensor = base(latent, step, residuals, maps)
        return out

    return predict


def uniform(base: LoadedBase) -> MakeMaps:
    """Return what gives every modality the same: 1, which normalised is 1/N."""

    def make(hints: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: hint.new_ones(1, *token_grid(hint, base.config.patch))
            for name, hint in hints.items()
        }

    return make


def some(names: Sequence[str], generator: torch.Generator) -> list[str]:
    """Draw two to all of *names*, each number as likely as the next.

    One alone gets all, whatever is learned.
    """
    count = int(torch.randint(2, len(names) + 1, (), generator=generator))
    drawn: list[int] = torch.randperm(len(names), generator=generator).tolist()
    # Their order is of no meaning; fixed, a sum has fewer ways to round.
    return [names[i] for i in sorted(drawn[:count])]


@attrs.define(kw_only=True, eq=False)
class MapGain:
    """Whether learned maps are better than the same for all, and than each alone.

    All modalities take part. What no training changes is computed once.
    """

    learned: X0Error
    uniform: X0Error
    alone: X0Error
    _fixed: tuple[dict[str, float], dict[str, float]] | None = attrs.field(
        default=None, init=False
    )

    def __call__(self) -> dict[str, float]:
        """Return x0_learned_SIGMA, x0_uniform_SIGMA and gains from sigma 0.8 on.

        map_gain is by what share learned maps lower the error of uniform ones;
        map_gain_over_NAME that of modality NAME alone.
        """
        if self._fixed is None:
            self._fixed = self.uniform(), self.alone()
        same, alone = self._fixed
        learned = self.learned()
        own = _row(learned, "learned")
        gains = {"map_gain": gain(own, _row(same, "uniform"))}
        for name in self.alone.predictions:
            gains[f"map_gain_over_{name}"] = gain(own, _row(alone, name))
        return learned | same | gains


def _row(values: Mapping[str, float], name: str) -> list[float]:
    return [values[f"x0_{name}_{sigma:g}"] for sigma in SIGMAS]


def _monitor(
    setup: Setup,
    base: LoadedBase,
    branches: Branches,
    net: MapNet,
    clips: Sequence[Clip],
) -> MapGain:
    data = ControlledClips(
        clips, base.autoencoder, branches.controls, device=setup.device
    )
    every = range(len(clips))
    hints = data.hints(every, branches.networks)
    with torch.no_grad():
        text = base.text_encoder.encode(data.clips.prompts)
    same = uniform(base)

    def error(predictions: Mapping[str, Predict]) -> X0Error:
        return X0Error(
            clean=data.clips.latents(every),
            text=lambda: text,
            fps=base.description.fps,
            predictions=predictions,
        )

    def predict(names: Iterable[str], make_maps: MakeMaps) -> Predict:
        chosen = {name: hints[name] for name in names}
        return woven(base.dit, branches.networks, chosen, make_maps)

    return MapGain(
        learned=error({"learned": predict(hints, net)}),
        uniform=error({"uniform": predict(hints, same)}),
        alone=error({name: predict([name], same) for name in hints}),
    )
