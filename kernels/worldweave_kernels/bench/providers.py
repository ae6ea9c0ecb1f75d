"""Who computes an operation: the official chain, plain torch, compilers, libraries."""

# B batch, L token, D hidden, H head, d channels of one head, N branch, U rank

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

import worldweave_kernels as kernels
from worldweave_kernels import BackendError, explain
from worldweave_kernels.bench import chains
from worldweave_kernels.bench.ops import OPS, Case

#: "ours" is a library's operation with one of the package's own.
KINDS = ("official", "eager", "compile", "auto", "triton", "library", "ours")

Compute = Callable[..., Any]


class UnavailableError(Exception):
    """This provider cannot compute this case here; the message says why."""


@dataclass(frozen=True)
class Provider:
    """One way to compute an operation, made ready for a case by *prepare*.

    What it prepares takes the arguments of the case and returns its results, packed
    in one tensor where the operation does so. It raises UnavailableError where it
    cannot; the second that it returns is a remark, of auto the backend it takes.
    """

    name: str
    kind: str
    prepare: Callable[[Case, tuple[Any, ...]], tuple[Compute, str]]


def providers(op: str) -> list[Provider]:
    """Return all providers of *op*, whether they can run here or not."""
    return [
        Provider("official", "official", _official),
        Provider("eager", "eager", _eager),
        Provider("compile", "compile", _compiled),
        Provider("auto", "auto", _auto),
        Provider("triton", "triton", _triton),
        *_LIBRARIES[op],
    ]


def refuse_unknown(names: Collection[str], ops: Iterable[str]) -> None:
    """Raise ValueError for a name of *names* that none of the providers of *ops* has.

    A name is that of a provider or its kind.
    """
    ops = list(ops)
    known = known_providers()
    for name in names:
        if name not in known:
            raise ValueError(
                f"there is no provider {name!r}; there are {', '.join(known)}"
            )
        if not any(name in (p.name, p.kind) for op in ops for p in providers(op)):
            have = [op for op in OPS for p in providers(op) if name in (p.name, p.kind)]
            raise ValueError(
                f"{name} does not compute {', '.join(ops)}; ask for "
                f"{', '.join(dict.fromkeys(have))}"
            )


def known_providers() -> list[str]:
    """Return the kinds and the names of all providers of all operations."""
    names = [provider.name for op in OPS for provider in providers(op)]
    return list(dict.fromkeys([*KINDS, *names]))


def _official(case: Case, args: tuple[Any, ...]) -> tuple[Compute, str]:
    if case.op == "attention":
        raise UnavailableError(
            "the official code calls TransformerEngine, which calls cuDNN: see cudnn"
        )
    remark = _whole_v(case)
    if case.op == "qk_norm_rope_pack":
        said = "written out, the official code takes TransformerEngine's"
        remark = "; ".join(filter(None, [said, remark]))
    return chains.OFFICIAL[case.op], remark


def _eager(case: Case, args: tuple[Any, ...]) -> tuple[Compute, str]:
    _refuse_scores(case)
    return chains.EAGER[case.op], _whole_v(case)


def _whole_v(case: Case) -> str:
    if case.op == "qk_norm_rope_pack" and case.shape["U"] == 1:
        return "v is handed on as it is at U=1, where the floor counts a copy of it"
    return ""


def _compiled(case: Case, args: tuple[Any, ...]) -> tuple[Compute, str]:
    _refuse_scores(case)
    # Each case is compiled by itself, for its own sizes; there is a limit to how
    # often one function may be.
    torch.compiler.reset()
    define = chains.DEFINED.get(case.op, OPS[case.op].define)
    return torch.compile(define, fullgraph=True, dynamic=False), ""


def _auto(case: Case, args: tuple[Any, ...]) -> tuple[Compute, str]:
    choice = explain(case.op, *_called(case.op, args)[0], **_called(case.op, args)[1])
    if choice.backend == "reference":
        _refuse_scores(case)
    return _ours(case, "auto"), choice.backend


