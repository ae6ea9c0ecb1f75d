"""Measure what plugins cost: to list, to switch on, to check, to train from files."""

# Run: python benchmarks/plugins.py [--rounds 9]
# Every figure is a median; the ways are taken in turn, so that a busy moment of the
# machine meets all of them.

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

DESCRIBE = """
import worldweave


@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="{name}", summary="One of many", license="MIT", preprocessor="a.b:C"
        )
    ]
"""
LIST = [sys.executable, "-m", "worldweave", "plugins"]


def site(folder: Path, count: int, *, heavy: bool = False) -> Path:
    """Install *count* plugins in *folder*, as pip does; one may import torch."""
    for number in range(count):
        name = f"bench_{number}"
        first = "import torch\n" if heavy and number == 0 else ""
        (folder / f"{name}.py").write_text(first + DESCRIBE.format(name=name))
        info = folder / f"{name}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n"
        )
        (info / "entry_points.txt").write_text(f"[worldweave.v1]\n{name} = {name}\n")
    return folder


def seconds(command: list[str], path: Path | None) -> float:
    """Return how long *command* takes with the plugins of *path*."""
    environ = {**os.environ, "PYTHONPATH": "" if path is None else str(path)}
    begun = time.perf_counter()
    subprocess.run(command, env=environ, check=True, capture_output=True)
    return time.perf_counter() - begun


def listing(rounds: int) -> dict[str, float]:
    """Return the median seconds of a listing with ever more plugins."""
    with tempfile.TemporaryDirectory() as room:
        folders = {n: Path(room, n) for n in ("ten", "hundred", "heavy")}
        for folder in folders.values():
            folder.mkdir()
        ways: dict[str, tuple[list[str], Path | None]] = {
            "python alone": ([sys.executable, "-c", "pass"], None),
            "the plugins that ship": (LIST, None),
            "and 10 more": (LIST, site(folders["ten"], 10)),
            "and 100 more": (LIST, site(folders["hundred"], 100)),
            "and 1 that imports torch": (LIST, site(folders["heavy"], 1, heavy=True)),
        }
        for command, path in ways.values():  # once for the files' caches
            seconds(command, path)
        spent: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (command, path) in ways.items():
                spent[name].append(seconds(command, path))
    return {name: statistics.median(each) for name, each in spent.items()}


def switching(rounds: int) -> dict[str, float]:
    """Return the median seconds of loading a pipeline, and of changing a live one."""
    import worldweave

    spent: dict[str, list[float]] = {"load": [], "enable": [], "disable": []}

    def clock(what: str, action: Callable[[], object]) -> None:
        begun = time.perf_counter()
        action()
        spent[what].append(time.perf_counter() - begun)

    live = worldweave.load("tiny-world", modalities=["edge"])
    for _ in range(rounds):
        clock("load", lambda: worldweave.load("tiny-world", modalities=["edge", "seg"]))
        clock("enable", lambda: live.enable("seg"))
        clock("disable", lambda: live.disable("seg"))
    return {name: statistics.median(each) for name, each in spent.items()}


def checking(rounds: int) -> dict[str, float]:
    """Return the median seconds of `worldweave check`, with and without starting."""
    from worldweave.testing import CHECKS, Examination, Subject

    command = [sys.executable, "-m", "worldweave", "check", "edge"]
    spent: dict[str, list[float]] = {
        "worldweave check edge": [],
        "its checks alone": [],
    }
    list(Examination(Subject.find("edge"), CHECKS).verdicts())  # reads the base
    for _ in range(rounds):
        spent["worldweave check edge"].append(seconds(command, None))
        begun = time.perf_counter()
        list(Examination(Subject.find("edge"), CHECKS).verdicts())
        spent["its checks alone"].append(time.perf_counter() - begun)
    return {name: statistics.median(each) for name, each in spent.items()}


def windows(rounds: int) -> dict[str, float]:
    """Return the median seconds of reading 9 frames from anywhere in a video."""
    import numpy as np

    from worldweave.io import video
    from worldweave.io.windows import Film

    spent: dict[str, float] = {}
    dice = np.random.default_rng(0)
    for height, width in ((96, 144), (720, 1280)):
        with tempfile.TemporaryDirectory() as room:
            path = Path(room, "film.mp4")
            still = dice.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
            large = still.repeat(8, 0).repeat(8, 1)
            frames = np.stack([np.roll(large, 2 * at, 1) for at in range(240)])
            video.write(path, frames, Fraction(24))
            film = Film.open(path)
            each = []
            for _ in range(4 * rounds):
                start = int(dice.integers(0, film.frames - 9))
                begun = time.perf_counter()
                film.read(start, 9)
                each.append(time.perf_counter() - begun)
            spent[f"9 frames of {width}x{height}"] = statistics.median(each)
    return spent


def main() -> None:
    """Print both tables, ratios beside the seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, median of {rounds}\n"
    )
    listed = listing(rounds)
    print("| `worldweave plugins` with | s | ratio |\n|---|---|---|")
    for name, each in listed.items():
        ratio = each / listed["the plugins that ship"]
        print(f"| {name} | {each:.3f} | {ratio:.2f} |")
    switched = switching(rounds)
    print("\n| tiny-world with edge, then seg | s | ratio |\n|---|---|---|")
    for name, each in switched.items():
        print(f"| {name} | {each:.3f} | {each / switched['load']:.2f} |")
    print("\n| checking | s |\n|---|---|")
    for name, each in checking(max(1, rounds // 3)).items():
        print(f"| {name} | {each:.2f} |")
    print("\n| a window anywhere in a video of 240 frames | ms |\n|---|---|")
    for name, each in windows(rounds).items():
        print(f"| {name} | {1000 * each:.1f} |")


if __name__ == "__main__":
    main()
