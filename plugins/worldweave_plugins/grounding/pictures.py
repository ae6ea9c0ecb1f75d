"""Frames to the pixels a model was trained on, as its preprocessor_config.json says.

transformers does this with torchvision, or warns that it is not there; the same
resizing is in Pillow.
"""

# H W rows and columns of a frame

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from worldweave import WeightsError
from worldweave_plugins.grounding.reading import read_json


def _triple(values: Any) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue


@attrs.frozen(kw_only=True)
class Preparation:
    """How a frame is scaled in space and in value."""

    mean: tuple[float, float, float] = attrs.field(converter=_triple)
    std: tuple[float, float, float] = attrs.field(converter=_triple)
    resample: Image.Resampling = attrs.field(converter=Image.Resampling)
    edges: tuple[int, int] | None = None
    """The shortest and the longest edge; None if the model has one fixed size."""

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) for a frame: the short edge as wanted, if it may.

        The aspect ratio stays; the longest edge is the limit.
        """
        if self.edges is None:
            raise ValueError("this model has one size, whatever the frame")
        shortest, longest = self.edges
        low, high = min(height, width), max(height, width)
        exact: float = shortest
        if high / low * shortest > longest:
            exact = longest * low / high
        short = round(exact)
        if short == low:
            return height, width
        if width < height:
            return int(exact * height / width), short
        return short, int(exact * width / height)

    def pixels(self, frame: npt.NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
        """Scale a uint8 (H, W, 3) frame to float32 (1, 3, *size)."""
        height, width = size
        picture = Image.fromarray(np.ascontiguousarray(frame))
        scaled = np.asarray(picture.resize((width, height), self.resample))
        colours = torch.from_numpy(scaled.copy()).permute(2, 0, 1)[None].float() / 255
        return (colours - _column(self.mean)) / _column(self.std)


def _column(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values)[:, None, None]


def read(folder: Path, *, has_edges: bool = False) -> Preparation:
    """Read how frames are prepared for the model in *folder*, or raise WeightsError."""
    path = folder / "preprocessor_config.json"
    if path.is_file():
        told: Mapping[str, Any] = read_json(path)
    else:
        path = folder / "processor_config.json"
        told = read_json(path).get("image_processor") or {}
    wanted = ["image_mean", "image_std", *(["size"] if has_edges else [])]
    try:
        size = told["size"] if has_edges else {}
        return Preparation(
            mean=told["image_mean"],
            std=told["image_std"],
            resample=told.get("resample", Image.Resampling.BILINEAR),
            edges=(int(size["shortest_edge"]), int(size["longest_edge"]))
            if has_edges
            else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path} does not say how to prepare pictures ({type(error).__name__}: "
            f"{error}); it should have {', '.join(wanted)}: get it again"
        ) from error
