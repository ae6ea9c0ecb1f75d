"""How the annotator learns: from labelled frames, spoilt and mirrored."""

import attrs
import numpy as np
import pytest
import torch

from worldweave import Clip, WorldweaveError, discover
from worldweave.checkpoints import store
from worldweave.train.task import Setup, Task
from worldweave_plugins.tinyworld.annotator import load
from worldweave_plugins.tinyworld.annotator_training import (
    FRAMES_OF_A_CLIP,
    UNKNOWN,
    LabelledFrames,
    annotation_loss,
    build,
    spoil,
)
from worldweave_plugins.tinyworld.clips import clips
from worldweave_plugins.tinyworld.facts import PAINTS, facts
from worldweave_plugins.tinyworld.labels import class_index


@pytest.fixture(scope="module")
def made() -> list[Clip]:
    return list(clips(40, 4))


@pytest.fixture(scope="module")
def frames(made: list[Clip]) -> LabelledFrames:
    return LabelledFrames(made)


@pytest.fixture(scope="module")
def task() -> Task:
    catalog = discover()
    overrides = {"batch_size": 4, "steps": 2}
    base = catalog.find_base("tiny-world")
    return build(Setup(base=base, catalog=catalog, clips=2, overrides=overrides))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_few_frames_of_each_clip_are_kept(frames: LabelledFrames) -> None:
    assert len(frames) == 4 * FRAMES_OF_A_CLIP


def test_what_is_drawn_fits_together(frames: LabelledFrames) -> None:
    drawn = frames.draw(8, generator())
    assert drawn.pictures.shape == (8, 3, 64, 96)
    assert drawn.classes.shape == drawn.shown.shape == drawn.paints.shape
    assert drawn.times.shape == (8,)
    assert drawn.class_weights.mean() == pytest.approx(1.0)
    assert drawn.paint_weights.mean() == pytest.approx(1.0)
    assert (drawn.shown[drawn.classes == class_index("sky")] < 0.01).all()


def test_paint_is_known_where_the_prompt_names_it_alone(made: list[Clip]) -> None:
    frames = LabelledFrames(made[:1])
    colours = facts(made[0].prompt).colours
    for name, colour in colours.items():
        of_class = frames.paints[frames.classes == class_index(name)]
        assert set(of_class.tolist()) == {PAINTS.index(colour)}
    painted = [class_index(name) for name in colours]
    others = ~torch.isin(frames.classes, torch.tensor(painted))
    assert (frames.paints[others] == UNKNOWN).all()


def test_mirrored_frames_keep_their_labels(frames: LabelledFrames) -> None:
    drawn = frames.draw(16, generator(1))
    for picture, classes in zip(drawn.pictures, drawn.classes, strict=True):
        pixels = ((picture + 1) * 127.5).round().byte()
        same = (frames.pictures == pixels).flatten(1).all(1)
        mirrored = (frames.pictures == pixels.flip(-1)).flatten(1).all(1)
        assert same.any() or mirrored.any()
        index = int((same | mirrored).nonzero()[0])
        wanted = frames.classes[index]
        assert torch.equal(classes, (wanted if same.any() else wanted.flip(-1)).long())


def test_clips_without_truth_teach_nothing() -> None:
    clip = Clip(video=np.zeros((9, 64, 96, 3), np.uint8), prompt="")
    with pytest.raises(
        WorldweaveError, match=r"lacks the truth \['classes', 'depth'\]"
    ):
        LabelledFrames([clip])


def test_spoilt_frames_stay_pictures(frames: LabelledFrames) -> None:
    pictures = frames.draw(8, generator()).pictures
    spoilt = spoil(pictures, generator(2))
    assert spoilt.shape == pictures.shape
    assert spoilt.abs().max() <= 1.0
    assert (spoilt - pictures).abs().mean() > 0.005
    assert torch.equal(spoilt, spoil(pictures, generator(2)))


def test_the_mean_over_shares_of_a_batch_is_that_of_the_whole(
    frames: LabelledFrames, task: Task
) -> None:
    drawn = frames.draw(4, generator())
    device = torch.device("cpu")

    def loss(share: slice) -> float:
        part = drawn.part(share, device)
        with torch.no_grad():
            return float(annotation_loss(task.model(part.pictures), part))

    halves = [loss(slice(0, 2)), loss(slice(2, 4))]
    assert np.mean(halves) == pytest.approx(loss(slice(0, 4)), rel=1e-5)


def test_training_is_the_same_each_time(task: Task) -> None:
    assert task.loss(generator(3)).item() == task.loss(generator(3)).item()
    assert task.loss(generator(3)).item() != task.loss(generator(4)).item()


def test_a_step_along_the_gradient_lowers_the_loss(task: Task) -> None:
    before = task.loss(generator(5))
    before.backward()
    state = {k: v.clone() for k, v in task.model.state_dict().items()}
    with torch.no_grad():
        for parameter in task.model.parameters():
            assert parameter.grad is not None
            parameter -= 0.01 * parameter.grad
    assert task.loss(generator(5)) < before
    task.model.load_state_dict(state)


def test_the_result_can_be_loaded(task: Task, tmp_path) -> None:
    (path,) = task.save(tmp_path)
    assert path.name == "annotator.safetensors"
    read = load(path)
    wanted = task.model.state_dict()
    for name, value in read.state_dict().items():
        torch.testing.assert_close(value, wanted[name], atol=0.01, rtol=0.01)
    assert store.header(path).metadata["kind"] == "annotator"


def test_a_base_without_clips_cannot_train_one() -> None:
    catalog = discover()
    base = attrs.evolve(catalog.find_base("tiny-world"), clips=None)
    with pytest.raises(WorldweaveError, match="makes no training clips"):
        build(Setup(base=base, catalog=catalog))
