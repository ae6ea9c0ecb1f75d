"""Modalities come and go and the base stays; what does not fit is refused."""

import numpy as np
import pytest
import torch

import worldweave
from worldweave import (
    Control,
    CosmosBranch,
    Problems,
    Request,
    WeightsError,
    WorldweaveError,
)
from worldweave.io.files import sha256

FAST = {"steps": 2, "guidance": 0.0}


def same(one, other):
    return np.array_equal(one.frames, other.frames)


def pointers(pipeline):
    return [tensor.data_ptr() for tensor in pipeline.base.dit.state_dict().values()]


def test_enabling_and_disabling_never_touches_the_base(
    generate, pipeline, clip, branch_file
):
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


def test_enabling_again_takes_other_weights(generate, pipeline, clip, branch_file):
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


def test_a_file_that_changed_is_hashed_anew(
    generate, pipeline, clip, branch_file, tmp_path
):
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


def test_arguments_nobody_knows_are_named_together(pipeline, clip):
    with pytest.raises(Problems) as caught:
        pipeline.generate(
            "a street", video=clip, sed=1, base="x", maps=["edge"], options={"edge": 1}
        )
    text = str(caught.value)
    assert "no setting 'sed'; did you mean 'seed'?" in text
    assert "no setting 'base'" in text
    assert "maps is ['edge']; give a dict" in text
    assert "options is {'edge': 1}; give a dict of dicts" in text


def test_one_modality_as_text_is_refused_not_spelt_out():
    with pytest.raises(Problems, match=r"modalities is 'edge'; give a list"):
        worldweave.load(modalities="edge")


def test_a_modality_without_weights_is_found_before_the_base_is_looked_for():
    with pytest.raises(WeightsError, match="'vis' has no weights for base"):
        worldweave.load("cosmos-transfer1-7b-sample-av", modalities=["vis"])


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


def test_a_result_that_is_not_finite_is_refused(
    generate, pipeline, clip, tmp_path, branch_file
):
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
