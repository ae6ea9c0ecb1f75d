"""worldweave evaluate: does a modality control the video?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    name: Annotated[str, typer.Argument(help="A modality.")],
    base: Annotated[str, typer.Option(help="The base.")] = "tiny-world",
    weights: Annotated[
        Path | None, typer.Option(help="A branch other than the plugin's own.")
    ] = None,
    clips: Annotated[int, typer.Option(min=2, help="Held-out clips.")] = 16,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Denoising steps [the base's].")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write all scores as JSON.")] = None,
) -> None:
    """Score held-out clips with right, no and wrong control."""
    from worldweave.base import HELD_OUT
    from worldweave.cli.progress import bar
    from worldweave.evaluate.control import control_scores, load_metric
    from worldweave.generate.load import load
    from worldweave.io.files import atomic_path
    from worldweave_registry import WorldweaveError

    if out is not None and not out.parent.is_dir():
        raise WorldweaveError(
            f"cannot write {out}: there is no folder {out.parent}; create it first"
        )
    pipeline = load(base, modalities=[name], weights={name: weights} if weights else {})
    metric = load_metric(pipeline.active[name].modality)
    make_clips = pipeline.base.description.clips
    if make_clips is None:
        raise WorldweaveError(f"base {base!r} makes no clips to evaluate on")
    held_out = list(make_clips.load()(HELD_OUT, clips))
    with bar(f"evaluating {name}") as update:
        scores = control_scores(
            pipeline,
            name,
            held_out,
            seed=seed,
            steps=steps,
            progress=lambda done, total: update(done, total, ""),
        )
    means = scores.means()
    better = "higher" if metric.higher_is_better else "lower"
    print(f"{metric}, {better} is better, mean over {clips} held-out clips")
    for row, meaning in (
        ("ceiling", "the clip itself through the autoencoder"),
        ("on", f"{name} at map 1"),
        ("off", f"{name} at map 0: the prompt alone"),
        ("wrong", f"{name} at map 1 with another clip's control"),
    ):
        print(f"  {means[row]:.3f}  {meaning}")
    if means["off"]:
        print(f"  {means['on'] / means['off']:.2f}x  map 1 over map 0")
    if out is not None:
        record = {
            "modality": name,
            "base": base,
            "metric": str(metric),
            "seed": seed,
            "means": means,
            "clips": {k: getattr(scores, k) for k in means},
        }
        with atomic_path(out) as temporary:
            temporary.write_text(json.dumps(record, indent=2) + "\n")
