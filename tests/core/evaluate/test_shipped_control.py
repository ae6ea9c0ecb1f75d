"""The shipped edge branch controls the shipped base, on clips nobody trained on."""

import pytest

from worldweave.base import HELD_OUT
from worldweave.evaluate.control import control_scores
from worldweave.generate.load import load


@pytest.fixture(scope="module")
def scores():
    pipeline = load("tiny-world", modalities=["edge"], device="cpu")
    clips = list(pipeline.base.description.clips.load()(HELD_OUT, 6))
    return control_scores(pipeline, "edge", clips)


def test_edges_follow_a_control_better_than_none(scores):
    means = scores.means()
    # 1.27 here and 1.33 over 16 clips; 1.2 is the least we promise.
    assert means["on"] >= 1.2 * means["off"]
    assert all(on > off for on, off in zip(scores.on, scores.off, strict=True))


def test_a_wrong_control_is_no_better_than_none(scores):
    means = scores.means()
    assert means["wrong"] <= means["off"]
    assert all(on > wrong for on, wrong in zip(scores.on, scores.wrong, strict=True))


def test_the_autoencoder_is_not_what_limits_the_score(scores):
    assert scores.means()["tokenizer"] > 0.9
