"""Rules: values by class, and all that can be wrong with one, said at once."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from worldweave.request.labels.rules import (
    parse_rule,
    regions_of,
    rule_map,
    rule_problems,
)
from worldweave.request.labels.video import LabelVideo
from worldweave_registry import Problems

NAMES = ("sky", "robot_arm", "robot_hand", "gripper", "RoadLine")
#: One row of each class but RoadLine, for two frames; the second upside down.
IDS = np.stack(
    [np.repeat(rows, 3).reshape(4, 3) for rows in ([0, 1, 2, 3], [3, 2, 1, 0])]
)
LABELS = LabelVideo(ids=IDS.astype(np.uint8), names=NAMES)


def rows(text, labels=LABELS):
    values = rule_map(text, labels)
    assert values.dtype == np.float32
    assert values.shape == labels.ids.shape
    assert (values == values[:, :, :1]).all()
    return values[:, :, 0].tolist()


def complaint(text, labels=LABELS):
    with pytest.raises(Problems) as raised:
        rule_map(text, labels)
    return list(raised.value.problems)


def test_each_class_gets_the_value_of_its_clause():
    text = "robot_arm, gripper -> 1.0; else -> 0.25"
    assert rows(text) == [[0.25, 1, 0.25, 1], [1, 0.25, 1, 0.25]]


def test_a_star_and_a_question_mark_name_many_classes():
    assert rows("robot_* -> 1; else -> 0")[0] == [0, 1, 1, 0]
    assert rows("s?y -> 1; else -> 0")[0] == [1, 0, 0, 0]


def test_only_a_star_and_a_question_mark_are_special():
    names = ("car[0]", "car0", "car[!0]", "car]", "[")
    ids = np.arange(5, dtype=np.uint8).reshape(1, 5, 1)
    labels = LabelVideo(ids=ids, names=names)
    for at, name in enumerate(names):
        wanted = [float(each == at) for each in range(5)]
        assert rows(f"{name} -> 1; else -> 0", labels)[0] == wanted
    assert rows("car[?] -> 1; else -> 0", labels)[0] == [1, 0, 0, 0, 0]
    assert rows("*[* -> 1; else -> 0", labels)[0] == [1, 0, 1, 0, 1]


def test_capitals_count():
    assert "did you mean 'RoadLine'?" in complaint("roadline -> 1; else -> 0")[0]


def test_the_narrower_clause_may_come_before_the_wider():
    assert rows("robot_arm -> 1; robot_* -> 0.5; else -> 0")[0] == [0, 1, 0.5, 0]


def test_a_clause_that_decides_nothing_is_an_error():
    (told,) = complaint("robot_* -> 0.5; robot_arm -> 1; else -> 0")
    assert "'robot_arm' decides nothing" in told


def test_without_else_all_classes_in_the_picture_must_be_named():
    (told,) = complaint("robot_* -> 1")
    assert "no clause names 'sky', 'gripper';" in told


def test_without_else_a_class_that_no_pixel_has_may_be_left_out():
    assert rows("robot_*, sky -> 1; gripper -> 0.5")[0] == [1, 1, 1, 0.5]


def test_a_class_that_is_not_in_the_table_is_named_with_those_that_are():
    (told,) = complaint("griper -> 1; else -> 0")
    assert "no class 'griper'; did you mean 'gripper'?; they have 'sky', 'robot" in told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the rule is empty"),
        (" ; ", "the rule is empty"),
        ("sky -> 1;; else -> 0", "'' has no '->'"),
        ("sky 1.0", "'sky 1.0' has no '->'"),
        ("-> 1.0", "lacks a class"),
        ("sky, -> 1.0", "lacks a class"),
        ("sky -> high", "'high' is no number"),
        ("sky ->", "'' is no number"),
        ("sky -> 1.5", "1.5 does not lie in 0..1"),
        ("sky -> -0.1", "-0.1 does not lie in 0..1"),
        ("sky -> nan", "nan does not lie in 0..1"),
        ("sky -> 1; sky -> 0", "'sky' is named twice"),
        ("sky, sky -> 1", "'sky' is named twice"),
        ("else -> 1; else -> 0", "'else' is named twice"),
        ("else -> 1; sky -> 0", "'else' is not the last clause"),
        ("sky, else -> 1", "'else' beside classes"),
        ("else, sky -> 1", "'else' beside classes"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said_without_labels(text, told):
    assert any(told in problem for problem in rule_problems(text))
    with pytest.raises(Problems) as raised:
        parse_rule(text)
    assert all("\n" not in problem for problem in raised.value.problems)


def test_all_problems_of_a_rule_are_told_at_once():
    assert len(rule_problems("sky; arm -> 2; arm -> high; else -> 0; x -> 1")) == 5


def test_all_problems_with_the_classes_are_told_at_once():
    told = complaint("skye -> 1; grippers -> 0")
    assert len(told) == 3
    assert "no clause names" in told[-1]


def test_a_semicolon_may_end_a_rule():
    assert rule_problems("sky -> 1; else -> 0;") == []


def test_regions_are_named_as_the_clauses_and_tile_the_picture():
    text = "robot_*,gripper -> 1; else -> 0"
    regions = regions_of(text, LABELS)
    assert list(regions) == ["robot_*, gripper", "else"]
    assert np.array_equal(regions["else"], LABELS.ids == 0)
    assert np.array_equal(regions["robot_*, gripper"], LABELS.ids != 0)


def test_a_still_label_picture_makes_a_still_map():
    still = LabelVideo(ids=LABELS.ids[:1], names=NAMES)
    assert len(rows("else -> 0.5", still)) == 1


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_rule_gives_what_a_table_of_values_would(data):
    values = [data.draw(st.integers(0, 8)) / 8 for _ in NAMES]
    order = data.draw(st.permutations(range(len(NAMES))))
    covered = data.draw(st.integers(0, len(NAMES)))
    clauses = [f"{NAMES[at]}->{values[at]}" for at in order[:covered]]
    rest = data.draw(st.integers(0, 8)) / 8
    text = " ; ".join([*clauses, f"else -> {rest}"])
    ids = np.arange(len(NAMES), dtype=np.uint8).reshape(1, 1, -1)
    found = rule_map(text, LabelVideo(ids=ids, names=NAMES))[0, 0]
    expected = [values[at] if at in order[:covered] else rest for at in range(5)]
    assert found.tolist() == expected
