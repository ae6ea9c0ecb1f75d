"""Networks small enough to run in milliseconds, with every weight alive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
import torch
from torch import nn

from worldweave.model.branch import CosmosBranch
from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT
from worldweave.model.step import Step

M = TypeVar("M", bound=nn.Module)

#: Latent (T, H, W) of the tests; 3 x 2 x 3 tokens.
SIZE = (3, 4, 6)
GRID = (3, 2, 3)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def config() -> DiTConfig:
    return DiTConfig(
        latent_channels=4,
        hidden=24,
        heads=2,
        blocks=4,
        text_channels=8,
        adaln_rank=4,
        hint_channels=6,
        hint_widths=(8, 10),
        control_blocks=3,
        max_size=(6, 12, 12),
    )


@pytest.fixture
def alive() -> Callable[..., nn.Module]:
    """Give a module random weights, those that start at zero included."""

    def fill(module: M, seed: int = 0) -> M:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in module.parameters():
                # Vectors are scales around one, or biases.
                mean = 1.0 if parameter.ndim == 1 else 0.0
                parameter.normal_(mean, 0.3, generator=generator)
        return module.eval()

    return fill


@pytest.fixture
def base(config: DiTConfig, alive: Callable[[DiT], DiT]) -> DiT:
    return alive(DiT(config))


@pytest.fixture
def branch(
    config: DiTConfig, alive: Callable[[CosmosBranch, int], CosmosBranch]
) -> CosmosBranch:
    return alive(CosmosBranch(config), 1)


@pytest.fixture
def latent(config: DiTConfig) -> torch.Tensor:
    return random(2, 2, config.latent_channels, *SIZE)


@pytest.fixture
def hint(config: DiTConfig) -> torch.Tensor:
    return random(3, 2, config.hint_channels, *SIZE)


@pytest.fixture
def step(config: DiTConfig) -> Step:
    return Step(
        c_noise=torch.tensor([-0.7, 0.4]),
        text=random(4, 2, 5, config.text_channels),
        fps=24.0,
    )


@pytest.fixture
def maps() -> torch.Tensor:
    """One map per sample, different everywhere, (2, T, H, W) in 0..1."""
    return random(5, 2, *GRID).sigmoid()


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
