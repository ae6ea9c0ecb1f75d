"""Draw the curves of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldweave.train.canary import LEAST_GAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Rows = Sequence[Mapping[str, str]]
LINES = {
    **dict.fromkeys(("right", "plain", "learned"), "-"),
    **dict.fromkeys(("none", "uniform"), "--"),
    "wrong": ":",
}
SIZE = (11.0, 7.0)


def draw(path: Path, rows: Rows, title: str) -> None:
    """Write a PNG of four panels: loss, x0 errors, control gain, gates."""
    # Imported here: it takes half a second, which no other command should wait.
    from matplotlib.figure import Figure

    # Fixed margins: a layout engine would double the third of a second this takes.
    figure = Figure(figsize=SIZE)
    figure.subplots_adjust(0.06, 0.07, 0.98, 0.91, wspace=0.15, hspace=0.3)
    figure.suptitle(title)
    panels: Any = figure.subplots(2, 2)
    _loss(panels[0, 0], rows)
    _x0_errors(panels[0, 1], rows)
    _gains(panels[1, 0], rows)
    _gates(panels[1, 1], rows)
    for panel in panels.flat:
        panel.set_xlabel("step")
        panel.grid(alpha=0.3)
    figure.savefig(path, dpi=100, format="png")


def _loss(panel: Axes, rows: Rows) -> None:
    panel.set_title("loss")
    panel.plot(*_series(rows, "loss"), color="black", linewidth=1)


def _x0_errors(panel: Axes, rows: Rows) -> None:
    panel.set_title("x0 error / variance; hint: right -, none --, wrong :")
    names = [column for column in _columns(rows) if column.startswith("x0_")]
    sigmas = list(dict.fromkeys(name.split("_")[2] for name in names))
    for name in names:
        _, kind, sigma = name.split("_")
        panel.plot(
            *_series(rows, name),
            LINES.get(kind, "-."),
            color=f"C{sigmas.index(sigma) % 10}",
            label=f"sigma {sigma}" if LINES.get(kind) == "-" else None,
            linewidth=1,
        )
    if names:
        panel.legend(fontsize=7, ncol=2)
    _log_if_positive(panel)


def _gains(panel: Axes, rows: Rows) -> None:
    panel.set_title("control gain, sigma >= 0.8")
    for name in ("control_gain", "wrong_hint_gain", "map_gain"):
        if name in _columns(rows):
            label = name.replace("_", " ")
            panel.plot(*_series(rows, name), ".-", label=label, linewidth=1)
    if panel.lines:
        panel.axhline(LEAST_GAIN, color="grey", linewidth=0.5)
        panel.legend(fontsize=7)
    for row in rows:
        if row.get("alarm"):
            panel.axvline(int(row["step"]), color="red", linewidth=0.5)


def _gates(panel: Axes, rows: Rows) -> None:
    panel.set_title("norm of gates")
    for name in _columns(rows):
        if name.startswith("gate_"):
            label = name.removeprefix("gate_")
            panel.plot(*_series(rows, name), label=label, linewidth=1)
    if panel.lines:
        panel.legend(fontsize=7, ncol=2)


def _columns(rows: Rows) -> list[str]:
    return list(rows[0]) if rows else []


def _series(rows: Rows, column: str) -> tuple[list[int], list[float]]:
    """Return steps and values of the rows that have one."""
    said = [(int(row["step"]), float(row[column])) for row in rows if row[column]]
    return [step for step, _ in said], [value for _, value in said]


def _log_if_positive(panel: Axes) -> None:
    values = [float(value) for line in panel.lines for value in _heights(line)]
    if values and min(values) > 0:
        panel.set_yscale("log")


def _heights(line: Any) -> list[float]:
    heights: list[float] = list(line.get_ydata())
    return heights
