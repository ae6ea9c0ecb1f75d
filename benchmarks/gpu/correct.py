"""Stage 1: the ceilings, and whether every backend computes what it should."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

import worldweave_kernels as kernels
from gpu.record import Measured, Part
from gpu.setting import Setting
from worldweave_kernels import BackendError
from worldweave_kernels.agreement import SAMPLES, agreements
from worldweave_kernels.bench.measure import ceiling
from worldweave_kernels.bench.ops import OPS, Case, arguments
from worldweave_kernels.bench.providers import results
from worldweave_kernels.bench.results import Ceiling
from worldweave_kernels.bench.runner import run
from worldweave_kernels.dispatch import BACKENDS

ROOT = Path(__file__).parents[2]
DTYPES = (torch.bfloat16, torch.float32, torch.float16, torch.float64)
#: Seconds a test run may take: the stage has ten minutes.
PATIENCE = 240
#: Large enough for several programs of every kernel, and for several waves.
_LARGER = {"L": 4096, "M": 4096, "D": 1024, "H": 8, "N": 4, "U": 4}
_TOY = {"L": 64, "M": 64, "D": 64, "H": 4, "N": 2, "U": 2}


def parts(setting: Setting) -> list[Part]:
    """Return the parts of the stage, what matters most first: kernels compile long."""
    first, last = (DTYPES[:1], ()) if setting.is_toy else (DTYPES[:2], DTYPES[2:])
    tests = [
        Part(f"tests of the kernels, {name}", functools.partial(_pytest, setting, *how))
        for name, how in (("marked", ("marked", "-m", "gpu")), ("all", ("all",)))
    ]
    return [
        Part("ceilings", functools.partial(_ceilings, setting)),
        *_agreements(setting, first),
        *(Part(f"{op} twice", functools.partial(_twice, setting, op)) for op in OPS),
        Part("attention backward", functools.partial(_backward, setting)),
        tests[0],
        *_agreements(setting, last),
        tests[1],
    ]


def _agreements(setting: Setting, dtypes: Sequence[torch.dtype]) -> Iterator[Part]:
    for dtype in dtypes:
        for op, backends in BACKENDS.items():
            for backend in backends:
                measure = functools.partial(_agreement, setting, op, backend, dtype)
                yield Part(f"{op} by {backend} in {_named(dtype)}", measure)


def _ceilings(setting: Setting) -> Iterator[Measured]:
    if setting.is_toy:
        yield Measured("ceiling.copy", float("nan"), "", "not measured: a dry run")
        yield Measured("ceiling.product", float("nan"), "", "not measured: a dry run")
        return
    reached = ceiling(setting.device, setting.dtype, seconds=setting.seconds)
    yield Measured("ceiling.copy", reached.bandwidth / 1e12, "TB/s")
    yield Measured("ceiling.product", reached.flops / 1e12, "TFLOP/s")


def _agreement(
    setting: Setting, op: str, backend: str, dtype: torch.dtype
) -> Iterator[Measured]:
    """Yield the largest error of all samples as a share of its tolerance."""
    worst, where, refused = 0.0, "", ""
    bare = 0
    for sample in [each.name for each in SAMPLES[op]()]:
        try:
            found = _compared(setting, op, backend, dtype, sample)
        except BackendError as error:
            refused = str(error)
            continue
        bare += not any("gradient" in what for _, what in found)
        for share, what in found:
            if not share <= worst or not where:
                worst, where = share, f"{sample}, {what}"
    key = f"agreement.{op}.{backend}.{_named(dtype)}"
    if not where:
        yield Measured(key, float("nan"), "", f"not measured: {refused}")
        return
    told = f"worst: {where}"
    if bare and OPS[op].differentiable:
        told += f"; of {bare} samples the outputs alone"
    if refused:
        told += f"; not all samples: {refused}"
    yield Measured(key, worst, "of its tolerance", told)


def _compared(
    setting: Setting, op: str, backend: str, dtype: torch.dtype, sample: str
) -> list[tuple[float, str]]:
    """Return the error of each output and gradient of one sample."""
    options: dict[str, Any] = {"backend": backend, "dtype": dtype}
    options |= {"device": setting.device, "only": lambda name: name == sample}
    wants = OPS[op].differentiable
    try:
        found = list(agreements(op, gradients=wants, **options))
    except BackendError:
        # Some backends have no backward, or none through a log-sum-exp, and say so.
        found = list(agreements(op, gradients=False, **options))
    return [(each.error / each.tolerance, each.what) for each in found]


def _backward(setting: Setting) -> Iterator[Measured]:
    """Yield the error of each backend's gradients, without a log-sum-exp."""
    size = 64 if setting.is_toy else 1024
    shape = {"L": size, "M": size, "D": 256, "H": 4}
    case = Case("attention", "both", shape, setting.dtype, setting.device)
    ceilings = [Ceiling(dtype="", bandwidth=1.0, flops=1.0)]
    only = ("auto", "library")
    for row in run([case], only=only, repeats=1, ceilings=ceilings).rows:
        key = f"agreement.attention.{row.provider}.backward"
        if row.error is None or row.tolerance is None:
            yield Measured(key, float("nan"), "", f"not measured: {row.note}")
        else:
            share = row.error / row.tolerance
            yield Measured(key, share, "of its tolerance", row.note)


