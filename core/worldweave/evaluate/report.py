"""Everything an evaluation found, as plain values for a file and for tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldweave.base import ClipMetric
from worldweave.evaluate.regions import REGIONS
from worldweave.evaluate.rows import ALL, NONE
from worldweave.evaluate.suite import CEILING, TOKENIZER, Results, Values
from worldweave.evaluate.trends import trends
from worldweave.io.files import atomic_path

GAP_ROWS = ("ceiling", "tokenizer", "right", "none", "wrong")


def report(
    results: Results, metrics: Mapping[str, ClipMetric], about: Mapping[str, Any]
) -> dict[str, Any]:
    """Return plain JSON values: what *about* says, the metrics, and each table.

    A mean is over the clips that have a score, None where none has; "error" is its
    standard error.
    """
    plan = results.plan
    found: dict[str, Any] = dict(about)
    found["metrics"] = {
        key: {
            "name": metric.name,
            "summary": metric.summary,
            "higher_is_better": metric.higher_is_better,
        }
        for key, metric in metrics.items()
    }
    if "gaps" in plan.tables:
        found["gaps"] = {
            n: _gap(results, n, metrics[n]) for n in plan.names if n in metrics
        }
    if "1" in plan.tables:
        found["table1"] = _table1(results, metrics)
        found["left_out"] = _left_out(results, metrics)
    if "2" in plan.tables:
        found["table2"] = _table2(results, metrics)
    found["trends"] = [
        {
            "claim": trend.claim,
            "metric": trend.metric,
            "margin": _number(trend.margin),
            "noise": _number(trend.noise),
            "verdict": trend.verdict,
        }
        for trend in trends(results, metrics)
    ]
    found["clips"] = {
        row: {
            key: [
                _number(results.measured[row, i]["scores"][0][key])
                for i in range(plan.clips)
                if (row, i) in results.measured
            ]
            for key in metrics
        }
        for row in dict.fromkeys(row for row, _ in results.measured)
    }
    return found


def write(path: Path, found: Mapping[str, Any]) -> None:
    """Write the report as JSON; all of it or nothing."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(found, indent=2, allow_nan=False) + "\n")


def without_nan(value: Any) -> Any:
    """Return plain values with None for what is no number: JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [without_nan(each) for each in value]
    return _number(value) if isinstance(value, float) else value


def closed_gap(score: float, none: float, ceiling: float) -> float | None:
    """Return (score - none) / (ceiling - none); None where there is no gap."""
    gap = ceiling - none
    return None if abs(gap) < 1e-9 or not np.isfinite(gap) else (score - none) / gap


def _gap(results: Results, name: str, metric: ClipMetric) -> dict[str, Any]:
    """Return the five rows of one modality on its own metric, and the closed gap.

    There is none to close where no control is as good as the ceiling.
    """
    rows = (CEILING, TOKENIZER, name, NONE, f"{name}, wrong")
    scores = [_mean(results.scores(row, name)) for row in rows]
    found: dict[str, Any] = dict(zip(GAP_ROWS, scores, strict=True))
    right, none, ceiling = (found[key]["mean"] for key in ("right", "none", "ceiling"))
    found["closed"] = None
    if right is not None and (ceiling > none) == metric.higher_is_better:
        found["closed"] = _number(closed_gap(right, none, ceiling))
    return found


def _table1(results: Results, metrics: Mapping[str, ClipMetric]) -> dict[str, Any]:
    """Return mean scores and diversity by row."""
    plan = results.plan
    rows = [CEILING, TOKENIZER, NONE, *plan.names]
    rows += [ALL] if results.has(ALL) else []
    table: dict[str, Any] = {}
    for row in rows:
        table[row] = {key: _mean(results.scores(row, key)) for key in metrics}
        if row not in (CEILING, TOKENIZER) and plan.few:
            table[row]["diversity"] = _mean(results.diversity(row))
    return table


def _left_out(results: Results, metrics: Mapping[str, ClipMetric]) -> dict[str, Any]:
    """Return, by modality and on its metric, the score of all and of all others."""
    plan = results.plan
    return {
        name: {
            "all": _mean(results.scores(ALL, name, clips=plan.few)),
            "others": _mean(results.scores(row.name, name, clips=plan.few)),
        }
        for name, row in zip(plan.names, plan.leave_one_out(), strict=False)
        if name in metrics
    }


def _table2(results: Results, metrics: Mapping[str, ClipMetric]) -> dict[str, Any]:
    """Return, by row and region, the mean of each metric and its spread over seeds."""
    plan = results.plan
    table: dict[str, Any] = {
        CEILING: {
            region: {
                key: {
                    "mean": _mean(results.scores(CEILING, key, clips=plan.few))["mean"]
                }
                for key in metrics
            }
            for region in REGIONS
        }
    }
    for row in (NONE, *(split.name for split in plan.splits())):
        table[row] = {}
        for region in REGIONS:
            cells = {
                key: _over_seeds(
                    [
                        results.scores(
                            row, key, clips=plan.few, region=region, repeat=repeat
                        )
                        for repeat in range(plan.seeds)
                    ]
                )
                for key in metrics
            }
            cells["diversity"] = _mean(results.diversity(row, region=region))
            table[row][region] = cells
    return table


def _mean(scores: Values) -> dict[str, float | None]:
    known = scores[~np.isnan(scores)]
    if not len(known):
        return {"mean": None, "error": None}
    error = known.std(ddof=1) / np.sqrt(len(known)) if len(known) > 1 else 0.0
    return {"mean": float(known.mean()), "error": float(error)}


def _over_seeds(by_seed: list[Values]) -> dict[str, float | None]:
    """Return the mean, and the standard deviation between seeds."""
    means = [_mean(scores)["mean"] for scores in by_seed]
    known = np.array([m for m in means if m is not None])
    if not len(known):
        return {"mean": None, "spread": None}
    spread = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    return {"mean": float(known.mean()), "spread": spread}


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(value)
