"""Arrays as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from worldweave.io.files import atomic_path


def save_array(path: Path, array: npt.NDArray[np.generic]) -> None:
    """Write a .npy, whole or not at all."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array, allow_pickle=False)
