"""Monitors tell whether a control is followed, and change nothing."""

import csv
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from worldweave.train.canary import Canary
from worldweave.train.monitors import SIGMAS, GateNorms, X0Error, gain
from worldweave.train.progress import Progress
from worldweave.train.watch import Watch
from worldweave_registry import WorldweaveError

TEXT = torch.zeros(4, 1, 1)


def silent(_):
    pass


def everything(trainer):
    tensors = {f"model.{n}": p.detach() for n, p in trainer.named.items()}
    tensors |= {f"average.{n}": t for n, t in trainer.average.items()}
    for name, parameter in trainer.named.items():
        for key, value in trainer.optimizer.state[parameter].items():
            tensors[f"{name}.{key}"] = value
    return tensors


def table(trainer):
    with trainer.watch.path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def clean():
    return 0.5 * torch.randn(4, 2, 3, 4, 4, generator=torch.Generator().manual_seed(0))


def knows(clean, share):
    """A network that predicts clean, but for a *share* of it."""

    def predict(latent, step):
        sigma = (4 * step.c_noise).exp().view(-1, 1, 1, 1, 1)
        total = sigma**2 + 0.25
        noisy = latent * total.sqrt()
        return ((1 - share) * clean - 0.25 / total * noisy) / (
            0.5 * sigma / total.sqrt()
        )

    return predict


def errors(clean, **shares):
    return X0Error(
        clean=clean,
        text=lambda: TEXT,
        fps=24.0,
        predictions={name: knows(clean, share) for name, share in shares.items()},
    )()


def test_the_error_is_the_share_of_the_variance_that_is_missed(clean):
    values = errors(clean, plain=0.5)
    assert set(values) == {f"x0_plain_{sigma:g}" for sigma in SIGMAS}
    wanted = float((0.5 * clean).square().mean() / clean.var())
    for value in values.values():
        # bfloat16 does not touch it: only networks compute in it.
        assert value == pytest.approx(wanted, rel=1e-3)


def test_the_gain_is_what_the_hint_takes_off_the_error(clean):
    values = errors(clean, right=0.5, none=1.0, wrong=2.0)
    assert values["control_gain"] == pytest.approx(0.75, abs=1e-3)
    assert values["wrong_hint_gain"] == pytest.approx(-3.0, abs=1e-2)


def test_small_sigmas_do_not_count_for_the_gain():
    none = [1.0] * len(SIGMAS)
    some = [0.0 if sigma < 0.8 else 0.9 for sigma in SIGMAS]
    assert gain(some, none) == pytest.approx(0.1)


@given(right=st.floats(-1, 1), wrong=st.floats(-5, 1), step=st.integers(1, 2000))
def test_the_alarm_is_raised_unless_the_right_hint_stands_out(right, wrong, step):
    values = {"control_gain": right, "wrong_hint_gain": wrong}
    told = Canary(after=500).alarm(step, values)
    stands_out = right >= 0.01 and right - wrong >= 0.01
    assert bool(told) == (step >= 500 and not stands_out)


def test_the_alarm_says_what_was_seen_and_what_to_do():
    told = Canary(after=500).alarm(
        750, {"control_gain": 0.002, "wrong_hint_gain": 0.001}
    )
    assert told.startswith("no control signal after 750 steps: ")
    assert "by 0.2%, a wrong one by 0.1%; look at the controls" in told


def test_a_base_has_no_canary():
    assert Canary(after=1).alarm(9, {"x0_plain_1": 1.0}) == ""


def test_gates_are_what_starts_at_zero():
    model = nn.ModuleDict({"in": nn.Linear(2, 2), "zero": nn.Linear(2, 2)})
    nn.init.zeros_(model["zero"].weight)
    gates = GateNorms.of(model)
    assert gates() == {"gate_zero.weight": 0.0}
    nn.init.ones_(model["zero"].weight)
    assert gates() == {"gate_zero.weight": 2.0}


def test_watching_changes_no_bit_of_the_training(trainer):
    alone, watched = trainer("alone"), trainer("watched", watched=2)
    alone.run(silent)
    watched.run(silent)
    one, other = everything(alone), everything(watched)
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def test_gates_are_followed_when_loading_puts_new_weights_in_their_place():
    model = nn.Sequential(nn.Linear(2, 2, bias=False))
    nn.init.zeros_(model[0].weight)
    gates = GateNorms.of(model)
    model.load_state_dict({"0.weight": torch.ones(2, 2)}, assign=True)
    assert gates() == {"gate_0.weight": 2.0}


