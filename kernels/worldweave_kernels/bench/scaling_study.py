"""Both designs on one kind of GPU: settled, counted out, and asked what if."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from worldweave_kernels.bench.communication import OVER_PREDICTION, OVERLAP
from worldweave_kernels.bench.scaling_figures import (
    ASSUMED,
    DESIGNS,
    GPUS,
    OURS,
    PAPER_WORK,
    PLAIN,
    STEPS,
    Assumptions,
    Design,
    Gpu,
    Work,
)
from worldweave_kernels.bench.scaling_fit import Fit, fitted
from worldweave_kernels.bench.scaling_measured import Measured
from worldweave_kernels.bench.scaling_model import Model
from worldweave_kernels.bench.scaling_parts import Forecast

#: What the aims are about.
AT, SPEEDUP_AIM, SERIAL_AIM = 64, 45.0, 0.4


@dataclass(frozen=True)
class Setting:
    """One kind of GPU with all figures settled, the fit that gave some of them."""

    gpu: Gpu
    figures: Assumptions
    fit: Fit
    work: Work
    blocks: tuple[tuple[int, float], ...] = ()

    def model(self, design: Design) -> Model:
        """Return the model of *design*; blocks were measured of ours alone."""
        blocks = self.blocks if design.fused and design.graph else ()
        return Model(self.gpu, design, self.figures, self.work, blocks)

    def speedup(self, design: Design, gpus: int = AT) -> float:
        """Return how many times as fast as one GPU of the same design; diffusion."""
        model = self.model(design)
        return model.forecast(1).diffusion / model.forecast(gpus).diffusion


def settle(
    name: str,
    work: Work,
    *,
    figures: Assumptions | None = None,
    tile_rows: int | None = None,
    paper_work: Work = PAPER_WORK,
    gap: bool = True,
    measured: Measured | None = None,
) -> Setting:
    """Return the GPU called *name* and all figures, fitted to the paper.

    The paper ran on GB200: what is fitted of its rates is not taken for another GPU,
    the gap between kernels is. tile_rows: other rows of queries in a tile of attention.
    """
    figures = figures or ASSUMED
    gpus = {each: gpu if measured is None else measured.on(gpu)
            for each, gpu in GPUS.items()}  # fmt: skip
    if tile_rows is not None:
        gpus[name] = _with_rows(gpus[name], tile_rows)
    is_measured = gpus["GB200"].products.label == "measured"
    fit = fitted(
        gpus["GB200"], figures, paper_work, efficiency=not is_measured, gap=gap
    )
    gpu = fit.gpu if name == "GB200" else gpus[name]
    blocks = () if measured is None else measured.blocks_on(gpu)
    return Setting(gpu, fit.figures, fit, work, blocks)


def _with_rows(gpu: Gpu, rows: int) -> Gpu:
    tile = dataclasses.replace(
        gpu.cluster.tile_rows, value=rows, source="for comparison"
    )
    cluster = dataclasses.replace(gpu.cluster, tile_rows=tile)
    return dataclasses.replace(gpu, cluster=cluster)


class Line(NamedTuple):
    """A count of GPUs in one design, and its speed-ups over one GPU of it."""

    gpus: int
    told: Forecast
    speedup: float
    whole_speedup: float
    label: str

    @property
    def kept(self) -> float:
        """The share of all GPUs that is not lost, of diffusion."""
        return self.speedup / self.told.plan.world

    def ranged(self) -> tuple[float, float]:
        """Return the speed-up less what such models promised too much."""
        least, most = OVER_PREDICTION
        return self.speedup / (1 + most), self.speedup / (1 + least)


def lines(setting: Setting, design: Design, counts: Iterable[int]) -> list[Line]:
    """Return a line for each of *counts*."""
    model = setting.model(design)
    alone = model.forecast(1)
    found = []
    for gpus in counts:
        told_ = model.forecast(gpus)
        found.append(
            Line(
                gpus,
                told_,
                alone.diffusion / told_.diffusion,
                alone.whole / told_.whole,
                _label(model, told_),
            )
        )
    return found


def _label(model: Model, told: Forecast) -> str:
    """Say what the seconds of a line stand on. A CUDA graph has no fitted gap."""
    if model.measured:
        if model.is_measured(told.plan):
            return "measured blocks, exchange and rest assumed"
        return "measured block of one GPU, rest assumed"
    if model.gpu.products.label == "measured":
        return "measured rates, rest assumed"
    is_gap_fitted = model.figures.gap.label == "fitted" and not model.design.graph
    if model.gpu.efficiency.label == "fitted":
        return f"{'two' if is_gap_fitted else 'one'} fitted, rest assumed"
    return "assumed, gap fitted" if is_gap_fitted else "assumed or published"


class Case(NamedTuple):
    """What the aim's figures become under another assumption."""

    what: str
    efficiency: float
    gap: float
    worst: float
    plain: float
    ours: float
    serial: float


