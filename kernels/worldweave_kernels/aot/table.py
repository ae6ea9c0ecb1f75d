"""Show what kernels take as a Markdown table, and find a table in a document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from worldweave_kernels.aot.gpus import GPUS
from worldweave_kernels.aot.machine_code import Kernel

DOCUMENT = """# What the kernels take

Registers, shared memory and instructions of every kernel at the shapes of the 7B in
bf16, compiled without a GPU: nothing here is a time. There is a section for the pinned
triton and one for the oldest supported; a test compares that of the installed one with
the kernels. To renew the file:

```
python -m worldweave_kernels.aot > docs/benchmarks/registers.md
pip install --no-deps --target triton36 triton==3.6.0
PYTHONPATH=triton36 python -m worldweave_kernels.aot --section \\
  >> docs/benchmarks/registers.md
```

- registers, stack, spilled: 32-bit registers of a thread, bytes of its stack, and bytes
  that its code writes there for want of registers (the spill stores of `ptxas -v`).
- shared: bytes of one program, of those that there are.
- 128-bit: global loads and stores of at least 128 bits, counted in the code, those of
  `cp.async` included. 16-bit: loads of single 16-bit numbers.
- tensor cores, TMA: matrix instructions, and loads by the tensor memory accelerator.

A run fails where a kernel spills, takes more memory than there is, has no 128-bit
loads, loads single 16-bit numbers, or lacks the tensor cores or the TMA loads that its
source asks for.
"""

_COLUMNS = (
    "case",
    "kernel",
    "sm",
    "warps",
    "registers",
    "stack",
    "spilled",
    "shared",
    "128-bit loads",
    "stores",
    "16-bit loads",
    "tensor cores",
    "TMA loads",
)


def section(kernels: Iterable[Kernel], triton_version: str) -> str:
    """Return the section of a document that one version of triton has."""
    lines = [
        heading(triton_version),
        "",
        _line(_COLUMNS),
        _line(["---"] * len(_COLUMNS)),
        *(_line(_cells(kernel)) for kernel in kernels),
    ]
    return "\n".join(lines) + "\n"


def heading(triton_version: str) -> str:
    """Return the line that a section begins with."""
    return f"## triton {triton_version}"


def rows(document: str, triton_version: str) -> list[str] | None:
    """Return the rows of the section for a version, or None where there is none."""
    _, found, after = document.partition(heading(triton_version) + "\n")
    if not found:
        return None
    own = after.partition("\n## ")[0]
    return [line for line in own.splitlines() if line.startswith("|")][2:]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(kernel: Kernel) -> list[str]:
    matrices = [f"{count} {name}" for name, count in kernel.tensor_core]
    return [
        kernel.case,
        f"`{kernel.name}`",
        str(kernel.arch),
        str(kernel.warps),
        str(kernel.registers),
        str(kernel.stack),
        str(kernel.spilled),
        f"{kernel.shared} of {GPUS[kernel.arch].shared}",
        str(kernel.wide_loads),
        str(kernel.wide_stores),
        str(kernel.narrow_loads),
        ", ".join(matrices) or "-",
        str(kernel.tma_loads),
    ]
