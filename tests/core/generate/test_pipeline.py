"""Any video in, a video of the same length and rate out, controlled as asked."""

from fractions import Fraction

import attrs
import numpy as np
import pytest

from worldweave import Control, Request
from worldweave.io import video

FAST = {"steps": 2, "guidance": 0.0}
OFF = {"edge": 0.0, "vis": 0.0}


def same(one, other):
    return np.array_equal(one.frames, other.frames)


@pytest.fixture
def calls(pipeline):
    """Count the forward passes of the base and of each branch."""
    counted = dict.fromkeys(["base", *pipeline.active], 0)

    def count(name):
        def hook(*_):
            counted[name] += 1

        return hook

    modules = {n: active.branch for n, active in pipeline.active.items()}
    handles = [
        module.register_forward_hook(count(name))
        for name, module in [("base", pipeline.base.dit), *modules.items()]
    ]
    yield counted
    for handle in handles:
        handle.remove()


# Any video


@pytest.mark.parametrize("frames", [1, 5, 9, 10, 17, 26])
def test_the_video_has_as_many_frames_as_the_source(generate, pipeline, clip, frames):
    source = np.resize(clip, (frames, *clip.shape[1:]))
    assert generate(pipeline, source, steps=1).frames.shape == source.shape


@pytest.mark.parametrize(
    "shape",
    [(1, 720, 1280), (2, 63, 95), (2, 96, 64), (2, 2, 2), (3, 1, 1), (1, 1, 500)],
)
def test_the_source_may_have_any_size(generate, pipeline, shape):
    source = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    made = generate(pipeline, source, maps={"edge": 0.5, "vis": 0.5}, steps=1)
    assert made.frames.shape == (shape[0], 64, 96, 3)
    assert made.seen_size == shape[1:]
    assert made.controls["edge"].shape == made.frames.shape


@pytest.mark.parametrize(
    "fps", [Fraction(30000, 1001), Fraction(1, 2), Fraction(25), Fraction(12345, 997)]
)
def test_the_rate_of_the_source_is_kept_exactly(
    generate, pipeline, clip, tmp_path, fps
):
    video.write(tmp_path / "in.mp4", clip[:2], fps)
    made = generate(pipeline, tmp_path / "in.mp4", steps=1)
    assert made.fps == fps
    made.save(tmp_path / "out.mp4")
    assert video.read(tmp_path / "out.mp4").fps == fps


def test_the_rate_told_to_the_model_is_not_that_of_the_file(
    generate, pipeline, clip, plain
):
    told = generate(pipeline, clip, fps=12)
    assert told.fps == plain.fps == 24
    assert not same(told, plain)


def test_a_file_is_as_good_as_its_frames(generate, pipeline, source):
    from_file = generate(pipeline, source, maps={"edge": 1.0, "vis": 0.0})
    frames = video.read(source).frames
    assert same(from_file, generate(pipeline, frames, maps={"edge": 1.0, "vis": 0.0}))


def test_max_frames_cuts_the_video(generate, pipeline, clip):
    cut_short = generate(pipeline, clip, max_frames=4)
    assert same(cut_short, generate(pipeline, clip[:4]))
    assert len(cut_short.frames) == 4


def test_a_ready_control_needs_no_source(generate, pipeline, clip):
    maps = {"edge": 1.0, "vis": 0.0}
    edges = generate(pipeline, clip, maps=maps).controls["edge"]
    made = generate(pipeline, None, maps=maps, controls={"edge": edges})
    assert same(made, generate(pipeline, clip, maps=maps))


def test_a_control_at_map_zero_may_stand_for_the_source(
    generate, pipeline, clip, plain
):
    assert same(generate(pipeline, None, controls={"edge": clip}), plain)


# Seeds and prompts


def test_the_same_seed_gives_the_same_bits_and_another_does_not(
    generate, pipeline, clip, plain
):
    assert same(generate(pipeline, clip), plain)
    assert not same(generate(pipeline, clip, seed=1), plain)


def test_prompt_negative_prompt_and_guidance_each_matter(
    generate, pipeline, clip, plain
):
    night = pipeline.generate("a street at night", video=clip, maps=OFF, **FAST)
    guided = generate(pipeline, clip, guidance=2.0)
    away = generate(pipeline, clip, guidance=2.0, negative_prompt="night")
    for one, other in ((night, plain), (guided, plain), (away, guided)):
        assert not same(one, other)


# Maps


def test_control_changes_the_video(generate, pipeline, clip, plain):
    for name in ("edge", "vis"):
        assert not same(generate(pipeline, clip, maps={**OFF, name: 1.0}), plain)


