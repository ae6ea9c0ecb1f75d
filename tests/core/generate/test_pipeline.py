"""Any video in, a video of the same length and rate out, controlled as asked."""

from fractions import Fraction

import attrs
import numpy as np
import pytest
import torch

import worldweave
from worldweave import Control, CosmosBranch, Problems, Request, WorldweaveError
from worldweave.generate.chunks import cut
from worldweave.generate.denoise import denoise
from worldweave.io import sizes, video
from worldweave.io.files import sha256
from worldweave.request.plan import make_plan

FAST = {"steps": 2, "guidance": 0.0}
OFF = {"edge": 0.0, "vis": 0.0}


def generate(pipeline, source, **fields):
    settings = {**FAST, "maps": OFF, **fields}
    return pipeline.generate("a street by day", video=source, **settings)


def same(one, other):
    return np.array_equal(one.frames, other.frames)


@pytest.fixture(scope="module")
def plain(pipeline, clip):
    """What the prompt alone makes of the clip's length."""
    return generate(pipeline, clip)


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
def test_the_video_has_as_many_frames_as_the_source(pipeline, clip, frames):
    source = np.resize(clip, (frames, *clip.shape[1:]))
    assert generate(pipeline, source, steps=1).frames.shape == source.shape


@pytest.mark.parametrize(
    "shape",
    [(1, 720, 1280), (2, 63, 95), (2, 96, 64), (2, 2, 2), (3, 1, 1), (1, 1, 500)],
)
def test_the_source_may_have_any_size(pipeline, shape):
    source = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8)
    made = generate(pipeline, source, maps={"edge": 0.5, "vis": 0.5}, steps=1)
    assert made.frames.shape == (shape[0], 64, 96, 3)
    assert made.seen_size == shape[1:]
    assert made.controls["edge"].shape == made.frames.shape


@pytest.mark.parametrize(
    "fps", [Fraction(30000, 1001), Fraction(1, 2), Fraction(25), Fraction(12345, 997)]
)
def test_the_rate_of_the_source_is_kept_exactly(pipeline, clip, tmp_path, fps):
    video.write(tmp_path / "in.mp4", clip[:2], fps)
    made = generate(pipeline, tmp_path / "in.mp4", steps=1)
    assert made.fps == fps
    made.save(tmp_path / "out.mp4")
    assert video.read(tmp_path / "out.mp4").fps == fps


def test_the_rate_told_to_the_model_is_not_that_of_the_file(pipeline, clip, plain):
    told = generate(pipeline, clip, fps=12)
    assert told.fps == plain.fps == 24
    assert not same(told, plain)


def test_a_file_is_as_good_as_its_frames(pipeline, source):
    from_file = generate(pipeline, source, maps={"edge": 1.0, "vis": 0.0})
    frames = video.read(source).frames
    assert same(from_file, generate(pipeline, frames, maps={"edge": 1.0, "vis": 0.0}))


def test_max_frames_cuts_the_video(pipeline, clip):
    cut_short = generate(pipeline, clip, max_frames=4)
    assert same(cut_short, generate(pipeline, clip[:4]))
    assert len(cut_short.frames) == 4


def test_a_ready_control_needs_no_source(pipeline, clip):
    maps = {"edge": 1.0, "vis": 0.0}
    edges = generate(pipeline, clip, maps=maps).controls["edge"]
    made = generate(pipeline, None, maps=maps, controls={"edge": edges})
    assert same(made, generate(pipeline, clip, maps=maps))


def test_a_control_at_map_zero_may_stand_for_the_source(pipeline, clip, plain):
    assert same(generate(pipeline, None, controls={"edge": clip}), plain)


# Seeds and prompts


def test_the_same_seed_gives_the_same_bits_and_another_does_not(pipeline, clip, plain):
    assert same(generate(pipeline, clip), plain)
    assert not same(generate(pipeline, clip, seed=1), plain)


def test_prompt_negative_prompt_and_guidance_each_matter(pipeline, clip, plain):
    night = pipeline.generate("a street at night", video=clip, maps=OFF, **FAST)
    guided = generate(pipeline, clip, guidance=2.0)
    away = generate(pipeline, clip, guidance=2.0, negative_prompt="night")
    for one, other in ((night, plain), (guided, plain), (away, guided)):
        assert not same(one, other)


