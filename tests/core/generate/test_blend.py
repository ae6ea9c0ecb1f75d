"""Maps of a chunk from step to step: what is zero, what is shared, what stays."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from worldweave.diffusion.sampler import noise_levels
from worldweave.generate.blend import Blend
from worldweave.request.sources import Schedule

SHAPE = (1, 2, 3, 4)
NAMES = ["depth", "edge", "hdmap", "lidar", "seg", "vis"]
LEVELS = noise_levels(4)


@st.composite
def tokens(draw, count=None):
    """Maps of one to six modalities, zero here and there."""
    count = draw(st.integers(1, 6)) if count is None else count
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    values = random.random((count, *SHAPE), np.float32)
    values[random.random(values.shape) < 0.3] = 0
    if draw(st.booleans()):
        values[random.integers(count)] = 0
    return {
        name: torch.from_numpy(each) for name, each in zip(NAMES, values, strict=False)
    }


def blended(values, schedules=None, levels=LEVELS, **more):
    return Blend(values=values, schedules=schedules or {}, levels=levels, **more)


def at_step(blend, step):
    return blend.at(blend.levels[step].float().log()[None] / 4)


def alike(one, other):
    return list(one) == list(other) and all(torch.equal(one[n], other[n]) for n in one)


def constant(**numbers):
    return {name: torch.full(SHAPE, value) for name, value in numbers.items()}


# --- shares ------------------------------------------------------------------


@given(tokens())
def test_zero_stays_zero_and_nothing_else_becomes_it(values):
    found = at_step(blended(values), 0)
    for name, asked in values.items():
        used = found.get(name, torch.zeros(SHAPE))
        assert torch.equal(used == 0, asked == 0)


@given(tokens())
def test_what_is_zero_everywhere_is_left_out_and_changes_no_bit(values):
    living = {name: each for name, each in values.items() if each.any()}
    assert alike(at_step(blended(values), 0), at_step(blended(living), 0))
    assert list(at_step(blended(values), 0)) == list(living)


@given(tokens())
def test_above_one_they_share_one_in_proportion(values):
    total = sum(each.double() for each in values.values())
    found = blended(values).effective()
    used = sum(each.double() for each in found.values())[None]
    torch.testing.assert_close(used, total.clamp(max=1), rtol=0, atol=1e-6)
    for name, asked in values.items():
        wanted = asked.double() / total.clamp(min=1)
        torch.testing.assert_close(found[name][None].double(), wanted)


@given(tokens(), st.floats(0.01, 0.99))
def test_up_to_one_no_bit_is_touched(values, most):
    total = sum(each.double() for each in values.values()).max().clamp(min=1e-3)
    asked = {n: (v.double() * (most / total)).float() for n, v in values.items()}
    found = at_step(blended(asked), 0)
    for name in found:
        assert torch.equal(found[name], asked[name])


@given(st.lists(st.integers(0, 64), min_size=1, max_size=6))
def test_at_exactly_one_no_bit_is_touched(numbers):
    rest = 64 - sum(numbers)
    parts = [*numbers[:-1], numbers[-1] + rest] if rest > 0 else [64]
    values = constant(**{n: p / 64 for n, p in zip(NAMES, parts, strict=False)})
    found = at_step(blended(values), 0)
    assert alike(found, {n: v for n, v in values.items() if v.any()})


@given(tokens(), st.randoms(use_true_random=False))
def test_the_order_of_modalities_changes_no_bit(values, random):
    names = list(values)
    random.shuffle(names)
    found = at_step(blended(values), 0)
    other = at_step(blended({name: values[name] for name in names}), 0)
    assert all(torch.equal(found[name], other[name]) for name in found)
    assert set(found) == set(other)


def test_what_was_shared_before_stays_as_it_is():
    values = constant(edge=0.75, vis=0.75, seg=0.0)
    found = at_step(blended(values, is_final=True), 0)
    assert alike(found, constant(edge=0.75, vis=0.75))
    assert torch.equal(
        blended(values, is_final=True).effective()["vis"], torch.full(SHAPE[1:], 0.75)
    )


# --- schedules ---------------------------------------------------------------


@given(tokens(), st.integers(1, 12))
def test_a_constant_schedule_is_none_bit_for_bit(values, steps):
    levels = noise_levels(steps)
    none = blended(values, levels=levels)
    for constant_one in (
        Schedule(linear=(1, 1)),
        Schedule(interval=(0.002, 80)),
        Schedule(interval=(0, 1000)),
    ):
        same = blended(values, dict.fromkeys(values, constant_one), levels)
        for step in range(steps + 1):
            assert alike(at_step(same, step), at_step(none, step))
        whole, parts = none.effective(), same.effective()
        for name in whole:
            torch.testing.assert_close(whole[name], parts[name], rtol=1e-6, atol=0)


@given(st.integers(1, 120), st.sampled_from([80.0, 70.0, 5.0, 0.01]))
def test_every_step_is_known_by_its_noise(steps, sigma_max):
    levels = noise_levels(steps, sigma_max=sigma_max)
    rising = {"edge": Schedule(linear=(0, 1))}
    blend = blended(constant(edge=1.0), rising, levels)
    for step in {0, 1, steps // 2, steps - 1, steps}:
        used = at_step(blend, step).get("edge", torch.zeros(SHAPE))
        assert used.unique().tolist() == [pytest.approx(step / steps)]


def test_a_linear_schedule_goes_from_the_first_to_the_last_step():
    blend = blended(constant(edge=0.8), {"edge": Schedule(linear=(1, 0.5))})
    found = [at_step(blend, n)["edge"].unique().item() for n in range(5)]
    assert found == pytest.approx([0.8, 0.7, 0.6, 0.5, 0.4])


def test_a_single_evaluation_has_the_first_factor():
    one = blended(constant(edge=1.0), {"edge": Schedule(linear=(0.25, 1))}, LEVELS[:1])
    assert at_step(one, 0)["edge"].unique().tolist() == [0.25]


@given(st.integers(0, 4), st.integers(0, 4))
def test_an_interval_counts_with_both_of_its_ends(one, other):
    first, last = sorted((one, other))
    low, high = float(LEVELS[last]), float(LEVELS[first])
    schedule = {"edge": Schedule(interval=(low, high))}
    blend = blended(constant(edge=0.5, vis=0.25), schedule)
    for step in range(5):
        alive = ["edge", "vis"] if first <= step <= last else ["vis"]
        assert list(at_step(blend, step)) == alive


@pytest.mark.parametrize("interval", [(0.002, 80), (0.002, 0.002), (80, 80)])
def test_the_ends_of_the_noise_are_within_reach(interval):
    schedule = Schedule(interval=interval)
    blend = blended(constant(edge=1.0), {"edge": schedule}, noise_levels(7))
    alive = [bool(at_step(blend, step)) for step in range(8)]
    low, high = interval
    assert (alive[0], alive[-1]) == (high == 80, low == 0.002)


def test_sharing_follows_the_schedule():
    """While vis is off edge has all; where both are on they share."""
    off_first = {"vis": Schedule(interval=(0, float(LEVELS[2])))}
    blend = blended(constant(edge=1.0, vis=1.0), off_first)
    for step in range(5):
        wanted = constant(edge=1.0) if step < 2 else constant(edge=0.5, vis=0.5)
        assert alike(at_step(blend, step), wanted)


@given(tokens(), st.integers(1, 6))
def test_the_effect_is_the_mean_over_all_evaluations(values, steps):
    levels = noise_levels(steps)
    schedules = dict(
        zip(
            values,
            [
                Schedule(linear=(1, 0)),
                Schedule(interval=(0, 3)),
                Schedule(linear=(0, 1)),
            ],
            strict=False,
        )
    )
    blend = blended(values, schedules, levels)
    used = [at_step(blend, step) for step in range(steps + 1)]
    found = blend.effective()
    assert list(found) == list(values)
    for name in values:
        maps = [maps.get(name, torch.zeros(SHAPE)) for maps in used]
        wanted = torch.stack(maps).double().mean(dim=0)[0]
        torch.testing.assert_close(found[name].double(), wanted, rtol=1e-5, atol=1e-7)


def test_a_modality_that_never_runs_has_an_effect_of_zero():
    never = {"edge": Schedule(interval=(100, 200))}
    blend = blended(constant(edge=1.0, vis=0.5), never)
    found = blend.effective()
    assert not found["edge"].any()
    assert found["vis"].unique().tolist() == [0.5]
