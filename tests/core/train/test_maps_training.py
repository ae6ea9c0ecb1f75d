"""Maps are learned while base and branches stay as they are."""

import attrs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from worldweave.checkpoints import store
from worldweave.checkpoints.map_file import load_map_net
from worldweave.io.sizes import to_unit
from worldweave.loading import new_branch
from worldweave.model.fusion import normalize
from worldweave.model.step import Step
from worldweave.model.weave import weave
from worldweave.train.branch import control_maker
from worldweave.train.branches import Branches, ControlledClips, with_weights
from worldweave.train.clips import ClipSet
from worldweave.train.loop import Trainer
from worldweave.train.maps import RECIPE, some, task_of, uniform, woven
from worldweave.train.monitors import SIGMAS
from worldweave.train.session import Session, build
from worldweave.train.task import Setup
from worldweave_registry import (
    Problems,
    UnknownModalityError,
    WeightsError,
    WorldweaveError,
    discover,
)

CPU = torch.device("cpu")
NAMES = ("inverse", "place", "zebra")
FEW = {"steps": 2, "batch_size": 1, "clips": 2, "monitor_every": 0}


def silent(_):
    pass


def contents(module):
    return {k: v.numpy().tobytes() for k, v in module.state_dict().items()}


@pytest.fixture
def branches(base, modality) -> Branches:
    """Three branches that all say something; frozen, as loaded ones are."""
    networks = {}
    for number, name in enumerate(NAMES):
        branch = new_branch(modality(name), base.config)
        generator = torch.Generator().manual_seed(number)
        with torch.no_grad():
            for parameter in branch.parameters():
                mean = float(parameter.ndim == 1)
                parameter.normal_(mean, 0.2, generator=generator)
        networks[name] = branch.eval().requires_grad_(False)
    controls = {name: control_maker(modality(name)) for name in NAMES}
    return Branches(networks=networks, controls=controls)


@pytest.fixture
def trainer(base, branches, clips, recipe, setup, tmp_path):
    """A trainer of fresh maps, as if the program had just started."""

    def start(folder="run", *, branches=branches, watched=0, **changes):
        made = setup(**changes)
        task = task_of(made, base, branches, recipe, clips, clips[:watched])
        return Trainer(task, tmp_path / folder, 3)

    return start


