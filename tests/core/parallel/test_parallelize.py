"""A whole generation on many ranks is the generation of one process."""

import attrs
import numpy as np
import pytest
import torch

import worldweave
from worldweave import WorldweaveError
from worldweave.io.sizes import to_unit
from worldweave.parallel import not_shared, parallelize
from worldweave_kernels.parallel import ParallelPlan, Ranks

#: All that ship weights for the tiny world; two are made from the video.
MODALITIES = ("depth", "edge", "hdmap", "lidar", "seg", "vis")
#: Two chunks, of which the second begins with a frame of the first.
FRAMES = 13


def source():
    """Two boxes that drive past each other, uint8 (T, H, W, 3)."""
    frames = np.full((FRAMES, 64, 96, 3), (90, 120, 160), np.uint8)
    frames[:, 40:] = 70
    for at, frame in enumerate(frames):
        frame[30:50, 10 + 3 * at : 34 + 3 * at] = (200, 40, 30)
        frame[36:44, 70 - 2 * at : 84 - 2 * at] = (240, 240, 230)
    return frames


def maps():
    """Numbers, and one that differs from token to token and frame to frame."""
    ramp = np.linspace(0.0, 1.0, FRAMES * 64 * 96, dtype=np.float32)
    numbers = {"depth": 0.3, "hdmap": 0.2, "lidar": 0.1, "seg": 0.4, "vis": 0.5}
    return {"edge": ramp.reshape(FRAMES, 64, 96), **numbers}


def controls():
    """What cannot be made from a video: the boxes in other colours."""
    names = ("depth", "hdmap", "lidar", "seg")
    return {name: np.roll(source(), at, axis=-1) for at, name in enumerate(names)}


class Listening:
    """An autoencoder that remembers what it is given to decode.

    With *is_deaf* it decodes the source instead: a chunk begins with whole grey levels
    of the last, and a value at the border of two may fall to either.
    """

    def __init__(self, own, is_deaf):
        self.own, self.is_deaf = own, is_deaf
        self.time_stride, self.space_stride = own.time_stride, own.space_stride
        self.encode, self.encode_hint = own.encode, own.encode_hint
        self.latents = []

    def decode(self, latent):
        self.latents.append(latent.clone())
        return to_unit(source()[:9]) if self.is_deaf else self.own.decode(latent)


def generation(layout, is_deaf=True, modalities=("depth", "edge"), **settings):
    """The latents and the frames of a generation; of one process for no layout."""
    pipeline = worldweave.load(modalities=modalities)
    if layout is not None:
        pipeline = parallelize(pipeline, ParallelPlan(**layout))
    ears = Listening(pipeline.base.autoencoder, is_deaf)
    pipeline = pipeline.on(attrs.evolve(pipeline.base, autoencoder=ears))
    made = pipeline.generate(
        "two red cars on a street by day",
        video=source(),
        maps={name: maps()[name] for name in modalities},
        controls={name: controls()[name] for name in modalities if name in controls()},
        **{"steps": 1, "guidance": 3.0, "seed": 5, **settings},
    )
    return [each.numpy() for each in ears.latents], made.frames


@pytest.fixture(scope="module")
def alone():
    """What one process makes, by settings, each made once."""
    known = {}

    def make(**settings):
        key = tuple(settings.items())
        if key not in known:
            known[key] = generation(None, **settings)
        return known[key]

    return make


def refuse_difference(found, wanted):
    """Two chunks, each within 1e-5 of its largest value."""
    assert len(wanted[0]) == 2
    for latents, _ in found:
        for one, other in zip(latents, wanted[0], strict=True):
            assert np.abs(one - other).max() < 1e-5 * np.abs(other).max()


def with_all(layout):
    return generation(layout, modalities=MODALITIES)


def test_all_modalities_with_maps_and_a_frame_given(ranks):
    layout = {"cfg": 2, "ring": 2, "ulysses": 2, "chunks": 2}
    refuse_difference(ranks(8, with_all, layout), with_all(None))


def test_a_number_of_ranks_that_divides_nothing(ranks, alone):
    layout = {"ring": 5, "early_values": True}
    refuse_difference(ranks(5, generation, layout), alone())


def on_four(settings):
    return generation({"ring": 2, "ulysses": 2}, **settings)


def test_without_guidance_from_the_source_in_more_steps(ranks, alone):
    settings = {"guidance": 0.0, "sigma_max": 20.0, "steps": 3}
    refuse_difference(ranks(4, on_four, settings), alone(**settings))


def test_the_video_is_that_of_one_process(ranks, alone):
    settings = {"is_deaf": False, "max_frames": 9}
    _, wanted = alone(**settings)
    for _, frames in ranks(4, on_four, settings):
        # A value at the very border of two grey levels may fall to either.
        assert np.abs(frames.astype(int) - wanted).max() <= 1
        assert (frames != wanted).mean() < 1e-3


def test_halves_of_guidance_alone_give_the_same_bits(ranks, alone):
    latents, _ = alone()
    for found, _ in ranks(2, generation, {"cfg": 2}):
        pairs = zip(found, latents, strict=True)
        assert all(np.array_equal(one, other) for one, other in pairs)


