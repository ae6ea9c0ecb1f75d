"""Which backend computes an operation, and why."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec
from typing import NamedTuple

import torch
from torch import Tensor

#: Names a backend for every operation ("reference") or for some
#: ("attention=flash,weighted_add=triton"). An argument `backend=` wins over it.
ENVIRONMENT = "WORLDWEAVE_KERNELS"

#: The backends of each operation, the preferred first.
BACKENDS = {
    "weighted_add": ("triton", "reference"),
    "attention": ("fa4", "fa3", "cudnn", "flash", "sdpa", "triton", "reference"),
    "merge_attention": ("triton", "reference"),
    "qk_norm_rope_pack": ("triton", "reference"),
    "norm_modulate": ("triton", "reference"),
    "gate_residual_norm_modulate": ("triton", "reference"),
    "control_inject": ("triton", "reference"),
}

_TRITON_IS_INSTALLED = find_spec("triton") is not None
#: What Triton takes for true in its environment, in any case of letters.
_TRUE = ("1", "true", "on", "yes", "y")


class BackendError(ValueError):
    """A backend was asked for that cannot compute this."""


class Candidate(NamedTuple):
    """A backend and what stands in its way, or why it is not taken unasked."""

    name: str
    obstacle: str | None = None
    unasked: str | None = None


class Choice(NamedTuple):
    """The backend an operation takes for given inputs, and why."""

    op: str
    backend: str
    reason: str
    #: "backend: what stood in its way", for those that were preferred to it.
    passed_over: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{self.op}: {self.backend}, {self.reason}"]
        return "\n  not ".join((*lines, *self.passed_over))


def choose(op: str, candidates: Iterable[Candidate], requested: str) -> Choice:
    """Return the first candidate that can compute *op*, or the one that was asked for.

    *requested* is the call's argument: a backend or "auto". Candidates after the one
    that is taken are not looked at. Raise BackendError where what was asked for, here
    or in the environment, is unknown or cannot compute it.
    """
    asked, whose = requested, "backend="
    if asked == "auto":
        asked, whose = _in_environment(op), f"{ENVIRONMENT}="
    passed_over: list[str] = []
    for name, obstacle, unasked in candidates:
        if asked not in ("auto", name):
            continue
        if asked == name:
            if obstacle is not None:
                raise BackendError(
                    f"{op}: {whose}{name} was asked for, but {obstacle}; ask for "
                    f"another of {', '.join(BACKENDS[op])}, or for none"
                )
            return Choice(op, name, f"asked for by {whose.rstrip('=')}")
        why_not = obstacle or unasked
        if why_not is None:
            reason = "the first that can" if passed_over else "the preferred one"
            return Choice(op, name, reason, tuple(passed_over))
        passed_over.append(f"{name}: {why_not}")
    if asked != "auto":
        raise BackendError(
            f"{op} has no backend {asked!r} ({whose}{asked}); it has "
            f"{', '.join(BACKENDS[op])}"
        )
    raise BackendError(f"no backend can compute {op}: {'; '.join(passed_over)}")


def triton_candidate(x: Tensor) -> Candidate:
    """Return Triton as a candidate for the device of *x*."""
    interpreted = os.environ.get("TRITON_INTERPRET", "").lower() in _TRUE
    obstacle = None
    if not _TRITON_IS_INSTALLED:
        obstacle = "triton is not installed"
    elif x.device.type == "cuda":
        # Torch calls GPUs of AMD "cuda" too, and their architecture a capability.
        if torch.version.hip is not None:
            obstacle = "its sizes are for GPUs of NVIDIA"
        elif torch.cuda.get_device_capability(x.device) < (8, 0):
            obstacle = "the GPU is older than sm_80"
    elif x.device.type != "cpu":
        obstacle = f"the tensors are on {x.device.type}"
    elif not interpreted:
        obstacle = "the tensors are on the CPU"
    unasked = "Triton's interpreter is for tests" if interpreted else None
    return Candidate("triton", obstacle, unasked)


def _in_environment(op: str) -> str:
    """Return the backend that the environment names for *op*, or "auto"."""
    found = "auto"
    for entry in filter(None, os.environ.get(ENVIRONMENT, "").split(",")):
        whose, _, backend = entry.strip().rpartition("=")
        if whose and whose not in BACKENDS:
            raise BackendError(
                f"{ENVIRONMENT} names the operation {whose!r}; there are "
                f"{', '.join(BACKENDS)}"
            )
        known = BACKENDS[whose] if whose else sum(BACKENDS.values(), ())
        if backend not in known:
            raise BackendError(
                f"{ENVIRONMENT} names the backend {backend!r}; "
                f"{whose or 'there'} {'has' if whose else 'are'} "
                f"{', '.join(dict.fromkeys(known))}"
            )
        # A bare name is for all operations that have such a backend.
        if whose == op or (not whose and backend in BACKENDS[op] and found == "auto"):
            found = backend
    return found
