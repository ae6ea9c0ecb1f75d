"""Scenes are numbers drawn from a seed, such that they can be."""

from itertools import pairwise

import attrs
import numpy as np
import pytest

from worldweave_plugins.tinyworld.prompts import ALIASES, VOCABULARY
from worldweave_plugins.tinyworld.sampling import sample
from worldweave_plugins.tinyworld.scene import Family, Street, Table
from worldweave_plugins.tinyworld.scene_check import scene_problems
from worldweave_plugins.tinyworld.table import arm_joints, thing_x

SEEDS = range(200)


def streets() -> list[Street]:
    places = [sample(seed, "street").place for seed in SEEDS]
    return [place for place in places if isinstance(place, Street)]


def tables() -> list[Table]:
    places = [sample(seed, "table").place for seed in SEEDS]
    return [place for place in places if isinstance(place, Table)]


def test_the_same_seed_gives_the_same_scene() -> None:
    assert sample(7) == sample(7)


def test_another_seed_gives_another_scene() -> None:
    assert len({sample(seed) for seed in SEEDS}) == len(SEEDS)


def test_a_scene_cannot_be_changed() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        sample(0).time = "day"  # type: ignore[misc]


@pytest.mark.parametrize("family", ["street", "table"])
def test_the_family_can_be_chosen(family: Family) -> None:
    assert {sample(seed, family).family for seed in range(20)} == {family}


def test_seeds_choose_every_family_time_and_colour() -> None:
    scenes = [sample(seed) for seed in SEEDS]
    assert {scene.family for scene in scenes} == {"street", "table"}
    assert {scene.time for scene in scenes} == {"day", "dusk", "night"}
    assert len({scene.place.colour for scene in scenes}) == 6


def test_one_or_two_cars_and_one_to_three_things_occur() -> None:
    assert {len(street.cars) for street in streets()} == {1, 2}
    assert {len(table.things) for table in tables()} == {1, 2, 3}


def test_a_lane_holds_one_car() -> None:
    for street in streets():
        assert len({car.x > 0 for car in street.cars}) == len(street.cars)


def test_a_car_that_comes_stays_in_its_lane() -> None:
    for street in streets():
        for car in street.cars:
            assert (car.x < 0) == (car.approach > 0)
            assert abs(car.x) + car.width / 2 < street.half_width


def test_things_on_the_table_never_touch_in_five_seconds() -> None:
    times = np.arange(121) / 24
    for table in tables():
        for one in table.things:
            for other in table.things:
                if one is not other:
                    x = thing_x(one, times) - thing_x(other, times)
                    distance = np.hypot(x, one.z - other.z)
                    assert distance.min() > one.size + other.size


def test_the_arm_stays_above_the_table() -> None:
    times = np.arange(121) / 24
    for table in tables():
        for joint in arm_joints(table.arm, times)[:3]:
            assert joint[:, 1].min() >= 0.3


def test_the_prompt_names_the_colours_it_shows() -> None:
    for seed in SEEDS:
        scene = sample(seed)
        assert scene.place.colour in scene.prompt
        if isinstance(scene.place, Table):
            assert scene.place.arm.colour in scene.prompt


def test_the_prompt_of_one_car_says_so() -> None:
    for seed in SEEDS:
        scene = sample(seed, "street")
        assert isinstance(scene.place, Street)
        words = scene.prompt.replace(",", "").split()
        is_single = "car" in words or "vehicle" in words
        assert is_single == (len(scene.place.cars) == 1)


def test_every_word_of_the_vocabulary_is_trained() -> None:
    prompts = (sample(seed).prompt for seed in range(1500))
    used = {word for prompt in prompts for word in prompt.replace(",", " ").split()}
    assert {ALIASES.get(word, word) for word in used} == set(VOCABULARY)


def test_an_alias_stands_for_a_word_of_the_vocabulary() -> None:
    assert set(ALIASES.values()) <= set(VOCABULARY)
    assert not set(ALIASES) & set(VOCABULARY)


def test_the_article_fits_the_word_after_it() -> None:
    for seed in SEEDS:
        words = sample(seed).prompt.split()
        for article, word in pairwise(words):
            if article in {"a", "an"}:
                assert (article == "an") == (word[0] in "aeiou")


def test_every_scene_that_is_drawn_can_be() -> None:
    for seed in SEEDS:
        assert scene_problems(sample(seed)) == []
