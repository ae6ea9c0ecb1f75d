"""The kernels are a package of their own: torch, and triton where there is one."""

import subprocess
import sys
from pathlib import Path

import pytest

import worldweave_kernels

HOME = Path(worldweave_kernels.__file__).parents[1]

#: Nothing but torch, what torch itself needs, and the kernels is there to be found.
ALONE = """
import sys
from importlib.machinery import PathFinder
import torch._dynamo
class Bare:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] in {
            "worldweave", "worldweave_registry", "worldweave_plugins", "attrs", "attr",
            "triton", "matplotlib", "typer", "rich", "cv2", "safetensors",
        }:
            return None
        return PathFinder.find_spec(name, path, target)
sys.meta_path[:] = [
    Bare if finder is PathFinder else finder
    for finder in sys.meta_path
    if "editable" not in str(finder)
]
for name in [n for n in sys.modules if n.split(".")[0] == "triton"]:
    del sys.modules[name]
"""


def alone(code, **environment):
    return subprocess.run(
        [sys.executable, "-P", "-c", f"{ALONE}\n{code}"],
        env={"PYTHONPATH": str(HOME), "PATH": "", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.skipif(sys.version_info < (3, 11), reason="python -P came with 3.11")
def test_it_computes_with_torch_alone():
    done = alone(
        "import worldweave_kernels as k\n"
        "x = torch.ones(2, 3)\n"
        "print(k.weighted_add(x, [x], [torch.ones(2)]).sum().item())\n"
        "print(k.norm_modulate(x[None], x[:1, None], x[:1, None]).sum().item())\n"
    )
    assert done.stdout.split() == ["12.0", "6.0"], done.stderr


def test_importing_it_imports_neither_a_compiler_nor_triton():
    # torch._dynamo alone takes two seconds.
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, worldweave_kernels\n"
            "print([n for n in ('triton', 'torch._dynamo') if n in sys.modules])",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout.strip() == "[]", done.stderr
