"""Measure the kernels on a GPU in seven stages, beside what was predicted of them."""

# Run, on a machine with torch, triton and this checkout, without a network:
#
#   export PYTHONPATH=kernels:core:registry
#   python benchmarks/gpu_kernels.py --stage 1 --out results      (and so on to 7)
#
# and at home, with what is in results/*.json and with matplotlib:
#
#   python benchmarks/gpu_kernels.py --report --out results
#
# A stage is stopped after the minutes it has; all of them have 27 together. What was
# measured is in the folder after every part, and is not measured again: run a stage
# once more after whatever stopped it. A part that fails, and even one that takes its
# process with it, stops no other. Without git, WORLDWEAVE_COMMIT names the commit.

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
from importlib.util import find_spec
from pathlib import Path

from gpu import report
from gpu.record import Ledger, Record
from gpu.report import BANNER, STAGES

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
        for stage in options.stage or sorted(STAGES):
            command = [sys.executable, __file__, "--worker", "--stage", str(stage)]
            command += ["--out", str(folder)]
            command += ["--dry-run"] if options.dry_run else []
            again = ("failed", "stopped") if options.again else ()
            Ledger(folder, stage).forget("running", *again)
            limit = options.limit or STAGES[stage].limit
            supervise(folder, stage, command, limit=limit)
    for line in report.lines(report.read(folder)):
        print(line)
    for path in report.write(folder):
        print(f"written to {path}")
    if options.report:
        _draw(folder)
    ledgers = report.read(folder)
    broken = report.failures(ledgers)
    for stage, record in broken:
        print(f"failed: stage {stage}, {record.name}: {record.brief}", file=sys.stderr)
    if any(map(report.is_toy, ledgers.values())):
        print(BANNER)
    return 1 if broken else 0


def _draw(folder: Path) -> None:
    """Draw what can be drawn, where there is something to draw with."""
    if find_spec("matplotlib") is None:
        print("not drawn: matplotlib is not installed here")
        return
    from gpu.drawing import draw

    for path in draw(folder):
        print(f"drawn: {path}")


def work(folder: Path, stage: int, *, dry: bool) -> int:
    """Measure what is left of one stage, in this process; return its exit status."""
    # What these lack must not stop the report of what was measured elsewhere.
    import torch
    from gpu.setting import on_a_gpu, toy

    from worldweave_kernels.bench.machine import machine

    if os.environ.get("TRITON_INTERPRET") == "1" and not dry:
        return _refused("TRITON_INTERPRET is 1: kernels would be interpreted; unset it")
    if not dry and not torch.cuda.is_available():
        return _refused("there is no GPU here; --dry-run tries the script on a CPU")
    if dry:
        print(BANNER, flush=True)
    setting = dataclasses.replace(
        toy() if dry else on_a_gpu(), rows=folder / f"bench-{stage}.json"
    )
    ledger = Ledger(folder, stage)
    known = dataclasses.asdict(machine(setting.device)) | {"is_toy": dry}
    if ledger.machine and ledger.machine["is_toy"] != dry:
        return _refused(f"{ledger.path} is of another kind of run; take another --out")
    parts = STAGES[stage].parts(setting)
    ledger.machine = {"clocks": ledger.machine.get("clocks"), **known}
    ledger.judged = [part.judges for part in parts if part.judges]
    ledger.write()
    for part in ledger.left(parts):
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
    if not dry:
        # A GPU that is lost by now has nothing more to tell.
        with contextlib.suppress(RuntimeError):
            ledger.machine["clocks"] = clocks(setting.device)
        ledger.write()
    return 0


def clocks(device: str) -> str | None:
    """Return the GPU's clocks, power and heat at work, as nvidia-smi tells them.

    It is kept busy meanwhile: idle it tells 345 MHz.
    """
    import torch

    if shutil.which("nvidia-smi") is None:
        return None
    side = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    for _ in range(700):
        torch.mm(side, side)
    query = "--query-gpu=clocks.sm,clocks.mem,power.draw,temperature.gpu"
    done = subprocess.run(
        ["nvidia-smi", query, "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    torch.cuda.synchronize()
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
            ledger.bury(f"stopped: the stage took {limit:g} s", "stopped")
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
        "--stage", type=int, action="append", choices=sorted(STAGES),
        help="1 to 7; may be repeated [default: all]",
    )  # fmt: skip
    add(
        "--again",
        action="store_true",
        help="measure what failed, or was stopped, again",
    )
    add("--out", type=Path, required=True, help="folder of the results, old and new")
    add("--report", action="store_true", help="measure nothing; write and draw only")
    add("--dry-run", action="store_true", help="toy sizes on a CPU, to try the script")
    add(
        "--limit", type=float,
        help="seconds a stage may take, instead of "
        f"{', '.join(str(each.limit) for each in STAGES.values())}",
    )  # fmt: skip
    add("--worker", action="store_true", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