@pytest.fixture
def scene(base, branches, clips):
    """Hints of two clips, a noisy latent and the step it is at."""
    data = ControlledClips(clips, base.autoencoder, branches.controls)
    latent = torch.randn(2, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    step = Step(c_noise=torch.zeros(2), text=torch.ones(2, 1, 5), fps=24.0)
    return data.hints([1, 4], NAMES), latent, step


def test_only_the_maps_are_trained(base, branches, trainer):
    frozen = [base.dit, *branches.networks.values()]
    before = [contents(module) for module in frozen]
    started = trainer()
    start = {n: p.detach().clone() for n, p in started.named.items()}
    assert len(start) == len(list(started.model.parameters()))
    started.run(silent)
    assert [contents(module) for module in frozen] == before
    assert all(p.grad is None for module in frozen for p in module.parameters())
    still = [n for n, p in started.named.items() if torch.equal(p, start[n])]
    assert still == []


def test_branches_leave_nothing_to_go_back_through(base, branches, trainer, scene):
    hints, latent, step = scene
    net = trainer().model
    seen = []

    def watch(branch, _, residuals):
        seen.extend(r.requires_grad for r in residuals)

    branch = branches.networks["zebra"].requires_grad_(True)
    handle = branch.register_forward_hook(watch)
    woven(base.dit, branches.networks, hints, net)(latent, step).sum().backward()
    handle.remove()
    assert seen == [False]
    assert net.heads["for_zebra"].bias.grad.any()


def test_many_steps_on_one_batch_lower_the_loss(recipe, trainer):
    fresh = trainer()
    seen = []
    longer = attrs.evolve(recipe, steps=25, learning_rate=0.03)
    loss = fresh.task.loss
    task = attrs.evolve(
        fresh.task,
        loss=lambda _: loss(torch.Generator().manual_seed(1)),
        recipe=longer,
    )
    Trainer(task, fresh.folder, 0).run(lambda progress: seen.append(progress.loss))
    assert seen[-1] < seen[0] - 0.02 * abs(seen[0])


def test_training_weaves_as_generation_does(base, branches, trainer, scene):
    hints, latent, step = scene
    trained = trainer()
    trained.run(silent)
    with torch.no_grad():
        made = woven(base.dit, branches.networks, hints, trained.model)(latent, step)
        values = trained.model(hints)
        maps = dict(zip(values, normalize(list(values.values())), strict=True))
        wanted = weave(base.dit, branches.networks, latent, step, hints, maps)
    assert torch.equal(made, wanted)
    assert max(v.std() for v in maps.values()) > 0


def test_maps_that_sum_to_more_share_one_in_training_too(base, branches, scene):
    hints, latent, step = scene
    with torch.no_grad():
        made = woven(base.dit, branches.networks, hints, uniform(base))(latent, step)
        maps = dict.fromkeys(hints, torch.full((1, 2, 2, 2), 1 / 3))
        wanted = weave(base.dit, branches.networks, latent, step, hints, maps)
    assert torch.equal(made, wanted)


@given(seed=st.integers(0, 2**31), count=st.integers(2, 6))
def test_a_step_weaves_some_of_the_modalities_in_their_order(seed, count):
    names = "abcdef"[:count]
    chosen = some(names, torch.Generator().manual_seed(seed))
    assert chosen == sorted(set(chosen))
    assert len(chosen) >= 2
    assert set(chosen) <= set(names)
    assert chosen == some(names, torch.Generator().manual_seed(seed))


def test_every_number_from_two_on_and_every_modality_is_as_likely():
    generator = torch.Generator().manual_seed(0)
    drawn = [some("abcd", generator) for _ in range(2000)]
    for count in range(2, 5):
        assert 580 < sum(len(names) == count for names in drawn) < 750
    for name in "abcd":
        assert 1420 < sum(name in names for names in drawn) < 1580


def test_hints_are_those_of_each_modalitys_own_control(base, branches, clips):
    data = ControlledClips(clips, base.autoencoder, branches.controls)
    hints = data.hints([4, 1], ["place", "inverse"])
    for number, clip in enumerate([clips[4], clips[1]]):
        for name, control in (
            ("place", clip.controls["place"]),
            ("inverse", 255 - clip.video),
        ):
            wanted = base.autoencoder.encode_hint(to_unit(control))
            torch.testing.assert_close(hints[name][number : number + 1], wanted)
    wanted = ClipSet(clips, base.autoencoder).latents(range(6))
    assert torch.equal(data.clips.latents(range(6)), wanted)


def test_the_result_is_the_average_in_bfloat16_and_loads_strictly(
    base, trainer, tmp_path
):
    trained = trainer()
    trained.run(silent)
    trained.load_average()
    (path,) = trained.task.save(tmp_path)
    assert path == tmp_path / "maps.safetensors"
    net = load_map_net(
        path, base.config, base="toy", wanted=NAMES, device=CPU, dtype=torch.float32
    )
    assert {t.dtype for t in store.read(path).values()} == {torch.bfloat16}
    for name, average in trained.average.items():
        loaded = net.get_parameter(name)
        assert torch.equal(loaded, average.to(torch.bfloat16).float())
        assert not loaded.requires_grad


def test_stopping_and_resuming_changes_no_bit(trainer):
    whole, first = trainer("whole"), trainer("parts")
    whole.run(silent)
    first.run(silent, until=3)
    second = trainer("parts")
    assert "continued from step 3" in second.resume()
    second.run(silent)
    assert contents(second.model) == contents(whole.model)


def test_a_state_with_other_branches_is_refused(branches, trainer, tmp_path):
    trainer().run(silent, until=1)
    two = {name: branches.networks[name] for name in NAMES[:2]}
    fewer = attrs.evolve(branches, networks=two)
    with pytest.raises(
        WeightsError, match="its subject is maps of inverse place zebra"
    ):
        trainer(branches=fewer).resume()
    (tmp_path / "other").write_bytes(b"x")
    retrained = attrs.evolve(branches, files={"branch place": tmp_path / "other"})
    with pytest.raises(WeightsError, match=r"here it is branch place [0-9a-f]{12}"):
        trainer(branches=retrained).resume()


def test_a_training_may_start_from_the_maps_of_another(trainer, tmp_path):
    first = trainer("first")
    first.run(silent)
    first.task.save(tmp_path)
    second = trainer("second", init=tmp_path)
    assert second.task.started_from.startswith("maps ")
    for name, parameter in second.named.items():
        wanted = first.named[name].to(torch.bfloat16).float()
        assert torch.equal(parameter, wanted)
        assert parameter.requires_grad


def test_fresh_maps_gain_nothing_over_uniform_ones(trainer):
    (monitor,) = trainer(watched=3).task.monitors
    with torch.no_grad():
        values = monitor()
    assert values["map_gain"] == pytest.approx(0.0, abs=1e-6)
    for sigma in SIGMAS:
        uniform_error = values[f"x0_uniform_{sigma:g}"]
        assert values[f"x0_learned_{sigma:g}"] == pytest.approx(uniform_error)
    assert {f"map_gain_over_{name}" for name in NAMES} <= values.keys()


def test_the_monitor_sees_the_maps_learn_and_nothing_else_move(trainer, branches):
    trained = trainer(watched=3)
    (monitor,) = trained.task.monitors
    with torch.no_grad():
        before = monitor()
    calls = []
    hooks = [
        branch.register_forward_hook(lambda *_: calls.append(1))
        for branch in branches.networks.values()
    ]
    with torch.no_grad():
        trained.model.heads["for_place"].bias.fill_(9.0)
        after = monitor()
    assert len(calls) == len(SIGMAS) * len(NAMES)
    for hook in hooks:
        hook.remove()
    for name in before:
        assert (after[name] != before[name]) == ("uniform" not in name)


def test_gains_are_shares_of_the_error_where_hints_matter(trainer):
    (monitor,) = trainer(watched=2).task.monitors
    with torch.no_grad():
        monitor()
        fixed = [dict.fromkeys(row, 2.0) for row in monitor._fixed]
        monitor._fixed = tuple(fixed)
        monitor.learned.predictions["learned"] = lambda latent, _: latent
        values = monitor()
    own = [values[f"x0_learned_{sigma:g}"] for sigma in SIGMAS if sigma >= 0.8]
    wanted = sum((2.0 - error) / 2.0 for error in own) / len(own)
    for name in ("map_gain", "map_gain_over_place"):
        assert values[name] == pytest.approx(wanted)


def test_learned_maps_of_the_tiny_world_are_trained_by_name(tmp_path):
    session = Session.open(
        "maps", "tiny-world", tmp_path, modalities=["seg", "edge", "seg"], **FEW
    )
    assert session.task.what == "maps of edge seg for tiny-world from 2 clips"
    # In one order, so that the same training is known by another.
    parts = [part.rpartition(" ")[0] for part in session.task.stands_on.split(", ")]
    assert parts[0] == "dit"
    assert parts[-2:] == ["branch edge", "branch seg"]
    session.trainer.run(silent)
    (line,) = session.finish()
    assert line == f"{tmp_path / 'maps.safetensors'}: trained weights"
    catalog = discover()
    base = catalog.find_base("tiny-world")
    net = load_map_net(
        tmp_path / "maps.safetensors",
        base.config.load(),
        base="tiny-world",
        wanted=["edge"],
        device=CPU,
        dtype=torch.float32,
    )
    assert net.names == ("edge", "seg")


def test_all_modalities_that_have_weights_are_woven_by_default():
    names = with_weights(discover(), "tiny-world")
    assert {"depth", "edge", "hdmap", "lidar", "seg", "vis"} <= set(names)
    assert with_weights(discover(), "no-such-base") == []


def test_weights_that_licences_forbid_are_not_woven_by_default():
    catalog = discover()
    setup = Setup(
        base=catalog.find_base("tiny-world"), catalog=catalog.allowing(["MIT"])
    )
    with pytest.raises(WorldweaveError, match=r"there are 0 \(none\) to weave for"):
        build("maps", setup)
    with pytest.raises(Problems, match=r"Apache-2\.0"):
        build("maps", setup, ["edge", "seg"])


def test_all_that_cannot_be_woven_is_named_at_once():
    catalog = discover()
    setup = Setup(base=catalog.find_base("tiny-world"), catalog=catalog)
    with pytest.raises(Problems, match=r"(?s)'egde'.*'zeg'"):
        build("maps", setup, ["egde", "seg", "zeg"])


def test_modalities_are_for_maps_alone():
    catalog = discover()
    setup = Setup(base=catalog.find_base("tiny-world"), catalog=catalog)
    with pytest.raises(
        WorldweaveError, match="training of 'edge' takes none; leave th"
    ):
        build("edge", setup, ["seg"])


def test_a_base_without_branches_or_clips_is_told_what_to_do():
    catalog = discover()
    base = catalog.find_base("tiny-world")
    bare = Setup(base=attrs.evolve(base, clips=None), catalog=catalog)
    with pytest.raises(WorldweaveError, match="makes no training clips, so no maps"):
        build("maps", bare)
    lonely = Setup(base=attrs.evolve(base, name="lonely"), catalog=catalog)
    with pytest.raises(
        WorldweaveError, match=r"0 \(none\) .* train edge --base lonely"
    ):
        build("maps", lonely)
    one = Setup(base=base, catalog=catalog)
    with pytest.raises(
        WorldweaveError, match=r"there are 1 \(edge\) .* name two or mo"
    ):
        build("maps", one, ["edge", "edge"])


def test_maps_are_offered_where_a_name_is_unknown():
    catalog = discover()
    setup = Setup(base=catalog.find_base("tiny-world"), catalog=catalog)
    with pytest.raises(UnknownModalityError, match=r"itself also trains: base, .*maps"):
        build("mapz", setup)


def test_the_recipe_changes_as_any_other(trainer):
    assert RECIPE.sigma_mean > 0
    catalog = discover()
    setup = Setup(
        base=catalog.find_base("tiny-world"),
        catalog=catalog,
        clips=1,
        is_monitored=False,
        overrides={"steps": 7, "batch_size": 1},
    )
    task = build("maps", setup, ["edge", "seg"])
    assert task.recipe == attrs.evolve(RECIPE, steps=7, batch_size=1)
    assert task.monitors == ()
