"""worldweave evaluate: does a modality control the video? How good is a base?"""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import attrs
import typer

from worldweave.cli import flags
from worldweave.cli.arguments import found

if TYPE_CHECKING:
    import torch

    from worldweave_registry import Catalog

CLIPS_OF_A_MODALITY = 16
CLIPS_OF_A_BASE = 64


class WhichTable(str, Enum):
    """What of a base's evaluation is wanted."""

    GAPS = "gaps"
    SINGLE = "1"
    REGIONS = "2"
    ALL = "all"


class Precision(str, Enum):
    """What the base and its branches compute in."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


def evaluate(
    name: Annotated[str, typer.Argument(help="A base, or one of its modalities.")],
    base: Annotated[
        str, typer.Option(help="The base, where NAME is a modality.")
    ] = "tiny-world",
    weights: Annotated[
        Path | None,
        typer.Option(help="A branch other than the plugin's own (one modality)."),
    ] = None,
    modalities: Annotated[
        str | None,
        typer.Option(
            help="Of a base: the modalities to evaluate, such as vis,edge "
            "[all with weights]."
        ),
    ] = None,
    front: Annotated[
        str | None,
        typer.Option(
            help="Table 2: the modalities in the foreground, in the background when "
            "swapped [the first two]."
        ),
    ] = None,
    behind: Annotated[
        str | None, typer.Option(help="Table 2: the others [the next two].")
    ] = None,
    table: Annotated[
        WhichTable,
        typer.Option(
            help="Of a base: how far each control closes its gap, the paper's table "
            "1 (single controls) or 2 (regions)."
        ),
    ] = WhichTable.ALL,
    clips: Annotated[
        int | None,
        typer.Option(min=2, help="Held-out clips [16 for a modality, 64 for a base]."),
    ] = None,
    few: Annotated[
        int,
        typer.Option(
            min=2,
            help="Of a base: clips generated with several seeds, for diversity and "
            "regions.",
        ),
    ] = 16,
    seeds: Annotated[int, typer.Option(min=2, help="Of a base: seeds of table 2.")] = 3,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Denoising steps [the base's].")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write all scores as JSON. An evaluation of a base that was stopped "
            "goes on with the same --out."
        ),
    ] = None,
    licenses: flags.Licenses = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda [default: cuda if there is one].")
    ] = None,
    dtype: Annotated[
        Precision | None,
        typer.Option(help="[default: bfloat16 on cuda, float32 elsewhere]"),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads [default: all cores].")
    ] = None,
) -> None:
    """Score held-out clips: generated with right, no and wrong control, and more."""
    from worldweave_registry import WorldweaveError

    if out is not None and not out.parent.is_dir():
        raise WorldweaveError(
            f"cannot write {out}: there is no folder {out.parent}; create it first"
        )
    catalog = found(licenses)
    bases = {base.name for plugin in catalog.plugins for base in plugin.bases}
    is_base = name.partition("@")[0] in bases
    if is_base and weights is not None:
        raise WorldweaveError(
            f"--weights is for one modality, but {name!r} is a base; leave it out"
        )
    if not is_base:
        _refuse_unknown(name, catalog)
    import torch

    from worldweave.evaluate.session import READ
    from worldweave.request.check import license_problems, raise_all

    names = _names(modalities) if is_base else [name]
    own = [name] if weights is not None else []
    on = name if is_base else base
    raise_all(license_problems(on, names, catalog, own=own, parts=READ))
    if threads is not None:
        torch.set_num_threads(threads)
    asked = Asked(
        clips=clips or (CLIPS_OF_A_BASE if is_base else CLIPS_OF_A_MODALITY),
        steps=steps,
        seed=seed,
        out=out,
        device=device,
        dtype=None if dtype is None else getattr(torch, dtype.value),
    )
    if is_base:
        regions = _names(front), _names(behind)
        _base(name, names, regions, table, few, seeds, asked, catalog)
    else:
        _modality(name, base, weights, asked, catalog)


def _refuse_unknown(name: str, catalog: Catalog) -> None:
    """Raise what looking up a modality raises, with the bases that there are."""
    from worldweave_registry import UnknownModalityError

    try:
        catalog.plugin_of(name)
    except UnknownModalityError as error:
        raise UnknownModalityError(
            f"{error}; bases: {', '.join(sorted(catalog.bases))}"
        ) from error


def _names(text: str | None) -> list[str]:
    return [] if text is None else [n for n in text.replace(" ", "").split(",") if n]


@attrs.frozen(kw_only=True)
class Asked:
    """What evaluating a base and a modality have in common."""

    clips: int
    steps: int | None
    seed: int
    out: Path | None
    device: str | None
    dtype: torch.dtype | None


def _base(
    name: str,
    modalities: list[str],
    regions: tuple[list[str], list[str]],
    table: WhichTable,
    few: int,
    seeds: int,
    asked: Asked,
    catalog: Catalog,
) -> None:
    from worldweave.cli.progress import bar
    from worldweave.evaluate import report, tables
    from worldweave.evaluate.session import evaluate_base
    from worldweave.evaluate.suite import TABLES

    out = asked.out
    partial = None if out is None else out.with_suffix(".partial.jsonl")
    with bar(f"evaluating {name}") as update:
        scored = evaluate_base(
            name,
            modalities=modalities,
            front=regions[0],
            behind=regions[1],
            tables=TABLES if table is WhichTable.ALL else (table.value,),
            clips=asked.clips,
            few=few,
            seeds=seeds,
            seed=asked.seed,
            steps=asked.steps,
            device=asked.device,
            dtype=asked.dtype,
            partial=partial,
            progress=update,
            tell=lambda line: print(f"worldweave: {line}", file=sys.stderr),
            catalog=catalog,
        )
    tables.show(scored)
    print(f"{scored['seconds']:.0f} s")
    if out is not None and partial is not None:
        report.write(out, scored)
        partial.unlink(missing_ok=True)
        print(f"{out}: all scores")


def _modality(
    name: str, base: str, weights: Path | None, asked: Asked, catalog: Catalog
) -> None:
    from worldweave.cli.progress import bar
    from worldweave.evaluate import report
    from worldweave.evaluate.clips import held_out
    from worldweave.evaluate.control import control_scores
    from worldweave.evaluate.metrics import metric_for
    from worldweave.generate.load import load

    pipeline = load(
        base,
        modalities=[name],
        weights={name: weights} if weights else {},
        device=asked.device,
        dtype=asked.dtype,
        catalog=catalog,
    )
    metric = metric_for(pipeline.base.description, pipeline.active[name].modality)
    summary = metric.summary
    clips = held_out(pipeline.base.description, asked.clips)
    with bar(f"evaluating {name}") as update:
        scores = control_scores(
            pipeline,
            name,
            clips,
            seed=asked.seed,
            steps=asked.steps,
            progress=lambda done, total: update(done, total, ""),
        )
    means = scores.means()
    better = "higher" if metric.higher_is_better else "lower"
    print(f"{summary}, {better} is better, mean over {asked.clips} held-out clips")
    for row, meaning in (
        ("tokenizer", "the clip itself through the autoencoder"),
        ("on", f"{name} at map 1"),
        ("off", f"{name} at map 0: the prompt alone"),
        ("wrong", f"{name} at map 1 with another clip's control"),
    ):
        print(f"  {means[row]:.3f}  {meaning}")
    if means["off"] > 0:
        print(f"  {means['on'] / means['off']:.2f}x  map 1 over map 0")
    if asked.out is not None:
        record = {
            "modality": name,
            "base": base,
            "metric": summary,
            "seed": asked.seed,
            "means": means,
            "clips": {k: list(getattr(scores, k)) for k in means},
        }
        report.write(asked.out, report.without_nan(record))
