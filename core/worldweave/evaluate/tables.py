"""Print a report: aligned tables, and in words what holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from worldweave.evaluate.regions import REGIONS
from worldweave.evaluate.rows import NONE

DIVERSITY = "diversity"
#: Wide enough for all columns where the output is no terminal.
PLAIN_WIDTH = 160


def show(found: Mapping[str, Any], console: Console | None = None) -> None:
    """Print the tables of a report."""
    console = Console(markup=False, emoji=False) if console is None else console
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    console.print(_opening(found), markup=False, highlight=False)
    for key, make in (
        ("gaps", _gaps),
        ("table1", _table1),
        ("left_out", _left_out),
        ("table2", _table2),
    ):
        if found.get(key):
            console.print(make(found))
    if found["trends"]:
        console.print(_trends(found["trends"]))


def _opening(found: Mapping[str, Any]) -> str:
    lines = [
        f"{found['base']}: {found['clip_count']} held-out clips, noise seed "
        f"{found['seed']}, {found['steps']} steps, guidance {found['guidance']:g}, "
        f"{found['dtype']} on {found['device']}",
        f"diversity and regions: the first {found['few']} clips; regions with "
        f"{found['seeds']} seeds",
        "",
    ]
    for key, metric in found["metrics"].items():
        lines.append(f"{_head(metric)} ({key}): {metric['summary']}")
    lines += [
        "diversity: mean absolute difference of two seeds, as a share of 255",
        "Compare every score with its ceiling, the score of the truth itself. What "
        "ends with _tiny is the opinion of a small network, not a measurement.",
    ]
    return "\n".join(lines)


def _gaps(found: Mapping[str, Any]) -> Table:
    table = _table("Does each control do its work? On its own metric")
    for head in ("ceiling", "tokenizer", "right hint", "no control", "wrong hint"):
        table.add_column(head, justify="right")
    table.add_column("closed gap", justify="right")
    for name, row in found["gaps"].items():
        cells = [
            _cell(row[k]) for k in ("ceiling", "tokenizer", "right", "none", "wrong")
        ]
        closed = "-" if row["closed"] is None else f"{row['closed']:.0%}"
        table.add_row(f"{name}: {_head(found['metrics'][name])}", *cells, closed)
    table.caption = "closed gap = (right - none) / (ceiling - none)"
    return table


def _table1(found: Mapping[str, Any]) -> Table:
    table = _table("Table 1 in miniature: one control at a time, and all together")
    rows: Mapping[str, Any] = found["table1"]
    keys = [*found["metrics"], DIVERSITY]
    for key in keys:
        head = _head(found["metrics"][key]) if key in found["metrics"] else key
        table.add_column(head.replace("_tiny", "\n_tiny"), justify="right")
    for name, row in rows.items():
        table.add_row(
            name,
            *(_cell(row.get(key)) for key in keys),
            end_section=name in ("tokenizer", NONE),
        )
    table.caption = "all: each map 1, so that the controls share one"
    return table


def _left_out(found: Mapping[str, Any]) -> Table:
    table = _table("Does each branch add something to the others? On its own metric")
    for head in ("all", "all others", "gain"):
        table.add_column(head, justify="right")
    for name, row in found["left_out"].items():
        metric = found["metrics"][name]
        gain = "-"
        if _has(row["all"]) and _has(row["others"]):
            better = row["all"]["mean"] - row["others"]["mean"]
            gain = f"{better if metric['higher_is_better'] else -better:+.4f}"
        table.add_row(
            f"{name}: {_head(metric)}", _cell(row["all"]), _cell(row["others"]), gain
        )
    table.caption = f"the first {found['few']} clips; a gain above 0 is better"
    return table


def _table2(found: Mapping[str, Any]) -> Table:
    table = _table("Table 2 in miniature: who leads where")
    rows: Mapping[str, Any] = found["table2"]
    for row in rows:
        table.add_column(row, justify="right", overflow="fold")
    for key in [*found["front"], *found["behind"], DIVERSITY]:
        for region in REGIONS:
            if not any(_has(row[region].get(key)) for row in rows.values()):
                continue  # No metric, or none of the clips has a score.
            head = _head(found["metrics"][key]) if key in found["metrics"] else key
            table.add_row(
                f"{head}, {region}",
                *(_cell(row[region].get(key)) for row in rows.values()),
            )
    table.caption = (
        "Outside its region a video is replaced by the truth, so scores lie near the "
        "ceiling; ± is the standard deviation between seeds"
    )
    return table


def _trends(trends: Iterable[Mapping[str, Any]]) -> Table:
    table = _table("Which trends of the paper hold here")
    for head in ("metric", "margin", "noise"):
        table.add_column(head, justify="left" if head == "metric" else "right")
    table.add_column("verdict")
    for trend in sorted(trends, key=lambda trend: _ORDER.index(trend["verdict"])):
        table.add_row(
            trend["claim"],
            trend["metric"],
            "-" if trend["margin"] is None else f"{trend['margin']:+.4f}",
            "-" if trend["noise"] is None else f"{trend['noise']:.4f}",
            trend["verdict"],
        )
    table.caption = (
        "holds: the margin is more than twice its noise (the standard error over "
        "clips; for regions the standard deviation between seeds)"
    )
    return table


_ORDER = ("holds", "cannot be told", "does not hold")


def _table(title: str) -> Table:
    table = Table(
        title=title, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("")
    return table


def _head(metric: Mapping[str, Any]) -> str:
    return f"{metric['name']} {'↑' if metric['higher_is_better'] else '↓'}"


def _has(cell: Mapping[str, Any] | None) -> bool:
    return cell is not None and cell["mean"] is not None


def _cell(cell: Mapping[str, Any] | None) -> str:
    if cell is None or cell["mean"] is None:
        return "-"
    spread = f" ±{cell['spread']:.4f}" if cell.get("spread") is not None else ""
    return f"{cell['mean']:.4f}{spread}" if spread else f"{cell['mean']:.3f}"
