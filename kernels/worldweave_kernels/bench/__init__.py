"""Measure the operations against what else computes them: `python -m` this."""

from worldweave_kernels.bench.ops import Case
from worldweave_kernels.bench.results import (
    Ceiling,
    Machine,
    Results,
    Row,
    Timing,
    compared,
    from_json,
    spelled,
)
from worldweave_kernels.bench.runner import cases, run

__all__ = [
    "Case",
    "Ceiling",
    "Machine",
    "Results",
    "Row",
    "Timing",
    "cases",
    "compared",
    "from_json",
    "run",
    "spelled",
]
