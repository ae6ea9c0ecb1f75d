"""Virtual ranks: how well a block divides over 1 to 64 GPUs, asked of one of them.

One device computes what each of U ranks would (their shares are equal). That it takes
t(U) instead of t(1) / U is lost: kernels fill a GPU less the smaller they are, and the
host launches as many as before. Exchanges cannot be measured on one GPU; a model adds
them. So the result is: compute measured, communication modelled.
"""

# U rank of one exchange, t seconds of a block

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from worldweave_kernels.bench import files, plots, rank_report
from worldweave_kernels.bench.communication import (
    CLUSTERS,
    H200,
    OVERLAP,
    Cluster,
    all_to_all_bytes,
    attention_fill,
    efficiency,
    exposed,
    layer_seconds,
    ring_bytes,
)
from worldweave_kernels.bench.machine import machine
from worldweave_kernels.bench.measure import Stopwatch
from worldweave_kernels.bench.rank_block import SHAPES, BlockShape, RankBlock
from worldweave_kernels.bench.rank_switches import SwitchRow, measure_switches
from worldweave_kernels.bench.rank_times import block_times
from worldweave_kernels.bench.results import Machine, Timing

LABEL = "compute measured, communication modelled"
#: Of the JSON. It rises when a field changes its name or meaning.
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class RankRow:
    """One count of GPUs in one mode: measured, or the reason why not.

    *gpus* are *guidance* groups of *ranks*: beyond one rank per head, conditional and
    unconditional passes are computed by a half each, which exchanges a latent per step
    (14 MB at 7B, not counted). Efficiencies are shares of the ideal t(1) / U.
    """

    gpus: int
    guidance: int
    ranks: int
    mode: str
    time: Timing | None = None
    #: Measured.
    efficiency: float | None = None
    #: The share of a GPU that attention's tiles keep busy, by whole waves: a model.
    fill: float | None = None
    #: Bytes each GPU sends per block; those of a ring of keys and values instead; and
    #: how long the first takes by the model.
    sent: int = 0
    ring: int = 0
    exchange: float | None = None
    #: With the modelled exchanges: all of them waited for, or partly hidden.
    with_exchange: float | None = None
    with_overlap: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class RankResults:
    """The rows, what they were measured on and which links were assumed."""

    machine: Machine
    shape: str
    dtype: str
    cluster: str
    rows: tuple[RankRow, ...]
    #: Those of the plan, where they were asked for.
    switches: tuple[SwitchRow, ...] = ()
    notes: tuple[str, ...] = ()
    label: str = LABEL

    def to_json(self) -> str:
        """Return the results as JSON."""
        whole = {"schema": SCHEMA, **dataclasses.asdict(self)}
        return json.dumps(whole, indent=1, allow_nan=False) + "\n"


