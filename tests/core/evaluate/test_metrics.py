"""Which metric scores a modality: its own, or the base's."""

from pathlib import Path

import attrs
import numpy as np
import pytest

from worldweave import Base, Clip, Modality, PluginError, WorldweaveError, discover
from worldweave.evaluate.metrics import metric_for, metrics_for

METRICS = """
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
