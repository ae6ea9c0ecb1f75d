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
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from worldweave_kernels.agreement import TOLERANCE, relative_error
from worldweave_kernels.bench import rank_report
from worldweave_kernels.bench.communication import (
    CLUSTERS,
    H200,
    OVERLAP,
    Cluster,
    all_to_all_bytes,
    efficiency,
    exposed,
    layer_seconds,
)
from worldweave_kernels.bench.machine import machine
from worldweave_kernels.bench.measure import Call, Stopwatch, in_turn
from worldweave_kernels.bench.rank_block import SHAPES, BlockShape, RankBlock, graphed
from worldweave_kernels.bench.rank_rows import RankResults, RankRow, layout
from worldweave_kernels.bench.results import Timing

#: Blocks timed in one go: in a forward the host launches ahead of the GPU, too.
IN_A_ROW = 4


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
    stopwatch = Stopwatch(device)
    taken: dict[int, dict[str, Timing | str]] = {}
    rows = []
    for count, (guidance, ranks) in layouts.items():
        if ranks not in taken:
            taken[ranks] = _timed(shape, ranks, stopwatch, dtype, seconds, repeats)
        for mode, timed in taken[ranks].items():
            row = RankRow(
                gpus=count,
                guidance=guidance,
                ranks=ranks,
                mode=mode,
                sent=all_to_all_bytes(shape.tokens, shape.hidden, ranks),
            )
            rows.append(_judged(row, timed, taken[1][mode], shape, cluster))
            say(rows[-1])
    return rows


def _timed(
    shape: BlockShape,
    ranks: int,
    stopwatch: Stopwatch,
    dtype: torch.dtype,
    seconds: float,
    repeats: int | None,
) -> dict[str, Timing | str]:
    """Return the time of a block in each mode, or why there is none."""
    on_gpu = stopwatch.device.type == "cuda"
    found: dict[str, Timing | str] = {}
    calls: dict[str, Call] = {}
    for mode in ("eager", "graph") if on_gpu else ("eager",):
        try:
            block = RankBlock(shape, ranks, device=stopwatch.device, dtype=dtype)
            block()
            calls[mode] = _call(block, mode)
            found[mode] = "it was not timed"
        except Exception as error:
            # Whatever it was, a compiler's complaint or memory: the others go on.
            found[mode] = _said(error)
    try:
        times = in_turn(calls, stopwatch, seconds=seconds, repeats=repeats)
    except Exception as error:
        return {mode: _said(error) if mode in calls else found[mode] for mode in found}
    return {**found, **{mode: _one_block(times[mode]) for mode in calls}}


def _call(block: RankBlock, mode: str) -> Call:
    """Return what runs a few blocks. Refuse a graph that computes otherwise."""

    def few() -> torch.Tensor:
        for _ in range(IN_A_ROW - 1):
            block()
        return block()

    if mode == "eager":
        return Call(lambda _: few())
    replay, out = graphed(few)
    replay()
    error = relative_error(out, block())
    if not error <= TOLERANCE[out.dtype]:
        raise RuntimeError(f"the graph is {error:.1e} off what it was recorded from")
    return Call(lambda _: replay())


def _one_block(few: Timing) -> Timing:
    return Timing(
        median=few.median / IN_A_ROW,
        low=few.low / IN_A_ROW,
        high=few.high / IN_A_ROW,
        repeats=few.repeats,
    )


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


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0][:200]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure virtual ranks, print a table, write what was asked for.

    Return the exit status: 1 where something could not be measured.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return _measured(options)
    except (ValueError, OSError) as error:
        parser.exit(2, f"worldweave_kernels.bench: {error}\n")


def _parser() -> argparse.ArgumentParser:
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(
        prog="python -m worldweave_kernels.bench --ranks", description=__doc__
    )
    add = parser.add_argument
    add(
        "--ranks",
        default="1,2,4,8,16,32,64" if cuda else "1,2,4,8",
        help="numbers of GPUs: up to one per head, or twice that, a half of which "
        "computes each half of the guidance [default: %(default)s]",
    )
    add(
        "--shapes",
        choices=tuple(SHAPES),
        default="cosmos-7b" if cuda else "tiny",
        help="[default: %(default)s]",
    )
    add("--device", default="cuda" if cuda else "cpu", help="[default: %(default)s]")
    add(
        "--dtype",
        choices=("float32", "bfloat16", "float16"),
        default="bfloat16" if cuda else "float32",
    )
    add(
        "--links",
        choices=tuple(CLUSTERS),
        default=H200.name,
        help="whose links the model assumes [default: %(default)s]",
    )
    add(
        "--time",
        type=float,
        default=2.0 if cuda else 0.2,
        help="seconds for each count and mode [default: %(default)s]",
    )
    add("--repeats", type=int, help="calls of each, instead of --time")
    add("--json", type=Path, help="file to write the results to")
    add("--plots", type=Path, help="folder to draw PNG and SVG into; needs matplotlib")
    return parser


def _measured(options: argparse.Namespace) -> int:
    if options.device != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"there is no {options.device!r} here; give --device cpu")
    if options.repeats is not None and options.repeats < 1:
        raise ValueError(f"--repeats is {options.repeats}; give 1 or more")
    cluster = CLUSTERS[options.links]
    rows = measure_ranks(
        SHAPES[options.shapes],
        _counts(options.ranks),
        device=options.device,
        dtype=getattr(torch, options.dtype),
        cluster=cluster,
        seconds=options.time,
        repeats=options.repeats,
    )
    results = RankResults(
        machine=machine(options.device),
        shape=options.shapes,
        dtype=options.dtype,
        cluster=cluster.name,
        rows=tuple(rows),
        notes=rank_report.notes(options.device, cluster),
    )
    print(rank_report.table(results), end="")
    if options.json is not None:
        options.json.write_text(results.to_json(), "utf-8")
        print(f"written to {options.json}")
    if options.plots is not None:
        for path in rank_report.draw(results, options.plots):
            print(f"drawn: {path}")
    return 0 if all(row.time is not None for row in rows) else 1


def _counts(asked: str) -> list[int]:
    counts = asked.split(",")
    if not all(each.strip().isdecimal() for each in counts):
        raise ValueError(f"--ranks is {asked!r}; give numbers such as 1,2,4,8")
    return [int(each) for each in counts]


if __name__ == "__main__":
    sys.exit(main())
