"""Neither converting nor loading holds a file in memory."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from worldweave.checkpoints.layout import expected_shapes
from worldweave.checkpoints.official import official_name
from worldweave.model.config import DiTConfig

# Peaks are in MB above the imports. The loaded file is read in its own dtype: a
# reader that maps the file would count it twice.
SCRIPT = """
import sys
from pathlib import Path
import torch
from worldweave.checkpoints import store
from worldweave.checkpoints.convert import convert
from worldweave.model.config import DiTConfig
from worldweave.model.dit import DiT

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(l for l in lines if l.startswith("VmHWM")).split()[1]) / 1000

torch.set_num_threads(1)
with torch.device("meta"):
    module = DiT(DiTConfig(hidden=1024, heads=8, blocks=7, adaln_rank=64))
before = peak()
convert(sys.argv[1], sys.argv[2])
print(peak() - before)
store.load(module, sys.argv[2], device="cpu", dtype=None, what="the base")
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak as Linux says")
def test_a_file_is_never_in_memory_as_a_whole(tmp_path):
    config = DiTConfig(hidden=1024, heads=8, blocks=7, adaln_rank=64)
    state = {
        f"base_model.net.{official_name(name)}": torch.ones(shape, dtype=torch.bfloat16)
        for name, shape in expected_shapes("dit", config).items()
    }
    source, out = tmp_path / "base_model.pt", tmp_path / "out.safetensors"
    torch.save(state, source)
    megabytes = source.stat().st_size / 1e6
    assert megabytes > 250
    del state
    command = [sys.executable, "-c", SCRIPT, str(source), str(out)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    converting, loading = map(float, printed.split())
    assert converting < 120
    assert loading < megabytes + 60
