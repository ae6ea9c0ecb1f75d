"""Run every operation in Triton on a few samples: what a sanitizer is to watch."""

# python -m gpu.once, in benchmarks/; --device cpu where TRITON_INTERPRET is 1

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import torch

from worldweave_kernels import BackendError
from worldweave_kernels.agreement import SAMPLES, agreements


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the operations; return 0, and say at the end that all of them ran."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--op", action="append", choices=tuple(SAMPLES))
    options = parser.parse_args(arguments)
    dtype = torch.float32 if options.device == "cpu" else torch.bfloat16
    ops = options.op or list(SAMPLES)
    for op in ops:
        names = [each.name for each in SAMPLES[op]()]
        # The first, and those that take several programs.
        chosen = [n for i, n in enumerate(names) if i == 0 or "more" in n]
        for name in chosen:
            run(op, name, options.device, dtype)
        print(f"once: {op}, {len(chosen)} samples", flush=True)
    print(f"once: all {len(ops)} ran", flush=True)
    return 0


def run(op: str, sample: str, device: str, dtype: torch.dtype) -> None:
    """Run one sample, with its gradients where Triton has them."""
    for gradients in (True, False):
        try:
            found = agreements(
                op, backend="triton", dtype=dtype, device=device, gradients=gradients,
                only=lambda name: name == sample,
            )  # fmt: skip
            list(found)
            return
        except BackendError:
            # It has no backward, and says so before it begins.
            if not gradients:
                raise


if __name__ == "__main__":
    sys.exit(main())
