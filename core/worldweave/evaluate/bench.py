"""Generate clips row by row and score what comes out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from worldweave.base import Clip, ClipMetric, Frames
from worldweave.evaluate.control import through_autoencoder
from worldweave.evaluate.regions import (
    BACKGROUND,
    FOREGROUND,
    REGIONS,
    Mask,
    foreground_of,
    graft,
    variation,
)
from worldweave.evaluate.rows import Row
from worldweave.generate.pipeline import Pipeline
from worldweave.train.branch import control_maker
from worldweave_registry import WorldweaveError

#: Scores of one video by metric; None where a clip has none.
Scores = dict[str, float | None]
CLIP_SEEDS = 1000
REPEAT_SEEDS = 100


class Bench:
    """A pipeline with all its modalities, held-out clips, and what scores them.

    The noise of a clip depends on *seed*, the clip and the repeat alone: every row
    starts from the same. The wrong control of a clip is that of the next, so the
    last clip is not generated itself. Raise WorldweaveError for less than two.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        clips: Sequence[Clip],
        metrics: Mapping[str, ClipMetric],
        *,
        seed: int = 0,
        steps: int | None = None,
    ) -> None:
        if len(clips) < 2:
            raise WorldweaveError(
                f"{len(clips)} clips cannot be scored: the wrong control of a clip is "
                "that of the next; give 2 or more"
            )
        self.pipeline = pipeline
        self.clips = clips
        self.metrics = metrics
        self.seed = seed
        self.steps = steps
        self._make = {
            name: control_maker(active.modality)
            for name, active in pipeline.active.items()
        }

    def truth(self, index: int) -> dict[str, Scores]:
        """Return the scores of the clip itself, and of it after the autoencoder."""
        clip = self.clips[index]
        return {
            "ceiling": self._scores(clip.video, clip),
            "tokenizer": self._scores(
                through_autoencoder(self.pipeline, clip.video), clip
            ),
        }

    def measure(
        self, row: Row, index: int, *, repeats: int = 1, by_region: bool = False
    ) -> dict[str, Any]:
        """Generate a clip *repeats* times, each from its own noise; return plain JSON.

        "scores" has one entry per repeat. With more than one, "diversity" is how
        much they differ. With *by_region* all of it also under "foreground" and
        "background".
        """
        clip = self.clips[index]
        mask = None
        if by_region or row.needs_mask:
            mask = foreground_of(self.pipeline.base.description, clip)
        made = [self._generate(row, index, mask, r) for r in range(repeats)]
        measured: dict[str, Any] = {
            "scores": [self._scores(video, clip) for video in made],
            "diversity": variation(made, None),
        }
        if not by_region or mask is None:
            return measured
        inside = mask >= 0.5
        chosen = {FOREGROUND: inside, BACKGROUND: ~inside}
        for region in REGIONS:
            grafts = [graft(video, clip.video, mask, region) for video in made]
            measured[region] = {
                "scores": [self._scores(video, clip) for video in grafts],
                "diversity": variation(made, chosen[region]),
            }
        return measured

    def _generate(self, row: Row, index: int, mask: Mask | None, repeat: int) -> Frames:
        source = index + 1 if row.is_wrong else index
        maps = {
            name: row.shares[name].map(mask) if name in row.shares else 0.0
            for name in self.pipeline.active
        }
        controls = {name: self._make[name](self.clips[source]) for name in row.shares}
        made = self.pipeline.generate(
            self.clips[index].prompt,
            maps=maps,
            # A row without control still needs something that says how long it is.
            controls=controls or self._any_control(index),
            seed=self.seed + CLIP_SEEDS * index + REPEAT_SEEDS * repeat,
            steps=self.steps,
        )
        return made.frames

    def _any_control(self, index: int) -> dict[str, Frames]:
        name = next(iter(self.pipeline.active))
        return {name: self._make[name](self.clips[index])}

    def _scores(self, video: Frames, clip: Clip) -> Scores:
        scores = {name: metric(video, clip) for name, metric in self.metrics.items()}
        return {name: None if math.isnan(s) else float(s) for name, s in scores.items()}
