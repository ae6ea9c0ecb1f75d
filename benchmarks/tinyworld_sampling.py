"""What steps, guidance and precision cost the tiny base, and what they buy.

Every setting generates the same held-out clips from the same noise, with the edge
branch at map 1. Time is processor time of one thread per clip; the reference of
every ratio is the first row.

    python benchmarks/tinyworld_sampling.py --clips 6 --out sampling.json
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import attrs
import numpy as np
import torch
from tinyworld_sweep import distance, fineness

import worldweave
from worldweave.base import HELD_OUT
from worldweave.evaluate.metrics import load_metric
from worldweave.train.branch import control_maker


@attrs.frozen
class Setting:
    """One way to sample."""

    steps: int
    guidance: float
    dtype: str


REFERENCE = Setting(10, 1.0, "float32")
SETTINGS = [
    REFERENCE,
    *(Setting(steps, 1.0, "float32") for steps in (4, 7, 16, 35)),
    *(Setting(10, guidance, "float32") for guidance in (0.0, 0.5, 2.0)),
    Setting(10, 1.0, "bfloat16"),
]


def main() -> None:
    """Print a row for each setting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows: list[dict[str, float | str]] = []
    for dtype in ("float32", "bfloat16"):
        bench = Bench(dtype, options.clips)
        for setting in SETTINGS:
            if setting.dtype != dtype:
                continue
            row = bench.measure(setting)
            rows.append(row)
            print(
                f"{setting.steps:3d} steps  guidance {setting.guidance:.1f}  {dtype:8s}"
                f"  {row['seconds']:5.2f} s  {row['seconds'] / rows[0]['seconds']:.2f}x"
                f"  edge F1 {row['edge_f1']:.3f}  distance {row['distance']:.4f}"
                f"  speckle {row['speckle']:.2f}",
                flush=True,
            )
    if options.out is not None:
        record = {
            "machine": f"{platform.machine()}, {options.threads} thread, torch "
            f"{torch.__version__}",
            "clips": options.clips,
            "rows": rows,
        }
        options.out.write_text(json.dumps(record, indent=2) + "\n")


class Bench:
    """The clips, and a pipeline of one precision."""

    def __init__(self, dtype: str, count: int) -> None:
        self.pipeline = worldweave.load(
            "tiny-world", modalities=["edge"], dtype=getattr(torch, dtype)
        )
        modality = self.pipeline.active["edge"].modality
        self.metric = load_metric(modality)
        make_clips = self.pipeline.base.description.clips.load()
        self.clips = list(make_clips(HELD_OUT + 200_000, count))
        make = control_maker(modality)
        self.controls = [make(clip) for clip in self.clips]

    def measure(self, setting: Setting) -> dict[str, float | str]:
        """Generate every clip and score it."""
        start = time.process_time()
        made = [
            self.pipeline.generate(
                clip.prompt,
                controls={"edge": control},
                maps={"edge": 1.0},
                steps=setting.steps,
                guidance=setting.guidance,
                seed=number,
            ).frames
            for number, (clip, control) in enumerate(
                zip(self.clips, self.controls, strict=True)
            )
        ]
        seconds = (time.process_time() - start) / len(made)
        true = [clip.video for clip in self.clips]
        scores = [self.metric(m, t) for m, t in zip(made, true, strict=True)]
        videos, wanted = np.stack(made), np.stack(true)
        return {
            **attrs.asdict(setting),
            "seconds": seconds,
            "edge_f1": float(np.mean(scores)),
            "distance": distance(videos, wanted),
            "speckle": fineness(videos) / fineness(wanted),
        }


if __name__ == "__main__":
    main()
