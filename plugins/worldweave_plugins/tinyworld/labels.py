"""Name and colour everything the tiny world can show."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

CLASSES: Final = (
    "sky",
    "ground",
    "road",
    "line",
    "building",
    "car",
    "wall",
    "table",
    "arm",
    "object",
)
"""Semantic classes; a class map stores the index into this tuple."""

CLASS_COLOURS: Final[NDArray[np.uint8]] = np.array(
    [
        (70, 130, 180),
        (152, 251, 152),
        (128, 64, 128),
        (255, 255, 255),
        (70, 70, 70),
        (0, 0, 230),
        (190, 153, 153),
        (250, 170, 30),
        (255, 0, 255),
        (0, 255, 255),
    ],
    dtype=np.uint8,
)
"""RGB of each class in a segmentation control, (classes, 3)."""

OBJECT_COLOURS: Final[Mapping[str, tuple[int, int, int]]] = MappingProxyType(
    {
        "red": (222, 36, 32),
        "yellow": (240, 208, 28),
        "green": (36, 170, 62),
        "blue": (36, 76, 222),
        "purple": (146, 46, 186),
        "white": (240, 240, 240),
    }
)
"""RGB by day of the colours a prompt can give to cars, arms, boxes and balls."""


def class_index(name: str) -> int:
    """Return the number that stands for a class in a class map."""
    return CLASSES.index(name)


def colour_classes(classes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Paint a class map (..., H, W) as RGB uint8 (..., H, W, 3)."""
    return CLASS_COLOURS[classes]
