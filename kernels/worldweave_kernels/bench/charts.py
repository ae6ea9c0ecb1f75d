"""The figures of the benchmark, one function each; they only draw."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from worldweave_kernels.bench.findings import (
    absent,
    beside,
    finding,
    finding_of_all,
    measured,
)
from worldweave_kernels.bench.results import Results, Row, spelled
from worldweave_kernels.bench.table import label, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Distinct for all kinds of colour vision (Okabe and Ito, 2008).
COLOURS = {
    "official": "#D55E00",
    "eager": "#B8860B",
    "compile": "#0072B2",
    "auto": "#009E73",
    "triton": "#006B4F",
    "library": "#A0528A",
    "ours": "#56B4E9",
}
INK, QUIET = "#222222", "#777777"


def overview(cases: Sequence[Sequence[Row]], results: Results) -> Figure:
    """Show all operations, a panel each: who takes how long, and the floor."""
    columns = 2
    lines = -(-len(cases) // columns)
    figure = _figure(11, 1.1 + 2.15 * lines)
    _title(figure, finding_of_all(cases, results))
    for index, rows in enumerate(cases):
        axes = figure.add_subplot(lines, columns, index + 1)
        _panel(axes, rows)
        axes.set_title(f"{rows[0].op}   {spelled(rows[0].shape)}", loc="left", size=9.5)
    _finish(figure, results, [row for rows in cases for row in rows], top=0.55)
    return figure


def operation(cases: Sequence[Sequence[Row]], results: Results) -> Figure:
    """Show one operation, a panel for each mode."""
    most = max(len(measured(rows)) for rows in cases)
    figure = _figure(5.6 * len(cases) if len(cases) > 1 else 7.5, 1.5 + 0.34 * most)
    first = cases[0][0]
    _title(figure, finding(cases[0]))
    for index, rows in enumerate(cases):
        axes = figure.add_subplot(1, len(cases), index + 1)
        _panel(axes, rows)
        axes.set_title(rows[0].mode, loc="left", size=9.5)
    rows = [row for each in cases for row in each]
    _finish(figure, results, rows, extra=spelled(first.shape))
    return figure


def roofline(cases: Sequence[Sequence[Row]], results: Results) -> Figure:
    """Show the rate of each operation over its intensity, below the ceilings."""
    figure = _figure(8.5, 5.8)
    axes = figure.add_subplot()
    dtype = cases[0][0].dtype
    ceiling = next(each for each in results.ceilings if each.dtype == dtype)
    bandwidth, flops = ceiling.bandwidth, ceiling.flops
    ridge = flops / bandwidth
    points = [row.flops / row.bytes for rows in cases for row in rows]
    left, right = min(*points, ridge) / 2, max(*points, ridge * 30) * 2
    axes.plot([left, ridge, right], [left * bandwidth, flops, flops], color=INK, lw=1.4)
    said = f"copy {number(bandwidth / 1e9)} GB/s"
    middle = (left * ridge) ** 0.5
    axes.annotate(
        said, (middle, middle * bandwidth), (-8, 8), textcoords="offset points",
        size=8.5, color=INK, ha="right",
    )  # fmt: skip
    axes.annotate(
        f"{dtype} matrix product {number(flops / 1e12)} TFLOP/s", (right, flops),
        (-4, 6), textcoords="offset points", size=8.5, color=INK, ha="right",
    )  # fmt: skip
    slowest = min(row.rate or flops for rows in cases for row in rows if row.holds)
    axes.set(xscale="log", yscale="log", xlim=(left, right))
    axes.set_ylim(slowest / 2, flops * 2.5)
    held = [each for rows in cases if (each := [r for r in measured(rows) if r.holds])]
    # Names stand below the roof in the empty right, each on the height of its rank.
    held.sort(key=lambda each: -(each[0].rate or 0))
    for place, rows in enumerate(held):
        side = int(rows[0].flops / rows[0].bytes > ridge)
        _against_ceiling(axes, rows, (0.4, 0.66 - 0.1 * place), side)
    axes.set_xlabel("floating-point operations per byte that has to move", color=QUIET)
    axes.set_ylabel("floating-point operations per second", color=QUIET)
    _bare(axes)
    _title(
        figure,
        "How close the fastest way (filled) and the official one (hollow) come to the "
        "ceilings of this machine",
    )
    _finish(figure, results, [row for rows in cases for row in rows], top=0.9)
    return figure


def over_branches(cases: Sequence[Sequence[Row]], results: Results) -> Figure:
    """Show the time of weighted_add over the number of branches."""
    figure = _figure(7.5, 4.6)
    axes = figure.add_subplot()
    cases = sorted(cases, key=lambda rows: rows[0].shape["N"])
    lines: dict[str, list[tuple[int, Row]]] = {}
    for rows in cases:
        for row in rows:
            if row.holds:
                lines.setdefault(row.provider, []).append((row.shape["N"], row))
    ends: list[tuple[float, str, str]] = []
    for provider, points in lines.items():
        colour = COLOURS[points[0][1].kind]
        # Side by side, so that no range hides another.
        aside = 0.07 * (len(ends) - (len(lines) - 1) / 2)
        xs = [n + aside for n, _ in points]
        times = [row.time for _, row in points if row.time is not None]
        ys = [each.median * 1e3 for each in times]
        axes.vlines(
            xs, [t.low * 1e3 for t in times], [t.high * 1e3 for t in times],
            color=colour, lw=1,
        )  # fmt: skip
        axes.plot(xs, ys, color=colour, marker="o", ms=5, lw=1.6)
        ends.append((ys[-1], provider, colour))
    floors = [(rows[0].shape["N"], rows[0].floor) for rows in cases]
    drawn = [(n, floor * 1e3) for n, floor in floors if floor is not None]
    if drawn:
        axes.plot(*zip(*drawn, strict=True), color=INK, lw=1.2, ls=(0, (4, 2)))
        ends.append((drawn[-1][1], "floor", INK))
    axes.set_ylim(bottom=0)
    _end_labels(axes, max(rows[0].shape["N"] for rows in cases), ends)
    axes.set_xticks([rows[0].shape["N"] for rows in cases])
    axes.set_xlabel("branches N", color=QUIET)
    axes.set_ylabel("ms", color=QUIET)
    _bare(axes)
    _title(figure, f"{finding(cases[-1])} (N = {cases[-1][0].shape['N']})")
    shape = {axis: n for axis, n in cases[0][0].shape.items() if axis != "N"}
    rows = [row for each in cases for row in each]
    _finish(figure, results, rows, extra=spelled(shape))
    return figure


def _panel(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw each provider as a dot at its median with its range, and the floor."""
    shown = measured(rows)
    longest = max(row.taken.high for row in shown) * 1e3
    for place, row in enumerate(shown):
        time = row.taken
        colour = COLOURS[row.kind]
        y, middle = -place, time.median * 1e3
        axes.plot([0, middle], [y, y], color=colour, lw=1, alpha=0.25)
        axes.plot(
            [time.low * 1e3, time.high * 1e3], [y, y], color=colour, lw=3.5, alpha=0.45
        )
        axes.plot(middle, y, "o" if row.holds else "X", color=colour, ms=7, zorder=3)
        roof = "" if row.roofline is None else f"  ({row.roofline:.0%})"
        said = f"{number(middle)} ms{roof}" if row.holds else "wrong"
        axes.annotate(
            said, (max(middle, time.high * 1e3), y), (7, 0),
            textcoords="offset points", va="center", size=8.5, color=INK,
        )  # fmt: skip
    floor = rows[0].floor
    if floor is not None:
        axes.axvline(floor * 1e3, color=INK, lw=1.1, ls=(0, (4, 2)), zorder=1)
        axes.annotate(
            f"floor {number(floor * 1e3)} ms", (floor * 1e3, 0.75), (3, 0),
            textcoords="offset points", size=8, color=QUIET, va="center",
        )  # fmt: skip
    axes.set_yticks([-place for place in range(len(shown))])
    axes.set_yticklabels([label(row) for row in shown], size=9)
    axes.set_ylim(-len(shown) + 0.4, 1.1)
    axes.set_xlim(0, longest * 1.38)
    _bare(axes, left=False)
    for name, row in zip(axes.get_yticklabels(), shown, strict=True):
        name.set_color(COLOURS[row.kind])