def sensitivity(name: str, work: Work, measured: Measured | None = None) -> list[Case]:
    """Return both designs at 64 GPUs under one changed assumption at a time.

    What is fitted is fitted anew in each.
    """
    usual = ASSUMED
    other = 128 if GPUS[name].cluster.tile_rows.value == 256 else 256
    has_blocks = measured is not None and measured.blocks_on(GPUS[name])

    def changed(**figures: float) -> Assumptions:
        return dataclasses.replace(
            usual,
            **{
                each: dataclasses.replace(
                    getattr(usual, each), value=value, source="for comparison"
                )
                for each, value in figures.items()
            },
        )

    def case(
        what: str,
        figures: Assumptions = usual,
        design: Design = OURS,
        **settled: Any,
    ) -> Case:
        found = settle(name, work, figures=figures, measured=measured, **settled)
        return Case(
            what,
            found.gpu.efficiency.value,
            found.figures.gap.value,
            found.fit.worst,
            found.speedup(PLAIN),
            found.speedup(design),
            found.model(design).forecast(AT).remainder,
        )

    share = OVERLAP.value
    switches = dataclasses.replace(OURS, overlapped=False, graph=False)
    return [
        case("as assumed"),
        case("nothing of an exchange hidden", changed(overlap=0.0)),
        case(f"{share:.0%} hidden of one head's, too", changed(one_head=share)),
        case(f"{other} rows of queries in a tile of attention", tile_rows=other),
        case("no gap between kernels: efficiency alone fitted", gap=False),
        case("30 us of the host for each operation", changed(host=30e-6)),
        case("60 us of the host for each operation", changed(host=60e-6)),
        case("the paper ran one branch", paper_work=Work(branches=1)),
        case(
            "ours without CUDA graph and overlap"
            + (", modelled: no such blocks were measured" if has_blocks else ""),
            design=switches,
        ),
        case("ten times the exchanges of edges of rows", changed(halo=1200)),
    ]  # fmt: skip


class Step(NamedTuple):
    """A design with one thing more than the one before."""

    what: str
    diffusion: float
    whole: float
    speedup: float


def ablation(setting: Setting, gpus: int = AT) -> list[Step]:
    """Return plain to ours, one thing after another, at *gpus*."""
    design, found = PLAIN, []
    for name, what in {"": "plain", **STEPS}.items():
        if name:
            design = dataclasses.replace(design, **{name: True})
        model = dataclasses.replace(setting.model(design), measured=())
        told_ = model.forecast(gpus)
        alone = model.forecast(1).diffusion
        found.append(Step(what, told_.diffusion, told_.whole, alone / told_.diffusion))
    return found


@dataclass(frozen=True)
class Scaling:
    """All that is told of one kind of GPU."""

    setting: Setting
    lines: dict[str, list[Line]]
    at: dict[str, Line]
    sensitivity: list[Case]
    ablation: list[Step]

    @property
    def name(self) -> str:
        return self.setting.gpu.name


def scale(
    name: str, counts: Sequence[int], work: Work, measured: Measured | None = None
) -> Scaling:
    """Compute all that is told of the GPU called *name*."""
    setting = settle(name, work, measured=measured)
    return Scaling(
        setting,
        {each: lines(setting, design, counts) for each, design in DESIGNS.items()},
        {each: lines(setting, design, [AT])[0] for each, design in DESIGNS.items()},
        sensitivity(name, work, measured),
        ablation(setting),
    )
