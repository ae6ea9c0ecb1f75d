"""Train the restorer: what the base draws on the left, the truth on the right."""

# B clip, C latent channel, T frames, H W pixels

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import torch
from torch import Generator, Tensor

from worldweave import Recipe
from worldweave.base import Autoencoder
from worldweave.diffusion.sampler import noise_levels, sample
from worldweave.io.sizes import to_unit
from worldweave.loading import LoadedBase, Placement, load_base
from worldweave.train.given import names_of, start_from
from worldweave.train.objective import predicted_clean
from worldweave.train.precision import autocast
from worldweave.train.task import Setup, Task
from worldweave_plugins.tinyworld.autoencoder import HaarPCA
from worldweave_plugins.tinyworld.restorer import Restorer
from worldweave_registry import Lazy, WorldweaveError

RECIPE: Final = Recipe(steps=2500, learning_rate=2e-3, batch_size=4, warmup=30)
SIGMAS: Final = (0.25, 3.0)
"""A clip is noised to between these before the base redraws it."""
DENOISING_STEPS: Final = 6
REDRAWN_AT_ONCE: Final = 16
CLEAN_SHARE: Final = 0.2
"""Share of clips that only went through the autoencoder: they must stay good."""


def build(setup: Setup) -> Task:
    """Return the training of tiny-world's decoder, for ``worldweave train decoder``.

    The base redraws training clips from several noise levels; the restorer learns
    to bring its drawing back to the clip. It starts fresh, whatever the base ships,
    or from the autoencoder ``setup.init`` names. Raises ``WorldweaveError`` where the
    base has no autoencoder of ours or makes no clips, or that one does not fit.
    """
    description = setup.base
    if description.clips is None:
        raise WorldweaveError(f"base {description.name!r} makes no training clips")
    recipe = setup.recipe(Lazy(f"{__name__}:RECIPE"), "the decoder")
    base = load_base(
        description,
        Placement(device=setup.device, dtype=torch.float32),
        hook=setup.catalog.hook,
    )
    model = _haar_pca(base.autoencoder)
    start = _start(model, setup)
    videos, prompts = [], []
    for clip in setup.make_clips(description.clips, setup.seed, setup.clips):
        # Nothing else of a clip is kept: its truth and controls are twice as large.
        videos.append(to_unit(clip.video))
        prompts.append(clip.prompt)
    true = torch.cat(videos)
    del videos
    drawn = _redraw_all(base, model, true, prompts, setup.seed, setup.device)
    mine = setup.share(recipe.batch_size)
    restore = setup.compiled(model.restorer.requires_grad_(True))

    def loss(generator: Generator) -> Tensor:
        index = torch.randint(len(true), (recipe.batch_size,), generator=generator)
        index = index[mine]
        with autocast(setup.device):
            made = restore(drawn[index].to(setup.device, torch.float32))
        return distance(made.float(), true[index].to(setup.device))

    def save(folder: Path) -> list[Path]:
        path = folder / "autoencoder.safetensors"
        model.save(path)
        return [path]

    what = f"decoder for {description.name} from {len(prompts)} clips"
    return Task(
        what=what,
        model=model.restorer,
        loss=loss,
        recipe=recipe,
        save=save,
        started_from=start,
        stands_on=names_of(base.files),
    )


def distance(made: Tensor, true: Tensor) -> Tensor:
    """Return the mean absolute error of videos and of their slopes over space.

    Both are (B, 3, T, H, W). Absolute, as the median of what may be there is one
    of two flat colours, and its mean is their blur.
    """
    error = made - true
    slopes = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + slopes


def _haar_pca(autoencoder: Autoencoder) -> HaarPCA:
    if not isinstance(autoencoder, HaarPCA):
        raise WorldweaveError(
            f"the autoencoder is a {type(autoencoder).__name__}; only that of "
            "tiny-world has a decoder to be trained here"
        )
    return autoencoder


def _start(model: HaarPCA, setup: Setup) -> str:
    """Give ``model`` the restorer to begin with; return whose it is, "" if fresh."""
    if setup.init is None:
        torch.manual_seed(setup.seed)
        model.restorer = Restorer().to(setup.device)
        return ""
    given = HaarPCA()
    told = start_from(given, setup.init, "autoencoder", setup.device)
    if not all(
        torch.equal(*pair) for pair in zip(_fit(given), _fit(model), strict=True)
    ):
        raise WorldweaveError(
            f"cannot start from {setup.init}: its latents are not those of base "
            f"{setup.base.name!r}; give an autoencoder that was trained for this base"
        )
    model.restorer = given.restorer
    return told


def _fit(model: HaarPCA) -> tuple[Tensor, ...]:
    """Return what the latents depend on, none of it trained here."""
    return model.mean.float(), model.basis.float(), model.scale.float()


@torch.no_grad()
def _redraw_all(
    base: LoadedBase,
    model: HaarPCA,
    true: Tensor,
    prompts: list[str],
    seed: int,
    device: torch.device,
) -> Tensor:
    """Redraw clips (B, 3, T, H, W) in groups, each from a noise level of its own.

    The result is half precision on the CPU, before any restoring.
    """
    generator = torch.Generator().manual_seed(seed)
    low, high = (math.log(sigma) for sigma in SIGMAS)
    parts = []
    for first in range(0, len(true), REDRAWN_AT_ONCE):
        group = slice(first, first + REDRAWN_AT_ONCE)
        latent = model.encode(true[group].to(device))
        spread = torch.rand(2, generator=generator)
        sigma = math.exp(low + (high - low) * float(spread[0]))
        if float(spread[1]) >= CLEAN_SHARE:
            latent = _redraw(base, latent, prompts[group], sigma, generator)
        parts.append(model.synthesise(latent).half().cpu())
    return torch.cat(parts)


def _redraw(
    base: LoadedBase,
    latent: Tensor,
    prompts: list[str],
    sigma: float,
    generator: Generator,
) -> Tensor:
    """Noise latents (B, C, T, H, W) to *sigma* and let the base denoise them."""
    with autocast(latent.device):
        text = base.text_encoder.encode(prompts)

    def predict(x: Tensor, level: Tensor) -> Tensor:
        with autocast(x.device):
            return predicted_clean(
                base.dit, x, float(level), text, base.description.fps
            )

    noise = torch.randn(latent.shape, generator=generator).to(latent)
    levels = noise_levels(DENOISING_STEPS, sigma_max=sigma)
    return sample(predict, latent + sigma * noise, levels)
