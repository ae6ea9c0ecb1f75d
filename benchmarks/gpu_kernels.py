"""Measure the kernels on a GPU in six stages, each beside what was predicted of it."""

# Run, on a machine with torch, triton and this checkout, without a network:
#
#   export PYTHONPATH=kernels:core:registry
#   python benchmarks/gpu_kernels.py --stage 1 --out results      (and so on to 6)
#   python benchmarks/gpu_kernels.py --report --out results       (anywhere, later)
#
# A stage takes less than ten minutes. What was measured is in the folder after every
# part, and is not measured again: run a stage once more after whatever stopped it. A
# part that fails, and even one that takes its process with it, stops no other.

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gpu import report
from gpu.predictions import PREDICTIONS
from gpu.record import Ledger, Record

#: Seconds a stage may take, with some left to write what it found.
LIMIT = 560
#: More than parts of any stage: as often may a process end and be started again.
MOST_STARTS = 40
#: Exit status of a stage that this machine or folder is not for.
REFUSED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run stages, then write the report; return 1 where any part failed."""
    options = _parser().parse_args(arguments)
    folder: Path = options.out
    folder.mkdir(parents=True, exist_ok=True)
    if options.worker:
        return work(folder, options.stage[0], dry=options.dry_run)
    if not options.report:
        for stage in options.stage or sorted(PREDICTIONS):
            command = [sys.executable, __file__, "--worker", "--stage", str(stage)]
            command += ["--out", str(folder)]
            command += ["--dry-run"] if options.dry_run else []
            again = ("running", "failed") if options.again else ("running",)
            Ledger(folder, stage).forget(*again)
            supervise(folder, stage, command, limit=options.limit)
    for line in report.lines(report.read(folder)):
        print(line)
    for path in report.write(folder):
        print(f"written to {path}")
    if options.report:
        from gpu.drawing import draw

        for path in draw(folder):
            print(f"drawn: {path}")
    broken = report.failures(report.read(folder))
    for stage, record in broken:
        first = (record.error or record.state).partition("\n")[0]
        print(f"failed: stage {stage}, {record.name}: {first}", file=sys.stderr)
    return 1 if broken else 0


def work(folder: Path, stage: int, *, dry: bool) -> int:
    """Measure what is left of one stage, in this process; return its exit status."""
    # torch takes seconds to import; the supervisor does without it.
    import torch
    from gpu.setting import on_a_gpu, toy
    from gpu.stages import STAGES

    from worldweave_kernels.bench.machine import machine

    if os.environ.get("TRITON_INTERPRET") == "1" and not dry:
        return _refused("TRITON_INTERPRET is 1: kernels would be interpreted; unset it")
    if not dry and not torch.cuda.is_available():
        return _refused("there is no GPU here; --dry-run tries the script on a CPU")
    setting = toy() if dry else on_a_gpu()
    ledger = Ledger(folder, stage)
    known = dataclasses.asdict(machine(setting.device)) | {"is_toy": dry}
    known["clocks"] = None if dry else clocks()
    if ledger.machine and ledger.machine["is_toy"] != dry:
        return _refused(f"{ledger.path} is of another kind of run; take another --out")
    ledger.machine = known
    for part in ledger.left(STAGES[stage].parts(setting)):
        print(f"stage {stage}: {part.name}", flush=True)
        record = ledger.run(part)
        for each in record.measured:
            print(f"  {each.key} {each.value:.4g} {each.unit} {each.about}"[:160])
        if record.state == "failed":
            print(f"  failed: {record.error}", flush=True)
        if dry:
            continue
        try:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
        except RuntimeError as error:
            # The GPU is lost to this process; the next part gets a new one.
            print(f"  the process is started anew: {error}", file=sys.stderr)
            return 1
    return 0


def clocks() -> str | None:
    """Return the GPU's clocks, power and temperature as nvidia-smi tells them."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = "--query-gpu=clocks.sm,clocks.mem,power.draw,temperature.gpu"
    done = subprocess.run(
        ["nvidia-smi", query, "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or None


def supervise(folder: Path, stage: int, command: list[str], *, limit: float) -> None:
    """Run *command*, which measures a stage, again and again.

    Until it ends by itself, having measured all, or *limit* seconds are over. The part
    during which a process is lost has failed.
    """
    until = time.monotonic() + limit
    for _ in range(MOST_STARTS):
        begun = len(Ledger(folder, stage).records)
        code = _ended(command, max(1.0, until - time.monotonic()))
        ledger = Ledger(folder, stage)
        if code is None:
            ledger.bury(f"stopped: the stage took {limit:g} s")
            print(f"stage {stage} took {limit:g} s; run it again for the rest")
            return
        ledger.bury(f"its process ended with {code}")
        if code == 0:
            return
        if code == REFUSED:
            raise SystemExit(f"stage {stage} cannot begin; what it says is above")
        if len(ledger.records) == begun:
            # Another stage may still begin.
            error = f"it ended with {code} before its first part; see what it printed"
            ledger.records["start"] = Record("start", "failed", error=error)
            ledger.write()
            return


def _refused(why: str) -> int:
    print(why, file=sys.stderr)
    return REFUSED


def _ended(command: list[str], seconds: float) -> int | None:
    """Return what *command* ended with, None where it took longer than *seconds*.

    Nothing that it started outlives it: tests would share the GPU with what follows.
    """
    process = subprocess.Popen(command, start_new_session=True)
    try:
        return process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add(
        "--stage", type=int, action="append", choices=sorted(PREDICTIONS),
        help="1 to 6; may be repeated [default: all]",
    )  # fmt: skip
    add("--again", action="store_true", help="measure what failed once more")
    add("--out", type=Path, required=True, help="folder of the results, old and new")
    add("--report", action="store_true", help="measure nothing; write and draw only")
    add("--dry-run", action="store_true", help="toy sizes on a CPU, to try the script")
    add(
        "--limit", type=float, default=LIMIT,
        help="seconds a stage may take [default: %(default)s]",
    )  # fmt: skip
    add("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
