"""Generate and score every take of one subject."""

# T frames, H W rows and columns

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

from worldweave.base import Frames
from worldweave.evaluate.control import through_autoencoder
from worldweave.evaluate.demo.prepare import Demo
from worldweave.evaluate.demo.scoreboard import (
    Column,
    Scoreboard,
    by_region,
    columns_of,
    overall,
)
from worldweave.evaluate.demo.subjects import Subject
from worldweave.evaluate.demo.takes import Take, save_maps
from worldweave.generate.generation import Generation, Tick
from worldweave.io import video as video_io
from worldweave.io.arrays import save_array
from worldweave.request.check import refused_weights_of_base
from worldweave_registry import WeightsError, one_line

SOURCE = "source"
DECODED = "source through the autoencoder"


@attrs.frozen(kw_only=True, eq=False)
class Filmed:
    """A subject, what was generated of it by take, and the scores.

    decoded: the source after the autoencoder. regions: None without two maps.
    unjudged: why the base's own metrics are missing, "" where they are not.
    """

    subject: Subject
    decoded: Frames
    made: dict[Take, Generation]
    scores: Scoreboard
    regions: Scoreboard | None
    unjudged: str


def film(demo: Demo, subject: Subject, tick: Callable[[Tick], None]) -> Filmed:
    """Generate every take of *subject* into its folder and score them."""
    folder = demo.out / subject.name
    folder.mkdir(exist_ok=True)
    controls = _save_inputs(subject, folder)
    columns, unjudged = _columns(demo, subject)
    # Files and not arrays, so that the manifest beside a take can be replayed.
    masks = save_maps(subject, folder)
    made = {}
    for take in demo.takes(subject):
        generation = demo.pipeline.generate(
            subject.prompt,
            video=subject.video,
            controls={name: controls[name] for name in take.maps},
            maps={
                **dict.fromkeys(demo.pipeline.active, 0.0),
                **{
                    name: masks[value] if isinstance(value, str) else value
                    for name, value in take.maps.items()
                },
            },
            seed=demo.seed,
            max_frames=len(subject.frames),
            progress=tick,
        )
        generation.save(folder / f"{take.name}.mp4", report=False)
        made[take] = generation
    decoded = through_autoencoder(demo.pipeline, subject.frames)
    frames = {take.title: each.frames for take, each in made.items()}
    leading = [
        c for c in columns if demo.leads is not None and c.modality in demo.leads
    ]
    alone_or_shared = {
        take.title: each.frames
        for take, each in made.items()
        if take.leads is not None or take.control in (demo.leads or ())
    }
    return Filmed(
        subject=subject,
        decoded=decoded,
        made=made,
        scores=overall(columns, {SOURCE: subject.frames, DECODED: decoded}, frames),
        regions=by_region(leading, subject, alone_or_shared) if leading else None,
        unjudged=unjudged,
    )


def _columns(demo: Demo, subject: Subject) -> tuple[list[Column], str]:
    """Return all metrics, or those without the base's and why it has none."""
    catalog = demo.pipeline.catalog
    # Without a clip that its maker knows, the base's metrics are not asked.
    judges = ("annotator",) if subject.clip is not None else ()
    refused = refused_weights_of_base(demo.base.name, catalog, judges)
    bare = attrs.evolve(demo.base, metrics=None)
    if refused:
        return columns_of(subject, bare, catalog.modalities), refused[0]
    try:
        return columns_of(subject, demo.base, catalog.modalities), ""
    except WeightsError as error:
        return columns_of(subject, bare, catalog.modalities), one_line(error)


def _save_inputs(subject: Subject, folder: Path) -> dict[str, Path]:
    """Write what the takes read; return the file of each control.

    As arrays, which are exact, and as mp4 to look at.
    """
    if subject.clip is not None:
        save_array(subject.video, subject.frames)
    video_io.write(folder / "source.mp4", subject.frames, subject.fps)
    files = {name: folder / f"{name}.npy" for name in subject.controls}
    for name, control in subject.controls.items():
        save_array(files[name], control)
    return files
