"""Start a training from weights the user gives; tell weights from others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from worldweave.checkpoints import store
from worldweave.io.files import sha256
from worldweave_registry import WorldweaveError


def start_from(module: nn.Module, init: Path, part: str, device: torch.device) -> str:
    """Fill *module* with float32 weights from *init*, strictly; return who they are.

    *init* is a safetensors file, or a folder that holds PART.safetensors. The
    answer, such as "edge 5bb1d270bd1e", tells these weights from others. Raise
    WorldweaveError where the file is missing or does not fit.
    """
    path = _file(init, part)
    store.load(
        module, path, device=device, dtype=torch.float32, what=f"a new {part} to train"
    )
    return names_of({part: path})


def names_of(files: Mapping[str, Path]) -> str:
    """Return what tells weights from others: "dit 526769905b65, autoencoder ...".

    *files* are by part; a name is the part and how its SHA-256 begins.
    """
    return ", ".join(f"{part} {sha256(file)[:12]}" for part, file in files.items())


def _file(init: Path, part: str) -> Path:
    if init.is_dir():
        path = init / f"{part}.safetensors"
        if not path.is_file():
            raise WorldweaveError(
                f"cannot start from folder {init}: there is no {path.name} in it; "
                "give one that another training has written that result to"
            )
        return path
    if not init.is_file():
        raise WorldweaveError(
            f"cannot start from {init}: there is no such file or folder; "
            f"give {part}.safetensors or a folder that holds it"
        )
    return init
