"""python -m worldweave_kernels.bench: how fast the operations are on this machine."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import torch

from worldweave_kernels.bench import compare, files, measure, plots, ranks, table
from worldweave_kernels.bench.machine import machine
from worldweave_kernels.bench.ops import FIXED_MAPS, MODES, OPS, Case
from worldweave_kernels.bench.providers import KINDS, refuse_unknown
from worldweave_kernels.bench.results import Ceiling, Machine, Results, from_json
from worldweave_kernels.bench.runner import cases, cost, run
from worldweave_kernels.bench.shapes import PRESETS

DTYPES = ("float32", "bfloat16", "float16", "float64")
#: Seconds a benchmark may take by estimate before it has to be asked for twice.
PATIENCE = 1800.0


def main(
    arguments: Sequence[str] | None = None,
    *,
    prog: str = "python -m worldweave_kernels.bench",
) -> int:
    """Measure, print a table, write what was asked for; return the exit status.

    *prog* is how the help calls the command.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if any(each.partition("=")[0] == "--ranks" for each in given):
        return ranks.main(given, prog=prog)
    parser = _parser(prog)
    options = parser.parse_args(given)
    try:
        if options.draw is not None:
            return _drawn(options)
        if options.base is not None:
            return _compared(options, given)
        return _measured(options)
    except (ValueError, OSError) as error:
        parser.exit(2, f"worldweave_kernels.bench: {error}\n")


def _parser(prog: str) -> argparse.ArgumentParser:
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(
        prog=prog,
        description="How fast the operations are on this machine.",
        epilog="With --ranks 1,2,4, how a block divides over several GPUs instead; "
        "--ranks 1 --help tells the options of that.",
    )
    add = parser.add_argument
    add("--op", default="all", help=f"all, or some of {','.join(OPS)}")
    add(
        "--shapes",
        default="cosmos-7b" if cuda else "tiny",
        help=f"{', '.join(PRESETS)}; axes such as L=4096,D=1024,H=8,N=4, where those "
        "left out come from tiny; or a preset with other axes: cosmos-7b,N=4 "
        "[default: %(default)s]",
    )
    add(
        "--mode",
        default="forward,backward",
        help=f"some of {','.join((*MODES, FIXED_MAPS))}; the last is of weighted_add, "
        "without gradients of its maps, and comes with backward [default: %(default)s]",
    )
    add("--dtype", choices=DTYPES, default="bfloat16" if cuda else "float32")
    add("--device", default="cuda" if cuda else "cpu", help="[default: %(default)s]")
    add(
        "--provider",
        default="",
        help=f"only these: {','.join(KINDS)}, or a library by name [default: all]",
    )
    add(
        "--time",
        type=float,
        default=2.0 if cuda else 0.5,
        help="seconds for each provider of a case [default: %(default)s]",
    )
    add("--repeats", type=int, help="calls of each provider, instead of --time")
    add("--json", help="file to write the results to")
    add("--csv", help="file to add the results to, a line for each row")
    add("--plots", help="folder to draw PNG and SVG into; needs matplotlib")
    add("--draw", metavar="JSON", help="measure nothing; draw this file into --plots")
    add("--base", metavar="REV", help="compare with this commit of git instead")
    add(
        "--rounds", type=int, default=compare.ROUNDS,
        help="with --base: runs of each side; with less than "
        f"{compare.FEWEST} there is no verdict [default: %(default)s]",
    )  # fmt: skip
    add("--force", action="store_true", help="start even what will take very long")
    return parser


def _measured(options: argparse.Namespace) -> int:
    found = _cases(options)
    only = _names(options, found)
    _refuse_unwritable(options)
    ceilings = _ceilings(found)
    _refuse_endless(found, ceilings, options)
    where = machine(options.device)
    print(table.header(where, ceilings), flush=True)
    results = run(
        found,
        only=only,
        seconds=options.time,
        repeats=options.repeats,
        ceilings=ceilings,
        notes=_notes(where),
        say=lambda rows: print(f"\n{table.group(rows)}", flush=True),
    )
    print(f"\n{table.missing(results)}")
    _write(options, results)
    # Others may be wrong; that what we ship is must not go unnoticed in a script.
    ours = [
        row
        for row in results.rows
        if row.kind == "auto"
        or (row.kind in ("triton", "ours") and row.time is not None)
    ]
    return 0 if all(row.holds for row in ours) else 1


def _drawn(options: argparse.Namespace) -> int:
    """Draw what an earlier run wrote."""
    if options.plots is None:
        raise ValueError("--draw needs --plots, the folder to draw into")
    for name in ("json", "csv", "base"):
        if getattr(options, name) is not None:
            raise ValueError(f"--{name} measures, --draw does not; give one of them")
    results = from_json(Path(options.draw).read_text("utf-8"))
    drawn = plots.draw(results, options.plots)
    for path in drawn:
        print(f"drawn: {path}")
    if not drawn:
        raise ValueError(f"{options.draw} has no row that was measured")
    return 0