def _twice(setting: Setting, op: str) -> Iterator[Measured]:
    """Yield how many outputs and gradients change their bits when computed again."""
    shape = {axis: (_TOY if setting.is_toy else _LARGER)[axis] for axis in "LMDHNU"}
    case = Case(op, "forward", shape, setting.dtype, setting.device)
    *given, last = arguments(case)
    args, named = ([*given], {"world": last}) if op == "qk_norm_rope_pack" else (
        [*given, last], {},
    )  # fmt: skip
    first, second = (_bits(op, args, named) for _ in range(2))
    changed = sum(
        not torch.equal(one, other) for one, other in zip(first, second, strict=True)
    )
    about = f"of {len(first)} outputs and gradients, by {_taken(op, args, named)}"
    yield Measured(f"bits.{op}", changed, "", about)


def _bits(op: str, args: Sequence[Any], named: dict[str, Any]) -> list[Tensor]:
    differentiable = OPS[op].differentiable
    leaves = pytree.tree_map_only(
        Tensor, lambda x: x.detach().requires_grad_(differentiable), list(args)
    )
    outs = results(getattr(kernels, op)(*leaves, **named))
    if not differentiable:
        return outs
    inputs = [each for each in pytree.tree_leaves(leaves) if isinstance(each, Tensor)]
    slopes = torch.autograd.grad(outs, inputs, [out.detach() for out in outs])
    return [*(out.detach() for out in outs), *slopes]


def _taken(op: str, args: Sequence[Any], named: dict[str, Any]) -> str:
    return kernels.explain(op, *args, **named).backend


def _pytest(setting: Setting, name: str, *which: str) -> Iterator[Measured]:
    """Run the tests of the kernels in a process of their own; yield how many fail."""
    key = f"pytest.{name}.failed"
    if setting.is_toy:
        yield Measured(key, float("nan"), "", "not measured: a dry run")
        return
    if find_spec("pytest") is None:
        raise RuntimeError("pytest is not installed; install it to run the tests")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *which,
         "--ignore=tests/kernels/test_aot.py", "tests/kernels"],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    tail = done.stdout.strip().splitlines()[-20:]
    if done.returncode not in (0, 1):
        errors = "\n".join([*tail, *done.stderr.strip().splitlines()[-5:]])
        raise RuntimeError(f"pytest ended with {done.returncode}:\n{errors}")
    failed = sum(int(n) for n in re.findall(r"(\d+) (?:failed|error)", tail[-1]))
    yield Measured(key, failed, "", "\n".join(tail))


def _named(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