# Maps


def test_control_changes_the_video(pipeline, clip, plain):
    for name in ("edge", "vis"):
        assert not same(generate(pipeline, clip, maps={**OFF, name: 1.0}), plain)


def test_a_zero_map_runs_no_branch_and_changes_no_bit(pipeline, clip, plain, calls):
    still = np.zeros((10, 8, 8), np.float32)
    made = generate(pipeline, clip, maps={"edge": still, "vis": 0})
    assert same(made, plain)
    assert made.controls == {}
    assert (calls["edge"], calls["vis"]) == (0, 0)
    assert calls["base"] == 6  # two chunks of two steps, each with one evaluation more


def test_each_evaluation_runs_every_living_branch_once(pipeline, clip, calls):
    generate(pipeline, clip, maps={"edge": 0.5, "vis": 0.0})
    assert (calls["base"], calls["edge"], calls["vis"]) == (6, 6, 0)
    generate(pipeline, clip[:9], maps={"edge": 0.5, "vis": 0.5}, guidance=1.0)
    assert (calls["base"], calls["edge"], calls["vis"]) == (12, 12, 6)


def test_a_dead_branch_beside_a_living_one_changes_no_bit(pipeline, clip):
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
def test_a_number_equals_a_constant_map_bit_for_bit(pipeline, clip, weight):
    for constant in (
        np.full((3, 5), weight, np.float32),
        np.full((10, 64, 96), weight, np.float64),
    ):
        number = generate(pipeline, clip, maps={"edge": weight, "vis": 0.4})
        assert same(
            number, generate(pipeline, clip, maps={"edge": constant, "vis": 0.4})
        )


def test_maps_above_one_together_share_one(pipeline, clip):
    full = generate(pipeline, clip, maps={"edge": 1.0, "vis": 1.0})
    assert same(full, generate(pipeline, clip, maps={"edge": 0.5, "vis": 0.5}))
    less = generate(pipeline, clip, maps={"edge": 0.25, "vis": 0.25})
    assert not same(full, less)


def test_a_map_in_time_controls_the_chunks_it_is_on(pipeline, clip):
    """Eighteen frames without overlap are two chunks: control only the second."""
    source = np.concatenate([clip[:9], clip[:9]])
    late = np.zeros((18, 1, 1), np.float32)
    late[9:] = 1.0
    none = generate(pipeline, source, overlap=0)
    made = generate(pipeline, source, overlap=0, maps={"edge": late, "vis": 0})
    assert np.array_equal(made.frames[:9], none.frames[:9])
    assert not np.array_equal(made.frames[9:], none.frames[9:])


def test_a_default_map_is_that_of_the_modality(pipeline, clip):
    half = pipeline.catalog.find("edge").default_map
    default = generate(pipeline, clip, maps={"vis": 0.0})
    assert same(default, generate(pipeline, clip, maps={"edge": half, "vis": 0.0}))


def test_options_and_ready_controls_reach_the_branch(pipeline, clip):
    maps = {"edge": 1.0, "vis": 0.0}
    medium = generate(pipeline, clip, maps=maps)
    options = {"edge": {"threshold": "medium"}}
    assert same(generate(pipeline, clip, maps=maps, options=options), medium)
    black = generate(pipeline, clip, maps=maps, controls={"edge": clip * 0})
    assert not same(black, medium)
    assert not black.controls["edge"].any()


# Enabling and disabling


def pointers(pipeline):
    return [tensor.data_ptr() for tensor in pipeline.base.dit.state_dict().values()]


def test_enabling_and_disabling_never_touches_the_base(pipeline, clip, branch_file):
    before = pointers(pipeline)
    both = generate(pipeline, clip, maps={"edge": 0.6, "vis": 0.6})
    pipeline.disable("vis")
    try:
        alone = pipeline.generate("a street by day", video=clip, **FAST)
        fresh = worldweave.load(
            modalities=["edge"], weights={"edge": branch_file("edge")}
        )
        assert same(alone, fresh.generate("a street by day", video=clip, **FAST))
    finally:
        pipeline.enable("vis", weights=branch_file("vis"))
    assert pointers(pipeline) == before
    assert same(generate(pipeline, clip, maps={"edge": 0.6, "vis": 0.6}), both)