def texts_encoded(layout):
    """How many prompts this rank has encoded."""
    pipeline = worldweave.load()
    counted = []
    plain = pipeline.base.text_encoder.encode

    class Counting:
        def encode(self, prompts):
            counted.extend(prompts)
            return plain(prompts)

    pipeline = pipeline.on(attrs.evolve(pipeline.base, text_encoder=Counting()))
    pipeline = parallelize(pipeline, ParallelPlan(**layout))
    pipeline.generate("a red car on a street by day", video=source()[:1], steps=1)
    return len(counted)


def test_prompts_are_encoded_on_the_first_rank_alone(ranks):
    assert ranks(2, texts_encoded, {"cfg": 2}) == [2, 0]


def made_of(layout):
    """Frames of a video that is another on every rank."""
    rank = torch.distributed.get_rank()
    pipeline = parallelize(worldweave.load(modalities=["edge"]), ParallelPlan(**layout))
    own = source()[:1] // (1 + rank)
    return pipeline.generate(video=own, seed=rank, steps=1).frames


def test_what_the_first_rank_has_read_is_what_all_compute_with(ranks):
    alone = worldweave.load(modalities=["edge"])
    wanted = alone.generate(video=source()[:1], seed=0, steps=1).frames
    for frames in ranks(2, made_of, {"cfg": 2}):
        assert np.array_equal(frames, wanted)


def refused(layout):
    pipeline = parallelize(worldweave.load(), ParallelPlan(**layout))
    try:
        pipeline.generate(video=source()[:1], steps=-1)
    except WorldweaveError as error:
        return str(error)
    return "made"


def test_what_is_wrong_with_a_request_is_raised_on_all_ranks(ranks):
    first, second = ranks(2, refused, {"cfg": 2})
    assert "steps is -1" in first
    assert second == first


def told_of(layout, is_odd):
    pipeline = worldweave.load(modalities=["edge"])
    if is_odd:
        # Whoever hooks a module may mix tokens there.
        active = pipeline.active["edge"].branch
        active.blocks[0].register_forward_hook(lambda *_: None)
    return not_shared(parallelize(pipeline, ParallelPlan(**layout)))


def test_what_is_not_shared_is_told(ranks):
    assert ranks(2, told_of, {"ulysses": 2}, False) == [[], []]
    (line,), _ = ranks(2, told_of, {"ulysses": 2}, True)
    assert line.startswith("the branch of 'edge' has code of its own, which may look")


# In one process


def test_one_rank_needs_no_torchrun(pipeline):
    single = parallelize(pipeline, ParallelPlan())
    made = single.generate(video=source()[:5], steps=1, seed=3)
    assert np.array_equal(
        made.frames, pipeline.generate(video=source()[:5], steps=1, seed=3).frames
    )


def test_branches_are_shared_with_the_pipeline_it_was_made_of(pipeline, branch_file):
    single = parallelize(pipeline, ParallelPlan())
    single.enable("depth", weights=branch_file("depth"))
    assert "depth" in pipeline.active
    pipeline.disable("depth")
    assert "depth" not in single.active


def test_a_plan_that_does_not_fit_the_model_is_refused(pipeline):
    with pytest.raises(WorldweaveError, match="ulysses is 3, which does not divide 4"):
        parallelize(pipeline, ParallelPlan(ulysses=3))


def test_more_ranks_than_there_are_processes_are_refused(pipeline):
    with pytest.raises(WorldweaveError, match=r"for 4 ranks .* but there are 1"):
        parallelize(pipeline, ParallelPlan(cfg=2, ring=2))


def beyond(layout):
    try:
        parallelize(worldweave.load(), ParallelPlan(**layout))
    except WorldweaveError as error:
        return str(error)
    return "runs"


def test_a_process_beyond_the_plan_is_told(ranks):
    first, second, third = ranks(3, beyond, {"cfg": 2})
    assert first == second == "runs"
    assert third.startswith("this process is beyond the 2 of the plan; start 2, or ask")


def before_and_after(layout):
    pipeline = worldweave.load(modalities=["edge"])
    settings = {"video": source()[:1], "steps": 1}
    before = pipeline.generate(**settings).frames
    parallelize(pipeline, ParallelPlan(**layout)).generate(**settings)
    return np.array_equal(before, pipeline.generate(**settings).frames)


def test_the_pipeline_it_was_made_of_computes_as_before(ranks):
    assert ranks(2, before_and_after, {"ulysses": 2}) == [True, True]


def test_a_pipeline_is_made_parallel_once(pipeline):
    with pytest.raises(WorldweaveError, match="parallel already; give the one it was"):
        parallelize(parallelize(pipeline, ParallelPlan()), ParallelPlan())


def test_ranks_of_another_plan_are_refused(pipeline):
    ranks = Ranks(ParallelPlan(), torch.device("cpu"))
    with pytest.raises(WorldweaveError, match=r"joined for cfg 1 .* plan is cfg 2"):
        parallelize(pipeline, ParallelPlan(cfg=2), ranks=ranks)