def _compared(options: argparse.Namespace, given: Sequence[str]) -> int:
    """Compare with another commit, by default in what this package computes."""
    for name in ("json", "csv", "plots"):
        if getattr(options, name) is not None:
            raise ValueError(f"--{name} goes with a measurement, not with --base")
    _names(options, _cases(options))
    base = compare.find_base(options.base)
    passed = _without(given, "--base", "--rounds")
    if not options.provider:
        passed += ["--provider", "auto,triton"]
    where = machine(options.device)
    header = [table.header(where, ()), f"base {options.base}: commit {base.short}"]
    header += [textwrap.fill(note, table.WIDTH) for note in _notes(where)]
    print("\n".join(header), flush=True)
    changes = compare.compare(
        options.base, passed, rounds=options.rounds, say=lambda line: print(line)
    )
    if not changes:
        raise ValueError("nothing was measured on either side; ask for others")
    print(f"\n{compare.report(changes, base.short)}")
    return 1 if any(each.is_worse for each in changes) else 0


def _cases(options: argparse.Namespace) -> list[Case]:
    if options.device != "cpu" and not torch.cuda.is_available():
        raise ValueError(f"there is no {options.device!r} here; give --device cpu")
    if options.repeats is not None and options.repeats < 1:
        raise ValueError(f"--repeats is {options.repeats}; give 1 or more")
    if not options.time >= 0:
        raise ValueError(f"--time is {options.time:g}; give seconds, 0 or more")
    if options.rounds < 1:
        raise ValueError(f"--rounds is {options.rounds}; give 1 or more")
    ops = list(OPS) if options.op == "all" else options.op.split(",")
    found = cases(
        ops=ops,
        asked=options.shapes,
        modes=options.mode.split(","),
        dtype=getattr(torch, options.dtype),
        device=options.device,
    )
    if not found:
        raise ValueError(f"{options.op} has no {options.mode}; ask for forward")
    return found


def _names(options: argparse.Namespace, found: Sequence[Case]) -> list[str]:
    names = [each for each in options.provider.split(",") if each]
    refuse_unknown(names, dict.fromkeys(case.op for case in found))
    return names


def _refuse_unwritable(options: argparse.Namespace) -> None:
    if options.plots is not None:
        plots.require_matplotlib()
        files.refuse_unwritable_folder(options.plots)
    for path in filter(None, (options.json, options.csv)):
        files.refuse_unwritable(path)
    if options.csv is not None:
        files.refuse_other_columns(options.csv)


def _ceilings(found: Sequence[Case]) -> list[Ceiling]:
    return [
        measure.ceiling(device, dtype)
        for device, dtype in dict.fromkeys((c.device, c.dtype) for c in found)
    ]


def _refuse_endless(
    found: Sequence[Case], ceilings: Sequence[Ceiling], options: argparse.Namespace
) -> None:
    seconds, memory = cost(found, ceilings, options.repeats)
    if seconds <= PATIENCE or options.force:
        return
    raise ValueError(
        f"{options.shapes} on {options.device} would take {seconds / 3600:.0f} hours "
        f"or more and about {memory / 1e9:.0f} GB; measure on a GPU, or with "
        "--shapes tiny, or fewer by --op, or insist with --force"
    )


def _notes(where: Machine) -> tuple[str, ...]:
    if where.device != "cpu":
        return ()
    notes = [
        "Not measured: any GPU. This run used the CPU, so it says nothing about the "
        "shapes, the kernels and the libraries that the operations are for."
    ]
    if where.load is not None and where.load > 0.5:
        notes.append(
            f"The load was {where.load:.1f} before the run: other work ran beside it, "
            "and only what all ranges agree on means anything."
            + " OMP_NUM_THREADS=1 would disturb less."
            * (where.threads > 1)
        )
    return tuple(notes)


def _write(options: argparse.Namespace, results: Results) -> None:
    if options.json is not None:
        files.write_json(options.json, results)
        print(f"written to {options.json}")
    if options.csv is not None:
        files.append_csv(options.csv, results)
        print(f"added to {options.csv}")
    if options.plots is not None:
        for path in plots.draw(results, options.plots):
            print(f"drawn: {path}")


def _without(given: Sequence[str], *options: str) -> list[str]:
    """Return *given* without these options and their values."""
    kept: list[str] = []
    skip = False
    for each in given:
        if skip:
            skip = False
        elif each in options:
            skip = True
        elif not each.startswith(tuple(f"{option}=" for option in options)):
            kept.append(each)
    return kept


if __name__ == "__main__":
    sys.exit(main())