def _against_ceiling(
    axes: Axes, held: Sequence[Row], place: tuple[float, float], side: int
) -> None:
    """Draw the fastest filled, the official hollow; name them at *place*.

    A line leads from the name's left (0) or right (1) *side*.
    """
    best = held[0]
    x, rate = best.flops / best.bytes, best.rate or 0.0
    for row in held:
        if row.kind == "official" and row is not best:
            slow = row.rate or 0.0
            axes.plot([x, x], [slow, rate], color=QUIET, lw=0.8, zorder=1)
            axes.plot(x, slow, "o", mfc="white", mec=COLOURS["official"], ms=7)
    axes.plot(x, rate, "o", color=COLOURS[best.kind], ms=8, zorder=3)
    said = f"{best.op}: {label(best)}, {best.roofline or 0:.0%}"
    axes.annotate(
        said, (x, rate), place, textcoords="axes fraction", size=8.5, color=INK,
        va="center", arrowprops={
            "arrowstyle": "-", "color": "#BBBBBB", "lw": 0.8, "relpos": (side, 0.5),
        },
    )  # fmt: skip


def _end_labels(axes: Axes, x: int, ends: Sequence[tuple[float, str, str]]) -> None:
    """Name each line at its end, moved apart where names would overlap."""
    top = axes.get_ylim()[1]
    lowest = -top
    for y, name, colour in sorted(ends):
        lowest = max(y, lowest + top * 0.055)
        axes.annotate(
            name, (x, y), (x * 1.04, lowest), size=9, color=colour, va="center",
            annotation_clip=False,
        )  # fmt: skip
    axes.set_xlim(0.7, x * 1.25)


