"""Golden checkpoints and what the checkpoint tests share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from worldweave.model.config import DiTConfig

GOLDEN = Path(__file__).parents[2] / "golden"


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder with checkpoints in official format and outputs of official code."""
    return GOLDEN


@pytest.fixture(scope="session")
def golden_config() -> DiTConfig:
    """The sizes of the golden checkpoints."""
    sizes = json.loads((GOLDEN / "config.json").read_text())
    return DiTConfig(
        latent_channels=sizes["in_channels"],
        hidden=sizes["model_channels"],
        heads=sizes["num_heads"],
        blocks=sizes["num_blocks"],
        text_channels=sizes["text_channels"],
        adaln_rank=sizes["adaln_lora_rank"],
        patch=tuple(sizes["patch"]),
        condition_mask=sizes["condition_mask"],
        hint_channels=sizes["hint_channels"],
        control_blocks=sizes["control_blocks"],
        max_size=tuple(sizes["max_size"]),
        rope_ratios=(sizes["base_rope_t_ratio"], 1.0, 1.0),
        branch_rope_ratios=(sizes["control_rope_t_ratio"], 1.0, 1.0),
        base_fps=sizes["fps"],
    )


@pytest.fixture
def base_state() -> dict[str, Tensor]:
    """A fresh copy of the official base: keys `base_model.net.*`, bf16."""
    return _state("base_model")


@pytest.fixture
def edge_state() -> dict[str, Tensor]:
    """A fresh copy of an official branch: keys `net.*`, fp32."""
    return _state("edge_control")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A name for the result, in a folder of its own."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder / "x.safetensors"


@pytest.fixture
def official(tmp_path: Path) -> Callable[..., Path]:
    """Save a checkpoint as an official file would be."""

    def save(checkpoint: object, name: str = "official.pt", **options: bool) -> Path:
        torch.save(checkpoint, tmp_path / name, **options)
        return tmp_path / name

    return save


@pytest.fixture(autouse=True)
def _few_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _state(stem: str) -> dict[str, Tensor]:
    path = GOLDEN / f"{stem}.pt"
    return dict(torch.load(path, map_location="cpu", weights_only=True))
