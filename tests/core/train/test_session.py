"""A training is found by its name: a base, a modality, or what a base adds."""

import textwrap
from collections.abc import Callable

import attrs
import pytest
import torch

from worldweave.base import HELD_OUT
from worldweave.io import video
from worldweave.io.sizes import to_unit
from worldweave.loading import part_of
from worldweave.testing.subject import video as moving
from worldweave.train.compiling import compiled_or_not
from worldweave.train.session import Session, base_for, build
from worldweave.train.task import Setup
from worldweave_registry import (
    Lazy,
    UnknownModalityError,
    WorldweaveError,
    discover,
    resolve,
)

OWN = """
import torch
from torch import nn
from worldweave.train.task import Task
from worldweave_registry import Lazy, Recipe

RECIPE = Recipe(steps=3, learning_rate=0.1, batch_size=2)

def build(setup):
    model = nn.Linear(2, 1)
    return Task(
        what="a toy judge",
        model=model,
        loss=lambda g: model(torch.randn(2, 2, generator=g)).square().mean(),
        recipe=setup.recipe(Lazy("toy_own:RECIPE"), "the toy"),
        save=lambda folder: [folder / "judge.safetensors"],
    )

def nonsense(setup):
    return 7
"""


@pytest.fixture
def own(tmp_path, monkeypatch) -> Callable[..., Setup]:
    """A setup of the tiny world with two trainings of its own."""
    (tmp_path / "toy_own.py").write_text(textwrap.dedent(OWN))
    monkeypatch.syspath_prepend(tmp_path)
    catalog = discover()
    base = attrs.evolve(
        catalog.find_base("tiny-world"),
        trainings={"judge": "toy_own:build", "odd": "toy_own:nonsense"},
    )

    def make(**changes) -> Setup:
        return Setup(base=base, catalog=catalog, **changes)

    return make


def load_autoencoder(base):
    path = resolve(part_of(base, "autoencoder"))
    return base.autoencoder.load()(path, device="cpu", dtype=torch.float32)


def test_a_training_of_the_bases_own_is_built_by_name(own):
    task = build("judge", own(overrides={"steps": 5}))
    assert task.what == "a toy judge"
    assert task.recipe.steps == 5


def test_an_unknown_name_is_refused_with_all_that_could_be_meant(own):
    with pytest.raises(
        UnknownModalityError, match=r"'jugde'.* also trains: base, judge, odd"
    ):
        build("jugde", own())


def test_a_builder_that_makes_no_task_is_named(own):
    with pytest.raises(WorldweaveError, match=r"toy_own:nonsense made a int; it must"):
        build("odd", own())


def test_weights_to_start_from_are_not_ignored(own, tmp_path):
    with pytest.raises(WorldweaveError, match="'judge' cannot start from given weig"):
        build("judge", own(init=tmp_path))


def test_a_recipe_is_a_recipe(own):
    with pytest.raises(WorldweaveError, match=r"toy_own:OWN|has no 'OWN'"):
        own().recipe(Lazy("toy_own:OWN"), "the toy")
    with pytest.raises(WorldweaveError, match="the toy has no training recipe"):
        own().recipe(None, "the toy")


def test_a_base_is_trained_from_its_start_or_from_given_weights(tmp_path):
    few = {"steps": 2, "batch_size": 1, "clips": 2, "monitor_every": 0}
    first = Session.open("base", "tiny-world", tmp_path / "first", **few)
    assert first.opening().endswith(" parameters, 2 steps on cpu, from the start")
    first.trainer.run(lambda _: None)
    told = first.finish()
    names = [line.partition(":")[0].rpartition("/")[2] for line in told]
    assert names == ["dit.safetensors", "text_encoder.safetensors"]

    second = Session.open(
        "base", "tiny-world", tmp_path / "second", init=tmp_path / "first", **few
    )
    assert "from the start (dit " in second.opening()
    for name, parameter in second.trainer.named.items():
        wanted = first.trainer.average[name].to(torch.bfloat16).float()
        assert torch.equal(parameter, wanted)
    second.trainer.run(lambda _: None, until=1)
    assert second.finish("the time is up") == [
        "stopped at step 1 of 2 (the time is up); the same command goes on from here"
    ]


def test_a_base_is_watched_on_clips_nobody_trains_or_evaluates_on():
    catalog = discover()
    base = catalog.find_base("tiny-world")
    task = build("base", Setup(base=base, catalog=catalog, clips=1))
    error, gates = task.monitors
    assert set(gates()) == {"gate_head.linear", *(f"gate_blocks.{n}" for n in range(6))}
    assert set(gates().values()) == {0.0}
    clips = base.clips.load()(HELD_OUT + 50_000, 16)
    autoencoder = load_autoencoder(base)
    videos = torch.cat([to_unit(clip.video) for clip in clips])
    torch.testing.assert_close(error.clean, autoencoder.encode(videos))
    assert set(error.predictions) == {"plain"}


def test_a_base_does_not_start_from_a_single_file(tmp_path):
    with pytest.raises(
        WorldweaveError, match=r"no such folder; give one that holds dit.safetensors"
    ):
        Session.open(
            "base", "tiny-world", tmp_path, clips=1, init=tmp_path / "dit.safetensors"
        )


def test_a_result_that_cannot_be_written_keeps_the_training(tmp_path):
    session = Session.open(
        "edge", "tiny-world", tmp_path, steps=1, batch_size=1, clips=1, monitor_every=0
    )
    session.trainer.run(lambda _: None)
    (tmp_path / "edge.safetensors").mkdir()
    with pytest.raises(WorldweaveError, match=r"edge.safetensors: .* state is kept"):
        session.finish()
    assert session.trainer.states.steps() == [1]


