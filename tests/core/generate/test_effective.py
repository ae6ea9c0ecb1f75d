"""What was in effect, frame by frame: of generations and of learned maps."""

import attrs
import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from worldweave import Control, Request
from worldweave.checkpoints.map_file import load_map_net, save_map_net
from worldweave.generate.effective import per_frame
from worldweave.io.sizes import to_unit
from worldweave.maps import Learned, Product, Schedule
from worldweave.model.fusion import normalize
from worldweave.model.map_net import MapNet
from worldweave.request.chunks import cut
from worldweave.request.maps.tokens import TokenGrid
from worldweave.request.plan import make_plan
from worldweave_plugins.tinyworld.config import CONFIG
from worldweave_registry import Problems, discover


@settings(max_examples=60)
@given(
    st.sampled_from([1, 2, 4]),
    st.integers(0, 3),
    st.integers(1, 30),
    st.integers(0, 20),
)
def test_every_frame_has_the_latent_frame_that_it_was_made_in(
    stride, later, frames, overlap
):
    length = 1 + stride * later
    grid = TokenGrid(frames=length, stride=stride, rows=1, columns=2)
    chunks = cut(frames, length, min(overlap, length - 1))
    numbered = [
        {"edge": torch.arange(1 + later).float().reshape(-1, 1, 1) + 100 * chunk.index}
        for chunk in chunks
    ]
    found = per_frame(numbered, chunks, grid, frames)["edge"]
    assert found.shape == (frames, 1, 1)
    for at, value in enumerate(found.ravel()):
        # The first chunk that holds a frame makes it; later ones take it over.
        chunk = next(c for c in chunks if c.start <= at < c.start + length)
        latent = 0 if at == chunk.start else (at - chunk.start - 1) // stride + 1
        assert value == 100 * chunk.index + latent


def test_of_no_modality_nothing_is_in_effect(generate, pipeline, clip, plain):
    assert plain.effective == {}


def test_a_generation_tells_what_was_in_effect(generate, pipeline, clip):
    maps = {"edge": 1.0, "vis": np.full((1, 2), 0.5, np.float32)}
    made = generate(pipeline, clip, maps=maps, steps=1)
    for name, share in (("edge", 2 / 3), ("vis", 1 / 3)):
        assert made.effective[name].shape == (10, 8, 12)
        np.testing.assert_allclose(made.effective[name], share, rtol=1e-6)


def test_a_schedule_counts_by_the_evaluations_it_acts_in(pipeline, clip):
    fading = Control(map=0.5, schedule=Schedule(linear=(1, 0)))
    request = Request(video=clip[:1], steps=4, controls={"edge": fading})
    made = pipeline.run(request)
    np.testing.assert_allclose(made.effective["edge"], 0.25, rtol=1e-6)


# --- learned -----------------------------------------------------------------


@pytest.fixture(scope="module")
def net_file(tmp_path_factory):
    """Learned maps for edge and vis that say something: a fresh net does not."""
    torch.manual_seed(3)
    net = MapNet(CONFIG, ["edge", "vis"])
    for head in net.heads.values():
        torch.nn.init.normal_(head.weight, std=3.0)
    path = tmp_path_factory.mktemp("net") / "maps.safetensors"
    save_map_net(path, net, base="tiny-world")
    return path


def asked(clip, file, **controls):
    """Edge learned; vis too, at half, unless told otherwise."""
    learned = {
        "edge": Control(map=Learned(learned=file)),
        "vis": Control(map=Learned(learned=file, scale=0.5)),
    }
    return Request(
        prompt="a street",
        video=clip,
        steps=1,
        guidance=0.0,
        controls={**learned, **controls},
    )


