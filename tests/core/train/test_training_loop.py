"""Training goes on exactly where it stopped, and refuses what is not its own."""

import signal
import time

import attrs
import pytest
import torch
from torch import nn

from worldweave.train.loop import Trainer, rate
from worldweave.train.progress import Progress
from worldweave.train.stopping import INTERRUPTED, TIME_IS_UP, Stop
from worldweave.train.task import Task
from worldweave_registry import PluginError, Recipe, WeightsError, WorldweaveError


def silent(_):
    pass


def everything(trainer):
    """All that a training consists of, by name."""
    tensors = {f"model.{n}": p.detach() for n, p in trainer.named.items()}
    tensors |= {f"average.{n}": t for n, t in trainer.average.items()}
    for name, parameter in trainer.named.items():
        for key, value in trainer.optimizer.state[parameter].items():
            tensors[f"{name}.{key}"] = value
    return {name: tensor.clone() for name, tensor in tensors.items()}


def differing(one, other):
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


def spoil(trainer, step):
    """Cut the first file of a saved state short."""
    path = trainer.states.place / f"{step:08}" / "part-001.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def of(model, loss, recipe, folder, seed):
    """A trainer of a bare model."""
    task = Task(
        what="a model", model=model, loss=loss, recipe=recipe, save=lambda _: []
    )
    return Trainer(task, folder, seed)


def test_stopping_and_resuming_changes_no_bit(trainer):
    whole, first = trainer("whole"), trainer("parts")
    whole.run(silent)
    first.run(silent, until=3)
    second = trainer("parts")
    assert "continued from step 3" in second.resume()
    second.run(silent)
    assert differing(everything(second), everything(whole)) == []
    assert second.step == 6


def test_a_resumed_training_is_the_saved_one_not_a_fresh_one(trainer):
    first = trainer()
    first.run(silent, until=2)
    second = trainer()
    assert differing(everything(second), everything(trainer("other"))) == []
    second.resume()
    assert differing(everything(second), everything(first)) == []


def test_every_step_draws_anew_and_the_same_after_a_resume(recipe, tmp_path):
    def drawn(folder, *stops):
        seen = []
        for stop in stops:
            model = nn.Linear(1, 1)

            def loss(generator, model=model):
                seen.append(torch.rand(1, generator=generator).item())
                return model(torch.ones(1)).sum()

            trainer = of(model, loss, recipe, tmp_path / folder, 3)
            trainer.resume()
            trainer.run(silent, until=stop)
        return seen

    whole = drawn("whole", 6)
    assert len(set(whole)) == 6
    assert drawn("parts", 2, 3, 6) == whole


def test_another_seed_trains_otherwise(trainer):
    one, other = trainer("one", seed=3), trainer("other", seed=4)
    one.run(silent)
    other.run(silent)
    same = set(one.named) - set(differing(dict(one.named), dict(other.named)))
    assert same == set()


def test_until_stops_and_the_same_command_goes_on(trainer):
    seen: list[Progress] = []
    first = trainer()
    first.run(seen.append, until=4)
    first.run(seen.append, until=4)
    assert [(p.step, p.steps) for p in seen] == [(n, 6) for n in range(1, 5)]
    first.run(seen.append, until=99)
    assert [p.step for p in seen] == list(range(1, 7))


def test_a_report_says_loss_gradient_and_rate(trainer, recipe):
    seen: list[Progress] = []
    trainer().run(seen.append, until=2)
    assert all(p.loss > 0 and p.gradient > 0 for p in seen)
    assert [p.rate for p in seen] == [rate(0, recipe), rate(1, recipe)]


def test_states_are_saved_every_so_often_and_at_the_end(trainer):
    started = trainer()
    steps = []

    def note(progress):
        other = trainer()
        if other.resume():
            steps.append((progress.step, other.step))

    started.run(note, save_every=2, until=5)
    assert steps == [(3, 2), (4, 2), (5, 4)]
    last = trainer()
    last.resume()
    assert last.step == 5


def test_an_empty_folder_is_a_fresh_start(trainer):
    assert trainer().resume() is None


def test_a_damaged_state_gives_way_to_the_one_before(trainer):
    first = trainer()
    first.run(silent, save_every=2, until=4)
    spoil(first, 4)
    second = trainer()
    said = second.resume()
    assert "00000004 is damaged (part-001.safetensors has " in said
    assert "; continued from step 2" in said
    second.run(silent)
    whole = trainer("whole")
    whole.run(silent)
    assert differing(everything(second), everything(whole)) == []


