"""Score takes against their subject: one column a metric, one row a take."""

# T frames, H W rows and columns

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import attrs

from worldweave.base import Clip, ClipMetric, Frames
from worldweave.evaluate.demo.subjects import Subject
from worldweave.evaluate.metrics import AgainstVideo, Metric, metrics_for
from worldweave.evaluate.regions import REGIONS, graft
from worldweave_registry import Base, Modality


@attrs.frozen(kw_only=True, eq=False)
class Column:
    """One metric, bound to a subject.

    measure: uint8 (T, H, W, 3) -> a number. meaning: one line of plain words.
    region: where it looks, "" for everywhere. judged: True where a model of the
    base looks at the video, not arithmetic.
    """

    modality: str
    metric: str
    meaning: str
    higher_is_better: bool
    measure: Callable[[Frames], float]
    region: str = ""
    judged: bool = False

    @property
    def head(self) -> str:
        """The metric with an arrow to where it is better, and its region."""
        arrow = "↑" if self.higher_is_better else "↓"
        return f"{self.metric} {arrow}" + (f", {self.region}" if self.region else "")


@attrs.frozen(kw_only=True)
class Row:
    """The scores of one video; a bound is no take and never the best."""

    title: str
    scores: tuple[float, ...]
    is_bound: bool = False


@attrs.frozen(kw_only=True, eq=False)
class Scoreboard:
    """Rows of scores under their columns."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def is_best(self, row: Row, column: int) -> bool:
        """Tell whether no take scores better in *column* than *row*, but some worse."""
        if row.is_bound or not math.isfinite(row.scores[column]):
            return False
        sign = 1 if self.columns[column].higher_is_better else -1
        others = [
            sign * other.scores[column]
            for other in self.rows
            if not other.is_bound and math.isfinite(other.scores[column])
        ]
        return sign * row.scores[column] == max(others) > min(others)

    def lines(self) -> list[str]:
        """Return the scores as lines of text; the best of a column has a star."""
        width = max(len(row.title) for row in self.rows)
        heads = [column.head for column in self.columns]
        lines = ["  ".join([" " * width, *(f"{head:>10} " for head in heads)])]
        for row in self.rows:
            cells = [
                f"{score:>{max(10, len(head))}.3f}" + "* "[not self.is_best(row, at)]
                for at, (head, score) in enumerate(zip(heads, row.scores, strict=True))
            ]
            lines.append("  ".join([row.title.ljust(width), *cells]).rstrip())
        return lines


def columns_of(
    subject: Subject, base: Base, catalog: Mapping[str, Modality]
) -> list[Column]:
    """Return every metric that can score a video of *subject*.

    Those of its modalities, and what else the base can tell; the base's own need a
    clip whose maker knows the truth. *catalog* has all modalities by name.
    """
    clip = subject.clip
    if clip is None:
        base = attrs.evolve(base, metrics=None)
        clip = Clip(video=subject.frames, prompt="")
    # What was asked for may be another prompt than the clip's.
    clip = attrs.evolve(clip, prompt=subject.prompt)
    metrics = metrics_for(base, [catalog[name] for name in subject.controls])
    return [
        _column(name, metric, clip)
        for name, metric in metrics.items()
        if name in subject.controls or name not in catalog
    ]


def overall(
    columns: Sequence[Column],
    bounds: Mapping[str, Frames],
    takes: Mapping[str, Frames],
) -> Scoreboard:
    """Score whole pictures; *bounds* are what no take can be expected to beat."""
    rows = [
        Row(title=title, scores=_scores(columns, frames), is_bound=title in bounds)
        for title, frames in {**bounds, **takes}.items()
    ]
    return Scoreboard(
        caption="How well each clip follows the source",
        columns=tuple(columns),
        rows=tuple(rows),
    )


def by_region(
    columns: Sequence[Column], subject: Subject, takes: Mapping[str, Frames]
) -> Scoreboard:
    """Score foreground and background of *takes* apart.

    Everything outside the region is the source itself, so that only the region
    can lose points.
    """
    parts = [
        attrs.evolve(
            column,
            region=where,
            measure=partial(_within, column.measure, subject, where),
        )
        for column in columns
        for where in REGIONS
    ]
    rows = [
        Row(title=title, scores=_scores(parts, frames))
        for title, frames in takes.items()
    ]
    return Scoreboard(
        caption="Who leads where: foreground and background apart",
        columns=tuple(parts),
        rows=tuple(rows),
    )


def _scores(columns: Sequence[Column], frames: Frames) -> tuple[float, ...]:
    return tuple(column.measure(frames) for column in columns)


def _column(name: str, metric: ClipMetric, clip: Clip) -> Column:
    own = metric.metric if isinstance(metric, AgainstVideo) else None
    return Column(
        modality=name,
        metric=re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_", " ", metric.name),
        meaning=metric.summary if own is None else _first_sentence(own),
        higher_is_better=metric.higher_is_better,
        measure=partial(_score, metric, clip),
        judged=own is None,
    )


def _first_sentence(metric: Metric) -> str:
    """Return the first paragraph of what the metric's class says of itself."""
    text = inspect.getdoc(type(metric)) or type(metric).__name__
    return " ".join(text.partition("\n\n")[0].split())


def _score(metric: ClipMetric, clip: Clip, video: Frames) -> float:
    return float(metric(video, clip))


def _within(
    measure: Callable[[Frames], float], subject: Subject, region: str, video: Frames
) -> float:
    return measure(graft(video, subject.frames, subject.foreground, region))
