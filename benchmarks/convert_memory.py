"""Measure memory and time of converting a large official checkpoint."""

# Run: nice python benchmarks/convert_memory.py [--gigabytes 2.5] [--dtype bf16|fp32]
# Linux only: the peak is VmHWM, which a process can reset before it starts.

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from worldweave.checkpoints.layout import expected_shapes
from worldweave.checkpoints.official import official_name
from worldweave.model.config import DiTConfig

MEASURE = """
import sys, time
from pathlib import Path
import torch
from worldweave.checkpoints.convert import convert

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(l for l in lines if l.startswith("VmHWM")).split()[1]) / 1000

dtype = {"bf16": torch.bfloat16, "fp32": torch.float32, "": None}[sys.argv[3]]
Path("/proc/self/clear_refs").write_text("5")
before = peak()
report = convert(sys.argv[1], sys.argv[2], dtype)
print(f"written    {sum(w.nbytes for w in report.written) / 1e9:.2f} GB")
print(f"imports    {before:.0f} MB")
print(f"peak above {peak() - before:.0f} MB")
print(f"seconds    {report.seconds:.1f}")
"""


def make(path: Path, gigabytes: float) -> int:
    """Write a bf16 base_model.pt of this size; return bytes of its largest tensor."""
    wide = 4096
    one = sum(_count(shape) for shape in _shapes(wide, 2)) - sum(
        _count(shape) for shape in _shapes(wide, 1)
    )
    blocks = max(1, round(gigabytes * 1e9 / 2 / one))
    config = DiTConfig(hidden=wide, blocks=blocks)
    # One random block repeated: the content does not matter, holes in a file would.
    noise = torch.randn(1 << 20).bfloat16()
    state = {}
    for name, shape in expected_shapes("dit", config).items():
        copies = -(-_count(shape) // len(noise))
        flat = noise.repeat(copies)[: _count(shape)].clone()
        state[f"base_model.net.{official_name(name)}"] = flat.view(shape)
    torch.save(state, path)
    return max(t.nbytes for t in state.values())


def _shapes(wide: int, blocks: int) -> list[tuple[int, ...]]:
    config = DiTConfig(hidden=wide, blocks=blocks)
    return list(expected_shapes("dit", config).values())


def _count(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()


def main() -> None:
    """Make a file, convert it in a fresh process, print what that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.5)
    parser.add_argument("--dtype", choices=["bf16", "fp32"], default="")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "base_model.pt"), Path(folder, "out.safetensors")
        largest = make(source, options.gigabytes)
        print(f"source     {source.stat().st_size / 1e9:.2f} GB", flush=True)
        print(f"largest    {largest / 1e6:.0f} MB (one tensor)", flush=True)
        subprocess.run(
            [sys.executable, "-c", MEASURE, str(source), str(out), options.dtype],
            check=True,
        )


if __name__ == "__main__":
    main()