def test_the_curves_tell_of_hints_gates_and_losses(trainer):
    watched = trainer(watched=2)
    losses = []
    watched.run(lambda now: losses.append(now.loss))
    rows = table(watched)
    assert [row["step"] for row in rows] == ["0", "2", "4", "6"]
    start, last = rows[0], rows[-1]
    assert float(last["loss"]) == pytest.approx(np.mean(losses[4:]), rel=1e-5)
    for sigma in SIGMAS:
        # A fresh branch says nothing, so all three are the base alone.
        assert start[f"x0_right_{sigma:g}"] == start[f"x0_none_{sigma:g}"]
        assert start[f"x0_wrong_{sigma:g}"] == start[f"x0_none_{sigma:g}"]
        assert last[f"x0_none_{sigma:g}"] == start[f"x0_none_{sigma:g}"]
    assert last["x0_right_0.8"] != last["x0_none_0.8"] != last["x0_wrong_0.8"]
    assert start["gate_zero.0"] == "0"
    assert float(last["gate_zero.0"]) > 0
    assert watched.watch.picture.read_bytes().startswith(b"\x89PNG")


def test_the_alarm_stands_in_the_curves_and_is_told(trainer):
    watched, told = trainer(watched=2), []
    watched.watch.say = told.append
    watched.run(silent)
    alarms = {row["step"]: row["alarm"] for row in table(watched)}
    assert alarms["0"] == alarms["2"] == ""
    assert alarms["4"].startswith("no control signal after 4 steps")
    assert told == [f"warning: {alarms['4']}", f"warning: {alarms['6']}"]


def test_the_curves_of_an_interrupted_training_are_those_of_a_whole_one(trainer):
    whole, first = trainer("whole", watched=2), trainer("parts", watched=2)
    whole.run(silent)
    first.run(silent, until=3)
    second = trainer("parts", watched=2)
    second.resume()
    second.run(silent, until=5)
    third = trainer("parts", watched=2)
    third.resume()
    third.run(silent)
    assert third.watch.path.read_text() == whole.watch.path.read_text()


def test_rows_beyond_the_state_are_dropped(trainer):
    first = trainer(watched=2)
    first.run(silent, save_every=3, until=3)
    wanted = first.watch.path.read_text()
    with first.watch.path.open("a") as file:
        file.write(table(first)[-1]["step"].replace("2", "4") + "," * 40 + "\n5,0.1")
    second = trainer(watched=2)
    second.resume()
    second.watch.begin(second.step, {}, second.averaged)
    assert second.watch.path.read_text() == wanted


def test_a_new_training_starts_new_curves(trainer):
    watched = trainer(watched=2)
    watched.watch.path.parent.mkdir()
    watched.watch.path.write_text("step,loss,gradient,rate,alarm\n9,1,1,1,\n")
    watched.run(silent, until=2)
    assert [row["step"] for row in table(watched)] == ["0", "2"]


def test_without_monitors_there_is_the_loss(tmp_path):
    watch = Watch(tmp_path, (), Canary(after=1), every=0)
    watch.begin(0, {}, None)
    for step in range(1, 121):
        now = Progress(step=step, steps=120, loss=step, gradient=1.0, rate=0.1)
        watch.after(now, None)
    rows = watch.path.read_text().splitlines()
    assert rows[0] == "step,loss,gradient,rate,alarm"
    assert [row.split(",")[:2] for row in rows[2:]] == [
        ["50", "25.5"],
        ["100", "75.5"],
        ["120", "110.5"],
    ]


def test_curves_that_cannot_be_written_are_told(tmp_path):
    watch = Watch(tmp_path, (), Canary(after=1), every=0)
    watch.begin(0, {}, None)
    watch.path.unlink()
    watch.path.mkdir()
    now = Progress(step=1, steps=1, loss=1.0, gradient=1.0, rate=0.1)
    with pytest.raises(WorldweaveError, match=r"curves.csv: .* the same command"):
        watch.after(now, None)


def test_other_monitors_get_columns_of_their_own_on_resume(tmp_path):
    def watch(**values):
        return Watch(tmp_path, (lambda: values,), Canary(after=9), every=1)

    def after(watched, step):
        now = Progress(step=step, steps=3, loss=1.0, gradient=1.0, rate=0.1)
        watched.after(now, nullcontext)

    first = watch(old=1.0)
    first.begin(0, {}, nullcontext)
    after(first, 1)
    second = watch(new=2.0, newer=3.0)
    second.begin(1, {}, nullcontext)
    after(second, 2)
    after(second, 3)
    with second.path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("step", "loss", "gradient", "rate", "old", "new", "newer", "alarm")
    ]
    found = [(row["step"], row["old"], row["new"], row["newer"]) for row in rows]
    assert found == [
        *(("0", "1", "", ""), ("1", "1", "", "")),
        *(("2", "", "2", "3"), ("3", "", "2", "3")),
    ]
