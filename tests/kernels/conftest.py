"""Where Triton runs, and memory that is not zero by luck."""

import os
import pkgutil
from importlib import import_module
from importlib.util import find_spec

import pytest
import torch

from worldweave_kernels import in_triton

# Whether a kernel is interpreted is settled when it is defined. That is now, before a
# test elsewhere takes the variable away and imports one.
if find_spec("triton") is not None:
    for module in pkgutil.iter_modules(in_triton.__path__):
        import_module(f"{in_triton.__name__}.{module.name}")


@pytest.fixture
def device():
    """Where Triton runs here: on a GPU, or interpreted on the CPU."""
    if find_spec("triton") is None:
        pytest.skip("triton is not installed")
    return "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"


@pytest.fixture
def unwritten_is_nan():
    """Fill what `torch.empty` returns with NaN, so that no element may be left out."""
    was = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(was)