def test_after_a_damaged_state_the_good_one_is_not_put_at_risk(trainer):
    first = trainer()
    first.run(silent, save_every=2, until=4)
    spoil(first, 4)
    second = trainer()
    second.resume()
    second.run(silent, until=3)
    third = trainer()
    assert third.resume().startswith("continued from step 3")
    assert third.step == 3
    assert third.states.steps() == [3, 2]


def test_a_save_that_is_cut_off_leaves_the_state_before(trainer, monkeypatch):
    first = trainer()
    first.run(silent, until=2)

    def power_cut(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("worldweave.train.states.store.write", power_cut)
        with pytest.raises(KeyboardInterrupt):
            first.run(silent, until=3)
    second = trainer()
    second.resume()
    assert second.step == 2


def test_with_all_states_damaged_the_user_is_told(trainer):
    first = trainer()
    first.run(silent, save_every=2, until=4)
    spoil(first, 2)
    spoil(first, 4)
    with pytest.raises(
        WeightsError, match=r"04 is damaged .*02 is damaged .* start again in an empty"
    ):
        trainer().resume()
    assert first.states.steps() == [4, 2]


def test_a_stop_saves_the_step_it_comes_after(trainer):
    stop = Stop()
    first = trainer()

    def ctrl_c(now):
        stop.is_interrupted = now.step == 2

    assert first.run(ctrl_c, stop=stop) == INTERRUPTED
    second = trainer()
    assert "continued from step 3" in second.resume()
    second.run(silent)
    whole = trainer("whole")
    assert whole.run(silent) == ""
    assert differing(everything(second), everything(whole)) == []


def test_when_the_time_is_up_one_more_step_is_done_and_saved(trainer):
    first = trainer()
    assert first.run(silent, stop=Stop(time.monotonic())) == TIME_IS_UP
    second = trainer()
    second.resume()
    assert second.step == 1


def test_a_signal_asks_for_a_stop_and_the_second_ctrl_c_insists():
    stop = Stop()
    before = signal.getsignal(signal.SIGINT)
    with stop.on_signals():
        signal.raise_signal(signal.SIGTERM)
        assert stop.reason() == INTERRUPTED
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_what_layers_keep_besides_weights_is_saved_too(recipe, tmp_path):
    def start(folder):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))

        def loss(generator):
            return model(torch.randn(4, 2, generator=generator)).square().mean()

        return of(model, loss, recipe, tmp_path / folder, 3)

    whole, first = start("whole"), start("parts")
    whole.run(silent)
    first.run(silent, until=3)
    torch.manual_seed(99)
    second = start("parts")
    second.resume()
    second.run(silent)
    wanted = whole.model.state_dict()
    assert differing(second.model.state_dict(), wanted) == []
    assert wanted["1.running_var"].ne(1).all()


def test_a_state_of_another_seed_is_refused_with_both_values(trainer):
    trainer(seed=3).run(silent, until=1)
    with pytest.raises(WeightsError, match="its seed is 3, here it is 4"):
        trainer(seed=4).resume()


def test_a_state_of_another_modality_is_refused_with_both_names(trainer):
    vis = trainer()
    vis.task = attrs.evolve(vis.task, what="vis for tiny-world")
    vis.run(silent, until=1)
    with pytest.raises(
        WeightsError, match=r"its subject is vis .*, here it is place for"
    ):
        trainer().resume()


def test_a_state_of_another_recipe_is_refused_with_both_values(trainer, recipe):
    trainer().run(silent, until=1)
    other = attrs.evolve(recipe, learning_rate=0.25)
    with pytest.raises(WeightsError, match=r'"0\.01".* here it is .*"0\.25"'):
        trainer(recipe=other).resume()


def test_a_state_of_another_model_is_refused(recipe, tmp_path):
    def start(model):
        def loss(_):
            return sum(p.square().sum() for p in model.parameters())

        return of(model, loss, recipe, tmp_path, 3)

    start(nn.Linear(2, 2, bias=False)).run(silent, until=1)
    with pytest.raises(WeightsError, match=r"another model: it lacks 'model.bias'"):
        start(nn.Linear(2, 2)).resume()


def test_a_weight_without_a_gradient_does_not_hinder_resuming(recipe, tmp_path):
    def start():
        torch.manual_seed(0)
        model = nn.ModuleDict({"used": nn.Linear(2, 2), "unused": nn.Linear(2, 2)})

        def loss(generator):
            return model["used"](torch.randn(3, 2, generator=generator)).square().sum()

        return of(model, loss, recipe, tmp_path / "run", 3)

    first, second = start(), start()
    first.run(silent, until=2)
    second.resume()
    assert second.step == 2
    assert differing(everything(second), everything(first)) == []


