"""Text becomes phrases, and what Grounding DINO says becomes boxes in pixels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GroundingDinoProcessor
from transformers.models.grounding_dino.modeling_grounding_dino import (
    GroundingDinoObjectDetectionOutput as Output,
)

from worldweave import WorldweaveError
from worldweave_plugins.grounding.detector import Detector, load, split

PHRASES = ("a red car", "the robots", "person")


@pytest.fixture
def detector(models_folder):
    return load(models_folder / "grounding-dino", torch.device("cpu"))


class Crafted(torch.nn.Module):
    """Answers what it was given, and keeps what it was asked."""

    device = torch.device("cpu")

    def __init__(self, real, logits, boxes):
        super().__init__()
        self.config = real.config
        self.answer = Output(logits=logits, pred_boxes=boxes)

    def forward(self, **asked):
        self.asked = asked
        return self.answer


class Processor(GroundingDinoProcessor):
    """Only the post-processing of transformers, which needs no other part."""

    def __init__(self, tokenizer):
        self.words = tokenizer

    def batch_decode(self, rows):
        return [self.words.decode([int(token) for token in row]) for row in rows]


def test_phrases_end_in_a_full_stop_and_count_once():
    assert split("A  Car. a person.a car") == ("a car", "a person")
    assert split("the robot") == ("the robot",)


@pytest.mark.parametrize("prompt", ["", " ", ". ."])
def test_a_prompt_without_words_is_refused(prompt):
    with pytest.raises(WorldweaveError, match=r"names nothing; write phrases"):
        split(prompt)


def test_a_phrase_that_the_tokenizer_drops_is_refused(detector, video):
    with pytest.raises(WorldweaveError, match=r"cannot read the phrase '\\u200b'"):
        detector.detect(video[0], ("a car", "\u200b"))


def test_a_prompt_longer_than_the_model_reads_is_refused(detector, video):
    with pytest.raises(WorldweaveError, match=r"has 302 tokens, .* reads 256"):
        detector.detect(video[0], (" ".join(["car"] * 299),))
    assert len(detector.detect(video[0], (" ".join(["car"] * 253),)).boxes)


@given(seed=st.integers(0, 1000), threshold=st.floats(0.1, 0.9))
def test_boxes_and_scores_are_those_of_transformers(models_folder, seed, threshold):
    real = load(models_folder / "grounding-dino", torch.device("cpu"))
    generator = torch.Generator().manual_seed(seed)
    logits = torch.full((1, 12, 256), -torch.inf)
    logits[..., :11] = 3 * torch.randn(1, 12, 11, generator=generator)
    boxes = torch.rand(1, 12, 4, generator=generator)
    crafted = Crafted(real.model, logits, boxes)
    ours = Detector(crafted, real.tokenizer, real.preparation).detect(
        np.zeros((46, 70, 3), np.uint8), PHRASES
    )
    (theirs,) = Processor(real.tokenizer).post_process_grounded_object_detection(
        crafted.answer,
        crafted.asked["input_ids"],
        threshold=threshold,
        target_sizes=[(46, 70)],
    )
    kept = ours.scores > threshold
    np.testing.assert_allclose(ours.scores[kept], theirs["scores"], rtol=1e-6)
    np.testing.assert_allclose(ours.boxes[kept], theirs["boxes"], rtol=1e-5, atol=1e-4)


def test_a_box_belongs_to_the_phrase_of_its_best_token(detector):
    # [CLS] a red car . the robot ##s . person . [SEP]
    owner = [None, 0, 0, 0, None, 1, 1, 1, None, 2, None, None]
    logits = torch.full((1, len(owner), 256), -torch.inf)
    logits[..., : len(owner)] = -4.0
    for query in range(len(owner)):
        logits[0, query, query] = 2.0
    crafted = Crafted(detector.model, logits, torch.rand(1, len(owner), 4))
    found = Detector(crafted, detector.tokenizer, detector.preparation).detect(
        np.zeros((8, 9, 3), np.uint8), PHRASES
    )
    assert [
        (int(phrase), expected)
        for phrase, expected in zip(found.phrases, owner, strict=True)
        if expected is not None
    ] == [(phrase, phrase) for phrase in owner if phrase is not None]
    # A box that fits a full stop best still has that score, as in transformers.
    np.testing.assert_allclose(found.scores, torch.tensor(2.0).sigmoid(), rtol=1e-6)


def test_the_model_is_asked_with_all_it_was_trained_with(detector, video):
    crafted = Crafted(detector.model, torch.zeros(1, 2, 256), torch.zeros(1, 2, 4))
    Detector(crafted, detector.tokenizer, detector.preparation).detect(
        video[0], ("a car", "person")
    )
    asked = crafted.asked
    assert asked["input_ids"].tolist() == [[101, 200, 202, 1012, 203, 1012, 102]]
    assert asked["attention_mask"].tolist() == [[1] * 7]
    assert asked["token_type_ids"].tolist() == [[0] * 7]
    assert asked["pixel_values"].shape[2:] == asked["pixel_mask"].shape[1:]
    assert asked["pixel_mask"].all()


@pytest.mark.parametrize("size", [(46, 70), (71, 33), (1, 1), (9, 200)])
def test_the_real_model_offers_a_box_for_each_query_at_any_size(detector, size):
    frame = np.random.default_rng(1).integers(0, 255, (*size, 3), np.uint8)
    found = detector.detect(frame, PHRASES)
    assert found.boxes.shape == (8, 4)
    assert np.isfinite(found.boxes).all()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    assert set(found.phrases) <= {0, 1, 2}
    again = detector.detect(frame, PHRASES)
    np.testing.assert_array_equal(found.boxes, again.boxes)
    np.testing.assert_array_equal(found.scores, again.scores)