def test_a_zero_map_runs_no_branch_and_changes_no_bit(
    generate, pipeline, clip, plain, calls
):
    still = np.zeros((10, 8, 8), np.float32)
    made = generate(pipeline, clip, maps={"edge": still, "vis": 0})
    assert same(made, plain)
    assert made.controls == {}
    assert (calls["edge"], calls["vis"]) == (0, 0)
    assert calls["base"] == 6  # two chunks of two steps, each with one evaluation more


def test_each_evaluation_runs_every_living_branch_once(generate, pipeline, clip, calls):
    generate(pipeline, clip, maps={"edge": 0.5, "vis": 0.0})
    assert (calls["base"], calls["edge"], calls["vis"]) == (6, 6, 0)
    generate(pipeline, clip[:9], maps={"edge": 0.5, "vis": 0.5}, guidance=1.0)
    assert (calls["base"], calls["edge"], calls["vis"]) == (12, 12, 6)


def test_a_dead_branch_beside_a_living_one_changes_no_bit(generate, pipeline, clip):
    alone = generate(pipeline, clip, maps={"edge": 0.7, "vis": 0.0})
    beside = {"edge": 0.7, "vis": np.zeros((2, 2), np.float32)}
    assert same(generate(pipeline, clip, maps=beside), alone)


def test_the_order_of_controls_changes_no_bit(pipeline, clip):
    maps = {"edge": 0.9, "vis": 0.8}
    forward = Request(
        prompt="a street",
        video=clip,
        steps=2,
        controls={name: Control(map=weight) for name, weight in maps.items()},
    )
    backward = attrs.evolve(
        forward, controls=dict(reversed(list(forward.controls.items())))
    )
    assert same(pipeline.run(forward), pipeline.run(backward))


@pytest.mark.parametrize("weight", [0.3, 1.0])
def test_a_number_equals_a_constant_map_bit_for_bit(generate, pipeline, clip, weight):
    for constant in (
        np.full((3, 5), weight, np.float32),
        np.full((10, 64, 96), weight, np.float64),
    ):
        number = generate(pipeline, clip, maps={"edge": weight, "vis": 0.4})
        assert same(
            number, generate(pipeline, clip, maps={"edge": constant, "vis": 0.4})
        )


def test_maps_above_one_together_share_one(generate, pipeline, clip):
    full = generate(pipeline, clip, maps={"edge": 1.0, "vis": 1.0})
    assert same(full, generate(pipeline, clip, maps={"edge": 0.5, "vis": 0.5}))
    less = generate(pipeline, clip, maps={"edge": 0.25, "vis": 0.25})
    assert not same(full, less)


def test_a_map_in_time_controls_the_chunks_it_is_on(generate, pipeline, clip):
    """Eighteen frames without overlap are two chunks: control only the second."""
    source = np.concatenate([clip[:9], clip[:9]])
    late = np.zeros((18, 1, 1), np.float32)
    late[9:] = 1.0
    none = generate(pipeline, source, overlap=0)
    made = generate(pipeline, source, overlap=0, maps={"edge": late, "vis": 0})
    assert np.array_equal(made.frames[:9], none.frames[:9])
    assert not np.array_equal(made.frames[9:], none.frames[9:])


def test_a_default_map_is_that_of_the_modality(generate, pipeline, clip):
    half = pipeline.catalog.find("edge").default_map
    default = generate(pipeline, clip, maps={"vis": 0.0})
    assert same(default, generate(pipeline, clip, maps={"edge": half, "vis": 0.0}))


def test_options_and_ready_controls_reach_the_branch(generate, pipeline, clip):
    maps = {"edge": 1.0, "vis": 0.0}
    medium = generate(pipeline, clip, maps=maps)
    options = {"edge": {"threshold": "medium"}}
    assert same(generate(pipeline, clip, maps=maps, options=options), medium)
    black = generate(pipeline, clip, maps=maps, controls={"edge": clip * 0})
    assert not same(black, medium)
    assert not black.controls["edge"].any()


# Progress


def test_progress_is_complete_and_never_goes_back(generate, pipeline, clip):
    ticks = []
    generate(pipeline, clip, progress=ticks.append, steps=3)
    seen = [(tick.chunk, tick.step) for tick in ticks]
    assert seen == [(chunk, step) for chunk in (1, 2) for step in (1, 2, 3, 4)]
    assert {(tick.chunks, tick.steps) for tick in ticks} == {(2, 4)}


def test_a_generation_leaves_nothing_to_differentiate(generate, pipeline, clip):
    generate(pipeline, clip[:1], steps=1)
    parameters = [
        *pipeline.base.dit.parameters(),
        *pipeline.active["edge"].branch.parameters(),
    ]
    assert not any(p.requires_grad or p.grad is not None for p in parameters)
