"""Hold what `worldweave plan` foretells against what generations really take."""

# Run: nice python benchmarks/forecast.py [--write docs/benchmarks/forecast.md]
# Linux only: the peak is VmHWM of a process of its own for every generation; its
# ru_maxrss would start at that of the process that made it.

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import Any

BASE = "tiny-world"
PROMPT = "two red cars on a street by day"
NAMES = ("depth", "edge", "hdmap", "lidar", "seg", "vis")
#: Controls, frames, guidance, steps.
SETTINGS = (
    (1, 9, 0.0, 10),
    (1, 9, 1.0, 10),
    (6, 9, 1.0, 4),
    (0, 33, 1.0, 4),
    (3, 33, 0.0, 4),
    (6, 65, 1.0, 2),
)
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


def run(controls: int, frames: int, guidance: float, steps: int, count: bool) -> None:
    """Generate in this process; print what it took as JSON.

    count: count operations, which takes memory of its own, and measure nothing else.
    """
    import numpy as np

    import worldweave
    from worldweave.forecast.trace import counter
    from worldweave.io import video

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "in.mp4")
        ramp = np.linspace(0, 255, 64 * 96 * 3).reshape(64, 96, 3).astype(np.uint8)
        moving = (np.roll(ramp, 2 * at, axis=1) for at in range(frames))
        video.write(path, moving, Fraction(24))
        names = NAMES[:controls]
        pipeline = worldweave.load(BASE, modalities=names)
        asked: dict[str, Any] = {
            "video": path,
            "controls": dict.fromkeys(names, path),
            "guidance": guidance,
            "steps": steps,
        }
        start = time.perf_counter()
        if count:
            with counter() as counted:
                pipeline.generate(PROMPT, **asked)
            print(json.dumps({"flops": counted.get_total_flops()}))
            return
        made = pipeline.generate(PROMPT, **asked)
        seconds = time.perf_counter() - start
        made.save(Path(folder, "out.mp4"))
    status = Path("/proc/self/status").read_text("utf-8").splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in status if "VmHWM" in line)
    print(json.dumps({"seconds": seconds, "peak": peak}))


def foretell(controls: int, frames: int, guidance: float, steps: int) -> None:
    """Print what is foretold, as JSON; the rate is measured first."""
    import torch

    from worldweave.forecast import forecast, process_bytes
    from worldweave.forecast.measure import measure
    from worldweave.forecast.rates import save_rate
    from worldweave_registry import discover

    process = process_bytes()
    catalog = discover()
    base = catalog.find_base(BASE)
    start = time.perf_counter()
    names = NAMES[:controls]
    told = forecast(
        base,
        {name: catalog.find(name) for name in names},
        size=base.sizes[0],
        frames=frames,
        steps=steps,
        guidance=guidance,
        process=process,
        hook=catalog.hook,
    )
    took = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        rates = Path(folder, "rates.json")
        device = torch.device("cpu")
        measured = measure(base, device, torch.float32, hook=catalog.hook)
        save_rate(measured.rate, rates)
        timed = forecast(
            base,
            {name: catalog.find(name) for name in names},
            size=base.sizes[0],
            frames=frames,
            steps=steps,
            guidance=guidance,
            process=process,
            hook=catalog.hook,
            rates=rates,
        )
    print(
        json.dumps(
            {
                "flops": told.total_flops,
                "peak": told.host_bytes,
                "seconds": timed.seconds,
                "took": took,
                "chunks": told.chunks,
                "bytes": dict(told.bytes),
            }
        )
    )


def child(mode: str, setting: tuple[int, int, float, int]) -> dict[str, Any]:
    """Run this script anew in *mode* and return what it prints."""
    command = [sys.executable, __file__, "--mode", mode, *map(str, setting)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def table() -> list[str]:
    """Return the rows of the table, in Markdown."""
    rows = [
        "| controls, frames, guidance, steps | | FLOPs | peak memory | seconds |",
        "|---|---|---|---|---|",
    ]
    for setting in SETTINGS:
        told = child("foretell", setting)
        took = child("run", setting) | child("count", setting)
        print(setting, told, took, file=sys.stderr, flush=True)
        controls, frames, guidance, steps = setting
        name = f"{controls}, {frames}, {guidance:g}, {steps}"
        for kind, each in (("foretold", told), ("measured", took)):
            rows.append(
                f"| {name} | {kind} | {each['flops'] / 1e9:.1f} G | "
                f"{each['peak'] / 1e6:.0f} MB | {each['seconds']:.2f} |"
            )
            name = ""
        off = [f"{(told[k] / took[k] - 1) * 100:+.1f} %" for k in took_keys()]
        rows.append(f"| | **off by** | {off[0]} | {off[1]} | {off[2]} |")
    return rows


def took_keys() -> tuple[str, ...]:
    """Return what is foretold and measured, in the table's order."""
    return "flops", "peak", "seconds"


def machine() -> str:
    """Return one line on the machine and the versions."""
    from worldweave.forecast.machine import processor_name

    threads = os.environ.get("OMP_NUM_THREADS", "all")
    return (
        f"{processor_name()}, {os.cpu_count()} cores, threads: {threads}; Python "
        f"{platform.python_version()}, torch {version('torch')}, "
        f"numpy {version('numpy')}, av {version('av')}"
    )


def main() -> None:
    """Measure every setting; print the table, or write it into a page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=["run", "count", "foretell"])
    parser.add_argument("--write", type=Path, help="page whose table to replace")
    parser.add_argument("setting", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.mode:
        controls, frames, guidance, steps = options.setting
        asked = (int(controls), int(frames), float(guidance), int(steps))
        if options.mode == "foretell":
            foretell(*asked)
        else:
            run(*asked, count=options.mode == "count")
        return
    text = "\n".join([f"Machine: {machine()}.", "", *table()]) + "\n"
    print(text)
    if options.write:
        page = options.write.read_text("utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        options.write.write_text(before + BEGIN + text + END + after, "utf-8")


if __name__ == "__main__":
    main()
