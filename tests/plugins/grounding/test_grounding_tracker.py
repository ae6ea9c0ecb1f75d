"""SAM 2 follows boxes through a video as transformers lets it, in bounded memory."""

import gc

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import Sam2VideoProcessor
from transformers.models.sam2_video.modeling_sam2_video import (
    Sam2VideoInferenceSession,
)

from worldweave_plugins.grounding.tracker import Tracker, load

BOXES = np.array([[5, 20, 25, 35], [40.5, 3, 69, 30]], np.float32)


@pytest.fixture
def tracker(models_folder):
    return load(models_folder / "sam2", torch.device("cpu"))


@pytest.fixture(params=["models_folder", "newer_folder"], ids=["2", "2.1"])
def each_tracker(request):
    return load(request.getfixturevalue(request.param) / "sam2", torch.device("cpu"))


@pytest.fixture(scope="module")
def long():
    """Ten frames, more than twice what the tiny model remembers."""
    return np.random.default_rng(3).integers(0, 255, (10, 46, 70, 3), np.uint8)


def followed(tracker, video, start, boxes):
    masks = dict(tracker.track(video, start, boxes))
    assert sorted(masks) == list(range(len(video)))
    return np.stack([masks[at] for at in range(len(video))])


@torch.inference_mode()
def by_transformers(tracker, video, start, boxes, *, is_reverse):
    """Logits (N, 16, 16) of each frame, by the library's own prompts and loop."""
    size = video.shape[1:3]
    frames = [tracker.preparation.pixels(frame, (64, 64)) for frame in video]
    session = Sam2VideoInferenceSession(torch.cat(frames), *size, dtype=torch.float32)
    prompts = object.__new__(Sam2VideoProcessor)  # its pictures need torchvision
    prompts.target_size, prompts.point_pad_value = 64, -10
    numbers = list(range(len(boxes)))
    prompts.process_new_points_or_boxes_for_video_frame(
        session, start, numbers, input_boxes=[boxes.tolist()]
    )
    tracker.model(session, frame_idx=start)
    outputs = tracker.model.propagate_in_video_iterator(
        session, start_frame_idx=start, reverse=is_reverse
    )
    return {output.frame_idx: output.pred_masks.clone() for output in outputs}


@pytest.mark.parametrize("start", [0, 6])
def test_masks_are_those_of_the_loop_of_transformers(each_tracker, long, start):
    ours = followed(each_tracker, long, start, BOXES)
    theirs = by_transformers(each_tracker, long, start, BOXES, is_reverse=False)
    theirs |= by_transformers(each_tracker, long, start, BOXES, is_reverse=True)
    for at, logits in theirs.items():
        scaled = F.interpolate(logits, (46, 70), mode="bilinear", align_corners=False)
        np.testing.assert_array_equal(ours[at], scaled[:, 0] > 0)
    assert len(theirs) == len(long)
    assert 0 < ours.mean() < 1


def test_each_direction_forgets_the_other(tracker, long):
    whole = followed(tracker, long, 6, BOXES)
    np.testing.assert_array_equal(whole[:7], followed(tracker, long[:7], 6, BOXES))
    np.testing.assert_array_equal(whole[6:], followed(tracker, long[6:], 0, BOXES))


def test_objects_do_not_disturb_each_other(tracker, long):
    both = followed(tracker, long, 3, BOXES)
    for at in range(2):
        alone = followed(tracker, long, 3, BOXES[at : at + 1])
        # Memories of several objects are computed in one batch.
        assert (both[:, at] != alone[:, 0]).mean() < 1e-3


def test_memory_does_not_grow_with_the_video(tracker, long):
    sizes = {}
    for at, _ in tracker.track(np.concatenate([long, long[:6]]), 0, BOXES):
        if at in (8, 14):
            sizes[at] = sum(
                each.numel() for each in gc.get_objects() if type(each) is torch.Tensor
            )
    assert sizes[14] <= sizes[8]


@pytest.mark.parametrize("size", [(46, 70), (71, 33), (1, 1), (64, 64), (9, 200)])
def test_masks_have_the_size_of_the_video(tracker, size):
    video = np.zeros((2, *size, 3), np.uint8)
    box = np.array([[0, 0, size[1], size[0]]], np.float32)
    masks = followed(tracker, video, 1, box)
    assert masks.shape == (2, 1, *size)
    assert masks.dtype == bool


def test_one_frame_is_a_video(tracker, video):
    assert followed(tracker, video[:1], 0, BOXES).shape == (1, 2, 46, 70)


class Filler(torch.nn.Module):
    """Says of every frame that the object fills its box."""

    device, dtype, image_size = torch.device("cpu"), torch.float32, 64

    def __init__(self, real):
        super().__init__()
        self.config = real.config

    def forward(self, session, frame_idx, reverse):
        rows = []
        centres = (torch.arange(16) + 0.5) * 4
        for prompts in session.point_inputs_per_obj.values():
            (points,) = prompts.values()
            assert points["point_labels"].tolist() == [[[2, 3]]]
            (left, top), (right, bottom) = points["point_coords"][0, 0]
            across = (centres > left) & (centres < right)
            down = (centres > top) & (centres < bottom)
            rows.append((down[:, None] & across).float() * 2 - 1)
        return type("Output", (), {"pred_masks": torch.stack(rows)[:, None]})


@pytest.mark.parametrize("size", [(46, 70), (200, 120)])
def test_a_box_in_pixels_is_where_the_mask_is(tracker, size):
    height, width = size
    boxes = np.array(
        [
            [width / 4, height / 2, width * 3 / 4, height],
            [0, 0, width / 2, height / 4],
        ],
        np.float32,
    )
    ours = Tracker(Filler(tracker.model), tracker.preparation)
    masks = followed(ours, np.zeros((3, *size, 3), np.uint8), 1, boxes)
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    for at, (left, top, right, bottom) in enumerate(boxes):
        inside = ((rows > top) & (rows < bottom))[:, None] & (
            (columns > left) & (columns < right)
        )
        # Off by at most the pixels at the border, where the small mask ends.
        assert (masks[:, at] != inside).mean() < 0.02