def test_enabling_again_takes_other_weights(pipeline, clip, branch_file):
    maps = {"edge": 1.0, "vis": 0.0}
    first = generate(pipeline, clip, maps=maps)
    pipeline.enable("edge", weights=branch_file("vis"))
    try:
        second = generate(pipeline, clip, maps=maps)
        assert not same(first, second)
        assert first.weights["branch edge"] != second.weights["branch edge"]
        assert first.weights["base dit"] == second.weights["base dit"]
    finally:
        pipeline.enable("edge", weights=branch_file("edge"))


def test_a_file_that_changed_is_hashed_anew(pipeline, clip, branch_file, tmp_path):
    path = tmp_path / "edge.safetensors"
    hashes = []
    try:
        for name in ("edge", "vis"):
            path.write_bytes(branch_file(name).read_bytes())
            pipeline.enable("edge", weights=path)
            made = generate(pipeline, clip[:1], maps={"edge": 1.0, "vis": 0.0}, steps=1)
            hashes.append(made.weights["branch edge"])
            assert hashes[-1] == sha256(path)
    finally:
        pipeline.enable("edge", weights=branch_file("edge"))
    assert len(set(hashes)) == 2


def test_a_branch_that_does_not_fit_leaves_the_old_one(pipeline, tmp_path):
    before = pipeline.active["edge"]
    (tmp_path / "bad.safetensors").write_text("bad")
    with pytest.raises(worldweave.WeightsError, match=r"bad.safetensors"):
        pipeline.enable("edge", weights=tmp_path / "bad.safetensors")
    assert pipeline.active["edge"] is before


def test_only_what_is_enabled_can_be_disabled(pipeline):
    with pytest.raises(WorldweaveError, match="'depth' is not enabled; enabled: edge"):
        pipeline.disable("depth")


def test_loading_reads_only_what_is_asked_for(branch_file, tmp_path):
    gone = tmp_path / "gone.safetensors"
    ww = worldweave.load(modalities=["edge"], weights={"edge": branch_file("edge")})
    assert list(ww.active) == ["edge"]
    with pytest.raises(worldweave.WeightsError, match=r"gone\.safetensors"):
        worldweave.load(modalities=["edge"], weights={"edge": gone})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"base": "tiny"}, "no plugin supplies the base 'tiny'"),
        ({"modalities": ["egde"]}, "did you mean 'edge'"),
        ({"weights": {"edge": "x"}}, "'edge', which is not among the modalities"),
        ({"device": "abacus"}, "cannot compute on device 'abacus'.*give cpu"),
        ({"compat": "cosmos"}, "compat is 'cosmos'; the only one is"),
    ],
)
def test_a_pipeline_that_cannot_be_is_refused(arguments, said):
    with pytest.raises(WorldweaveError, match=said):
        worldweave.load(**arguments)


def test_what_is_not_in_memory_is_refused_all_at_once(pipeline, clip, tmp_path):
    with pytest.raises(Problems) as caught:
        pipeline.run(
            Request(
                base="cosmos-transfer1-7b",
                video=clip,
                compat="cosmos-transfer1",
                seed=-1,
                controls={
                    "seg": Control(video=clip),
                    "edge": Control(weights=tmp_path / "other.safetensors"),
                },
            )
        )
    parts = ["'tiny-world' is loaded", "compat 'cosmos-transfer1'", "seed", "'edge'"]
    for part in [*parts, "call enable('seg') first"]:
        assert sum(part in problem for problem in caught.value.problems) == 1
    assert len(caught.value.problems) == 5


def test_a_setting_nobody_knows_is_a_type_error(pipeline, clip):
    with pytest.raises(TypeError, match="'sed'"):
        pipeline.generate("a street", video=clip, sed=1)


# Starting from the source


def test_starting_from_the_source_stays_closer_to_it(pipeline, clip, plain):
    def distance(made):
        return np.abs(made.frames.astype(int) - clip).mean()

    near = [distance(generate(pipeline, clip, sigma_max=s)) for s in (0.1, 1.0, 5.0)]
    assert near == sorted(near)
    assert near[-1] < distance(plain)


