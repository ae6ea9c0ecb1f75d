"""A base small enough to train in milliseconds, and clips it can learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from worldweave.base import Clip
from worldweave.loading import LoadedBase, Placement
from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT
from worldweave.train.branch import task_of
from worldweave.train.canary import Canary
from worldweave.train.loop import Trainer
from worldweave.train.task import Setup
from worldweave.train.watch import Watch
from worldweave_registry import Base, Catalog, Modality, Recipe
from worldweave_registry.calls import Hooks

FRAMES, SIZE = 5, (16, 16)


class Squares:
    """An autoencoder that averages 4 x 4 pixels and 4 frames."""

    time_stride = 4
    space_stride = 4

    def encode(self, video: Tensor) -> Tensor:
        small = torch.nn.functional.avg_pool3d(video, (1, 4, 4))
        rest = small[:, :, 1:].unflatten(2, (-1, 4)).mean(dim=3)
        return torch.cat([small[:, :, :1], rest], dim=2)

    encode_hint = encode

    def decode(self, latent: Tensor) -> Tensor:
        video = latent.repeat_interleave(4, 2)[:, :, 3:]
        return video.repeat_interleave(4, 3).repeat_interleave(4, 4)


class Letters:
    """A text encoder with one token: how often each vowel occurs."""

    def unknown_words(self, prompt: str) -> list[str]:
        return []

    def encode(self, prompts: Sequence[str]) -> Tensor:
        counts = [[float(prompt.count(v)) for v in "aeiou"] for prompt in prompts]
        return torch.tensor(counts).unsqueeze(1)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def base() -> LoadedBase:
    """A base whose blocks all do something; frozen, as a loaded one is."""
    config = DiTConfig(
        latent_channels=3,
        hidden=24,
        heads=2,
        blocks=2,
        text_channels=5,
        adaln_rank=4,
        hint_channels=4,
        hint_widths=(8,),
        control_blocks=1,
        max_size=(2, 4, 4),
    )
    dit = DiT(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in dit.parameters():
            parameter.normal_(float(parameter.ndim == 1), 0.2, generator=generator)
    here = "toy_parts:nothing"
    return LoadedBase(
        compat=None,
        description=Base(
            name="toy",
            summary="A toy",
            license="Apache-2.0",
            config=here,
            autoencoder=here,
            text_encoder=here,
            chunk_frames=FRAMES,
            sizes=(SIZE,),
            fps=24.0,
        ),
        config=config,
        dit=dit.eval().requires_grad_(False),
        autoencoder=Squares(),
        text_encoder=Letters(),
        placement=Placement(device=torch.device("cpu"), dtype=torch.float32),
        files={},
    )


@pytest.fixture
def clips() -> list[Clip]:
    """Coloured rectangles; their maker knows where they are."""
    random = np.random.default_rng(0)
    made = []
    for number in range(6):
        video = np.zeros((FRAMES, *SIZE, 3), np.uint8)
        place = np.zeros_like(video)
        top, left = random.integers(0, 12, 2)
        video[:, top : top + 6, left : left + 6] = random.integers(0, 256, 3)
        place[:, top : top + 6, left : left + 6] = 255
        made.append(
            Clip(video=video, prompt="aeiou"[: number + 1], controls={"place": place})
        )
    return made


@pytest.fixture
def modality(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Modality]:
    """Describe a modality; its preprocessor turns colours around."""
    (tmp_path / "toy_preprocess.py").write_text(
        "class Inverse:\n    def __call__(self, frames):\n        return 255 - frames\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def describe(
        name: str, preprocessor: str | None = "toy_preprocess:Inverse"
    ) -> Modality:
        return Modality(
            name=name, summary="A toy", license="MIT", preprocessor=preprocessor
        )

    return describe


@pytest.fixture
def recipe() -> Recipe:
    return Recipe(steps=6, learning_rate=0.01, batch_size=3, warmup=2)


@pytest.fixture
def setup(base: LoadedBase) -> Callable[..., Setup]:
    """What a builder of trainings is given; changes by keyword."""

    def make(**changes: Any) -> Setup:
        nothing = Catalog(plugins=(), hook=Hooks({}))
        given = {"base": base.description, "catalog": nothing, "clips": 6, "seed": 3}
        return Setup(**(given | changes))

    return make


@pytest.fixture
def trainer(
    base: LoadedBase,
    clips: list[Clip],
    modality: Callable[..., Modality],
    recipe: Recipe,
    setup: Callable[..., Setup],
    tmp_path: Path,
) -> Callable[..., Trainer]:
    """A trainer of a fresh branch, as if the program had just started.

    With *watched* it has monitors, called every so many steps.
    """

    def start(
        folder: str = "run",
        *,
        recipe: Recipe = recipe,
        seed: int = 3,
        watched: int = 0,
        **changes: Any,
    ) -> Trainer:
        task = task_of(
            setup(seed=seed, **changes),
            modality("place", None),
            base,
            recipe,
            clips,
            clips[:4] if watched else (),
        )
        watch = Watch(tmp_path / folder, task.monitors, Canary(after=4), every=watched)
        return Trainer(task, tmp_path / folder, seed, watch=watch if watched else None)

    return start
