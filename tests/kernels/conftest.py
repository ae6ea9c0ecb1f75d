"""Triton on the CPU: its interpreter is switched on before a kernel is imported."""

import os
from importlib.util import find_spec

import pytest
import torch

ON_A_GPU = torch.cuda.is_available()

# Read when a kernel is defined. On a GPU the same tests run compiled.
if not ON_A_GPU:
    os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture
def device():
    """Where Triton runs here: on a GPU, or interpreted on the CPU."""
    if find_spec("triton") is None:
        pytest.skip("triton is not installed")
    return "cuda" if ON_A_GPU else "cpu"


@pytest.fixture
def unwritten_is_nan():
    """Fill what `torch.empty` returns with NaN, so that no element may be left out."""
    was = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    yield
    torch.use_deterministic_algorithms(was)
