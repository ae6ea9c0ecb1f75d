"""Measure how many clips of the tiny world are rendered in a second.

Clips are 64 x 96 pixels and 9 frames. "rgb" is the picture alone, from four rays a
pixel; "labels too" adds one ray a pixel for classes, instances and depth; "clips"
is all that training sees, with every control. On a CPU one thread does the work
and its processor time counts, so that a busy machine does not matter much.

    python benchmarks/render.py [--device cuda] [--batch 256]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch

from worldweave_plugins.tinyworld.clips import clips
from worldweave_plugins.tinyworld.render import render_batch, render_rgb
from worldweave_plugins.tinyworld.sampling import sample
from worldweave_plugins.tinyworld.scene import Scene


def main() -> None:
    """Print clips per second of each kind of work."""
    parser = argparse.ArgumentParser(description="Clips per second.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=64, help="clips a measurement")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    torch.set_num_threads(1)
    scenes = [sample(seed) for seed in range(arguments.batch)]
    for name, work in work_on(scenes, device).items():
        rate = len(scenes) / least_seconds(work, device)
        print(f"{name:<11} {rate:8.1f} clips/s on {device}, {len(scenes)} clips")


def work_on(
    scenes: list[Scene], device: torch.device
) -> dict[str, Callable[[], object]]:
    """Return what is measured, by name."""

    def rgb() -> object:
        return [render_rgb(scene, device=device) for scene in scenes]

    def labels_too() -> object:
        return render_batch(scenes, device=device)

    def whole_clips() -> object:
        return list(clips(0, len(scenes), device=device))

    return {"rgb": rgb, "labels too": labels_too, "clips": whole_clips}


def least_seconds(
    work: Callable[[], object], device: torch.device, *, repeats: int = 3
) -> float:
    """Return the least time of some runs, after one that does not count."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    taken = []
    for _ in range(repeats + 1):
        begun = clock()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(clock() - begun)
    return min(taken[1:])


if __name__ == "__main__":
    main()
