"""Draw scaling on paper: speed-ups beside the paper's, and where the time goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldweave_kernels.bench import plots
from worldweave_kernels.bench.charts import COLOURS, INK, QUIET
from worldweave_kernels.bench.communication import OVER_PREDICTION
from worldweave_kernels.bench.scaling_figures import PAPER

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from worldweave_kernels.bench.scaling_study import Line, Scaling

PLAIN, OURS = COLOURS["official"], COLOURS["compile"]
#: From so many GPUs on, speed-ups are written beside the lines.
_NAMED = 32
#: Of a rank's time, from the bottom.
PARTS = (
    ("compute", "#C9CDD2"),
    ("imbalance", COLOURS["ours"]),
    ("exchange", COLOURS["compile"]),
    ("launches", COLOURS["library"]),
    ("serial", COLOURS["official"]),
)


def draw(found: Sequence[Scaling], folder: Path) -> list[Path]:
    """Draw a row of two panels for each kind of GPU; return the files, PNG and SVG.

    Raise ValueError where matplotlib is not installed.
    """
    plots.require_matplotlib()
    from matplotlib.figure import Figure

    high = 1.3 + 4.2 * len(found)
    figure = Figure(figsize=(11.5, high))
    axes = figure.subplots(
        len(found), 2, squeeze=False, gridspec_kw={"width_ratios": (1, 1.1)}
    )
    for (left, right), one in zip(axes, found, strict=True):
        _kept(left, one)
        _times(right, one)
    figure.suptitle(
        _finding(found[-1]), x=0.015, y=1 - 0.15 / high, ha="left", va="top",
        weight="bold", size=12, color=INK,
    )  # fmt: skip
    work = found[0].setting.work
    figure.text(
        0.015, 1 - 0.45 / high,
        f"{_kind(found)}: a 5-second 720p video, "
        f"{work.branches} branches, {work.steps} steps, each design against one GPU "
        "of its own.",
        size=9, color=QUIET, va="top",
    )  # fmt: skip
    layout: Any = figure
    layout.subplots_adjust(
        left=0.055, right=0.99, bottom=0.6 / high, top=1 - 1.05 / high,
        wspace=0.12, hspace=0.28,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    return plots.save(figure, folder / "scaling")


def _kind(found: Sequence[Scaling]) -> str:
    if any(one.setting.blocks for one in found):
        return "A model; ours on blocks measured on one GPU, plain is modelled"
    if any(one.setting.gpu.products.label == "measured" for one in found):
        return "A model, at rates measured on one GPU"
    return "A model, not a measurement"


def _finding(one: Scaling) -> str:
    ours, plain = one.at["ours"], one.at["plain"]
    low, high = ours.ranged()
    return (
        f"{ours.gpus} {one.name}, by the model: ours {ours.speedup:.0f}x, the plain "
        f"design {plain.speedup:.0f}x; ours {low:.0f}x to {high:.0f}x if it promises "
        "as much too much as others did"
    )


def _kept(axes: Axes, one: Scaling) -> None:
    """Show the share of all GPUs that diffusion keeps, over their number."""
    counts = [line.gpus for line in one.lines["ours"]]
    axes.axhline(100, color=QUIET, lw=1, ls=(0, (4, 2)), label="ideal")
    shares: dict[str, list[float]] = {}
    for name, colour, style in (("ours", OURS, "o-"), ("plain", PLAIN, "s-")):
        shares[name] = [100 * line.kept for line in one.lines[name]]
        axes.plot(
            counts, shares[name], style, color=colour, lw=1.6, ms=4.5,
            label=f"{name}, by the model",
        )  # fmt: skip
        for line, share in zip(one.lines[name], shares[name], strict=True):
            if line.gpus >= _NAMED:
                axes.annotate(
                    f"{line.speedup:.0f}x", (line.gpus, share),
                    (9, 6) if name == "ours" else (-13, -13), ha="center",
                    textcoords="offset points", size=8.5, color=colour,
                )  # fmt: skip
    if one.name == "GB200":
        axes.plot(
            [row.gpus for row in PAPER],
            [100 * PAPER[0].diffusion / row.diffusion / row.gpus for row in PAPER],
            "*", color=INK, ms=10, mew=0, label="the paper's Table 5", zorder=4,
        )  # fmt: skip
        last = PAPER[-1]
        speedup = PAPER[0].diffusion / last.diffusion
        axes.annotate(
            f"{speedup:.0f}x", (last.gpus, 100 * speedup / last.gpus), (2, -15),
            textcoords="offset points", size=8.5, color=INK,
        )  # fmt: skip
    least, most = OVER_PREDICTION
    others = [
        (gpus, share)
        for gpus, share in zip(counts, shares["ours"], strict=True)
        if gpus > 1
    ]
    axes.fill_between(
        [gpus for gpus, _ in others],
        [share / (1 + most) for _, share in others],
        [share / (1 + least) for _, share in others],
        color=OURS, alpha=0.15, lw=0,
        label=f"ours, if the model promises {least:.0%} to {most:.0%} too much",
    )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(each) for each in counts])
    axes.set_yticks(range(0, 101, 20), [f"{each}%" for each in range(0, 101, 20)])
    axes.set_ylim(0, 108)
    axes.set_title(
        f"{one.name}: what diffusion keeps of each GPU, and times one GPU", loc="left",
        size=10, color=INK,
    )  # fmt: skip
    axes.set_xlabel("GPUs", color=QUIET, size=9)
    axes.legend(frameon=False, fontsize=8.5, loc="lower left")
    _bare(axes)


def _times(axes: Axes, one: Scaling) -> None:
    """Stack, for each count, the GPU-seconds of plain and ours: ideal is a level line.

    Seconds times GPUs, so that small counts do not hide the others.
    """
    count = len(one.lines["ours"])
    for shift, name in ((-0.21, "plain"), (0.21, "ours")):
        for place, line in enumerate(one.lines[name]):
            bottom = 0.0
            for (part, colour), seconds in zip(PARTS, _parts(line), strict=True):
                height = seconds * line.told.plan.world
                axes.bar(
                    place + shift, height, 0.38, bottom=bottom, color=colour,
                    edgecolor="white", linewidth=0.4,
                    label=part if (place, name) == (0, "plain") else None,
                )  # fmt: skip
                bottom += height
            axes.annotate(
                name[0], (place + shift, bottom), (0, 2), ha="center",
                textcoords="offset points", size=7.5, color=QUIET,
            )  # fmt: skip
    axes.set_xticks(range(count), [str(line.gpus) for line in one.lines["ours"]])
    axes.set_xlabel("GPUs (p: plain, o: ours)", color=QUIET, size=9)
    axes.set_title(f"{one.name}: end to end, seconds x GPUs", loc="left", size=10,
                   color=INK)  # fmt: skip
    axes.set_ylim(0, axes.get_ylim()[1] * 1.12)
    axes.legend(frameon=False, fontsize=8.5, loc="upper left", ncols=len(PARTS),
                columnspacing=1.2, handlelength=1.2)  # fmt: skip
    _bare(axes)


def _parts(line: Line) -> tuple[float, ...]:
    spent = line.told.network
    return (
        spent.compute, spent.imbalance, spent.exposed, spent.launches,
        line.told.remainder,
    )  # fmt: skip


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#BBBBBB")
    axes.tick_params(color="#BBBBBB", labelsize=8.5, labelcolor=QUIET, which="both")
