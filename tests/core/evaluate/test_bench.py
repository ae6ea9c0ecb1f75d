"""Evaluate the tiny world for real, with loud branches and a single step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from worldweave import Pipeline, discover
from worldweave.base import HELD_OUT, Clip
from worldweave.evaluate.bench import Bench
from worldweave.evaluate.ledger import Ledger
from worldweave.evaluate.metrics import metrics_for
from worldweave.evaluate.rows import NONE, Row, single, split, wrong
from worldweave.evaluate.session import evaluate_base, with_weights
from worldweave.evaluate.suite import TABLES, Plan, Results, make_plan, run
from worldweave_plugins.tinyworld.clips import clips
from worldweave_registry import WorldweaveError


class Count:
    """Notes how often it was called and with what."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, str]] = []

    def __call__(self, done: int, total: int, note: str) -> None:
        self.calls.append((done, total, note))


@pytest.fixture(scope="module")
def made() -> list[Clip]:
    return list(clips(HELD_OUT + 40, 2))


@pytest.fixture(scope="module")
def bench(pipeline: Pipeline, made: list[Clip]) -> Bench:
    modalities = [active.modality for active in pipeline.active.values()]
    metrics = metrics_for(pipeline.base.description, modalities)
    return Bench(pipeline, made, metrics, steps=1)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(["edge", "vis"], tables=TABLES, clips=1, few=1, seeds=2)


@pytest.fixture(scope="module")
def whole(
    bench: Bench, plan: Plan, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Results, Path, Count]:
    """All of the plan, where it was kept, and what was reported meanwhile."""
    path = tmp_path_factory.mktemp("whole") / "a.jsonl"
    count = Count()
    return run(bench, plan, Ledger(path, {"base": "toy"}), count), path, count


def test_the_same_is_measured_again(bench: Bench) -> None:
    row = single("edge")
    assert bench.measure(row, 0) == bench.measure(row, 0)


def test_right_wrong_and_no_control_give_different_videos(bench: Bench) -> None:
    rows = [single("edge"), wrong("edge"), Row(name=NONE)]
    scores = [bench.measure(row, 0)["scores"][0]["vis"] for row in rows]
    assert len(set(scores)) == 3


def test_each_repeat_has_its_own_noise(bench: Bench) -> None:
    twice = bench.measure(Row(name=NONE), 0, repeats=2)
    assert twice["scores"][0] != twice["scores"][1]
    assert twice["scores"][0] == bench.measure(Row(name=NONE), 0)["scores"][0]
    assert 0 < twice["diversity"] < 1


def test_regions_are_scored_apart(bench: Bench) -> None:
    found = bench.measure(split(["edge"], ["vis"]), 0, by_region=True)
    whole = found["scores"][0]["vis"]
    for region in ("foreground", "background"):
        assert whole < found[region]["scores"][0]["vis"] <= 1.0


def test_the_truth_is_its_own_ceiling(bench: Bench) -> None:
    found = bench.truth(0)
    assert found["ceiling"]["vis"] == pytest.approx(1.0)
    assert found["ceiling"]["edge"] == 1.0
    assert 0.8 < (found["tokenizer"]["vis"] or 0) < 1.0


def test_a_single_clip_has_no_wrong_control(
    pipeline: Pipeline, made: list[Clip]
) -> None:
    with pytest.raises(WorldweaveError, match="1 clips cannot be scored"):
        Bench(pipeline, made[:1], {})


def test_a_stopped_evaluation_goes_on_where_it_was(
    bench: Bench, plan: Plan, whole: tuple[Results, Path, Count], tmp_path: Path
) -> None:
    results, kept, first = whole
    assert first.calls[-1][:2] == (14, 14)
    lines = kept.read_text().splitlines(keepends=True)
    path = tmp_path / "a.jsonl"
    path.write_text("".join(lines[:-2]))
    again = Count()
    resumed = run(bench, plan, Ledger(path, {"base": "toy"}), again)
    assert len(again.calls) == 2
    assert again.calls[-1] == first.calls[-1]
    assert dict(resumed.measured) == dict(results.measured)


def test_scores_are_read_by_row_and_clip(
    plan: Plan, whole: tuple[Results, Path, Count], made: list[Clip]
) -> None:
    results, _, _ = whole
    assert results.scores(NONE, "edge").shape == (1,)
    front = plan.splits()[0].name
    inside = results.scores(front, "vis", clips=1, region="foreground", repeat=1)
    assert inside.shape == (1,)
    assert results.diversity(NONE).shape == (1,)
    has_no_lanes = not made[0].truth["lanes"].any()
    assert np.isnan(results.scores("ceiling", "hdmap")[0]) == has_no_lanes


@pytest.fixture(scope="module")
def evaluated() -> Callable[..., dict[str, Any]]:
    def evaluate(**changes: Any) -> dict[str, Any]:
        fields = {"modalities": ["edge"], "clips": 1, "few": 1, "seeds": 2, "steps": 1}
        return evaluate_base("tiny-world", **(fields | changes), device="cpu")

    return evaluate


def test_a_report_tells_what_was_evaluated(
    evaluated: Callable[..., dict[str, Any]],
) -> None:
    found = evaluated(tables=["gaps"])
    assert found["base"] == "tiny-world"
    assert found["steps"] == 1
    assert found["clip_count"] == 1
    assert set(found["gaps"]) == {"edge"}
    assert found["metrics"]["edge"]["name"] == "EdgeF1"


def test_scores_of_other_settings_are_not_mixed(
    evaluated: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    partial = tmp_path / "report.partial.jsonl"
    evaluated(tables=["gaps"], partial=partial)
    with pytest.raises(WorldweaveError, match=r"another evaluation .*seed"):
        evaluated(tables=["gaps"], partial=partial, seed=5)


def test_all_modalities_with_weights_are_found() -> None:
    names = with_weights(discover(), "tiny-world")
    assert {"vis", "edge", "depth", "seg"} <= set(names)
    assert with_weights(discover(), "no-such-base") == []


OTHER_MAKER = """
import attrs
from worldweave_plugins.tinyworld.clips import clips as make

def clips(seed, count):
    for clip in make(seed, count):
        depth = clip.truth["depth"] + {shift}
        yield attrs.evolve(clip, truth=dict(clip.truth, depth=depth))
"""


def test_scores_of_other_clips_are_not_mixed(
    evaluated: Callable[..., dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "other_maker.py").write_text(OTHER_MAKER.format(shift=0.1))
    monkeypatch.syspath_prepend(tmp_path)
    catalog = discover()
    base = attrs.evolve(catalog.find_base("tiny-world"), clips="other_maker:clips")
    other = attrs.evolve(
        catalog,
        plugins=tuple(
            attrs.evolve(plugin, bases=(base,))
            if plugin.name == "tinyworld"
            else plugin
            for plugin in catalog.plugins
        ),
    )
    partial = tmp_path / "report.partial.jsonl"
    evaluated(tables=["gaps"], partial=partial)
    before = partial.read_bytes()
    with pytest.raises(
        WorldweaveError, match=r"scores of other clips: 2 of 2 .*delete it or"
    ):
        evaluated(tables=["gaps"], partial=partial, catalog=other)
    assert partial.read_bytes() == before
    # With the same maker it goes on, also with more clips.
    evaluated(tables=["gaps"], partial=partial, clips=2)
