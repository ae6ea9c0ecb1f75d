"""A small video, branches with something to say, and a base that runs them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from worldweave import Pipeline
    from worldweave.base import Frames

# Read by torch when it is imported, here and in child processes. Two threads that
# wait for each other on a busy machine take fifty times as long as one.
os.environ["OMP_NUM_THREADS"] = "1"

# Read by Triton when a kernel is defined, its own among them, which whoever imports
# it first decides. On a machine with a GPU kernels run as they are.
on_a_gpu = Path("/dev/nvidiactl").exists()
os.environ.setdefault("TRITON_INTERPRET", "0" if on_a_gpu else "1")

# Timings never gate a test; and CI tries the same examples each time, so that it
# judges the change and not the dice.
settings.register_profile(
    "patient",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patient")


@pytest.fixture(scope="module", autouse=True)
def _modules_that_tests_wrote_end_with_their_file(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[None]:
    """Forget them: files of tests run in any order, and names may meet."""
    yield
    home = str(tmp_path_factory.getbasetemp())
    for name, module in list(sys.modules.items()):
        place = getattr(module, "__dict__", {}).get("__file__")
        if str(place).startswith(home):
            del sys.modules[name]


@pytest.fixture(scope="session")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Run a function on several processes: `ranks(world, function, *arguments)`.

    Return what it returns on each; see `ranks.py` beside this file.
    """
    spec = spec_from_file_location("ranks", Path(__file__).with_name("ranks.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("ranks")
    # Workers of pytest-xdist have folders side by side.
    spread = "PYTEST_XDIST_WORKER" in os.environ
    lock = folder.parent.parent / "ranks.lock" if spread else None
    pool = module.Pool(folder, lock)
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def clip() -> Frames:
    """Ten frames (10, 64, 96, 3) of two boxes that drive past each other."""
    frames = np.full((10, 64, 96, 3), (90, 120, 160), np.uint8)
    frames[:, 40:] = 70
    for at, frame in enumerate(frames):
        frame[30:50, 10 + 3 * at : 34 + 3 * at] = (200, 40, 30)
        frame[36:44, 70 - 2 * at : 84 - 2 * at] = (240, 240, 230)
    return frames


@pytest.fixture(scope="session")
def source(clip: Frames, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip as a file at 24 frames a second."""
    from worldweave.io import video

    path = tmp_path_factory.mktemp("source") / "in.mp4"
    video.write(path, clip, Fraction(24))
    return path


@pytest.fixture(scope="session")
def branch_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make weights for the tiny world, other ones for each name: noise, but loud."""
    import torch

    from worldweave import CosmosBranch
    from worldweave.checkpoints import store
    from worldweave_plugins.tinyworld.config import CONFIG

    folder = tmp_path_factory.mktemp("branches")

    def make(name: str) -> Path:
        path = folder / f"{name}.safetensors"
        if not path.exists():
            torch.manual_seed(sum(name.encode()))
            branch = CosmosBranch(CONFIG)
            for layer in (branch.hint_mlp[-1], *branch.zero):
                torch.nn.init.normal_(layer.weight, std=0.05)
            store.write(path, branch.state_dict())
        return path

    return make


@pytest.fixture(scope="session")
def pipeline(branch_file: Callable[[str], Path]) -> Pipeline:
    """The tiny world with edge and vis. Whoever enables or disables puts it back."""
    import worldweave

    names = ["edge", "vis"]
    return worldweave.load(
        modalities=names, weights={name: branch_file(name) for name in names}
    )