def test_the_full_noise_does_not_see_the_source(pipeline, clip, plain):
    assert same(generate(pipeline, clip, sigma_max=80.0), plain)
    assert same(generate(pipeline, 255 - clip), plain)


# Chunks


@pytest.mark.parametrize("overlap", range(9))
def test_every_overlap_covers_the_video(overlap):
    for frames in (1, 8, 9, 10, 17, 18, 40):
        chunks = cut(frames, 9, overlap)
        made = []
        for chunk in chunks:
            assert len(made) == chunk.start + chunk.known
            made += range(chunk.start + chunk.known, chunk.start + 9)
        assert made == list(range(len(made)))
        assert frames <= len(made) < frames + 9
        assert [chunk.known for chunk in chunks[1:]] == [overlap] * (len(chunks) - 1)


@pytest.mark.parametrize("overlap", [0, 1, 4, 8])
def test_any_overlap_gives_the_same_length(pipeline, clip, overlap):
    source = np.concatenate([clip, clip[:3]])
    made = generate(pipeline, source, steps=1, overlap=overlap)
    assert len(made.frames) == 13
    assert np.array_equal(made.frames[:9], generate(pipeline, clip[:9], steps=1).frames)


def chunk_of(pipeline, clip, known):
    request = Request(prompt="a street", video=clip[:9], **FAST)
    plan = make_plan(request, pipeline.catalog, lambda *_: [])
    (chunk,) = cut(9, 9, 1)
    return attrs.evolve(pipeline._chunk_input(plan, chunk, [], 2), known=known)


@pytest.mark.parametrize(("known", "given"), [(1, 1), (4, 1), (5, 5), (8, 5), (9, 9)])
def test_a_chunk_keeps_the_frames_it_is_given(pipeline, clip, known, given):
    """As far as they fill latent frames: 1, 5 or all 9. The rest it makes anew."""
    with torch.inference_mode():
        made = denoise(pipeline.base, {}, chunk_of(pipeline, clip, clip[:known]), print)
        through = pipeline.base.autoencoder
        whole = through.decode(through.encode(sizes.to_unit(clip[:9])))
    kept = sizes.to_frames(whole)
    assert np.array_equal(made[:given], kept[:given])
    assert not np.array_equal(made[given:], kept[given:]) or given == 9


def test_the_next_chunk_goes_on_from_the_last_frame(pipeline, clip):
    """What it is given is seen: other last frames make another next chunk."""
    with torch.inference_mode():
        following = [
            denoise(pipeline.base, {}, chunk_of(pipeline, clip, known), print)
            for known in (clip[:1], 255 - clip[:1])
        ]
    assert not np.array_equal(following[0][1:], following[1][1:])


@pytest.mark.parametrize("overlap", [1, 5])
def test_a_long_video_hands_its_last_frames_to_the_next_chunk(pipeline, clip, overlap):
    source = np.concatenate([clip, clip[:3]])
    whole = generate(pipeline, source, overlap=overlap).frames
    request = Request(prompt="a street by day", video=source, overlap=overlap, **FAST)
    plan = make_plan(request, pipeline.catalog, lambda *_: [])
    second = cut(13, 9, overlap)[1]
    last = whole[9 - overlap : 9]
    for known, agrees in ((last, True), (255 - last, False)):
        # Only as many frames as are handed over: the first chunk itself is not.
        chunk = pipeline._chunk_input(plan, second, [known], 2)
        with torch.inference_mode():
            made = denoise(pipeline.base, {}, chunk, print)[overlap:]
        expected = whole[9 : 9 + len(made)]
        assert np.array_equal(made[: len(expected)], expected) == agrees


def test_chunks_draw_noise_of_their_own(pipeline, clip):
    source = np.concatenate([clip[:9], clip[:9]])
    made = generate(pipeline, source, overlap=0).frames
    assert not np.array_equal(made[:9], made[9:])
    second = generate(pipeline, clip[:9], seed=1).frames
    assert np.array_equal(made[9:], second)


# Progress, precision, compat