def measure_ranks(
    shape: BlockShape,
    gpus: Sequence[int],
    *,
    device: str,
    dtype: torch.dtype,
    cluster: Cluster = H200,
    seconds: float = 2.0,
    repeats: int | None = None,
    say: Callable[[RankRow], None] = lambda row: None,
) -> list[RankRow]:
    """Measure a block for each count of *gpus*, eager and (on CUDA) as a graph.

    One GPU is measured in any case: it is what the others are compared with. What
    fails, for want of memory perhaps, becomes a row that says why. *seconds* and
    *repeats* are those of `in_turn`; *say* gets each row as soon as it is there.
    """
    layouts = {each: layout(each, shape.heads) for each in sorted({1, *gpus})}
    for _, ranks in layouts.values():
        shape.refuse_ranks(ranks)
    # The host's own launches are what eager and graph differ in.
    stopwatch = Stopwatch(device, host_ahead=False)
    taken: dict[int, dict[str, Timing | str]] = {}
    rows = []
    for count, (guidance, ranks) in layouts.items():
        if ranks not in taken:
            make = functools.partial(
                RankBlock, shape, ranks, device=stopwatch.device, dtype=dtype
            )
            times = block_times(
                {"block": make}, stopwatch, seconds=seconds, repeats=repeats
            )
            taken[ranks] = {mode: each for (_, mode), each in times.items()}
        for mode, timed in taken[ranks].items():
            row = RankRow(
                gpus=count,
                guidance=guidance,
                ranks=ranks,
                mode=mode,
                fill=attention_fill(shape.tokens, shape.heads // ranks, cluster),
                sent=all_to_all_bytes(shape.tokens, shape.hidden, ranks),
                ring=ring_bytes(shape.tokens, shape.hidden, ranks),
            )
            rows.append(_judged(row, timed, taken[1][mode], shape, cluster))
            say(rows[-1])
    return rows


def layout(gpus: int, heads: int) -> tuple[int, int]:
    """Return guidance groups and ranks per exchange: a rank needs a head.

    Raise ValueError for more than two GPUs per head, or where heads do not divide.
    """
    ranks = min(gpus, heads)
    if gpus < 1 or heads % ranks or gpus not in (ranks, 2 * ranks):
        raise ValueError(
            f"{gpus} GPUs cannot share {heads} heads; give divisors of it, or "
            f"{2 * heads} for two groups, one per half of the guidance"
        )
    return gpus // ranks, ranks


def _judged(
    row: RankRow,
    timed: Timing | str,
    alone: Timing | str,
    shape: BlockShape,
    cluster: Cluster,
) -> RankRow:
    """Give *row* its time and its efficiencies, as far as they can be told."""
    if isinstance(timed, str):
        return dataclasses.replace(row, note=timed)
    row = dataclasses.replace(row, time=timed)
    if isinstance(alone, str):
        return dataclasses.replace(row, note=f"one GPU was not measured: {alone}")
    row = dataclasses.replace(
        row, efficiency=efficiency(alone.median, timed.median, row.ranks)
    )
    try:
        exchange = layer_seconds(shape.tokens, shape.hidden, row.ranks, cluster)
    except ValueError as error:
        return dataclasses.replace(row, note=str(error))
    waited, hidden = (
        efficiency(alone.median, timed.median + exposed(exchange, overlap), row.ranks)
        for overlap in (0.0, OVERLAP.value)
    )
    return dataclasses.replace(
        row, exchange=exchange, with_exchange=waited, with_overlap=hidden
    )


def main(
    arguments: Sequence[str] | None = None,
    *,
    prog: str = "python -m worldweave_kernels.bench",
) -> int:
    """Measure virtual ranks, print a table, write what was asked for.

    *prog* is how the help calls the command. Return the exit status: 1 where
    something could not be measured.
    """
    parser = _parser(prog)
    options = parser.parse_args(arguments)
    try:
        return _measured(options)
    except (ValueError, OSError) as error:
        parser.exit(2, f"worldweave_kernels.bench: {error}\n")


def _parser(prog: str) -> argparse.ArgumentParser:
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    add = parser.add_argument
    add(
        "--ranks",
        default="1,2,4,8,16,32,64" if cuda else "1,2,4,8",
        help="numbers of GPUs: up to one per head, or twice that, a half of which "
        "computes each half of the guidance [default: %(default)s]",
    )
    add(
        "--shapes", choices=tuple(SHAPES), default="cosmos-7b" if cuda else "tiny",
        help="[default: %(default)s]",
    )  # fmt: skip
    add("--device", default="cuda" if cuda else "cpu", help="[default: %(default)s]")
    add(
        "--dtype", choices=("float32", "bfloat16", "float16"),
        default="bfloat16" if cuda else "float32", help="[default: %(default)s]",
    )  # fmt: skip
    add(
        "--links", choices=tuple(CLUSTERS), default=H200.name,
        help="whose links the model assumes [default: %(default)s]",
    )  # fmt: skip
    add(
        "--time", type=float, default=2.0 if cuda else 0.2,
        help="seconds for each count and mode [default: %(default)s]",
    )  # fmt: skip
    add(
        "--switches", action="store_true",
        help="measure what a plan can switch, too: chunks, early values, a shared "
        "exchange, keys in one share, CUDA graphs",
    )  # fmt: skip
    add("--repeats", type=int, help="calls of each, instead of --time")
    add("--json", type=Path, help="file to write the results to")
    add("--plots", type=Path, help="folder to draw PNG and SVG into; needs matplotlib")
    add("--csv", help=argparse.SUPPRESS)
    return parser


def _measured(options: argparse.Namespace) -> int:
    if options.device != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"there is no {options.device!r} here; give --device cpu")
    if options.repeats is not None and options.repeats < 1:
        raise ValueError(f"--repeats is {options.repeats}; give 1 or more")
    _refuse_targets(options)
    cluster = CLUSTERS[options.links]
    shape, counts = SHAPES[options.shapes], _counts(options.ranks)
    given: dict[str, Any] = {
        "device": options.device,
        "dtype": getattr(torch, options.dtype),
        "cluster": cluster,
        "seconds": options.time,
        "repeats": options.repeats,
    }
    rows = measure_ranks(
        shape, counts, say=lambda row: _say(rank_report.line(row)), **given
    )
    switches: list[SwitchRow] = []
    if options.switches:
        switches = measure_switches(
            shape,
            [row.ranks for row in rows],
            say=lambda row: _say(rank_report.switch_line(row)),
            **given,
        )
    results = RankResults(
        machine=machine(options.device),
        shape=options.shapes,
        dtype=options.dtype,
        cluster=cluster.name,
        rows=tuple(rows),
        switches=tuple(switches),
        notes=rank_report.notes(options.device, cluster),
    )
    print(f"\n{rank_report.table(results)}", end="")
    if options.json is not None:
        options.json.write_text(results.to_json(), "utf-8")
        print(f"written to {options.json}")
    if options.plots is not None:
        for path in rank_report.draw(results, options.plots):
            print(f"drawn: {path}")
    known = [row.time is not None for row in rows]
    known += [row.time is not None for row in switches]
    return 0 if all(known) else 1


def _say(line: str) -> None:
    print(line, flush=True)


def _refuse_targets(options: argparse.Namespace) -> None:
    """Raise ValueError, before anything is measured, where it could not be kept."""
    if options.csv is not None:
        raise ValueError(
            "--csv is of single operations, ranks have other columns; give --json"
        )
    if options.json is not None:
        files.refuse_unwritable(options.json)
    if options.plots is not None:
        plots.require_matplotlib()
        options.plots.mkdir(parents=True, exist_ok=True)


def _counts(asked: str) -> list[int]:
    counts = asked.split(",")
    if not all(each.strip().isdecimal() for each in counts):
        raise ValueError(f"--ranks is {asked!r}; give numbers such as 1,2,4,8")
    return [int(each) for each in counts]


if __name__ == "__main__":
    sys.exit(main())
