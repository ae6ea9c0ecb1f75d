"""How a request scales over GPUs, on paper: two designs and the paper, side by side.

Nothing is computed here but a model, and its figures say what they stand on: measured
on one GPU (--measured), published, assumed, or fitted to the paper's own table. Such
models promise more than runs keep: read the speed-ups as ceilings.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from worldweave_kernels.bench import files, plots, scaling_plot, scaling_report
from worldweave_kernels.bench.communication import OVER_PREDICTION
from worldweave_kernels.bench.scaling_figures import GPUS, PAPER_WORK, Work, told
from worldweave_kernels.bench.scaling_measured import read
from worldweave_kernels.bench.scaling_study import Line, Scaling, scale

COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)
#: Beyond so many the model says nothing that anyone could check.
MOST = 4096
#: Of the JSON. It rises when a field changes its name or meaning.
SCHEMA = 1


def to_plain(found: Sequence[Scaling]) -> dict[str, Any]:
    """Return everything as JSON can hold it."""
    return {"schema": SCHEMA, "clusters": [_plain(each) for each in found]}


def _plain(one: Scaling) -> dict[str, Any]:
    setting = one.setting
    figures = [*told(setting.gpu), *told(setting.figures)]
    return {
        "cluster": one.name,
        "work": dataclasses.asdict(setting.work),
        "figures": {name: dataclasses.asdict(figure) for name, figure in figures},
        "fit": [
            row.paper._asdict()
            | {"modelled_diffusion": row.diffusion, "modelled_whole": row.whole}
            for row in setting.fit.residuals
        ],
        "rows": [
            _row(line) | {"design": design}
            for design, rows in one.lines.items()
            for line in rows
        ],
        "aims": scaling_report.aims(one),
        "sensitivity": [case._asdict() for case in one.sensitivity],
        "ablation": [step._asdict() for step in one.ablation],
        "over_prediction": list(OVER_PREDICTION),
    }


def _row(line: Line) -> dict[str, Any]:
    spent = line.told.network
    return {
        "gpus": line.gpus,
        "plan": dataclasses.asdict(line.told.plan),
        "compute": spent.compute,
        "imbalance": spent.imbalance,
        "exchange": spent.exchange,
        "exchange_exposed": spent.exposed,
        "launches": spent.launches,
        "serial": line.told.serial._asdict(),
        "diffusion": line.told.diffusion,
        "whole": line.told.whole,
        "speedup": line.speedup,
        "whole_speedup": line.whole_speedup,
        "efficiency": line.kept,
        "label": line.label,
    }


def main(
    arguments: Sequence[str] | None = None,
    *,
    prog: str = "python -m worldweave_kernels.bench.scaling",
) -> int:
    """Print the model, write and draw what was asked for; return the exit status."""
    parser = _parser(prog)
    options = parser.parse_args(arguments)
    try:
        return _told(options)
    except (ValueError, OSError) as error:
        parser.exit(2, f"worldweave_kernels.bench: {error}\n")


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=prog, description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    add = parser.add_argument
    add(
        "--gpus", default=",".join(map(str, COUNTS)), metavar="COUNTS",
        help="numbers of GPUs [default: %(default)s]",
    )  # fmt: skip
    add(
        "--cluster", choices=(*GPUS, "both"), default="both",
        help="nodes of 8 H200, GB200 NVL72, or both [default: %(default)s]",
    )  # fmt: skip
    add(
        "--branches", type=int, default=PAPER_WORK.branches,
        help="control branches, which run at every step [default: %(default)s]",
    )  # fmt: skip
    add(
        "--steps", type=int, default=PAPER_WORK.steps,
        help="of the sampler [default: %(default)s]",
    )  # fmt: skip
    add(
        "--measured", type=Path, metavar="FILE",
        help="JSON of worldweave bench kernels, or of it with --ranks, from one GPU: "
        "its rates, or its blocks, take the place of what is assumed",
    )  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="file to write everything to")
    add(
        "--plots", type=Path, metavar="FOLDER",
        help="folder to draw scaling.png and scaling.svg into; needs matplotlib",
    )  # fmt: skip
    return parser


def _told(options: argparse.Namespace) -> int:
    counts = _counts(options.gpus)
    for name, least in (("branches", 0), ("steps", 1)):
        count = getattr(options, name)
        if count < least:
            raise ValueError(f"--{name} is {count}; give {least} or more")
    work = Work(branches=options.branches, steps=options.steps)
    if options.json is not None:
        files.refuse_unwritable(options.json)
    if options.plots is not None:
        plots.require_matplotlib()
        files.refuse_unwritable_folder(options.plots)
    measured = None if options.measured is None else read(options.measured)
    names = tuple(GPUS) if options.cluster == "both" else (options.cluster,)
    if measured is not None and measured.cluster not in names:
        raise ValueError(
            f"{options.measured} is of {measured.cluster}, which --cluster "
            f"{options.cluster} leaves out; give --cluster {measured.cluster}"
        )
    found = [scale(name, counts, work, measured) for name in names]
    print(scaling_report.report(found), end="")
    if options.json is not None:
        text = json.dumps(to_plain(found), indent=1, allow_nan=False)
        options.json.write_text(f"{text}\n", "utf-8")
        print(f"written to {options.json}")
    if options.plots is not None:
        for path in scaling_plot.draw(found, options.plots):
            print(f"drawn: {path}")
    return 0


def _counts(asked: str) -> list[int]:
    counts = [each.strip() for each in asked.split(",")]
    if not all(each.isdecimal() and int(each) for each in counts):
        raise ValueError(f"--gpus is {asked!r}; give numbers such as 1,2,4,8")
    if max(map(int, counts)) > MOST:
        raise ValueError(f"--gpus is {asked!r}; the model ends at {MOST}")
    return sorted({int(each) for each in counts})


if __name__ == "__main__":
    sys.exit(main())