# torch's compiler warns of torch's own modules when it is first imported.
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_without_a_compiler_a_module_runs_as_it_is(tmp_path, monkeypatch):
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    module, said = torch.nn.Linear(2, 2), []
    # Not monkeypatch, which would leave torch without this setting.
    with config.patch("cpp.cxx", ("no-such-compiler",)):
        assert compiled_or_not(module, torch.device("cpu"), said.append) is module
    (line,) = said
    assert line.startswith("not compiled, so steps are slower: ")
    assert "no-such-compiler" in line


PLAIN = """
import torch
from torch import nn

class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.ones(1, 1, {channels}))

    def encode(self, prompts):
        return self.token.expand(len(prompts), -1, -1)

def load(weights, *, device, dtype):
    return Plain().to(device, dtype)
"""


def test_a_base_is_trained_with_an_encoder_that_drops_no_words(tmp_path, monkeypatch):
    catalog = discover()
    base = catalog.find_base("tiny-world")
    channels = base.config.load().text_channels
    (tmp_path / "toy_plain.py").write_text(PLAIN.format(channels=channels))
    monkeypatch.syspath_prepend(tmp_path)
    setup = Setup(
        base=attrs.evolve(base, text_encoder="toy_plain:load"),
        catalog=catalog,
        clips=2,
        overrides={"batch_size": 2},
        is_monitored=False,
    )
    task = build("base", setup)
    loss = task.loss(torch.Generator().manual_seed(0))
    loss.backward()
    assert task.model.get_parameter("text_encoder.token").grad is not None
    assert loss.isfinite()


def test_a_base_stands_on_its_autoencoder():
    catalog = discover()
    base = catalog.find_base("tiny-world")
    setup = Setup(base=base, catalog=catalog, clips=1, is_monitored=False)
    digest = part_of(base, "autoencoder").sha256
    assert build("base", setup).stands_on == f"autoencoder {digest[:12]}"


@pytest.fixture
def small_world():
    """A catalog in which the recipe of edge is made for a base called small."""
    found = discover()

    class Altered:
        def find_base(self, name):
            return found.find_base(name)

        def find(self, name):
            modality = found.find(name)
            return attrs.evolve(modality, recipe="toy_small:RECIPE")

    return Altered()


@pytest.fixture
def _small_recipe(tmp_path, monkeypatch):
    (tmp_path / "toy_small.py").write_text(
        "from worldweave_registry import Recipe\n"
        "RECIPE = Recipe(steps=3, learning_rate=0.1, base='small')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("_small_recipe")
def test_a_modality_is_trained_for_the_base_of_its_recipe(small_world):
    said = []
    assert base_for("edge", None, small_world, said.append) == "small"
    assert base_for("edge", "small", small_world, said.append) == "small"
    for name in ("base", "maps", "annotator"):
        assert base_for(name, None, small_world, said.append) == "tiny-world"
    assert said == []


@pytest.mark.usefixtures("_small_recipe")
def test_a_recipe_on_another_base_is_told(small_world):
    said = []
    assert base_for("edge", "tiny-world", small_world, said.append) == "tiny-world"
    assert said == [
        "the recipe of 'edge' is made for base 'small'; its steps, batch and learning "
        "rate may not suit 'tiny-world'"
    ]


def test_without_a_base_an_unknown_name_is_still_told(tmp_path):
    with pytest.raises(UnknownModalityError, match="'edgy'"):
        Session.open("edgy", None, tmp_path, clips=1)


def test_rendered_clips_and_a_data_folder_do_not_go_together(tmp_path):
    with pytest.raises(
        WorldweaveError, match=r"clips is 3 and data is .*; leave one of them out"
    ):
        Session.open("edge", None, tmp_path, clips=3, data_folder=tmp_path)


@pytest.mark.parametrize("name", ["base", "maps", "judge"])
def test_only_modalities_are_trained_from_a_folder(own, tmp_path, name):
    with pytest.raises(
        WorldweaveError, match=rf"'{name}' is trained from clips .*--da"
    ):
        build(name, own(data_folder=tmp_path))


def test_a_folder_that_is_none_is_refused_before_anything_is_loaded(tmp_path):
    with pytest.raises(WorldweaveError, match=r"there is no folder .*nowhere"):
        Session.open("edge", None, tmp_path, data_folder=tmp_path / "nowhere")


def test_a_folder_is_looked_at_once_and_trained_on(tmp_path):
    films = tmp_path / "films" / "videos"
    films.mkdir(parents=True)
    for name in "ab":
        video.write(films / f"{name}.mp4", moving(seed=ord(name)), 24)

    def start():
        said = []
        session = Session.open(
            "edge",
            None,
            tmp_path / "run",
            data_folder=tmp_path / "films",
            steps=2,
            batch_size=1,
            monitor_every=0,
            say=said.append,
        )
        return session, said

    first, said = start()
    assert [line for line in said if "captions: all 2 videos have no caption" in line]
    assert first.opening().endswith(
        " parameters, 2 steps on cpu, from the start; 2 videos, of which b is held out"
    )
    first.trainer.run(lambda _: None, until=1)
    second, said = start()
    assert said == []
    assert "continued from step 1" in second.opening()
    second.trainer.run(lambda _: None)
    assert second.finish() == [f"{tmp_path}/run/edge.safetensors: trained weights"]
