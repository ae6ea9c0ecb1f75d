"""One evaluation of a base from its name to its report."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from worldweave.base import HELD_OUT, Clip, ClipMetric
from worldweave.evaluate.bench import Bench
from worldweave.evaluate.ledger import Ledger
from worldweave.evaluate.metrics import metrics_for
from worldweave.evaluate.report import report
from worldweave.evaluate.suite import TABLES, Plan, make_plan, run
from worldweave.generate.load import load
from worldweave.generate.pipeline import Pipeline
from worldweave.io.files import sha256
from worldweave.request.check import branch_weights
from worldweave_registry import (
    Base,
    Catalog,
    Modality,
    WeightsError,
    WorldweaveError,
    discover,
)


def evaluate_base(
    name: str,
    *,
    modalities: Sequence[str] = (),
    front: Sequence[str] = (),
    behind: Sequence[str] = (),
    tables: Sequence[str] = TABLES,
    clips: int = 64,
    few: int = 16,
    seeds: int = 3,
    seed: int = 0,
    steps: int | None = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    partial: Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    catalog: Catalog | None = None,
) -> dict[str, Any]:
    """Generate held-out clips in every way the tables need; return the report.

    modalities: those of the rows; none given: all that have weights for the base.
    front, behind: those that lead the regions of Table 2, and then the reverse; none
    given: the first two and the next two. few: how many of the clips are generated
    more than once. partial: where scores are kept until the end; started again with
    the same file, settings and clips, an evaluation goes on. Raise WorldweaveError
    where something is missing, or those scores are of something else.
    """
    catalog = discover() if catalog is None else catalog
    base = catalog.find_base(name)
    if base.clips is None:
        raise WorldweaveError(f"base {name!r} makes no clips to evaluate on")
    names = list(modalities) or with_weights(catalog, name)
    if not names:
        raise WorldweaveError(f"no modality has weights for base {name!r}")
    plan = make_plan(
        names,
        tables=tables,
        clips=clips,
        few=few,
        seeds=seeds,
        front=front,
        behind=behind,
        can_split=base.foreground is not None,
    )
    metrics = metrics_for(base, [catalog.find(n) for n in names])
    pipeline = load(name, modalities=names, device=device, dtype=dtype, catalog=catalog)
    about = _about(pipeline, plan, seed=seed, steps=steps)
    ledger = Ledger(partial, _identity(about, pipeline, metrics))
    held_out = list(base.clips.load()(HELD_OUT, clips + 1))
    _refuse_other_clips(ledger, held_out)
    bench = Bench(pipeline, held_out, metrics, seed=seed, steps=steps)
    begun = time.monotonic()
    results = run(bench, plan, ledger, progress)
    about["seconds"] = round(time.monotonic() - begun, 1)
    return report(results, metrics, about)


def with_weights(catalog: Catalog, base: str) -> list[str]:
    """Return the modalities that have weights for *base*, by name.

    Not those whose weights licences forbid to use.
    """
    return [
        name
        for name, modality in catalog.modalities.items()
        if _has_weights(modality, base, catalog)
    ]


def _has_weights(modality: Modality, base: str, catalog: Catalog) -> bool:
    try:
        weights = branch_weights(modality, base)
    except WeightsError:
        return False
    return not catalog.refusal(weights)


def _about(
    pipeline: Pipeline, plan: Plan, *, seed: int, steps: int | None
) -> dict[str, Any]:
    description: Base = pipeline.base.description
    return {
        "base": description.name,
        "modalities": list(plan.names),
        "tables": list(plan.tables),
        "clip_count": plan.clips,
        "first_clip": HELD_OUT,
        "few": plan.few,
        "seeds": plan.seeds,
        "front": list(plan.inside),
        "behind": list(plan.outside),
        "seed": seed,
        "steps": steps or description.steps,
        "guidance": description.guidance,
        "dtype": str(pipeline.base.placement.dtype).removeprefix("torch."),
        "device": pipeline.base.placement.device.type,
        "threads": torch.get_num_threads(),
    }


def _identity(
    about: dict[str, Any], pipeline: Pipeline, metrics: dict[str, ClipMetric]
) -> dict[str, Any]:
    """Return what makes two evaluations the same: scores may then be kept."""
    files = {f"base {part}": file for part, file in pipeline.base.files.items()}
    files |= {name: active.file for name, active in pipeline.active.items()}
    varying = ("threads", "tables", "clip_count", "few", "seeds", "front", "behind")
    return {key: value for key, value in about.items() if key not in varying} | {
        "weights": {part: sha256(file) for part, file in files.items()},
        "metrics": {key: metric.summary for key, metric in metrics.items()},
    }


def _refuse_other_clips(ledger: Ledger, clips: Sequence[Clip]) -> None:
    """Note what each clip is, or raise where scores of another were kept for it.

    Each has an entry of its own, as an evaluation may go on with more clips.
    """
    digests = {f"clip {n} is": _digest(clip) for n, clip in enumerate(clips)}
    other = [k for k, v in digests.items() if k in ledger and ledger[k] != v]
    if other:
        raise WorldweaveError(
            f"{ledger.path} holds scores of other clips: {len(other)} of {len(clips)} "
            "are made differently now; delete it or give another --out"
        )
    for key, digest in digests.items():
        if key not in ledger:
            ledger.add(key, digest)


def _digest(clip: Clip) -> str:
    """Return the SHA-256 of all that a clip holds."""
    digest = hashlib.sha256(clip.prompt.encode())
    arrays = {"video": clip.video}
    arrays |= {f"control {name}": value for name, value in clip.controls.items()}
    arrays |= {f"truth {name}": value for name, value in clip.truth.items()}
    for name, value in sorted(arrays.items()):
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        digest.update(value.tobytes())
    return digest.hexdigest()
