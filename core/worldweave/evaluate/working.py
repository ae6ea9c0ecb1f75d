"""Of modalities that nobody named, those that work; the others harm nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from worldweave.base import Clip, Frames
from worldweave.evaluate.metrics import AgainstVideo, load_metric
from worldweave.generate.pipeline import Pipeline
from worldweave.model.branch import CosmosBranch
from worldweave_registry import Modality, WorldweaveError, one_line


def enable_working(
    pipeline: Pipeline,
    names: Iterable[str],
    clip: Clip,
    control: Callable[[str], Frames],
) -> dict[str, str]:
    """Enable those of *names* whose plugin does not fail at *clip*.

    control: makes the control of a modality. Return why the others are left out, one
    line each: what failed, and whom to tell.
    """
    left_out = {}
    for name in names:
        try:
            made = control(name)
            _try_metric(pipeline.catalog.find(name), clip)
            pipeline.enable(name)
            _try_branch(pipeline, name, made)
        except WorldweaveError as error:
            if name in pipeline.active:
                pipeline.disable(name)
            left_out[name] = one_line(error)
    return left_out


def _try_metric(modality: Modality, clip: Clip) -> None:
    """Score the clip itself; raise WorldweaveError where its metric fails."""
    if modality.metric is None:
        return
    report = modality.metric.report
    metric = AgainstVideo(metric=load_metric(modality), report=report)
    metric(clip.video, clip)
    str(metric.summary)


def _try_branch(pipeline: Pipeline, name: str, control: Frames) -> None:
    """Generate one chunk in one step; raise WorldweaveError where the branch fails."""
    if type(pipeline.active[name].branch) is CosmosBranch:
        return  # it is ours
    pipeline.generate(
        maps={n: float(n == name) for n in pipeline.active},
        controls={name: control[: pipeline.base.description.chunk_frames]},
        steps=1,
    )
