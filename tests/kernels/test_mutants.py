"""Wrong kernels are caught: every mutant disagrees with the definition somewhere.

A mutant is a kernel with one line changed as a slip would. It takes the place of
the real one under the public operation, and `agreements` must notice: in values,
in gradients, or because it fails outright.
"""

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from worldweave_kernels import in_triton
from worldweave_kernels.agreement import agreements


class Mutant(NamedTuple):
    op: str
    module: str
    right: str
    wrong: str


#: Without a backward of their own in Triton.
FORWARD_ONLY = {"attention", "control_inject"}

SLIPS = Path(__file__).with_name("slips.toml").read_text("utf-8")
MUTANTS = [Mutant(**slip) for slip in tomllib.loads(SLIPS)["slip"]]


@pytest.fixture
def become(monkeypatch, tmp_path):
    """Put the kernels of a mutant in the place of the real ones."""

    def become(mutant):
        name = f"{in_triton.__name__}.{mutant.module}"
        source = Path(import_module(name).__file__).read_text("utf-8")
        assert source.count(mutant.right) == 1, "the line to change is not there once"
        path = tmp_path / f"{mutant.module}.py"
        path.write_text(source.replace(mutant.right, mutant.wrong), "utf-8")
        spec = spec_from_file_location(name, path)
        changed = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, changed)
        monkeypatch.setattr(in_triton, mutant.module, changed, raising=False)
        spec.loader.exec_module(changed)

    return become


@pytest.mark.usefixtures("unwritten_is_nan")
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.op}: {m.wrong.strip()}")
def test_it_is_caught(mutant, become, device):
    become(mutant)
    assert not _agrees(mutant.op, device)


@pytest.mark.usefixtures("unwritten_is_nan")
@pytest.mark.parametrize(
    "mutant", {(m.op, m.module): m for m in MUTANTS}.values(), ids=lambda m: m.op
)
def test_a_copy_without_a_slip_is_not(mutant, become, device):
    become(mutant._replace(wrong=mutant.right))
    assert _agrees(mutant.op, device)


def _agrees(op, device):
    try:
        return all(
            each.holds
            for each in agreements(
                op,
                backend="triton",
                dtype=torch.float32,
                device=device,
                gradients=op not in FORWARD_ONLY,
            )
        )
    except Exception as error:  # A mutant may fail in any way.
        print(f"{type(error).__name__}: {error}")
        return False
