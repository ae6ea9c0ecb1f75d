"""Find what scores a video: the metrics of modalities, and those of the base."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import attrs

from worldweave.base import Clip, ClipMetric, Frames
from worldweave.blame import blamed
from worldweave.loading import blamed_part
from worldweave_registry import Base, Modality, PluginError, WorldweaveError


class Metric(Protocol):
    """Compares a video with the one it should be like; both uint8 (T, H, W, 3)."""

    higher_is_better: bool

    def __call__(self, video: Frames, reference: Frames, /) -> float: ...


@attrs.frozen(kw_only=True)
class AgainstVideo:
    """A modality's own metric: it compares with the clip's video alone."""

    metric: Metric
    report: str = "report it to the plugin's author"

    @property
    def name(self) -> str:
        """The name of the metric's class."""
        return type(self.metric).__name__

    @property
    def summary(self) -> str:
        """The metric with its settings, such as its tolerance."""
        kind = type(self.metric)
        if kind.__repr__ is object.__repr__:
            return self.name
        with blamed(f"the metric {self.name}", self.report):
            return repr(self.metric)

    @property
    def higher_is_better(self) -> bool:
        """As the metric says."""
        return self.metric.higher_is_better

    def __call__(self, video: Frames, clip: Clip) -> float:
        """Score a video uint8 (T, H, W, 3); raise PluginError where that fails."""
        with blamed(f"the metric {self.name}", self.report):
            return float(self.metric(video, clip.video))


@attrs.frozen(kw_only=True)
class OfBase:
    """A metric that a base gives: where it fails, the base's plugin is blamed."""

    metric: ClipMetric
    name: str
    summary: str
    higher_is_better: bool
    report: str

    def __call__(self, video: Frames, clip: Clip) -> float:
        """Score a video uint8 (T, H, W, 3); raise PluginError where that fails."""
        with blamed(f"the metric {self.name}", self.report):
            return float(self.metric(video, clip))


def metrics_for(base: Base, modalities: Iterable[Modality]) -> dict[str, ClipMetric]:
    """Return the metrics of *modalities* by name, then all else the base can tell.

    A modality's own metric comes before the base's. Raise WorldweaveError where a
    metric cannot be loaded.
    """
    modalities = list(modalities)
    given = _given_by(base)
    found: dict[str, ClipMetric] = {}
    for modality in modalities:
        if modality.metric is not None:
            found[modality.name] = AgainstVideo(
                metric=load_metric(modality), report=modality.metric.report
            )
        elif modality.name in given:
            found[modality.name] = given[modality.name]
    return found | {n: metric for n, metric in given.items() if n not in found}


def metric_for(base: Base, modality: Modality) -> ClipMetric:
    """Return the metric of *modality*: its own, or else the base's.

    Raise WorldweaveError where there is neither.
    """
    found = metrics_for(base, [modality]).get(modality.name)
    if found is None:
        raise WorldweaveError(
            f"{modality.name!r} has no metric, and base {base.name!r} has none for it; "
            "the plugin of either must name one for it to be evaluated"
        )
    return found


def load_metric(modality: Modality) -> Metric:
    """Return the metric that *modality* names, with its default settings."""
    if modality.metric is None:
        raise WorldweaveError(
            f"{modality.name!r} has no metric; its plugin must name one to be evaluated"
        )
    kind: Any = modality.metric.load()
    with blamed(f"the metric of {modality.name!r}", modality.metric.report):
        metric: Metric = kind()
        is_metric = callable(metric) and hasattr(metric, "higher_is_better")
    if not is_metric:
        raise PluginError(
            f"the metric of {modality.name!r} must be callable and say whether "
            f"higher_is_better; {modality.metric.report}"
        )
    return metric


def _given_by(base: Base) -> Mapping[str, ClipMetric]:
    lazy = base.metrics
    if lazy is None:
        return {}
    make: Any = lazy.load()
    with blamed_part(base, "metrics", lazy):
        given = make()
    if not isinstance(given, Mapping):
        raise PluginError(
            f"{lazy.path} gave {given!r}; it must give a mapping from modality to "
            f"metric; {lazy.report}"
        )
    found = {}
    for name, metric in given.items():
        if not isinstance(metric, ClipMetric):
            raise PluginError(
                f"{lazy.path} gave {metric!r} for {name!r}; a metric is called with "
                "(video, clip) and has a name, a summary and higher_is_better; "
                f"{lazy.report}"
            )
        found[name] = OfBase(
            metric=metric,
            name=metric.name,
            summary=metric.summary,
            higher_is_better=metric.higher_is_better,
            report=lazy.report,
        )
    return found
