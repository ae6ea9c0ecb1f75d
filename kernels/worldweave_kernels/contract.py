"""What every operation asks of its tensors, and a launch of its grid."""

from __future__ import annotations

import torch
from torch import Tensor

from worldweave_kernels.dispatch import Candidate

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

#: Programs that CUDA starts at most along the second and the third axis of a grid.
_MOST_PROGRAMS = 65_535


def refuse_kind(name: str, tensor: Tensor, first_name: str, first: Tensor) -> None:
    """Raise ValueError unless *tensor* is of floats and on the device of *first*."""
    if tensor.dtype not in _DTYPES:
        raise ValueError(
            f"{name} is of {tensor.dtype}; it must be of one of "
            f"{', '.join(str(dtype) for dtype in _DTYPES)}"
        )
    if tensor.device != first.device:
        raise ValueError(
            f"{name} is on {tensor.device} but {first_name} is on {first.device}; "
            "bring all to one device"
        )


def with_programs_for(triton: Candidate, **counts: int) -> Candidate:
    """Return *triton*, with an obstacle where a grid has no place for one of *counts*.

    Each needs an axis of the grid, other than the first, of as many programs.
    """
    for what, count in counts.items():
        if count > _MOST_PROGRAMS and triton.obstacle is None:
            obstacle = f"{what} is {count} and a grid holds {_MOST_PROGRAMS}"
            return triton._replace(obstacle=obstacle)
    return triton
