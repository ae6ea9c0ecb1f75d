"""The script for a GPU, loaded, and the results of a dry run of it."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks/gpu_kernels.py"


@pytest.fixture(scope="module")
def script():
    """The script, with what it imports on the path."""
    if not SCRIPT.exists():
        pytest.skip("benchmarks are not part of the distribution")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPT.parent)
        # Tests of the kernels set it: the dry run would interpret them all once more.
        patch.delenv("TRITON_INTERPRET", raising=False)
        spec = importlib.util.spec_from_file_location("gpu_kernels", SCRIPT)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    for name in [each for each in sys.modules if each.split(".")[0] == "gpu"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def folder(script, tmp_path_factory):
    """A folder with all stages of a dry run."""
    from worldweave_kernels.bench import measure

    out = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        # Its numbers mean nothing: caches need not be emptied before each call.
        patch.setitem(measure._FLUSHED, "cpu", 64)
        for stage in range(1, 8):
            assert script.work(out, stage, dry=True) == 0
    return out
