"""Virtual ranks as a table and as a picture, with what must be known to read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from worldweave_kernels.bench import plots
from worldweave_kernels.bench.charts import COLOURS, INK, QUIET
from worldweave_kernels.bench.communication import OVER_PREDICTION, OVERLAP, Cluster
from worldweave_kernels.bench.rank_switches import BRANCHES

if TYPE_CHECKING:
    from worldweave_kernels.bench.rank_switches import SwitchRow
    from worldweave_kernels.bench.ranks import RankResults, RankRow


def line(row: RankRow) -> str:
    """Return in a line how one count went, for who waits for the table."""
    return f"GPUs {row.gpus}, {row.mode}: {_how(row)}"


def switch_line(row: SwitchRow) -> str:
    """Return in a line how one switch went."""
    return f"ranks {row.ranks}, {row.switch}, {row.mode}: {_how(row)}"


def _how(row: RankRow | SwitchRow) -> str:
    time = row.time
    return row.note if time is None else f"{1e3 * time.median:.3f} ms a block"


def table(results: RankResults) -> str:
    """Return the rows as a Markdown table, with what must be known to read it."""
    machine = results.machine
    lines = [
        f"{results.label}: one block at {results.shape} in {results.dtype} on "
        f"{machine.name}; links of {results.cluster} nodes",
        "",
        "| GPUs | guidance x ranks | mode | ms | compute efficiency | waves filled "
        "| sent MB | by a ring MB | exchange ms | with exchange | with overlap |",
        f"|{'---|' * 11}",
    ]
    for row in results.rows:
        time = row.time
        cells = (
            f"{row.gpus}",
            f"{row.guidance} x {row.ranks}",
            row.mode,
            row.note or "-" if time is None else f"{1e3 * time.median:.3f}",
            _percent(row.efficiency),
            _percent(row.fill),
            f"{row.sent / 1e6:.1f}",
            f"{row.ring / 1e6:.1f}",
            "-" if row.exchange is None else f"{1e3 * row.exchange:.3f}",
            _percent(row.with_exchange),
            _percent(row.with_overlap),
        )
        lines.append(f"| {' | '.join(cells)} |")
    if results.switches:
        lines += ["", *_switched(results.switches)]
    return "\n".join([*lines, "", *results.notes]) + "\n"


def _switched(rows: Sequence[SwitchRow]) -> Iterator[str]:
    """Yield the lines of the table of switches."""
    yield (
        f"Switches: compute measured, of a block or of one and the {BRANCHES} of its "
        "branches; exchange saved by the model, at most:"
    )
    yield ""
    yield (
        "| ranks | switched | mode | ms | against | gain | costs ms | saves ms | pays |"
    )
    yield f"|{'---|' * 9}"
    for row in rows:
        time = row.time
        cells = (
            f"{row.ranks}",
            row.switch,
            row.mode,
            row.note or "-" if time is None else f"{1e3 * time.median:.3f}",
            row.against or "-",
            "-" if row.gain is None else f"{row.gain:.3f}",
            "-" if row.costs is None else f"{1e3 * row.costs:.3f}",
            "-" if not row.saves else f"{1e3 * row.saves:.3f}",
            {None: "-", True: "yes", False: "no"}[row.pays],
        )
        yield f"| {' | '.join(cells)} |"


def notes(device: str, cluster: Cluster) -> tuple[str, ...]:
    """Return what a reader of the numbers must know."""
    inside, (least, most) = cluster.inside, OVER_PREDICTION
    links = [f"{inside.name}: {inside.peak}, of which {inside.reached}"]
    if cluster.across is not None:
        links.append(f"between nodes of {cluster.node}: {cluster.across.peak}")
    told = [
        "Exchanges are modelled, not measured: " + "; ".join(links) + ".",
        f"With overlap: {OVERLAP}.",
        "Waves filled is modelled, too: the share of a GPU that attention's tiles keep "
        f"busy on {cluster.multiprocessors.value:g} multiprocessors, unsplit.",
        "Such a model over-predicts the speed-ups of four runs on 8 GPUs that others "
        f"published by {least:.0%} to {most:.0%}.",
    ]
    if not device.startswith("cuda"):
        told.append(
            "Measured on a CPU: this shows that it runs, and says nothing about GPUs. "
            "CUDA graphs were not measured."
        )
    return tuple(told)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def draw(results: RankResults, folder: Path) -> list[Path]:
    """Draw efficiency over GPUs into *folder*, as PNG and SVG; return the files.

    Raise ValueError where matplotlib is not installed.
    """
    plots.require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 5.0), layout="constrained")
    axes = figure.add_subplot()
    counts = sorted({each.gpus for each in results.rows})
    for mode, colour in (("eager", COLOURS["eager"]), ("graph", COLOURS["triton"])):
        for label, style, points in _lines(results, mode):
            axes.plot(
                [gpus for gpus, _ in points],
                [100 * share for _, share in points],
                style, color=colour, label=label, ms=5, lw=1.6,
            )  # fmt: skip
    axes.axhline(100, color=QUIET, lw=0.8)
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(each) for each in counts])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("GPUs", color=QUIET)
    axes.set_ylabel("% of each GPU that is kept", color=QUIET)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8.5, loc="lower left")
    axes.set_title(
        f"{results.shape}, {results.dtype}; one {results.machine.name} stands for all, "
        f"links of {results.cluster} nodes assumed",
        loc="left", size=8.5, color=QUIET,
    )  # fmt: skip
    figure.suptitle(
        f"A block over several GPUs: {results.label}",
        x=0.02, ha="left", weight="bold", size=12, color=INK,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    return plots.save(figure, folder / "ranks")


def _lines(
    results: RankResults, mode: str
) -> Iterator[tuple[str, str, list[tuple[int, float]]]]:
    """Yield label, style and points (GPUs, share) of each line of a mode."""
    hidden = f"with exchange modelled, {OVERLAP.value:.0%} of it hidden"
    for name, style, label in (
        ("efficiency", "o-", "compute, measured"),
        ("with_overlap", "o--", hidden),
        ("with_exchange", "o:", "with exchange modelled, none hidden"),
    ):
        rows = [each for each in results.rows if each.mode == mode]
        shares = [(each.gpus, getattr(each, name)) for each in rows]
        known = [(gpus, share) for gpus, share in shares if share is not None]
        if known:
            yield f"{mode}: {label}", style, known
