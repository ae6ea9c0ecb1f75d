"""The annotator: shapes, depth, and how well the shipped one sees renders."""

from pathlib import Path

import numpy as np
import pytest
import torch

from worldweave import WeightsError, WorldweaveError
from worldweave.base import HELD_OUT
from worldweave.checkpoints import store
from worldweave_plugins.tinyworld import WEIGHTS
from worldweave_plugins.tinyworld.annotator import (
    FARTHEST,
    NEAREST,
    Annotator,
    depth_of,
    load,
    show_depth,
)
from worldweave_plugins.tinyworld.clips import clips
from worldweave_plugins.tinyworld.facts import PAINTS, TIMES_OF_DAY, facts
from worldweave_plugins.tinyworld.labels import CLASSES
from worldweave_registry import resolve


@pytest.fixture(scope="module")
def shipped() -> Annotator:
    (weights,) = [w for w in WEIGHTS if w.part == "annotator"]
    return load(resolve(weights))


@pytest.fixture(scope="module")
def fresh() -> Annotator:
    torch.manual_seed(0)
    return Annotator(widths=(8, 16)).eval()


@pytest.mark.parametrize("size", [(8, 8), (16, 24)])
def test_every_pixel_is_annotated(fresh: Annotator, size: tuple[int, int]) -> None:
    annotation = fresh(torch.zeros(2, 3, *size))
    assert annotation.classes.shape == (2, len(CLASSES), *size)
    assert annotation.paints.shape == (2, len(PAINTS), *size)
    assert annotation.times.shape == (2, len(TIMES_OF_DAY))
    assert annotation.shown.shape == (2, *size)
    assert (annotation.shown >= 0).all()


def test_it_is_small() -> None:
    assert sum(p.numel() for p in Annotator().parameters()) <= 500_000
    (weights,) = [w for w in WEIGHTS if w.part == "annotator"]
    assert resolve(weights).stat().st_size <= 1_000_000


def test_depth_can_be_shown_and_read_back() -> None:
    depth = torch.tensor([NEAREST, 1.0, 7.5, FARTHEST])
    torch.testing.assert_close(depth_of(show_depth(depth)), depth)


def test_the_sky_is_shown_as_nothing_and_read_as_far_away() -> None:
    sky = show_depth(torch.tensor([float("inf")]))
    assert sky.item() == 0.0
    assert depth_of(sky).item() == pytest.approx(FARTHEST)


@pytest.mark.parametrize("shape", [(0, 64, 96, 3), (1, 60, 96, 3), (1, 64, 96, 1)])
def test_a_video_it_cannot_take_is_refused(
    fresh: Annotator, shape: tuple[int, ...]
) -> None:
    with pytest.raises(WorldweaveError, match=r"multiples of 8; resize it"):
        fresh.look(np.zeros(shape, np.uint8))


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    store.write(path, {"weight": torch.zeros(2)})
    with pytest.raises(WeightsError, match="does not fit the annotator of tiny-world"):
        load(path)


def test_the_shipped_one_sees_held_out_renders(shipped: Annotator) -> None:
    shared, either = np.zeros(len(CLASSES)), np.zeros(len(CLASSES))
    errors, right = [], []
    for clip in clips(HELD_OUT + 500, 8):
        seen, classes = shipped.look(clip.video), clip.truth["classes"]
        for k in range(len(CLASSES)):
            shared[k] += np.count_nonzero((seen.classes == k) & (classes == k))
            either[k] += np.count_nonzero((seen.classes == k) | (classes == k))
        known = np.isfinite(clip.truth["depth"])
        depth = clip.truth["depth"][known].clip(NEAREST, FARTHEST)
        errors.append(np.std(np.log(seen.depth[known] / depth)))
        told = facts(clip.prompt)
        right.append(seen.time == told.time)
        right += [seen.paints.get(k) == colour for k, colour in told.colours.items()]
    # The issue asks for a ceiling of .85; see docs/benchmarks/tinyworld.md.
    assert np.mean(shared[either > 0] / either[either > 0]) >= 0.88
    assert np.mean(errors) <= 0.15
    assert np.mean(right) >= 0.95
