"""Things are sought in several frames, each once, followed, and remembered."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.grounding_dino.modeling_grounding_dino import (
    GroundingDinoObjectDetectionOutput as Output,
)

from worldweave import WorldweaveError
from worldweave_plugins.grounding import detector, masks, tracker
from worldweave_plugins.grounding.masks import (
    follow,
    looked_at,
    objects,
    overlap,
    seek,
    text_map,
)
from worldweave_plugins.grounding.settings import Settings

COLOURS = {"red": 0, "green": 1}


class Colours(torch.nn.Module):
    """Finds "a red car" and "a green bus" by colour: the purer, the surer.

    Every patch of a colour is a box; its score is its share of pure colour.
    """

    device = torch.device("cpu")

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.looks = 0

    def forward(self, pixel_values, input_ids, **_):
        self.looks += 1
        picture = pixel_values[0] / 2 + 0.5
        boxes, rows = [], []
        tokens = input_ids[0].tolist()
        for channel, token in ((0, 201), (1, 202)):
            if token not in tokens:
                continue
            strength = picture[channel] * (picture.sum(0) - picture[channel] < 0.01)
            for half in (0, 1):
                part = strength.clone()
                middle = part.shape[1] // 2
                part[:, :middle] *= half == 0
                part[:, middle:] *= half == 1
                if (part > 0.01).any():
                    down, across = torch.nonzero(part > 0.01, as_tuple=True)
                    boxes.append(corners(down, across, part.shape))
                    rows.append((tokens.index(token), float(part.max())))
        logits = torch.full((1, len(rows) + 1, 256), -20.0)
        for query, (at, score) in enumerate(rows):
            logits[0, query, at] = torch.logit(torch.tensor(score), 1e-3)
        boxes.append([0.5, 0.5, 1.0, 1.0])
        return Output(logits=logits, pred_boxes=torch.tensor([boxes]))


def corners(down, across, shape):
    top, bottom = int(down.min()) / shape[0], (int(down.max()) + 1) / shape[0]
    left, right = int(across.min()) / shape[1], (int(across.max()) + 1) / shape[1]
    return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]


@pytest.fixture
def finder(models_folder):
    real = detector.load(models_folder / "grounding-dino", torch.device("cpu"))
    preparation = detector.pictures.Preparation(
        mean=[0.5] * 3, std=[0.5] * 3, resample=0, edges=(64, 128)
    )
    return detector.Detector(Colours(real.model.config), real.tokenizer, preparation)


@pytest.fixture
def follower(models_folder):
    return tracker.load(models_folder / "sam2", torch.device("cpu"))


@pytest.fixture(autouse=True)
def nothing_remembered():
    masks._answers.clear()


def scene(length=9):
    return np.zeros((length, 64, 128, 3), np.uint8)


def paint(video, frame, box, colour="red", share=1.0):
    left, top, right, bottom = box
    video[frame, top:bottom, left:right, COLOURS[colour]] = round(255 * share)


def sought(finder, video, *phrases, **settings):
    return [
        (seen.phrase, seen.frame, tuple(round(float(edge)) for edge in seen.box))
        for seen in seek(finder, video, phrases, Settings(**settings))
    ]


RED, GREEN = "red", "car"  # single words of the tiny vocabulary


def test_what_the_first_frame_shows_is_taken_from_it(finder):
    video = scene()
    paint(video, slice(None), (10, 8, 40, 24))
    assert sought(finder, video, RED) == [(RED, 0, (10, 8, 40, 24))]
    assert finder.model.looks == 1


def test_what_comes_later_is_found_in_a_later_frame(finder):
    video = scene()
    paint(video, slice(6, None), (70, 8, 100, 24))
    assert sought(finder, video, RED) == [(RED, 6, (70, 8, 100, 24))]


def test_each_phrase_has_its_own_first_frame(finder):
    video = scene()
    paint(video, slice(3, None), (10, 8, 40, 24))
    paint(video, slice(None), (80, 30, 90, 60), "green")
    assert sought(finder, video, RED, GREEN) == [
        (RED, 3, (10, 8, 40, 24)),
        (GREEN, 0, (80, 30, 90, 60)),
    ]


def test_a_sure_sighting_later_counts_more_than_an_unsure_one_before(finder):
    video = scene()
    paint(video, 0, (10, 8, 40, 24), share=0.12)
    paint(video, slice(5, None), (20, 8, 50, 24))
    assert sought(finder, video, RED) == [(RED, 5, (20, 8, 50, 24))]


def test_the_fallback_counts_where_nothing_is_sure(finder):
    video = scene()
    paint(video, slice(2, 4), (10, 8, 40, 24), share=0.05)
    paint(video, slice(5, None), (20, 8, 50, 24), share=0.12)
    assert sought(finder, video, RED) == [(RED, 5, (20, 8, 50, 24))]
    assert sought(finder, video, RED, fallback=0.13) == []


def test_several_instances_come_best_first_and_no_more_than_wanted(finder):
    video = scene()
    paint(video, 0, (10, 8, 40, 24), share=0.5)
    paint(video, 0, (70, 8, 100, 24), share=0.9)
    both = [(RED, 0, (70, 8, 100, 24)), (RED, 0, (10, 8, 40, 24))]
    assert sought(finder, video, RED) == both
    assert sought(finder, video, RED, instances=1) == both[:1]


def test_one_thing_with_two_boxes_is_one_thing(finder):
    boxes = [[0.5, 0.5, 0.4, 0.4], [0.51, 0.5, 0.4, 0.4], [0.3, 0.5, 0.4, 0.4]]
    logits = torch.full((1, 3, 256), -20.0)
    logits[0, :, 1] = torch.tensor([1.0, 2.0, 0.5])
    finder.model.forward = lambda **_: Output(
        logits=logits, pred_boxes=torch.tensor([boxes])
    )
    found = seek(finder, scene(), [RED], Settings())
    assert [round(seen.score, 2) for seen in found] == [0.88, 0.62]


def test_nothing_there_is_looked_for_in_no_more_frames_than_wanted(finder):
    assert sought(finder, scene(30), RED, looks=5) == []
    assert finder.model.looks == 5


@given(length=st.integers(1, 400), looks=st.integers(1, 20))
def test_looks_are_spread_from_the_first_frame_to_the_last(length, looks):
    frames = looked_at(length, looks)
    assert frames[0] == 0
    assert len(frames) == min(length, looks)
    if looks > 1:
        assert frames[-1] == length - 1
        steps = np.diff(frames)
        assert steps.size == 0 or steps.max() - steps.min() <= 1


def test_overlap_is_shared_area_over_joint_area():
    square = np.array([0, 0, 2, 2], np.float32)
    assert overlap(square, square) == 1
    assert overlap(square, square + 1) == pytest.approx(1 / 7)
    assert overlap(square, square + 2) == 0
    assert overlap(square[[0, 0, 0, 0]], square[[0, 0, 0, 0]]) == 0


def test_masks_are_packed_and_named_by_phrase_and_number(follower, video):
    boxes = np.array([[5, 20, 25, 35], [40, 3, 69, 30], [1, 1, 60, 40]], np.float32)
    seen = [
        masks.Sighting(phrase=phrase, frame=frame, box=box, score=0.5)
        for phrase, frame, box in zip(("a", "a", "b"), (2, 2, 0), boxes, strict=True)
    ]
    found = follow(follower, video, seen)
    assert list(found) == ["a", "a 2", "b"]
    expected = dict(follower.track(video, 2, boxes[:2]))
    for at in range(len(video)):
        for name, mask in zip(("a", "a 2"), expected[at], strict=True):
            unpacked = np.unpackbits(found[name][at], axis=-1, count=70)
            np.testing.assert_array_equal(unpacked, mask)
    (mask,) = dict(follower.track(video, 0, boxes[2:]))[4]
    np.testing.assert_array_equal(np.unpackbits(found["b"][4], axis=-1, count=70), mask)


def test_a_mask_that_is_empty_throughout_is_no_object(models_folder, follower, video):
    class Blind(torch.nn.Module):
        config = follower.model.config
        device, dtype, image_size = torch.device("cpu"), torch.float32, 64

        def forward(self, session, **_):
            return type("Output", (), {"pred_masks": torch.full((1, 1, 16, 16), -1.0)})

    blind = tracker.Tracker(Blind(), follower.preparation)
    box = np.array([1, 1, 9, 9], np.float32)
    seen = masks.Sighting(phrase="a", frame=0, box=box, score=0.5)
    assert follow(blind, video, [seen]) == {}


def test_the_map_is_one_where_any_object_is(here, video):
    found = objects("a car. person.", video)
    assert len(found) > 2
    assert {name.rstrip(" 0123456789") for name in found} == {"a car", "person"}
    for mask in found.values():
        assert mask.shape == video.shape[:3]
        assert mask.dtype == bool
    whole = text_map("a car. person.", video)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole, np.any(list(found.values()), 0))
    assert 0 < whole.mean() < 1


def test_nothing_found_is_a_map_of_zeros(here, video, monkeypatch):
    monkeypatch.setenv("WORLDWEAVE_GROUNDING_THRESHOLD", "1")
    monkeypatch.setenv("WORLDWEAVE_GROUNDING_FALLBACK", "1")
    found = text_map("a car", video)
    assert found.shape == video.shape[:3]
    assert not found.any()
    assert objects("a car", video) == {}


def test_the_same_question_is_answered_from_memory(here, video):
    calls = []
    handle = count_calls(here, calls)
    try:
        first = text_map("a car. person.", video)
        asked = len(calls)
        again = text_map("A car.  person", video.copy())
        objects("a car. person.", video)
        assert len(calls) == asked > 0
        np.testing.assert_array_equal(first, again)
        other = video.copy()
        other[-1, -1, -1] ^= 1
        text_map("a car. person.", other)
        assert len(calls) == 2 * asked
        text_map("a car", video)
        assert len(calls) > 2 * asked
    finally:
        handle.remove()


def test_another_setting_is_another_question(here, video, monkeypatch):
    assert len(objects("a car", video)) > 1
    monkeypatch.setenv("WORLDWEAVE_GROUNDING_INSTANCES", "1")
    assert list(objects("a car", video)) == ["a car"]


def count_calls(here, calls):
    model = detector.load(here / "grounding-dino", torch.device("cpu")).model
    return model.register_forward_hook(lambda *_: calls.append(1))


def test_models_are_read_once_in_a_process(here, video):
    detector.load.cache_clear()
    tracker.load.cache_clear()
    for prompt in ("a car", "person", "a bus"):
        text_map(prompt, video)
    assert detector.load.cache_info().misses == 1
    assert tracker.load.cache_info().misses == 1


def test_only_a_few_answers_are_kept(here, video):
    for prompt in ("a", "car", "bus", "tree", "red", "arm"):
        text_map(prompt, video[:1])
    assert len(masks._answers) == masks.KEPT


def test_answers_are_the_same_in_every_run(here, video):
    first = text_map("the robot arm", video)
    masks._answers.clear()
    detector.load.cache_clear()
    tracker.load.cache_clear()
    np.testing.assert_array_equal(text_map("the robot arm", video), first)


@pytest.mark.parametrize("size", [(1, 33, 61), (2, 64, 64), (3, 17, 90)])
def test_any_size_and_length_is_served(here, size):
    video = np.random.default_rng(5).integers(0, 255, (*size, 3), np.uint8)
    found = text_map("a car", video)
    assert found.shape == size
    assert set(np.unique(found)) <= {0.0, 1.0}


def test_a_prompt_without_words_is_refused_before_anything_is_read(video):
    with pytest.raises(WorldweaveError, match="names nothing"):
        text_map(" . ", video)
