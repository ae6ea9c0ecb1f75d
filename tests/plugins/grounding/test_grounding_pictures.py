"""Frames are prepared as transformers prepares them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.image_transforms import get_size_with_aspect_ratio
from transformers.models.grounding_dino import image_processing_pil_grounding_dino
from transformers.models.idefics3 import image_processing_pil_idefics3

from worldweave_plugins.grounding.pictures import Preparation, read

DINO = Preparation(
    mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), resample=2, edges=(800, 1333)
)
EDGE = st.integers(1, 3000)


@given(EDGE, EDGE, st.integers(1, 900), st.integers(0, 900))
def test_sizes_are_those_of_transformers(height, width, shortest, more):
    ours = Preparation(
        mean=DINO.mean, std=DINO.std, resample=2, edges=(shortest, shortest + more)
    )
    theirs = get_size_with_aspect_ratio((height, width), shortest, shortest + more)
    assert ours.size(height, width) == theirs


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(704, 1280, (733, 1333)), (1280, 704, (1333, 733)), (960, 960, (800, 800))],
)
def test_the_short_edge_is_800_unless_the_long_one_would_pass_1333(
    height, width, expected
):
    assert DINO.size(height, width) == expected


@pytest.mark.parametrize(("height", "width"), [(46, 70), (71, 33), (50, 50), (9, 40)])
def test_pixels_are_those_of_the_processor_of_grounding_dino(
    models_folder, height, width
):
    folder = models_folder / "grounding-dino"
    frame = picture(height, width)
    theirs = image_processing_pil_grounding_dino.GroundingDinoImageProcessorPil(
        size={"shortest_edge": 96, "longest_edge": 200}
    )(frame, return_tensors="pt")
    ours = read(folder, has_edges=True)
    pixels = ours.pixels(frame, ours.size(height, width))
    torch.testing.assert_close(pixels, theirs["pixel_values"])
    assert theirs["pixel_mask"].all()


@pytest.mark.parametrize(("height", "width"), [(46, 70), (90, 64)])
def test_pixels_are_nearly_those_of_the_processor_of_smolvlm(
    models_folder, height, width
):
    frame = np.repeat(np.repeat(picture(height, width), 8, 0), 8, 1)
    theirs = image_processing_pil_idefics3.Idefics3ImageProcessorPil(
        size={"longest_edge": 128}, max_image_size={"longest_edge": 32}
    )(frame, do_image_splitting=False, return_tensors="pt")
    ours = read(models_folder / "vlm").pixels(frame, (32, 32))
    # It scales twice, first to its longest edge; we scale once.
    assert (ours - theirs["pixel_values"][0]).abs().max() < 0.15
    assert (ours - theirs["pixel_values"][0]).abs().mean() < 0.02


def test_frames_that_lie_strangely_in_memory_are_prepared_alike():
    frame = picture(40, 60)
    strange = np.asfortranarray(frame)[::-1][::-1]
    expected = DINO.pixels(frame, (20, 30))
    torch.testing.assert_close(DINO.pixels(strange, (20, 30)), expected)


def picture(height, width):
    return np.random.default_rng(height).integers(0, 255, (height, width, 3), np.uint8)
