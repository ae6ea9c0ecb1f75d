"""Stage 1: the ceilings, and whether every backend computes what it should."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

import worldweave_kernels as kernels
from gpu.outside import TOOLS, sanitized, tested
from gpu.record import Measured, Part
from gpu.setting import Setting
from worldweave_kernels import BackendError
from worldweave_kernels.agreement import SAMPLES, agreements
from worldweave_kernels.bench.measure import ceiling
from worldweave_kernels.bench.ops import OPS, Case, arguments
from worldweave_kernels.bench.providers import results
from worldweave_kernels.bench.results import Ceiling, dtype_name
from worldweave_kernels.bench.runner import run
from worldweave_kernels.dispatch import BACKENDS

DTYPES = (torch.bfloat16, torch.float32, torch.float16, torch.float64)
#: Large enough for several programs of every kernel, and for several waves.
_LARGER = {"L": 4096, "M": 4096, "D": 1024, "H": 8, "N": 4, "U": 4}
_TOY = {"L": 64, "M": 64, "D": 64, "H": 4, "N": 2, "U": 2}


def parts(setting: Setting) -> list[Part]:
    """Return the parts of the stage, what matters most first: kernels compile long."""
    tests = [
        Part(
            f"tests of the kernels, {name}",
            functools.partial(tested, setting, name, f"pytest.{name}.failed"),
            f"pytest.{name}.failed",
        )
        for name in ("marked", "forward")
    ]
    return [
        Part("ceilings", functools.partial(_ceilings, setting)),
        *_agreements(setting, DTYPES[:1]),
        *(
            Part(f"{op} twice", functools.partial(_twice, setting, op), f"bits.{op}")
            for op in OPS
        ),
        Part(
            "attention backward",
            functools.partial(_backward, setting),
            "agreement.attention.auto.backward",
        ),
        *(Part(tool, functools.partial(sanitized, setting, tool)) for tool in TOOLS),
        tests[0],
        *_agreements(setting, () if setting.is_toy else DTYPES[1:]),
        *tests[1:],
    ]


def _agreements(setting: Setting, dtypes: Sequence[torch.dtype]) -> Iterator[Part]:
    for dtype in dtypes:
        for op, backends in BACKENDS.items():
            for backend in backends:
                measure = functools.partial(_agreement, setting, op, backend, dtype)
                named = f"{op} by {backend} in {dtype_name(dtype)}"
                yield Part(named, measure, _key(op, backend, dtype))


def _key(op: str, backend: str, dtype: torch.dtype) -> str:
    return f"agreement.{op}.{backend}.{dtype_name(dtype)}"


def _ceilings(setting: Setting) -> Iterator[Measured]:
    if setting.is_toy:
        yield Measured("ceiling.copy", math.nan, "", "not measured: a dry run")
        yield Measured("ceiling.product", math.nan, "", "not measured: a dry run")
        return
    reached = ceiling(setting.device, setting.dtype, seconds=setting.seconds)
    yield Measured("ceiling.copy", reached.bandwidth / 1e12, "TB/s")
    yield Measured("ceiling.product", reached.flops / 1e12, "TFLOP/s")


def _agreement(
    setting: Setting, op: str, backend: str, dtype: torch.dtype
) -> Iterator[Measured]:
    """Yield the largest error of all samples as a share of its tolerance."""
    found: list[tuple[float, str]] = []
    refused, bare = "", 0
    for sample in [each.name for each in SAMPLES[op]()]:
        try:
            some = _compared(setting, op, backend, dtype, sample)
        except BackendError as error:
            refused = str(error)
            continue
        bare += not any("gradient" in what for _, what in some)
        found += [(share, f"{sample}, {what}") for share, what in some]
    key = _key(op, backend, dtype)
    if not found:
        if backend == "triton" and not setting.is_toy:
            raise RuntimeError(f"Triton computed nothing: {refused}")
        yield Measured(key, math.nan, "", f"not measured: {refused}")
        return
    share, where = worst(found)
    told = f"worst: {where}"
    if bare and _has_gradients(op):
        told += f"; of {bare} samples the outputs alone"
    if refused:
        told += f"; not all samples: {refused}"
    yield Measured(key, share, "of its tolerance", told)


def worst(found: Iterable[tuple[float, str]]) -> tuple[float, str]:
    """Return the largest share and what it is of; what is not a number is infinite."""
    shares = ((math.inf if math.isnan(share) else share, what) for share, what in found)
    return max(shares, key=lambda each: each[0])


def _has_gradients(op: str) -> bool:
    return op not in OPS or OPS[op].differentiable


def _compared(
    setting: Setting, op: str, backend: str, dtype: torch.dtype, sample: str
) -> list[tuple[float, str]]:
    """Return the error of each output and gradient of one sample."""
    options: dict[str, Any] = {"backend": backend, "dtype": dtype}
    options |= {"device": setting.device, "only": lambda name: name == sample}
    try:
        found = list(agreements(op, gradients=_has_gradients(op), **options))
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
            yield Measured(key, math.nan, "", f"not measured: {row.note}")
        else:
            share, told = worst([(row.error / row.tolerance, row.note)])
            yield Measured(key, share, "of its tolerance", told)


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