def _triton(case: Case, args: tuple[Any, ...]) -> tuple[Compute, str]:
    if case.device == "cpu":
        raise UnavailableError(
            "Triton needs a GPU; its interpreter tells nothing of time"
        )
    _refuse_unable(case, args, "triton")
    return _ours(case, "triton"), ""


def _backend(name: str) -> Provider:
    """Return the library that `attention` reaches by *name*."""

    def prepare(case: Case, args: tuple[Any, ...]) -> tuple[Compute, str]:
        _refuse_unable(case, args, name)
        return _ours(case, name), ""

    return Provider(name, "library", prepare)


def _chain(name: str, compute: Compute, kind: str = "library") -> Provider:
    return Provider(name, kind, lambda case, args: (compute, ""))


def _concatenated(case: Case, args: tuple[Any, ...]) -> tuple[Compute, str]:
    # The weights do not change from call to call.
    matrix = chains.concatenated(*args[2:4])
    return functools.partial(chains.concatenated_product, matrix=matrix), ""


def _no_library(reason: str) -> Provider:
    def prepare(case: Case, args: tuple[Any, ...]) -> tuple[Compute, str]:
        raise UnavailableError(reason)

    return Provider("library", "library", prepare)


_LIBRARIES: dict[str, list[Provider]] = {
    "weighted_add": [_no_library("no library has it")],
    "attention": [_backend(name) for name in ("sdpa", "cudnn", "flash", "fa3", "fa4")],
    "qk_norm_rope_pack": [_no_library("torch has none; eager takes its rms_norm")],
    "norm_modulate": [_chain("layer_norm", chains.modulating_layer_norm)],
    "gate_residual_norm_modulate": [
        _chain("layer_norm", chains.gated_modulating_layer_norm)
    ],
    "control_inject": [
        _chain("linear + ours", chains.projected_weighted_add, "ours"),
        Provider("addmm", "library", _concatenated),
    ],
}


def _ours(case: Case, backend: str) -> Compute:
    """Return the package's own operation with its results as the benchmark's."""
    compute = getattr(kernels, case.op)

    def call(*args: Any) -> Any:
        positional, named = _called(case.op, args)
        return compute(*positional, **named, backend=backend)

    return call


def _called(op: str, args: Sequence[Any]) -> tuple[Sequence[Any], dict[str, Any]]:
    """Return arguments of the benchmark as the package's operation takes them."""
    if op == "qk_norm_rope_pack":
        return args[:-1], {"world": args[-1]}
    return args, {}


def _refuse_unable(case: Case, args: tuple[Any, ...], backend: str) -> None:
    positional, named = _called(case.op, args)
    try:
        explain(case.op, *positional, **named, backend=backend)
    except BackendError as error:
        raise UnavailableError(obstacle(error)) from error


def obstacle(error: BackendError) -> str:
    """Return only what stands in the way of a backend that was asked for."""
    # "attention: backend=fa3 was asked for, but <obstacle>; ask for another"
    _, _, reason = str(error).partition(", but ")
    return reason.partition("; ask for")[0] or str(error)


def _refuse_scores(case: Case) -> None:
    """Refuse where all scores of attention, and their softmax, do not fit."""
    if case.op != "attention":
        return
    shape = case.shape
    scores = shape["L"] * shape["M"] * shape["H"] * 4
    needed = scores * (3 if case.mode == "forward" else 5)
    free = _free(case.device)
    if needed > free:
        raise UnavailableError(
            f"all scores at once take {needed / 1e9:.0f} GB, {free / 1e9:.0f} are free"
        )


def _free(device: str) -> int:
    """Return the bytes of memory that may still be taken."""
    if device == "cpu":
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(torch.cuda.mem_get_info(device)[0])


def results(outs: Any) -> list[Tensor]:
    """Return what a provider returned as a list of tensors."""
    return [out for out in pytree.tree_leaves(outs) if isinstance(out, Tensor)]
