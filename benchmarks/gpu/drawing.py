"""What was said against what was measured, as pictures.

Times by provider are drawn by the package's own benchmark, from bench-N.json.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from gpu import report
from gpu.record import Measured
from gpu.report import Verdict
from worldweave_kernels.bench.charts import COLOURS, INK, QUIET
from worldweave_kernels.bench.plots import require_matplotlib, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Found = dict[str, Measured]
#: Multiples of what was said; beyond them an arrow stands at the edge.
_EDGES = (0.5, 2.0)
_STYLES = {"a part hidden": "--", "none hidden": ":"}
_WORDS = {"hit": COLOURS["triton"], "**missed**": COLOURS["official"]}


def draw(folder: Path) -> list[Path]:
    """Draw every figure that *folder* has measurements for; return the files."""
    require_matplotlib()
    ledgers = report.read(folder)
    found = {
        key: each
        for key, each in report.measured(ledgers).items()
        if math.isfinite(each.value)
    }
    figures = {
        "predictions": _predictions(report.verdicts(ledgers)),
        "attention": _attention(found),
        "ranks": _ranks(found),
    }
    drawn = {name: each for name, each in figures.items() if each is not None}
    if any(map(report.is_toy, ledgers.values())):
        for each in drawn.values():
            each.suptitle("A dry run: these numbers mean nothing", color="red")
    return [path for name in drawn for path in save(drawn[name], folder / name)]


def _predictions(judged: list[Verdict]) -> Figure | None:
    """Show each measurement as a multiple of what was said, with the range said.

    What should be none has no multiples: it is told in words.
    """
    shown = [
        (each, each.found.value)
        for each in judged
        if each.word in _WORDS and each.found is not None
    ]
    if not shown:
        return None
    figure, axes = _figure(9.5, 1.4 + 0.24 * len(shown))
    for row, (each, value) in enumerate(reversed(shown)):
        middle = _middle(each)
        if not middle:
            said = f"{value:g}; said {each.prediction.said}"
            axes.annotate(
                said, (1, row), size=7.5, color=_WORDS[each.word], va="center",
                ha="center",
            )  # fmt: skip
            continue
        low, high = each.prediction.low, each.prediction.high
        left = _EDGES[0] if low is None else max(low / middle, _EDGES[0])
        right = _EDGES[1] if high is None else min(high / middle, _EDGES[1])
        axes.barh(row, right - left, left=left, height=0.62, color="#dfe8e4")
        at = value / middle
        inside = min(max(at, _EDGES[0]), _EDGES[1])
        mark = "o" if at == inside else "<" if at < inside else ">"
        axes.plot(inside, row, mark, ms=5, color=_WORDS[each.word], clip_on=False)
        told = f"{value:.3g} {each.prediction.unit}".strip()
        axes.annotate(
            told, (1.06 * _EDGES[1], row), size=7.5, color=QUIET, va="center",
            annotation_clip=False,
        )  # fmt: skip
    names = [
        f"{'aim: ' if each.prediction.is_aim else ''}{each.prediction.what}"
        for each, _ in reversed(shown)
    ]
    axes.set_yticks(range(len(shown)), names, size=7.5)
    axes.set_xscale("log")
    ticks = [0.5, 0.7, 1, 1.4, 2]
    axes.set_xticks(ticks, [f"{each:g}" for each in ticks])
    axes.minorticks_off()
    axes.set_xlim(*_EDGES)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_xlabel("measured, as a multiple of what was said", color=QUIET)
    _titled(figure, summary(judged))
    return figure


def summary(judged: list[Verdict]) -> str:
    """Return how many of all predictions and aims were hit, missed, not measured."""
    counts = Counter(each.word.strip("*") for each in judged)
    told = [f"{n} {word}" for word, n in counts.most_common() if word != "hit"]
    hit = f"{counts['hit']} of {len(judged)} predictions and aims hit"
    return ", ".join([hit, *told])


def _middle(each: Verdict) -> float:
    """Return the middle of the range, or its one end."""
    low, high = each.prediction.low, each.prediction.high
    ends = [end for end in (low, high) if end is not None]
    return math.prod(ends) ** (1 / len(ends))


def _attention(found: Found) -> Figure | None:
    """Show the rate of each backend over heads, as a share of its own at 32."""
    lines = _series(found, r"attention\.H(\d+)\.fill\.(\w+)", "")
    if not lines:
        return None
    figure, axes = _figure(7.5, 4.6)
    _plotted(axes, lines)
    axes.set_xscale("log", base=2)
    axes.set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    axes.set_ylim(bottom=0)
    axes.axhline(1, color=QUIET, lw=0.8)
    axes.set_xlabel("heads", color=QUIET)
    axes.set_ylabel("rate over that of 32 heads", color=QUIET)
    _titled(figure, "Attention of few heads, keys in one share")
    return figure


def _ranks(found: Found) -> Figure | None:
    """Show the efficiency of a block over ranks, measured and with exchanges."""
    lines = {}
    for what, name in (
        (r"efficiency", "compute, measured"),
        (r"with_overlap", "exchange modelled, a part hidden"),
        (r"with_exchange", "exchange modelled, none hidden"),
    ):
        for mode, end in (("graph", ""), ("eager", r"\.eager")):
            pattern = rf"ranks\.U(\d+)\.({what}){end}"
            for points in _series(found, pattern, "").values():
                lines[f"{mode}: {name}"] = points
    if not lines:
        return None
    figure, axes = _figure(8.0, 4.8)
    _plotted(axes, lines)
    counts = sorted({n for points in lines.values() for n, _ in points})
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(n) for n in counts])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("ranks that share a block", color=QUIET)
    axes.set_ylabel("share of each GPU that is kept", color=QUIET)
    _titled(figure, "A block over ranks: compute measured, communication modelled")
    return figure


def _series(
    found: Found, pattern: str, unit: str
) -> dict[str, list[tuple[int, float]]]:
    """Return points by name, for keys that match (number, name)."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for key, each in found.items():
        matched = re.fullmatch(pattern, key)
        if matched and each.unit == unit:
            points = lines.setdefault(matched[2], [])
            points.append((int(matched[1]), each.value))
    return {name: sorted(points) for name, points in sorted(lines.items())}


def _plotted(axes: Axes, lines: dict[str, list[tuple[int, float]]]) -> None:
    others = iter(["#A0528A", "#5B8FD9", "#B8860B", "#7A6A5C", "#444444", "#C77D9B"])
    for name, points in lines.items():
        kind, _, rest = name.partition(": ")
        known = {**COLOURS, "graph": COLOURS["triton"]}
        colour = known.get(kind) or next(others, QUIET)
        style = _STYLES.get(rest.rpartition(", ")[2], "-")
        axes.plot(
            *zip(*points, strict=True), f"o{style}", color=colour, label=name, ms=5
        )
    axes.legend(frameon=False, fontsize=8)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _titled(figure: Figure, title: str) -> None:
    figure.suptitle(title, x=0.02, ha="left", weight="bold", size=11, color=INK)