def test_progress_is_complete_and_never_goes_back(pipeline, clip):
    ticks = []
    generate(pipeline, clip, progress=ticks.append, steps=3)
    seen = [(tick.chunk, tick.step) for tick in ticks]
    assert seen == [(chunk, step) for chunk in (1, 2) for step in (1, 2, 3, 4)]
    assert {(tick.chunks, tick.steps) for tick in ticks} == {(2, 4)}


def test_a_generation_leaves_nothing_to_differentiate(pipeline, clip):
    generate(pipeline, clip[:1], steps=1)
    parameters = [
        *pipeline.base.dit.parameters(),
        *pipeline.active["edge"].branch.parameters(),
    ]
    assert not any(p.requires_grad or p.grad is not None for p in parameters)


def test_bfloat16_computes_and_says_so(clip, branch_file, plain):
    ww = worldweave.load(
        dtype=torch.bfloat16,
        modalities=["edge"],
        weights={"edge": branch_file("edge")},
    )
    assert {p.dtype for p in ww.base.dit.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in ww.active["edge"].branch.parameters()} == {torch.bfloat16}
    made = ww.generate("a street by day", video=clip, maps={"edge": 0.0}, **FAST)
    assert made.dtype == "bfloat16"
    difference = np.abs(made.frames.astype(int) - plain.frames).mean()
    assert 0 < difference < 8
    assert len(ww.generate("a street by day", video=clip, **FAST).frames) == 10


def test_compat_is_another_computation(clip, branch_file, plain):
    ww = worldweave.load(
        compat="cosmos-transfer1",
        modalities=["edge"],
        weights={"edge": branch_file("edge")},
    )
    made = ww.generate("a street by day", video=clip, maps={"edge": 0.0}, **FAST)
    assert made.request.compat == "cosmos-transfer1"
    assert not same(made, plain)
    assert np.abs(made.frames.astype(int) - plain.frames).mean() < 8
    controlled = ww.generate("a street by day", video=clip, **FAST)
    assert not same(controlled, made)
    with pytest.raises(Problems, match="give load and the request the same"):
        ww.generate("a street", video=clip, compat=None)


def test_a_result_that_is_not_finite_is_refused(pipeline, clip, tmp_path, branch_file):
    from worldweave.checkpoints import store

    broken = dict(store.read(branch_file("edge")))
    broken["zero.0.bias"] = torch.full_like(broken["zero.0.bias"], torch.nan)
    store.write(tmp_path / "nan.safetensors", broken)
    pipeline.enable("edge", weights=tmp_path / "nan.safetensors")
    try:
        with pytest.raises(worldweave.WeightsError, match=r"not finite .* 'edge'"):
            generate(pipeline, clip, maps={"edge": 1.0, "vis": 0.0})
    finally:
        pipeline.enable("edge", weights=branch_file("edge"))


class Counting(CosmosBranch):
    """A branch of a plugin's own, at work beside those we ship."""

    passes = 0

    def forward(self, latent, step, hint):
        type(self).passes += 1
        return super().forward(latent, step, hint)


def test_a_branch_class_of_ones_own_runs_and_untrained_changes_nothing(
    clip, plain, tmp_path
):
    from worldweave.checkpoints import store
    from worldweave_plugins.tinyworld.config import CONFIG
    from worldweave_registry import Catalog, Plugin, State, discover

    store.write(tmp_path / "own.safetensors", Counting(CONFIG).state_dict())
    own = worldweave.Modality(
        name="own",
        summary="for tests",
        license="MIT",
        preprocessor=None,
        branch=f"{__name__}:Counting",
    )
    plugin = Plugin(
        name="own", distribution="me", version="1", state=State.READY, modalities=(own,)
    )
    found = discover()
    catalog = Catalog(plugins=(*found.plugins, plugin), hook=found.hook)
    ww = worldweave.load(
        modalities=["own"],
        weights={"own": tmp_path / "own.safetensors"},
        catalog=catalog,
    )
    made = ww.generate(
        "a street by day", video=clip, controls={"own": clip}, maps={"own": 1.0}, **FAST
    )
    assert Counting.passes == 6
    assert same(made, plain)
    assert list(made.controls) == ["own"]
