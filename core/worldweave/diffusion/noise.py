"""Noise that depends on the seed alone: not on device, dtype or torch version."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def gaussian(seed: int, shape: Sequence[int]) -> Tensor:
    """Return float32 standard normal noise of *shape*, made on the CPU.

    NumPy's RandomState, because its stream is frozen for good and because the
    released code draws its initial noise from it.
    """
    values = np.random.RandomState(seed).standard_normal(tuple(shape))
    return torch.from_numpy(values.astype(np.float32))