def predicted(pipeline, file, controls):
    """What the network says of the first chunk, (1, t, h, w) by modality."""
    net = load_map_net(
        file,
        CONFIG,
        base="tiny-world",
        wanted=controls,
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    with torch.inference_mode():
        hints = {
            name: pipeline.base.autoencoder.encode_hint(to_unit(frames[:9]))
            for name, frames in controls.items()
        }
        return net(hints)


def test_a_learned_map_is_what_the_network_predicts(pipeline, clip, net_file):
    made = pipeline.run(asked(clip[:9], net_file))
    found = predicted(pipeline, net_file, made.controls)
    wanted = normalize([found["edge"], found["vis"] * 0.5])
    for name, values in zip(("edge", "vis"), wanted, strict=True):
        by_latent = made.effective[name][[0, 1, 5]]
        np.testing.assert_allclose(by_latent, values[0], rtol=0, atol=1e-6)
        assert np.ptp(by_latent) > 0.01
    assert "maps edge" in made.weights


def test_a_learned_map_shares_with_a_given_one(pipeline, clip, net_file):
    request = asked(clip[:9], net_file, vis=Control(map=0.75))
    made = pipeline.run(request)
    found = predicted(pipeline, net_file, made.controls)
    wanted = normalize([found["edge"], torch.full_like(found["edge"], 0.75)])
    for name, values in zip(("edge", "vis"), wanted, strict=True):
        np.testing.assert_allclose(
            made.effective[name][[0, 1, 5]], values[0], rtol=0, atol=1e-6
        )


def test_a_learned_map_follows_its_schedule(pipeline, clip, net_file):
    half = Control(map=Learned(learned=net_file), schedule=Schedule(linear=(1, 0)))
    off = Control(map=0)
    made = pipeline.run(asked(clip[:9], net_file, edge=half, vis=off))
    whole = pipeline.run(asked(clip[:9], net_file, vis=off))
    np.testing.assert_allclose(
        made.effective["edge"], whole.effective["edge"] / 2, rtol=1e-6
    )


def test_a_learned_map_changes_the_video(pipeline, clip, net_file, generate):
    made = pipeline.run(asked(clip[:9], net_file))
    means = {
        name: Control(map=float(values.mean()))
        for name, values in made.effective.items()
    }
    flat = pipeline.run(asked(clip[:9], net_file, **means))
    assert not np.array_equal(made.frames, flat.frames)


def problems_of(request):
    with pytest.raises(Problems) as caught:
        make_plan(request, discover(), lambda *_: [])
    return caught.value.problems


def test_a_wrong_file_is_refused_before_anything_is_loaded(
    clip, net_file, branch_file, tmp_path
):
    """make_plan has no base to load; each is one line."""
    save_map_net(tmp_path / "far.safetensors", MapNet(CONFIG, ["edge"]), base="other")
    cut_short = tmp_path / "cut.safetensors"
    cut_short.write_bytes(net_file.read_bytes()[:200])
    for file, said in (
        (branch_file("edge"), "not learned maps"),
        (tmp_path / "far.safetensors", "for base 'other', not 'tiny-world'"),
        (cut_short, "cut.safetensors"),
        (tmp_path / "gone.safetensors", "there is no file"),
    ):
        (problem,) = problems_of(asked(clip, file, vis=Control(map=0)))
        assert problem.startswith("map of 'edge'")
        assert said in problem


def test_a_modality_the_network_does_not_know_is_refused(clip, net_file):
    seg = Control(map=Learned(learned=net_file), video=clip)
    (problem,) = problems_of(asked(clip, net_file, seg=seg))
    assert "'seg'" in problem
    assert "knows edge, vis" in problem


def test_a_learned_map_cannot_be_computed_with(clip, net_file):
    half = Product(product=(0.5, Learned(learned=net_file)))
    (problem,) = problems_of(asked(clip, net_file, edge=Control(map=half)))
    assert "cannot be computed with" in problem


def test_the_released_code_knows_no_learned_maps(clip, net_file):
    request = attrs.evolve(asked(clip, net_file), compat="cosmos-transfer1")
    assert len(problems_of(request)) == 2
    assert "compat 'cosmos-transfer1'" in problems_of(request)[0]
