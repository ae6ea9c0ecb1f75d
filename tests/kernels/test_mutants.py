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

from worldweave_kernels import in_triton
from worldweave_kernels.agreement import agreements


class Mutant(NamedTuple):
    op: str
    module: str
    right: str
    wrong: str


#: Of each file of kernels: lines, and what a slip would make of them.
SLIPS = {
    ("weighted_add", "weighted_add"): [
        ("blocks = tl.cdiv(INNER, BM)", "blocks = INNER // BM + 1"),
        ("rows.to(tl.int64), rows < INNER", "rows.to(tl.int64), rows < INNER - 1"),
        ("tl.program_id(1) * BD + tl.arange(0, BD)", "tl.arange(0, BD)"),
        ("x = x_ptr + run * s_x_run", "x = x_ptr"),
        ("at = w_ptr + run * s_w_run", "at = w_ptr"),
        ("total += tl.load(at", "total = tl.load(at"),
        ("w = tl.where(total > 1.0, w / tl.maximum(total, 1.0), w)", "w /= total"),
        ("tl.where(total > 1.0, w /", "tl.where(w > 1.0, w /"),
        ("acc += w[:, None]", "acc = w[:, None]"),
        ("positions = run * INNER + rows", "positions = rows"),
        ("tl.static_range(0, D, BD)", "tl.static_range(0, BD, BD)"),
        ("tl.sum(g * h_i, axis=1)", "tl.sum(h_i, axis=1)"),
        ("gh_i = (w[:, None] * g)", "gh_i = g"),
        ("apart = d - tl.sum(d * shares, axis=1)[:, None]", "apart = d"),
        ("apart = apart / tl.maximum(total, 1.0)[:, None]", "apart = apart"),
        ("d = tl.where(total[:, None] >= 1.0, apart, d)", "d = apart"),
        ("if stride[outer] != stride[inner] * size[inner]", "if False"),
    ],
    ("attention", "attention"): [
        ("out * shrink[:, None], UPCAST", "out, UPCAST"),
        ("total * shrink +", "total +"),
        ("exp2(top - new_top)", "exp2(new_top - top)"),
        ("return out / total[:, None],", "return out,"),
        (" * 0.6931471805599453", ""),
        ("(top + tl.log2(total)) *", "top *"),
        ('scores = tl.where(there, scores, float("-inf"))', "scores = scores"),
        ("if whole < keys:", "if whole < 0:"),
        ("s_vd, whole, keys - whole", "s_vd, 0, keys - whole"),
        ("s_vd, at, KEYS", "s_vd, 0, KEYS"),
        ("* L + first", "* L"),
        ("scale * math.log2(math.e)", "scale"),
        ("start = tl.program_id(2).to(tl.int64) * SHARE", "start = 0"),
    ],
    ("attention", "merge"): [
        ("total += power", "total = power"),
        ("out = out / total[:, None]", "out = out"),
        ("top + tl.log(total)", "tl.log(total)"),
    ],
}

#: Without a backward of their own in Triton.
FORWARD_ONLY = {"attention", "control_inject"}

MUTANTS = [
    Mutant(op, module, right, wrong)
    for (op, module), slips in SLIPS.items()
    for right, wrong in slips
]


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
@pytest.mark.parametrize(
    "mutant", MUTANTS, ids=lambda m: f"{m.op}: {m.right.strip()} -> {m.wrong.strip()}"
)
def test_it_is_caught(mutant, become, device):
    become(mutant)
    assert not _agrees(mutant.op, device)


@pytest.mark.usefixtures("unwritten_is_nan")
@pytest.mark.parametrize(("op", "module"), SLIPS)
def test_a_copy_without_a_slip_is_not(op, module, become, device):
    right = SLIPS[op, module][0][0]
    become(Mutant(op, module, right, right))
    assert _agrees(op, device)


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
