"""Schedules: what is wrong with one, what it is, what it says."""

import pytest

from worldweave import Control, Request
from worldweave.diffusion.sampler import noise_levels
from worldweave.request.maps.schedule import factor, schedule_problems, told
from worldweave.request.sources import Schedule
from worldweave.request.structure import from_json, to_plain

LEVELS = noise_levels(4)


def factors(**fields):
    return [factor(Schedule(**fields), step, LEVELS) for step in range(5)]


def test_linear_is_linear_by_step_whatever_the_noise():
    assert factors(linear=(0, 1)) == [0, 0.25, 0.5, 0.75, 1]
    assert factors(linear=(1, 0)) == [1, 0.75, 0.5, 0.25, 0]
    assert factors(linear=(0.5, 0.5)) == [0.5] * 5


def test_an_interval_is_all_or_nothing():
    between = (float(LEVELS[3]) * 0.9, float(LEVELS[1]) * 1.1)
    assert factors(interval=between) == [0, 1, 1, 1, 0]
    assert factors(interval=(80, 80)) == [1, 0, 0, 0, 0]
    assert factors(interval=(0, 0.002)) == [0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (Schedule(), "schedule of 'edge' has nothing; give one of linear, interval"),
        (
            Schedule(linear=(0, 1), interval=(0, 80)),
            "schedule of 'edge' has linear and interval; give one of them",
        ),
        (
            Schedule(linear=(-0.5, 1)),
            "schedule of 'edge': linear is -0.5; give factors from 0 to 1",
        ),
        (Schedule(linear=(0, 1.5)), "linear is 1.5; give factors from 0 to 1"),
        (Schedule(linear=(float("nan"), 1)), "linear is nan; give"),
        (Schedule(interval=(5, 2)), "interval is 5 to 2; give two noise levels"),
        (Schedule(interval=(-1, 2)), "interval is -1 to 2; give two noise levels"),
        (Schedule(interval=(1, float("nan"))), "interval is 1 to nan; give"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(schedule, said):
    (problem,) = schedule_problems("edge", schedule)
    assert said.replace("one of them", "one of linear, interval") in problem
    assert "\n" not in problem


def test_both_ends_of_linear_are_looked_at():
    assert len(schedule_problems("edge", Schedule(linear=(-1, 2)))) == 2


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (None, "constant"),
        (Schedule(linear=(1, 0.5)), "linear, 1 to 0.5"),
        (Schedule(interval=(0.002, 80)), "where 0.002 <= sigma <= 80"),
    ],
)
def test_a_good_one_is_said_in_words(schedule, words):
    assert schedule_problems("edge", schedule) == []
    assert told(schedule) == words


def test_a_schedule_survives_json():
    text = '{"controls": {"edge": {"map": 1, "schedule": {"interval": [1, 40]}}}}'
    request = from_json(text)
    assert request.controls["edge"].schedule == Schedule(interval=(1.0, 40.0))
    plain = to_plain(Request(controls={"e": Control(schedule=Schedule(linear=(1, 0)))}))
    assert plain["controls"]["e"]["schedule"] == {"linear": [1.0, 0.0]}
