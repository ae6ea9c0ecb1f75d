"""Where Triton runs, and memory that is not zero by luck."""

import os
from importlib.util import find_spec

import pytest
import torch


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
