"""Which metric scores a modality: its own, or the base's."""

from pathlib import Path

import attrs
import numpy as np
import pytest

from worldweave import (
    Base,
    Clip,
    Modality,
    PluginError,
    Problems,
    WeightsError,
    WorldweaveError,
    discover,
)
from worldweave.evaluate.metrics import metric_for, metrics_for
from worldweave.evaluate.session import evaluate_base

METRICS = """
import worldweave

class Same:
    higher_is_better = True
    def __call__(self, video, reference):
        return float((video == reference).mean())

class Judge:
    name, summary, higher_is_better = "judge_toy", "what a toy thinks", False
    def __call__(self, video, clip):
        return float(len(clip.prompt))

def judged():
    return {"toy": Judge(), "fog": Judge(), "prompt_mood": Judge()}

def unnamed():
    return {"toy": Same()}

def listed():
    return [Judge()]

def gone():
    raise worldweave.WeightsError("the judge is not at home")

def tired():
    return {"toy": Tired()}

class Tired(Judge):
    def __call__(self, video, clip):
        raise SystemExit("enough")
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Base:
    (tmp_path / "toy_metrics.py").write_text(METRICS)
    monkeypatch.syspath_prepend(tmp_path)
    tiny = discover().find_base("tiny-world")
    return attrs.evolve(tiny, name="toy-base", metrics="toy_metrics:judged")


def toy(metric: str | None, name: str = "toy") -> Modality:
    return Modality(
        name=name, summary="A toy", license="MIT", preprocessor=None, metric=metric
    )


CLIP = Clip(video=np.zeros((1, 2, 2, 3), np.uint8), prompt="four")


def test_a_modalitys_own_metric_comes_first(base: Base) -> None:
    metric = metric_for(base, toy("toy_metrics:Same"))
    assert metric.name == "Same"
    assert metric.higher_is_better
    assert metric(CLIP.video, CLIP) == 1.0


def test_else_the_base_scores_it(base: Base) -> None:
    metric = metric_for(base, toy(None))
    assert metric.name == "judge_toy"
    assert not metric.higher_is_better
    assert metric(CLIP.video, CLIP) == 4.0


def test_modalities_come_first_and_the_rest_behind(base: Base) -> None:
    modalities = [toy(None, "fog"), toy("toy_metrics:Same")]
    assert list(metrics_for(base, modalities)) == ["fog", "toy", "prompt_mood"]


def test_a_base_need_not_have_metrics(base: Base) -> None:
    bare = attrs.evolve(base, metrics=None)
    assert list(metrics_for(bare, [toy("toy_metrics:Same"), toy(None, "fog")])) == [
        "toy"
    ]


def test_a_modality_nobody_scores_is_refused(base: Base) -> None:
    with pytest.raises(WorldweaveError, match="'rain' has no metric, and base 'toy-ba"):
        metric_for(base, toy(None, "rain"))


@pytest.mark.parametrize(
    ("function", "complaint"),
    [("unnamed", "has a name, a summary and"), ("listed", "must give a mapping")],
)
def test_metrics_of_another_kind_are_the_plugins_fault(
    base: Base, function: str, complaint: str
) -> None:
    wrong = attrs.evolve(base, metrics=f"toy_metrics:{function}")
    with pytest.raises(PluginError, match=f"{complaint}.*report it"):
        metrics_for(wrong, [])


def test_every_metric_says_how_it_measures() -> None:
    catalog = discover()
    names = ["vis", "edge"]
    found = metrics_for(
        catalog.find_base("tiny-world"), [catalog.find(name) for name in names]
    )
    assert "tolerance=1" in found["edge"].summary
    assert {"depth", "seg", "hdmap", "lidar"} < set(found)


def test_a_metric_of_the_base_that_fails_is_told_of_its_plugin(base: Base) -> None:
    tired = attrs.evolve(base, metrics="toy_metrics:tired")
    metric = metric_for(tired, toy(None))
    with pytest.raises(PluginError, match=r"judge_toy failed: SystemExit: enough; rep"):
        metric(CLIP.video, CLIP)


def test_that_the_base_lacks_weights_to_judge_stays_that(base: Base) -> None:
    gone = attrs.evolve(base, metrics="toy_metrics:gone")
    with pytest.raises(WeightsError, match=r"^the judge is not at home$"):
        metrics_for(gone, [])


def test_the_licence_of_the_judges_weights_is_asked_before_they_are_read() -> None:
    with pytest.raises(Problems, match=r"annotator for 'tiny-world'\): licence"):
        evaluate_base("tiny-world", catalog=discover().allowing(["MIT"]))
