"""Show an outlook as tables in a terminal."""

from __future__ import annotations

import io
import shutil
import sys
from typing import TextIO

from rich.console import Console
from rich.table import Table

from worldweave.generate.outlook import Outlook, in_one_row
from worldweave.generate.shares import Share
from worldweave.io.files import readable_size
from worldweave.request.maps.schedule import told

#: Columns where the output is no terminal: nothing is cut or wrapped.
WIDE = 160
MOST_ROWS = 40


def show(found: Outlook) -> None:
    """Print what will happen, what runs, what is read, what it takes."""
    if sys.stdout.isatty():
        width = max(shutil.get_terminal_size().columns, 80)
        _print(_console(width, sys.stdout), found)
        return
    page = io.StringIO()
    _print(_console(WIDE, page), found)
    print("\n".join(line.rstrip() for line in page.getvalue().splitlines()))


def _console(width: int, file: TextIO) -> Console:
    """Return a console that shows names as they are: "[b]" and ":car:" mean nothing."""
    return Console(width=width, file=file, highlight=False, markup=False, emoji=False)


def _print(console: Console, found: Outlook) -> None:
    console.print(_heading(found))
    if found.looked.prepared:
        _shares(console, found)
    for verdict in found.verdicts:
        called = "foreground" if verdict.is_foreground else "background"
        console.print(f"  {verdict.name} is {called}: {verdict.reason}")
    _branches(console, found)
    _files(console, found)
    _cost(console, found)


def _heading(found: Outlook) -> str:
    looked, cost = found.looked, found.forecast
    footage, overlap = looked.footage, looked.request.overlap
    height, width = footage.size
    told_size = f"{width}x{height}"
    if footage.seen_size != footage.size:
        told_size += f" (the source is {footage.seen_size[1]}x{footage.seen_size[0]})"
    chunks = f"{cost.chunks} chunk{'s' if cost.chunks > 1 else ''} of "
    chunks += f"{looked.base.chunk_frames} frames"
    if cost.chunks > 1:
        chunks += f" that share {overlap}"
    if cost.padded:
        chunks += f", {cost.padded} frames padded at the end"
    return (
        f"{looked.base.name} on {found.device}: {footage.frames} frames of "
        f"{told_size}, {float(footage.fps):g} fps; {chunks}"
    )


def _table(*columns: str, numbers: int = 0) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for at, column in enumerate(columns):
        is_number = at >= len(columns) - numbers
        table.add_column(column, justify="right" if is_number else "left")
    return table


def _shares(console: Console, found: Outlook) -> None:
    names = list(found.looked.prepared)
    console.print("\nmean effective value (normalised), by chunk and region")
    table = _table(
        "chunk", "region", "part", *names, "prompt alone", numbers=len(names) + 2
    )
    rows = in_one_row(found.shares)
    for chunks, region, share in rows[:MOST_ROWS]:
        table.add_row(chunks, region, f"{share.pixels:.0%}", *_values(share, names))
    console.print(table)
    if len(rows) > MOST_ROWS:
        console.print(f"  and {len(rows) - MOST_ROWS} rows more; --json has all")
    if found.looked.pending or found.looked.learned:
        console.print(
            "  ? a model has to look first; what it gives may take from the others"
        )


def _values(share: Share, names: list[str]) -> list[str]:
    if not share.pixels:
        return ["" for _ in [*names, ""]]
    shown = ["?" if v is None else f"{v:.3f}" for v in map(share.values.get, names)]
    known = [v for v in share.values.values() if v is not None]
    is_known = len(known) == len(share.values)
    return [*shown, f"{max(0.0, 1 - sum(known)):.3f}" if is_known else "?"]


def _branches(console: Console, found: Outlook) -> None:
    looked = found.looked
    console.print()
    table = _table("modality", "branch", "", numbers=0)
    for name, each in looked.prepared.items():
        count = found.runs[name].evaluations
        total = found.forecast.evaluations * found.forecast.chunks
        how = f"runs at {count} of {total} evaluations"
        if each.control.schedule is not None:
            how += f", {told(each.control.schedule)}"
        table.add_row(name, "loads", how)
    for name, why in looked.left_out.items():
        table.add_row(name, "stays out", why)
    if table.row_count:
        console.print(table)
    else:
        console.print("no modality: the prompt decides alone")


def _files(console: Console, found: Outlook) -> None:
    console.print()
    table = _table("weights", "size", "there", "licence", "where")
    for file in found.forecast.files:
        size = "?" if file.bytes is None else readable_size(file.bytes)
        there = {True: "yes", False: "NO", None: "?"}[file.is_present]
        table.add_row(file.what, size, there, file.license, file.uri)
    console.print(table)
    for line in found.missing:
        console.print(f"  {line}")


def _cost(console: Console, found: Outlook) -> None:
    cost = found.forecast
    console.print()
    table = _table("part", "operations", "memory", numbers=2)
    for part in dict.fromkeys([*cost.flops, *cost.bytes]):
        flops = _flops(cost.flops[part]) if part in cost.flops else ""
        size = readable_size(cost.bytes[part]) if part in cost.bytes else ""
        table.add_row(part, flops, size)
    console.print(table)
    console.print(f"\noperations: {_flops(cost.total_flops)}")
    if cost.device_bytes is not None:
        told_of = _room(cost.device_bytes, cost.available_device, cost.fits_device)
        console.print(f"peak memory on {found.device}: {told_of}")
    where = "on cpu" if cost.device_bytes is None else "of the host"
    told_of = _room(cost.host_bytes, cost.available_host, cost.fits_host)
    console.print(f"peak memory {where}: {told_of}")
    if cost.seconds is not None:
        console.print(f"time: {cost.seconds:.1f} s")
    for note in cost.notes:
        console.print(f"  {note}")
    if cost.ranks:
        _ranks(console, found)


def _ranks(console: Console, found: Outlook) -> None:
    """Show what each of several GPUs would hold, and what they do not share."""
    cost = found.forecast
    console.print()
    stages = [name for name in ("evaluation", "encode", "decode") if name in cost.bytes]
    is_cpu = cost.device_bytes is None
    what = "process" if is_cpu else "GPU"
    table = _table(
        "processes" if is_cpu else "GPUs", "cfg x ring x ulysses",
        "weights", *stages, f"first {what}", "each other", numbers=len(stages) + 3,
    )  # fmt: skip
    for each in cost.ranks:
        plan, parts = each.plan, each.first.by_part()
        over = "" if plan.world == each.gpus else f" ({plan.world} of them)"
        table.add_row(
            str(each.gpus),
            f"{plan.cfg} x {plan.ring} x {plan.ulysses}{over}",
            *(readable_size(parts[name]) for name in ("weights", *stages)),
            readable_size(each.first.peak),
            readable_size(each.other.peak) if plan.world > 1 else "",
        )
    console.print(table)
    for line in cost.not_shared:
        console.print(f"  {line}")


def _room(need: int, there: int | None, fits: bool) -> str:
    if there is None:
        return f"{readable_size(need)}; what is free is not known"
    verdict = "it fits" if fits else "IT WILL NOT FIT"
    return f"{readable_size(need)} of {readable_size(there)}: {verdict}"


def _flops(count: int) -> str:
    """Say a number of floating-point operations: 1500000000 is 1.5 GFLOP."""
    size = float(count)
    for unit in ("", "k", "M", "G", "T", "P"):
        if size < 1000:
            return f"{size:.3g} {unit}FLOP"
        size /= 1000
    return f"{size:.3g} EFLOP"
