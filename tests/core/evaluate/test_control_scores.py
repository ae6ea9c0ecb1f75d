"""Scores of a control, and what cannot be scored."""

from typing import Any

import numpy as np
import pytest

from worldweave.base import Clip
from worldweave.evaluate.control import Scores, control_scores
from worldweave.evaluate.metrics import load_metric
from worldweave_registry import Modality, PluginError, WorldweaveError


def modality(metric):
    return Modality(
        name="toy", summary="A toy", license="MIT", preprocessor=None, metric=metric
    )


def test_the_mean_of_each_row():
    scores = Scores(tokenizer=(1.0,), on=(0.5, 1.0), off=(0.0, 0.5), wrong=(-1.0, 1.0))
    assert scores.means() == {"tokenizer": 1.0, "on": 0.75, "off": 0.25, "wrong": 0.0}


def test_a_clip_without_a_score_does_not_count():
    none = float("nan")
    scores = Scores(tokenizer=(none, 1.0), on=(none,), off=(0.5,), wrong=(0.0,))
    assert scores.means()["tokenizer"] == 1.0
    assert np.isnan(scores.means()["on"])


def test_a_metric_comes_with_its_default_settings(tmp_path, monkeypatch):
    (tmp_path / "toy_metric.py").write_text(
        "class Same:\n"
        "    higher_is_better = True\n"
        "    def __call__(self, video, reference):\n"
        "        return float((video == reference).mean())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    metric = load_metric(modality("toy_metric:Same"))
    assert metric.higher_is_better


@pytest.mark.parametrize("count", [0, 1])
def test_one_clip_has_no_wrong_control(count):
    clip = Clip(video=np.zeros((1, 2, 2, 3), np.uint8), prompt="")
    unused: Any = None
    with pytest.raises(WorldweaveError, match=f"{count} clips cannot .* 2 or more"):
        control_scores(unused, "toy", [clip] * count)


def test_a_modality_without_a_metric_is_refused():
    with pytest.raises(WorldweaveError, match="'toy' has no metric; its plugin must"):
        load_metric(modality(None))


def test_a_metric_that_is_not_there_is_named():
    with pytest.raises(PluginError, match="no_such_metric:Same"):
        load_metric(modality("no_such_metric:Same"))


def test_a_metric_that_does_not_say_which_way_is_better_is_refused(
    tmp_path, monkeypatch
):
    (tmp_path / "toy_vague.py").write_text(
        "class Vague:\n    def __call__(self, video, reference):\n        return 0.0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(WorldweaveError, match="higher_is_better; report it"):
        load_metric(modality("toy_vague:Vague"))
