"""Read model folders of diffusers and transformers, strictly and from disk alone."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from worldweave import WeightsError, WorldweaveError


def library(name: str) -> Any:
    """Import an optional library; raise WorldweaveError if it is not installed."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise WorldweaveError(
            f"the Cosmos bases need {name}, which is not installed; "
            "run: pip install 'worldweave[cosmos]'"
        ) from error


def named_files(folder: Path | None, what: str, *names: str) -> list[Path]:
    """Return the files called *names* in *folder*; raise WeightsError without one."""
    if folder is None:
        raise WeightsError(f"the base names no weights for {what}; it needs a folder")
    if not folder.is_dir():
        raise WeightsError(
            f"{what} is read from a folder, but {folder} is none; "
            f"give the folder that holds {' and '.join(names)}"
        )
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        raise WeightsError(
            f"{folder} lacks {' and '.join(absent)}, which {what} needs; "
            "docs/cosmos.md says where to get it"
        )
    return [folder / name for name in names]


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in *path*; raise WeightsError for anything else."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {path}: {error}; get it again") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds no JSON object; get it again")
    return content


def read_model(
    kind: Any, folder: Path, what: str, *, is_whole: bool = True, **options: Any
) -> Any:
    """Build a *kind* from *folder*, every tensor of it read from disk.

    Both libraries only log a line where tensors are missing and go on with
    random ones; here that raises WeightsError. With *is_whole* so do tensors
    that are left over.
    """
    try:
        model, info = kind.from_pretrained(
            str(folder), local_files_only=True, output_loading_info=True, **options
        )
    # A broken file raises what the library, safetensors, pickle or torch likes.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"cannot read {what} from {folder}: {reason}") from error
    problems = ["missing_keys", "mismatched_keys"]
    for problem in [*problems, "unexpected_keys"] if is_whole else problems:
        if keys := sorted(map(str, info[problem])):
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise WeightsError(
                f"{folder} does not fit {what}: {problem.replace('_', ' ')} "
                f"{', '.join(keys[:3])}{more}; get its files again"
            )
    if not isinstance(model, nn.Module):
        raise TypeError(f"{kind} gave a {type(model).__name__}, not a module")
    return model.eval().requires_grad_(False)
