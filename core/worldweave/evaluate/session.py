"""One evaluation of a base from its name to its report."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from functools import partial as partial_of
from pathlib import Path
from typing import Any

import torch

from worldweave.base import HELD_OUT, Clip, ClipMetric
from worldweave.evaluate.bench import Bench
from worldweave.evaluate.clips import held_out
from worldweave.evaluate.ledger import Ledger
from worldweave.evaluate.metrics import metrics_for
from worldweave.evaluate.report import report
from worldweave.evaluate.suite import TABLES, Plan, make_plan, run
from worldweave.evaluate.working import enable_working
from worldweave.generate.load import load
from worldweave.generate.pipeline import Pipeline
from worldweave.io.files import sha256
from worldweave.request.check import PARTS, license_problems, raise_all
from worldweave.train.branch import control_maker
from worldweave.train.branches import with_weights
from worldweave_registry import Base, Catalog, Problems, WorldweaveError, discover

#: The parts of a base that an evaluation reads.
READ = (*PARTS, "annotator")


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
    tell: Callable[[str], None] | None = None,
    catalog: Catalog | None = None,
) -> dict[str, Any]:
    """Generate held-out clips in every way the tables need; return the report.

    modalities: those of the rows; none given: all that have weights for the base.
    front, behind: those that lead the regions of Table 2, and then the reverse; none
    given: the first two and the next two. few: how many of the clips are generated
    more than once. partial: where scores are kept until the end; started again with
    the same file, settings and clips, an evaluation goes on. tell: called with a line
    for each modality that nobody named and that is left out, as its plugin fails.
    Raise WorldweaveError where something is missing or a plugin fails that was named,
    or those scores are of something else.
    """
    catalog = discover() if catalog is None else catalog
    raise_all(license_problems(name, modalities, catalog, parts=READ))
    base = catalog.find_base(name)
    if base.clips is None:
        raise WorldweaveError(f"base {name!r} makes no clips to evaluate on")
    names = list(modalities) or with_weights(catalog, name)
    if not names:
        raise WorldweaveError(f"no modality has weights for base {name!r}")
    planned = partial_of(
        make_plan,
        tables=tables,
        clips=clips,
        few=few,
        seeds=seeds,
        front=front,
        behind=behind,
        can_split=base.foreground is not None,
    )
    planned(names)  # refuses what cannot be before anything is read
    named = [n for n in names if n in (*modalities, *front, *behind)]
    pipeline = load(name, modalities=named, device=device, dtype=dtype, catalog=catalog)
    clips_made = held_out(base, clips + 1)
    left_out = enable_working(
        pipeline,
        [n for n in names if n not in named],
        clips_made[0],
        lambda n: control_maker(catalog.find(n))(clips_made[0]),
    )
    for lost, why in left_out.items():
        if tell is not None:
            tell(f"{lost} is left out: {why}")
    names = [n for n in names if n not in left_out]
    if not names:
        raise Problems(left_out.values())
    plan = planned(names)
    metrics = metrics_for(base, [catalog.find(n) for n in names])
    about = _about(pipeline, plan, seed=seed, steps=steps)
    ledger = Ledger(partial, _identity(about, pipeline, metrics))
    if left_out:
        about["not_evaluated"] = left_out
    _refuse_other_clips(ledger, clips_made)
    bench = Bench(pipeline, clips_made, metrics, seed=seed, steps=steps)
    begun = time.monotonic()
    results = run(bench, plan, ledger, progress)
    about["seconds"] = round(time.monotonic() - begun, 1)
    return report(results, metrics, about)


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
