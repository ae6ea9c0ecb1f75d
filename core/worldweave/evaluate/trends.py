"""Which trends of Cosmos-Transfer1's tables hold here: each a check with its noise.

The paper: arXiv 2503.14492, Table 1 (single controls and all together) and Table 2
(controls that share the picture by foreground and background).
"""

# N clips

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs
import numpy as np

from worldweave.base import ClipMetric
from worldweave.evaluate.regions import BACKGROUND, FOREGROUND
from worldweave.evaluate.rows import ALL, NONE
from worldweave.evaluate.suite import Results, Values

Verdict = Literal["holds", "does not hold", "cannot be told"]
#: A margin counts when it is larger than this many times its noise.
CLEAR = 2.0


@attrs.frozen(kw_only=True)
class Trend:
    """A claim, how clearly it is met, and the noise of that.

    margin: positive where it is met, in units of the metric. noise: the standard
    error over clips, or for regions the standard deviation over seeds.
    """

    claim: str
    metric: str
    margin: float
    noise: float

    @property
    def verdict(self) -> Verdict:
        """What can be said: margins within twice the noise tell nothing."""
        if not np.isfinite(self.margin) or abs(self.margin) <= CLEAR * self.noise:
            return "cannot be told"
        return "holds" if self.margin > 0 else "does not hold"


def trends(results: Results, metrics: Mapping[str, ClipMetric]) -> list[Trend]:
    """Return every check that the measured rows allow."""
    plan = results.plan
    own = [name for name in plan.names if name in metrics]
    found = []
    for name in own:
        metric = metrics[name]
        if results.has(f"{name}, wrong"):
            found.append(_wrong_hint(results, name, metric))
        if "1" in plan.tables:
            found += _single(results, name, metric, own)
    if "1" in plan.tables and results.has(ALL):
        found += _together(results, metrics, own)
    if "2" in plan.tables:
        found += _regions(results, metrics)
    return found


def _wrong_hint(results: Results, name: str, metric: ClipMetric) -> Trend:
    none, wrong = (results.scores(row, name) for row in (NONE, f"{name}, wrong"))
    return _over_clips(
        f"another clip's {name} control is worse than no control", metric, none, wrong
    )


def _single(
    results: Results, name: str, metric: ClipMetric, own: list[str]
) -> list[Trend]:
    alone = results.scores(name, name)
    found = [
        _over_clips(
            f"{name} alone is better than no control",
            metric,
            alone,
            results.scores(NONE, name),
        )
    ]
    rivals = [
        _over_clips(
            f"{name} is the best single control on its own metric (next: {rival})",
            metric,
            alone,
            results.scores(rival, name),
        )
        for rival in own
        if rival != name
    ]
    if rivals:
        found.append(min(rivals, key=lambda trend: trend.margin))
    row = f"all but {name}"
    if results.has(row):
        few = results.plan.few
        found.append(
            _over_clips(
                f"adding {name} to all the others helps its own metric",
                metric,
                results.scores(ALL, name, clips=few),
                results.scores(row, name, clips=few),
            )
        )
    return found


def _together(
    results: Results, metrics: Mapping[str, ClipMetric], own: list[str]
) -> list[Trend]:
    found = []
    for name in own:
        every = [results.scores(single, name) for single in own]
        found.append(
            _over_clips(
                f"all together are better than the average single control on {name}'s "
                "metric",
                metrics[name],
                results.scores(ALL, name),
                np.mean(every, axis=0),
            )
        )
    if results.plan.few:
        all_vary, none_vary = results.diversity(ALL), results.diversity(NONE)
        found.append(
            _difference(
                "all together leave less diversity than no control",
                "diversity",
                none_vary - all_vary,
            )
        )
        for dense in ("vis", "edge"):
            for sparse in ("depth", "seg"):
                if dense in own and sparse in own:
                    found.append(
                        _difference(
                            f"{dense} leaves less diversity than {sparse}",
                            "diversity",
                            results.diversity(sparse) - results.diversity(dense),
                        )
                    )
    return found


def _regions(results: Results, metrics: Mapping[str, ClipMetric]) -> list[Trend]:
    """Check Table 2: whoever leads a region is better there than when it does not."""
    plan = results.plan
    first, second = (row.name for row in plan.splits())
    found = []
    for names, front, behind in (
        (plan.inside, first, second),
        (plan.outside, second, first),
    ):
        for name in names:
            if name not in metrics:
                continue
            for region, leads, follows in (
                (FOREGROUND, front, behind),
                (BACKGROUND, behind, front),
            ):
                gains = []
                for repeat in range(plan.seeds):
                    one, other = (
                        results.scores(
                            row, name, clips=plan.few, region=region, repeat=repeat
                        )
                        for row in (leads, follows)
                    )
                    gain = _better_by(metrics[name], one, other)
                    gains.append(gain[~np.isnan(gain)])
                if not gains[0].size:
                    continue
                means = np.array([gain.mean() for gain in gains])
                found.append(
                    Trend(
                        claim=f"{name} follows the {region} better where it leads it",
                        metric=metrics[name].name,
                        margin=float(means.mean()),
                        noise=float(means.std(ddof=1)) if len(means) > 1 else 0.0,
                    )
                )
    return found


def _over_clips(claim: str, metric: ClipMetric, one: Values, other: Values) -> Trend:
    return _difference(claim, metric.name, _better_by(metric, one, other))


def _better_by(metric: ClipMetric, one: Values, other: Values) -> Values:
    difference: Values = one - other
    return difference if metric.higher_is_better else -difference


def _difference(claim: str, metric: str, gains: Values) -> Trend:
    """Return the trend of gains (N,), NaN where a clip has no score."""
    known = gains[~np.isnan(gains)]
    if len(known) < 2:
        return Trend(claim=claim, metric=metric, margin=float("nan"), noise=0.0)
    return Trend(
        claim=claim,
        metric=metric,
        margin=float(known.mean()),
        noise=float(known.std(ddof=1) / np.sqrt(len(known))),
    )
