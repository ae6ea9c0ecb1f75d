"""Draw results as a person would want to see them: PNG and SVG, findings as titles."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from worldweave_kernels.bench import charts
from worldweave_kernels.bench.results import Results, Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: The axes whose most telling value is not the first: four branches, as in the paper.
_PREFERRED = {"N": 4}


def require_matplotlib() -> None:
    """Raise ValueError where there is nothing to draw with."""
    if find_spec("matplotlib") is None:
        raise ValueError(
            "plots need matplotlib, which is not installed; pip install matplotlib, "
            "or leave out --plots"
        )


def draw(results: Results, folder: str | os.PathLike[str]) -> list[Path]:
    """Draw every figure that *results* have data for; return the files.

    `overview` shows all operations forward, a figure of each operation both ways,
    `roofline` all against the ceilings, `branches` weighted_add over N.
    """
    require_matplotlib()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Figure] = {}
    shown = _shown(results)
    forward = [rows for rows in shown if rows[0].mode == "forward"]
    if len(forward) > 1:
        figures["overview"] = charts.overview(forward, results)
    for op in dict.fromkeys(rows[0].op for rows in shown):
        mine = [rows for rows in shown if rows[0].op == op]
        figures[op] = charts.operation(mine, results)
    known = {each.dtype for each in results.ceilings}
    right = [row for rows in forward for row in rows if row.holds]
    if right and right[0].dtype in known:
        figures["roofline"] = charts.roofline(forward, results)
    branches = [
        rows
        for rows in results.groups()
        if rows[0].op == "weighted_add" and rows[0].mode == "forward" and _any(rows)
    ]
    if len({rows[0].shape["N"] for rows in branches}) > 2:
        figures["branches"] = charts.over_branches(branches, results)
    return [path for name in figures for path in save(figures[name], folder / name)]


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write *figure* as PNG and SVG, the same bytes for the same figure."""
    import matplotlib

    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
    with matplotlib.rc_context({"svg.hashsalt": stem.name, "svg.fonttype": "none"}):
        figure.savefig(paths[0], dpi=160, facecolor="white")
        figure.savefig(paths[1], facecolor="white", metadata={"Date": None})
    return paths


def _shown(results: Results) -> list[list[Row]]:
    """Return one case of each operation and mode: that with the preferred sizes."""
    found: dict[tuple[str, str], list[Row]] = {}
    for rows in filter(_any, results.groups()):
        first = rows[0]
        preferred = all(first.shape.get(a, n) == n for a, n in _PREFERRED.items())
        if preferred or (first.op, first.mode) not in found:
            before = found.get((first.op, first.mode))
            # Self-attention comes before cross-attention in the presets.
            if before is None or first.op != "attention":
                found[first.op, first.mode] = rows
    return list(found.values())


def _any(rows: Sequence[Row]) -> bool:
    return any(row.time is not None for row in rows)
