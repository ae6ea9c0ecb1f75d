"""Compilation without a GPU: the committed table, and what is complained about."""

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from worldweave_kernels import in_triton
from worldweave_kernels.aot.__main__ import main
from worldweave_kernels.aot.machine_code import Kernel
from worldweave_kernels.aot.table import rows, section

DOCUMENT = Path(__file__).parents[2] / "docs" / "benchmarks" / "registers.md"

in_a_checkout = pytest.mark.skipif(
    not DOCUMENT.exists(), reason="the docs are not part of the wheel"
)

#: Prints the complaints about three launches that no case would make.
BAD_LAUNCHES = """
import json
import torch
from worldweave_kernels.aot.machine_code import read
from worldweave_kernels.aot.stand_in import launches
from worldweave_kernels.in_triton.control_inject import Tile, control_inject

def complaints(columns, dtype, tile):
    def operation():
        like = {"device": "cuda", "dtype": dtype}
        rows = torch.empty(4096, columns, **like)[:, :4096]
        maps = [torch.empty(4096, device="cuda")]
        bias = torch.empty(4096, **like)
        control_inject(rows, [rows], [rows], [bias], maps, tile)
    (kernel,) = read([("bad", launch) for launch in launches(operation, 90)])
    return kernel.problems

small, bf16 = Tile(32, 32, 32, 4, 2, tma=False), torch.bfloat16
print(json.dumps({
    "strides": complaints(4097, bf16, small),
    "shared memory": complaints(4096, bf16, Tile(64, 64, 128, 4, 8, tma=True)),
    "registers": complaints(4096, bf16, Tile(128, 256, 32, 4, 2, tma=True)),
    "float32": complaints(4096, torch.float32, small),
    "none": complaints(4096, bf16, small),
}))
"""


@pytest.fixture(scope="module")
def compiling(tmp_path_factory):
    """Run Python in a process that compiles kernels, for the first time."""
    pytest.importorskip("triton")
    cache = tmp_path_factory.mktemp("triton")

    def run(*arguments, **more):
        environment = {**os.environ, "TRITON_CACHE_DIR": str(cache), **more}
        if not more:
            environment.pop("TRITON_INTERPRET", None)
        return subprocess.run(
            [sys.executable, *arguments],
            env=environment,
            capture_output=True,
            text=True,
        )

    return run


@pytest.fixture(scope="module")
def complaints(compiling):
    found = compiling("-c", BAD_LAUNCHES)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


@in_a_checkout
def test_the_kernels_take_what_the_committed_table_says(compiling, tmp_path):
    import triton

    listed = tmp_path / "kernels.json"
    command = ("-m", "worldweave_kernels.aot", "--json", str(listed))
    # Where kernels are interpreted, as in this process, it starts another.
    found = compiling(*command, TRITON_INTERPRET="1")
    assert "TRITON_INTERPRET is set" in found.stderr
    assert found.returncode == 0, found.stderr
    committed = rows(DOCUMENT.read_text(), triton.__version__)
    if committed is None:
        pytest.skip(f"{DOCUMENT.name} has no section for triton {triton.__version__}")
    now = rows(found.stdout, triton.__version__)
    assert len(json.loads(listed.read_text())) == len(now)
    gone, new = set(committed) - set(now), set(now) - set(committed)
    assert (gone, new) == (set(), set()), (
        "the kernels or their launches have changed; look whether the new table is as "
        f"good, and commit it: docs/benchmarks/{DOCUMENT.name} has the commands"
    )


@in_a_checkout
def test_every_kernel_is_in_the_table():
    jit = pytest.importorskip("triton.runtime.jit")
    kernels = {
        name
        for module in pkgutil.iter_modules(in_triton.__path__, in_triton.__name__ + ".")
        for name, each in vars(importlib.import_module(module.name)).items()
        # Others are called by kernels, and begin with what those have loaded.
        if isinstance(each, jit.KernelInterface)
        and each.arg_names[0].endswith("_ptr")
        and not name.startswith("_")
    }
    assert "weighted_add_forward" in kernels
    committed = DOCUMENT.read_text()
    assert [name for name in kernels if f"`{name}`" not in committed] == []


@pytest.mark.parametrize(
    ("launch", "complaint"),
    [
        ("strides", "no 128-bit loads (are strides multiples of 16?)"),
        ("strides", "loads of single 16-bit numbers"),
        ("shared memory", "bytes of shared memory; there are 232448"),
        ("registers", "bytes of registers"),
        ("float32", "multiplies matrices without tensor cores"),
    ],
)
def test_a_bad_launch_is_complained_about(complaints, launch, complaint):
    assert any(complaint in each for each in complaints[launch]), complaints


def test_a_good_launch_is_not_complained_about(complaints):
    assert complaints["none"] == []


@pytest.fixture
def kernel():
    return Kernel(
        case="a case",
        name="a_kernel",
        arch=90,
        warps=4,
        registers=255,
        stack=16,
        spilled=0,
        shared=227 * 1024,
        tensor_memory=512,
        wide_loads=0,
        wide_stores=0,
        narrow_loads=0,
        tma_loads=1,
        tensor_core=(("HGMMA", 2),),
        multiplies=True,
        has_descriptors=True,
    )


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"spilled": 4}, "spills 4 bytes of registers"),
        ({"shared": 232449}, "232449 bytes of shared memory; there are 232448"),
        ({"arch": 80}, "232448 bytes of shared memory; there are 166912"),
        ({"tensor_memory": 513}, "513 columns of tensor memory; there are 512"),
        ({"tma_loads": 0, "has_descriptors": False}, "has no 128-bit loads"),
        ({"tma_loads": 0, "wide_loads": 1}, "has descriptors but no TMA loads"),
        ({"narrow_loads": 1}, "has 1 loads of single 16-bit numbers"),
        ({"tensor_core": ()}, "multiplies matrices without tensor cores"),
    ],
)
def test_each_problem_is_named_alone(kernel, change, complaint):
    assert kernel.problems == []
    (problem,) = kernel._replace(**change).problems
    assert complaint in problem


def test_a_section_is_found_again_among_others(kernel):
    document = section([kernel], "3.7.1") + "\n" + section([kernel, kernel], "3.6.0")
    (row,) = rows(document, "3.7.1")
    assert row == (
        "| a case | `a_kernel` | 90 | 4 | 255 | 16 | 0 | 232448 of 232448 | 0 | 0 | 0 "
        "| 2 HGMMA | 1 |"
    )
    assert rows(document, "3.6.0") == [row, row]
    assert rows(document, "3.7") is None


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--arch", "90,91"], "91 is unknown; there are 80, 89, 90, 100, 120"),
        (
            ["--only", "nonsense"],
            "no case is called 'nonsense'; there are weighted_add",
        ),
    ],
)
def test_what_is_unknown_is_refused(monkeypatch, capsys, arguments, complaint):
    pytest.importorskip("triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(sys, "argv", ["aot", *arguments])
    with pytest.raises(SystemExit) as refusal:
        main()
    assert complaint in capsys.readouterr().err + str(refusal.value)


def test_nothing_is_compiled_where_kernels_are_interpreted(monkeypatch):
    pytest.importorskip("triton")
    from worldweave_kernels.aot.stand_in import launches

    monkeypatch.setenv("TRITON_INTERPRET", "1")
    with pytest.raises(RuntimeError, match="start one without TRITON_INTERPRET"):
        launches(lambda: None, 90)
