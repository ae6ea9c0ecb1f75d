"""Does a modality control the video? Its metric with right, no and wrong control."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import numpy as np
import torch

from worldweave.base import Clip, Frames
from worldweave.blame import blamed
from worldweave.evaluate.metrics import metric_for
from worldweave.generate.pipeline import Pipeline
from worldweave.io.sizes import fit_length, to_frames, to_unit
from worldweave.train.branch import control_maker
from worldweave_registry import WorldweaveError


@attrs.frozen(kw_only=True)
class Scores:
    """Mean scores over the clips, and each clip's.

    tokenizer: the clip itself after the autoencoder. on: map 1. off: map 0. wrong:
    map 1 with the control of another clip.
    """

    tokenizer: tuple[float, ...]
    on: tuple[float, ...]
    off: tuple[float, ...]
    wrong: tuple[float, ...]

    def means(self) -> dict[str, float]:
        """Return the mean of each row over the clips that have a score, or NaN."""
        return {name: _mean(row) for name, row in attrs.asdict(self).items()}


def control_scores(
    pipeline: Pipeline,
    name: str,
    clips: Sequence[Clip],
    *,
    seed: int = 0,
    steps: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Generate every clip three times with the enabled modality *name*.

    Each is compared with the clip itself.

    The prompt is the clip's own, so "off" is what the prompt alone achieves. The
    same noise is used in all three. Raise WorldweaveError for less than two clips.
    """
    if len(clips) < 2:
        raise WorldweaveError(
            f"{len(clips)} clips cannot be scored: the wrong control of a clip is that "
            "of the next; give 2 or more"
        )
    modality = pipeline.active[name].modality
    metric = metric_for(pipeline.base.description, modality)
    make = control_maker(modality)
    controls = [make(clip) for clip in clips]
    rows: dict[str, list[float]] = {name: [] for name in attrs.fields_dict(Scores)}
    done = 0
    for index, clip in enumerate(clips):
        decoded = through_autoencoder(pipeline, clip.video)
        rows["tokenizer"].append(metric(decoded, clip))
        another = controls[(index + 1) % len(controls)]
        for row, weight, control in (
            ("on", 1.0, controls[index]),
            ("off", 0.0, controls[index]),
            ("wrong", 1.0, another),
        ):
            made = pipeline.generate(
                clip.prompt,
                maps={n: weight if n == name else 0.0 for n in pipeline.active},
                controls={name: control},
                seed=seed + 1000 * index,
                steps=steps,
            )
            rows[row].append(metric(made.frames, clip))
            done += 1
            if progress is not None:
                progress(done, 3 * len(clips))
    return Scores(**{row: tuple(values) for row, values in rows.items()})


def through_autoencoder(pipeline: Pipeline, frames: Frames) -> Frames:
    """Encode and decode frames (T, H, W, 3), chunk by chunk.

    That is the best any generation could look and score.
    """
    autoencoder, place = pipeline.base.autoencoder, pipeline.base.placement.device
    length = pipeline.base.description.chunk_frames
    chunks = []
    base = pipeline.base.description
    blame = blamed(f"the autoencoder of base {base.name!r}", base.autoencoder.report)
    with blame, torch.inference_mode():
        for start in range(0, len(frames), length):
            chunk = fit_length(frames[start : start + length], length)
            latent = autoencoder.encode(to_unit(chunk).to(place))
            chunks.append(to_frames(autoencoder.decode(latent)))
    return np.concatenate(chunks)[: len(frames)]


def _mean(scores: Sequence[float]) -> float:
    known = [score for score in scores if not np.isnan(score)]
    return float(np.mean(known)) if known else float("nan")
