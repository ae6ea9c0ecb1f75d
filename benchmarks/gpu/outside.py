"""What runs in a process of its own: tests, and NVIDIA's compute-sanitizer."""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from gpu.record import Measured
from gpu.setting import Setting

ROOT = Path(__file__).parents[2]
#: Seconds that one of them may take.
PATIENCE = 60
#: A few tests whose kernels compile fast: all of them take longer than there is.
FORWARD = (
    "test_weighted_add.py::test_triton_reads_any_layout",
    "test_weighted_add.py::test_the_same_again_is_the_same_to_the_bit",
    "test_attention.py::test_strides_do_not_matter",
    "test_attention.py::test_large_scores_do_not_overflow",
    "test_norm_modulate.py::test_a_mean_far_from_zero_does_not_drown_the_variance",
    "test_qk_rope_pack.py::test_each_rank_is_sent_its_heads_chunk_by_chunk",
    "test_control_inject.py::test_descriptors_read_what_pointers_read",
)
#: Those of evaluations by graphs; the latter need a base to generate with.
GRAPHS = ("test_graph.py", "test_graph_generations.py")
#: Arguments of pytest by name. A GPU's libraries warn of what a CPU's do not.
TESTS = {
    "marked": ("-m", "gpu", "--ignore=tests/kernels/test_aot.py", "tests/kernels"),
    "forward": tuple(f"tests/kernels/{each}" for each in FORWARD),
    "graphs": ("-m", "gpu", *(f"tests/core/parallel/{each}" for each in GRAPHS)),
}
#: What tests import, and those of graphs, which are of the whole package.
NEEDED = ("pytest", "hypothesis")
NEEDED_BY_GRAPHS = (*NEEDED, "attrs", "av", "cattrs", "cv2", "greenlet", "pluggy")
#: Tools of compute-sanitizer, and what they count.
TOOLS = {"memcheck": "errors", "racecheck": "hazards"}


class Ended(NamedTuple):
    """How a process ended, None if it was stopped, and the lines it printed."""

    code: int | None
    lines: list[str]


def tested(setting: Setting, name: str, key: str) -> Iterator[Measured]:
    """Run tests of the kernels, or of graphs; yield under *key* how many fail."""
    needed = NEEDED_BY_GRAPHS if name == "graphs" else NEEDED
    missing = [each for each in needed if find_spec(each) is None]
    if setting.is_toy or missing:
        why = "a dry run" if setting.is_toy else f"{missing[0]} is not installed"
        yield Measured(key, math.nan, "", f"not measured: {why}")
        return
    command = [sys.executable, "-m", "pytest", "-q", "-W", "default"]
    command += ["-p", "no:cacheprovider", *TESTS[name]]
    if name == "graphs" and not _is_installed():
        # A checkout alone has no plugins, so no base to generate with.
        command += ["-k", "not generation"]
    ended = ran(command, ROOT, {}, PATIENCE)
    told = "\n".join(ended.lines[-20:])
    if ended.code is None:
        yield Measured(key, math.nan, "", f"not measured: it took too long\n{told}")
        return
    yield Measured(key, failed(ended.code, ended.lines), "", told)


def _is_installed() -> bool:
    try:
        version("worldweave")
    except PackageNotFoundError:
        return False
    return True


def failed(code: int, lines: Sequence[str]) -> int:
    """Return how many tests failed. Raise RuntimeError where pytest itself did."""
    if code not in (0, 1):
        raise RuntimeError("\n".join([f"pytest ended with {code}", *lines[-25:]]))
    last = lines[-1] if lines else ""
    counted = sum(int(n) for n in re.findall(r"(\d+) (?:failed|error)", last))
    return max(counted, code)


def sanitized(setting: Setting, tool: str) -> Iterator[Measured]:
    """Run every operation in Triton under *tool*; yield what it complains of."""
    key = f"{tool}.{TOOLS[tool]}"
    found = shutil.which("compute-sanitizer") or shutil.which(
        "compute-sanitizer", path="/usr/local/cuda/bin"
    )
    if setting.is_toy or found is None:
        why = "a dry run" if setting.is_toy else "compute-sanitizer is not installed"
        yield Measured(key, math.nan, "", f"not measured: {why}")
        return
    # Torch's allocator would hide what is read beyond a tensor; torch itself tries
    # calls that fail.
    command = [found, "--tool", tool, "--target-processes", "application-only"]
    if tool == "memcheck":
        command += ["--report-api-errors", "no"]
    command += [sys.executable, "-m", "gpu.once"]
    variables = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    yield complaints(key, ran(command, ROOT / "benchmarks", variables, PATIENCE))


def complaints(key: str, ended: Ended) -> Measured:
    """Return what a tool counted, not a number where it could not work."""
    summary = re.compile(r"=* ?(?:ERROR|RACECHECK) SUMMARY: (\d+)")
    counts = [int(hit[1]) for line in ended.lines if (hit := summary.match(line))]
    whole = any(line.startswith("once: all") for line in ended.lines)
    said = [line for line in ended.lines if line.strip("= ")]
    if counts and (whole or counts[-1]):
        return Measured(key, counts[-1], "", "\n".join(said[:12]))
    how = "was stopped" if ended.code is None else f"ended with {ended.code}"
    why = f"compute-sanitizer {how}: {said[-1] if said else 'it said nothing'}"
    return Measured(key, math.nan, "", f"not measured: {why}"[:400])


def ran(
    command: Sequence[str], folder: Path, variables: Mapping[str, str], seconds: float
) -> Ended:
    """Run *command* in *folder* for at most *seconds*, with kernels that compile.

    It stays in this process's group: what stops the stage stops it, too.
    """
    # What the environment names may be relative to another folder.
    paths = [str(ROOT / each) for each in ("benchmarks", "kernels", "core", "registry")]
    path = os.pathsep.join(filter(None, [*paths, os.environ.get("PYTHONPATH")]))
    given = {**os.environ, "TRITON_INTERPRET": "0", "PYTHONPATH": path, **variables}
    # A file, not a pipe: a pipe ends with the last process that may write to it.
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(
            command, cwd=folder, env=given, stdout=told, stderr=subprocess.STDOUT
        )
        code: int | None = None
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            for each in _family(process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGKILL)
            process.wait()
        told.seek(0)
        return Ended(code, told.read().decode(errors="replace").strip().splitlines())


def _family(pid: int) -> list[int]:
    """Return *pid* and all that it has started, as far as Linux tells."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = children.read_text().split() if children.exists() else []
    return [pid, *(one for each in found for one in _family(int(each)))]