def _title(figure: Figure, said: str) -> None:
    width = float(figure.get_size_inches()[0])
    title = textwrap.fill(said, int(width * 9.5))
    figure.suptitle(title, x=0.02, ha="left", weight="bold", size=12)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))


def _bare(axes: Axes, *, left: bool = True) -> None:
    for side in ("top", "right") if left else ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#BBBBBB")
    axes.tick_params(color="#BBBBBB", labelsize=8.5, labelcolor=QUIET)
    if not left:
        axes.tick_params(axis="y", length=0)


def _finish(
    figure: Figure,
    results: Results,
    rows: Sequence[Row],
    *,
    extra: str = "",
    top: float = 0.4,
) -> None:
    """Put machine, versions, shape and error below, and leave room for the title."""
    machine = results.machine
    on_cpu = machine.device == "cpu"
    worst = max((row.error for row in rows if row.holds and row.error), default=0.0)
    said = [
        machine.name + (f", threads: {machine.threads}" if on_cpu else ""),
        f"torch {machine.torch}, triton {machine.triton}",
        f"commit {machine.commit}, {machine.date[:10]}",
        rows[0].dtype,
        extra,
        "medians with the 20-80 % range, caches cold",
        "(%) is the part of the roofline",
        f"largest error against float64 {worst:.1e}",
        beside(machine.load),
        absent(rows),
    ]  # fmt: skip
    width, height = (float(each) for each in figure.get_size_inches())
    caption = textwrap.fill("; ".join(filter(None, said)), int(width * 17))
    figure.text(0.02, 0.02, caption, size=7.5, color=QUIET, va="bottom")
    bottom = (0.18 + 0.14 * (caption.count("\n") + 1)) / height
    layout: Any = figure
    layout.tight_layout(rect=(0.005, bottom, 0.995, 1 - top * 0.25 / height))
