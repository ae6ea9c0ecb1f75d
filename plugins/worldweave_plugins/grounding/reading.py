"""Read models, tokenizers and configurations strictly and from disk alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from worldweave import WeightsError, WorldweaveError
from worldweave_plugins.grounding.libraries import library as library


def device(name: str) -> torch.device:
    """Return the device called *name*; raise WorldweaveError if it is not here."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        wanted = torch.device(name)
        torch.empty(0, device=wanted)
    # torch raises RuntimeError for a bad name, AssertionError where CUDA is not built.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise WorldweaveError(
            f"WORLDWEAVE_GROUNDING_DEVICE is {name!r}, which cannot be used here: "
            f"{reason}; expected a device such as cpu or cuda:0"
        ) from error
    return wanted


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in *path*; raise WeightsError for anything else."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {path}: {error}; get it again") from error
    if not isinstance(content, dict):
        raise WeightsError(f"{path} holds no JSON object; get it again")
    return content


def check_type(folder: Path, what: str, model_types: Sequence[str]) -> None:
    """Raise WeightsError unless config.json describes one of *model_types*."""
    path = folder / "config.json"
    found = read_json(path).get("model_type")
    if found not in model_types:
        expected = " or ".join(repr(name) for name in model_types)
        raise WeightsError(
            f"{path} describes a model of type {found!r}, but {what} is of type "
            f"{expected}; put the right model there"
        )


def read_model(kind: Any, folder: Path, what: str, **options: Any) -> Any:
    """Build a *kind* from the safetensors in *folder*, every tensor of it from disk.

    transformers only logs a line where tensors are missing or have another shape,
    and leaves them random; here that raises WeightsError.
    """
    try:
        model, info = kind.from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # told below, by name
            **options,
        )
    # A broken file raises what transformers, safetensors or torch likes.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise WeightsError(f"cannot read {what} from {folder}: {reason}") from error
    for problem in ("missing_keys", "mismatched_keys"):
        # A mismatched key comes with both shapes.
        if keys := sorted(k if isinstance(k, str) else k[0] for k in info[problem]):
            more = f" and {len(keys) - 3} more" if len(keys) > 3 else ""
            raise WeightsError(
                f"{folder} does not fit {what}: {problem.replace('_', ' ')} "
                f"{', '.join(keys[:3])}{more}; get its files again"
            )
    if not isinstance(model, nn.Module):
        raise TypeError(f"{kind} gave a {type(model).__name__}, not a module")
    return model.eval().requires_grad_(False)


def read_tokenizer(folder: Path) -> Any:
    """Read tokenizer.json as a tokenizers.Tokenizer that neither cuts nor pads."""
    path = folder / "tokenizer.json"
    try:
        tokenizer = library("tokenizers").Tokenizer.from_file(str(path))
    except WorldweaveError:
        raise
    except Exception as error:  # the library raises plain Exception
        raise WeightsError(f"cannot read {path}: {error}; get it again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