@pytest.mark.parametrize(
    "spoiled",
    [lambda w: w * float("nan"), lambda w: (w - w.detach() + 1e-40).sqrt()],
    ids=["loss", "gradient alone"],
)
def test_a_training_that_diverges_stops_before_it_spoils_the_weights(
    recipe, tmp_path, spoiled
):
    model = nn.Linear(1, 1, bias=False)
    before = model.weight.detach().clone()
    shift = torch.zeros(1)

    def loss(_):
        # The root of almost nothing: a fine value with an endless slope.
        return spoiled(model.weight.sum() + shift).sum() * 1e30

    trainer = of(model, loss, recipe, tmp_path, 3)
    with pytest.raises(WorldweaveError, match=r"diverged at step 0.* below 0\.01"):
        trainer.run(silent)
    assert torch.equal(model.weight, before)


def failing_at(step, started, kind=WorldweaveError):
    """Let the loss of *step* be one that cannot be had."""
    loss = started.task.loss

    def lost(generator):
        if started.step == step:
            raise kind("there is no file a.mp4; check the path")
        return loss(generator)

    started.task = attrs.evolve(started.task, loss=lost)
    return started


@pytest.mark.parametrize("kind", [WorldweaveError, PluginError])
def test_where_a_loss_cannot_be_had_the_steps_done_are_saved(trainer, kind):
    with pytest.raises(kind, match=r"^there is no file a.mp4; check the path$"):
        failing_at(0, trainer(), kind).run(silent)
    assert trainer().resume() is None
    with pytest.raises(kind, match=r"; 3 steps are saved, and the same command goes"):
        failing_at(3, trainer(), kind).run(silent)
    second = trainer()
    assert second.resume().startswith("continued from step 3")
    second.run(silent)
    whole = trainer("whole")
    whole.run(silent)
    assert differing(everything(second), everything(whole)) == []


def test_steps_that_cannot_be_saved_either_are_told_as_lost(trainer):
    failing = failing_at(1, trainer())
    failing.states.place.parent.mkdir()
    failing.states.place.write_text("in the way")
    with pytest.raises(
        WorldweaveError, match=r"^there is no file .*; the steps since .* are lost: "
    ):
        failing.run(silent)


def test_the_average_lags_behind_and_is_the_result(trainer):
    trained = trainer()
    start = {n: p.detach().clone() for n, p in trained.named.items()}
    trained.run(silent)
    name = "branch.patch_embed.weight"
    last = trained.named[name].detach().clone()
    average = trained.average[name].clone()
    assert (average - start[name]).norm() < (last - start[name]).norm()
    assert not torch.equal(average, start[name])
    trained.load_average()
    assert torch.equal(trained.named[name], average)


def test_the_average_follows_its_formula(recipe, tmp_path):
    model = nn.Linear(1, 1, bias=False)
    trainer = of(model, lambda _: model.weight.sum(), recipe, tmp_path, 0)
    wanted = model.weight.item()
    for step in range(6):
        trainer.run(silent, until=step + 1)
        decay = min(0.999, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * model.weight.item()
        assert trainer.average["weight"].item() == pytest.approx(wanted, rel=1e-5)


def test_only_matrices_decay(trainer):
    groups = trainer().optimizer.param_groups
    decays = {group["weight_decay"]: group["params"] for group in groups}
    assert set(decays) == {0.01, 0.0}
    assert all(p.ndim == 2 for p in decays[0.01])
    assert all(p.ndim == 1 for p in decays[0.0])


def test_the_rate_rises_stays_and_falls_to_nought():
    recipe = Recipe(steps=100, learning_rate=2.0, warmup=10)
    rates = [rate(step, recipe) for step in range(100)]
    assert rates[:10] == pytest.approx([0.2 * n for n in range(1, 11)])
    assert set(rates[10:60]) == {2.0}
    assert rates[60:] == pytest.approx([2.0 * n / 40 for n in range(40, 0, -1)])


def test_without_warmup_the_first_step_is_a_full_one():
    assert rate(0, Recipe(steps=10, learning_rate=2.0, warmup=0)) == 2.0


def test_a_state_that_stands_on_another_base_is_refused_with_both(trainer):
    first = trainer()
    first.task = attrs.evolve(first.task, stands_on="dit 0123456789ab")
    first.run(silent, until=1)
    second = trainer()
    second.task = attrs.evolve(second.task, stands_on="dit fedcba987654")
    with pytest.raises(
        WeightsError, match=r"its base is dit 0123456789ab, here it is dit fedcba98"
    ):
        second.resume()
