"""Trends hold only where their margin is clear of the noise; reports say so."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from rich.console import Console

from worldweave.base import Clip, Frames
from worldweave.evaluate import tables
from worldweave.evaluate.regions import REGIONS
from worldweave.evaluate.report import closed_gap, report, without_nan, write
from worldweave.evaluate.rows import ALL, NONE
from worldweave.evaluate.suite import CEILING, TABLES, TOKENIZER, Results, make_plan
from worldweave.evaluate.trends import Trend, trends

ABOUT = {
    "base": "toy",
    "clip_count": 4,
    "seed": 0,
    "steps": 8,
    "guidance": 1.0,
    "dtype": "float32",
    "device": "cpu",
    "few": 4,
    "seeds": 2,
    "front": ["vis"],
    "behind": ["seg"],
}


@attrs.frozen(kw_only=True)
class Known:
    """A metric that is only asked for its name."""

    name: str
    higher_is_better: bool = True
    summary: str = "known beforehand"

    def __call__(self, video: Frames, clip: Clip) -> float:
        raise NotImplementedError


METRICS = {"vis": Known(name="sharp"), "seg": Known(name="off", higher_is_better=False)}


def entry(vis: float, seg: float | None, diversity: float) -> dict[str, Any]:
    one = {"scores": [{"vis": vis, "seg": seg}] * 2, "diversity": diversity}
    return one | dict.fromkeys(REGIONS, one)


@pytest.fixture
def results() -> Results:
    """Four clips on which every control does what the paper says."""
    plan = make_plan(["vis", "seg"], tables=TABLES, clips=4, few=4, seeds=2)
    front, behind = (row.name for row in plan.splits())
    rows = {
        CEILING: (1.0, 0.1, 0.0),
        TOKENIZER: (0.95, 0.15, 0.0),
        NONE: (0.5, 0.9, 0.4),
        "vis": (0.9, 0.6, 0.1),
        "seg": (0.7, 0.3, 0.3),
        "vis, wrong": (0.3, 1.0, 0.1),
        "seg, wrong": (0.4, 1.3, 0.3),
        ALL: (0.85, 0.35, 0.15),
    }
    measured = {
        (row, index): entry(vis + 0.01 * index, seg, diversity)
        for row, (vis, seg, diversity) in rows.items()
        for index in range(4)
    }
    vis_leads = {"scores": [{"vis": 0.9, "seg": 0.5}] * 2, "diversity": 0.1}
    seg_leads = {"scores": [{"vis": 0.8, "seg": 0.2}] * 2, "diversity": 0.2}
    for index in range(4):
        measured[front, index] = {
            "foreground": vis_leads,
            "background": seg_leads,
        } | vis_leads
        measured[behind, index] = {
            "foreground": seg_leads,
            "background": vis_leads,
        } | seg_leads
    return Results(plan=plan, measured=measured)


def changed(results: Results, row: str, scores: Sequence[float]) -> Results:
    """Give *row* other vis scores, one a clip."""
    measured = dict(results.measured)
    for index, score in enumerate(scores):
        measured[row, index] = entry(score, 0.5, 0.1)
    return attrs.evolve(results, measured=measured)


def verdicts(results: Results) -> dict[str, str]:
    return {trend.claim: trend.verdict for trend in trends(results, METRICS)}


def test_what_holds_on_every_clip_holds(results: Results) -> None:
    found = verdicts(results)
    assert found["vis alone is better than no control"] == "holds"
    assert found["seg alone is better than no control"] == "holds"
    assert found["another clip's seg control is worse than no control"] == "holds"
    assert found["vis leaves less diversity than seg"] == "holds"
    assert found["vis follows the background better where it leads it"] == "holds"
    assert found["seg follows the foreground better where it leads it"] == "holds"
    assert set(found.values()) == {"holds"}


def test_what_is_reversed_does_not_hold(results: Results) -> None:
    found = verdicts(changed(results, "vis", [0.1, 0.12, 0.1, 0.12]))
    assert found["vis alone is better than no control"] == "does not hold"


def test_what_varies_more_than_it_gains_cannot_be_told(results: Results) -> None:
    found = verdicts(changed(results, "vis", [0.1, 0.9, 0.2, 0.99]))
    assert found["vis alone is better than no control"] == "cannot be told"


@pytest.mark.parametrize(
    ("margin", "noise", "verdict"),
    [
        (0.3, 0.1, "holds"),
        (0.2, 0.1, "cannot be told"),
        (-0.3, 0.1, "does not hold"),
        (0.0, 0.0, "cannot be told"),
        (float("nan"), 0.0, "cannot be told"),
    ],
)
def test_a_margin_is_clear_beyond_twice_its_noise(
    margin: float, noise: float, verdict: str
) -> None:
    trend = Trend(claim="x", metric="y", margin=margin, noise=noise)
    assert trend.verdict == verdict


def test_clips_without_a_score_do_not_count(results: Results) -> None:
    measured = dict(results.measured)
    for row in (NONE, "seg", CEILING):
        measured[row, 0] = entry(0.5, None, 0.1)
    found = report(attrs.evolve(results, measured=measured), METRICS, ABOUT)
    assert found["gaps"]["seg"]["right"]["mean"] == pytest.approx(0.3)


def test_the_closed_gap_is_the_way_from_no_control_to_the_ceiling(
    results: Results,
) -> None:
    assert closed_gap(0.3, 0.9, 0.1) == pytest.approx(0.75)
    assert closed_gap(0.5, 0.4, 0.4) is None
    gaps = report(results, METRICS, ABOUT)["gaps"]
    assert gaps["vis"]["closed"] == pytest.approx(0.8)
    assert gaps["seg"]["closed"] == pytest.approx(0.75)
    assert gaps["seg"]["wrong"]["mean"] == pytest.approx(1.3)


def test_no_gap_is_closed_where_no_control_beats_the_ceiling(results: Results) -> None:
    found = report(changed(results, NONE, [1.2] * 4), METRICS, ABOUT)
    assert found["gaps"]["vis"]["closed"] is None
    assert found["gaps"]["seg"]["closed"] is not None


def test_a_report_can_be_written_and_read(results: Results, tmp_path: Path) -> None:
    found = report(results, METRICS, ABOUT)
    write(tmp_path / "report.json", found)
    read = json.loads((tmp_path / "report.json").read_text())
    assert read["table1"]["all"]["vis"]["mean"] == pytest.approx(0.865)
    assert read["table1"]["vis"]["diversity"]["mean"] == pytest.approx(0.1)
    row = read["table2"]["vis in front, seg behind"]
    assert row["background"]["seg"] == {"mean": pytest.approx(0.2), "spread": 0.0}
    assert len(read["clips"]["seg, wrong"]["vis"]) == 4


def test_json_has_no_nan() -> None:
    value = {"a": [float("nan"), 1.0], "b": {"c": float("inf")}, "d": "text"}
    assert without_nan(value) == {"a": [None, 1.0], "b": {"c": None}, "d": "text"}


def test_tables_are_aligned_and_say_what_holds(results: Results) -> None:
    out = io.StringIO()
    found = report(results, METRICS, ABOUT)
    tables.show(found, Console(file=out))
    text = out.getvalue()
    assert "sharp ↑ (vis): known beforehand" in text
    for part in ("75%", "Table 1 in miniature", "Table 2 in miniature", "±0.0000"):
        assert part in text
    (ceiling,) = [line for line in text.splitlines() if line.startswith("  ceiling")]
    (none,) = [line for line in text.splitlines() if line.startswith("  no control   ")]
    assert ceiling.index("0.100") == none.index("0.900")
    assert text.count("holds") > 10


def test_a_report_without_a_table_shows_the_others(results: Results) -> None:
    found = report(results, METRICS, ABOUT)
    del found["table2"]
    out = io.StringIO()
    tables.show(found, Console(file=out))
    assert "Table 2" not in out.getvalue()
