"""The demonstration: the same noise under no, single and joint control."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
import numpy as np

from worldweave.base import Frames
from worldweave.evaluate.control import load_metric
from worldweave.generate.load import load
from worldweave.generate.pipeline import Generation, Pipeline, Tick
from worldweave.generate.sheet import contact_sheet
from worldweave.io import sizes
from worldweave.io import video as video_io
from worldweave.request.check import branch_weights, raise_all
from worldweave_registry import (
    Modality,
    Weights,
    WeightsError,
    WorldweaveError,
    discover,
    resolve,
)


@attrs.frozen(kw_only=True, eq=False)
class Demo:
    """What is shown: the loaded pipeline, the source, where results go."""

    pipeline: Pipeline
    source: Path
    prompt: str
    out: Path
    frames: int
    seed: int

    def generate(
        self, maps: Mapping[str, float], tick: Callable[[Tick], None]
    ) -> Generation:
        """Generate with *maps*; every variant has the same noise."""
        return self.pipeline.generate(
            self.prompt,
            video=str(self.source),
            maps=maps,
            seed=self.seed,
            max_frames=self.frames,
            progress=tick,
        )


def prepare(
    base: str,
    video: Path | None,
    prompt: str | None,
    out: Path,
    *,
    frames: int,
    seed: int,
) -> Demo:
    """Load *base* with every modality that can be made from a video alone.

    Without *video* the base's own example is used: its metadata names "example"
    and "example_prompt".
    """
    catalog = discover()
    description = catalog.find_base(base)
    if video is None:
        if "example" not in description.metadata:
            raise WorldweaveError(
                f"base {base!r} ships no example; give a video: worldweave demo my.mp4"
            )
        video = resolve(
            Weights(
                base=base,
                uri=description.metadata["example"],
                license=description.license,
            )
        )
        prompt = description.metadata["example_prompt"] if prompt is None else prompt
    video_io.probe(video)
    if description.check_prompt is not None:
        raise_all(description.check_prompt.load()(prompt or ""))
    names = [
        name
        for name, modality in catalog.modalities.items()
        if modality.preprocessor is not None and _has_weights(modality, base)
    ]
    if not names:
        raise WorldweaveError(
            f"no modality can be made from a video alone and has weights for {base!r}; "
            "see worldweave plugins, or WORLDWEAVE_DISABLE in your environment"
        )
    pipeline = load(base, modalities=names, catalog=catalog)
    out.mkdir(parents=True, exist_ok=True)
    return Demo(
        pipeline=pipeline,
        source=video,
        prompt=prompt or "",
        out=out,
        frames=frames,
        seed=seed,
    )


def variants(pipeline: Pipeline) -> dict[str, dict[str, float]]:
    """Return the maps of each thing that is shown, by title."""
    names = list(pipeline.active)
    none = dict.fromkeys(names, 0.0)
    shown = {"prompt-only": none}
    for name in names:
        shown[name] = {**none, name: 1.0}
    if len(names) > 1:
        shown["-".join(names)] = dict.fromkeys(names, 1.0)
    return shown


def show(demo: Demo, made: Mapping[str, Generation]) -> list[str]:
    """Write the source and the contact sheet; return the scores, in lines."""
    reference = source_frames(demo, made)
    columns = {"source": reference}
    for generation in made.values():
        for name, control in generation.controls.items():
            columns.setdefault(f"{name} control", control)
    columns |= {title: generation.frames for title, generation in made.items()}
    fps = next(iter(made.values())).fps
    video_io.write(demo.out / "source.mp4", reference, fps)
    sheet = demo.out / "sheet.png"
    video_io.write_png(sheet, contact_sheet(columns))
    return [
        *_scores(demo, made, reference),
        f"look at {sheet}; the videos lie beside it",
    ]


def what_next(demo: Demo) -> list[str]:
    """Return the arguments of three commands worth trying next."""
    name = next(iter(demo.pipeline.active))
    source, night, manifest, again = (
        shlex.quote(str(path))
        for path in (
            demo.source,
            demo.out / "night.mp4",
            demo.out / f"{name}.manifest.json",
            demo.out / "again.mp4",
        )
    )
    return [
        f'generate --video {source} --prompt "a street at night, white cars" '
        f"--control {name}=1 --out {night}",
        f"replay {manifest} --out {again}",
        "plugins",
    ]


def source_frames(demo: Demo, made: Mapping[str, Generation]) -> Frames:
    """Return the source at the size of the generated videos."""
    size = next(iter(made.values())).frames.shape[1:3]
    source = video_io.read(demo.source, max_frames=demo.frames).frames
    return sizes.resize(source, size, "video")


def _scores(demo: Demo, made: Mapping[str, Generation], reference: Frames) -> list[str]:
    metrics = {
        name: load_metric(active.modality)
        for name, active in demo.pipeline.active.items()
        if active.modality.metric is not None
    }
    width = max(map(len, made))
    heads = [f"{type(metric).__name__:>9}" for metric in metrics.values()]
    lines = ["  ".join(["followed".ljust(width), *heads])]
    for title, generation in made.items():
        scores = [metric(generation.frames, reference) for metric in metrics.values()]
        cells = [f"{score:9.3f}" for score in np.asarray(scores)]
        lines.append("  ".join([title.ljust(width), *cells]))
    return lines


def _has_weights(modality: Modality, base: str) -> bool:
    try:
        branch_weights(modality, base)
    except WeightsError:
        return False
    return True
