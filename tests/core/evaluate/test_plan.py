"""What an evaluation generates: no more than its tables need."""

import pytest

from worldweave.evaluate.rows import NONE
from worldweave.evaluate.suite import TABLES, Need, Plan, make_plan
from worldweave_registry import Problems

NAMES = ("a", "b", "c", "d")


def plan(**changes) -> Plan:
    fields = {"tables": TABLES, "clips": 4, "few": 2, "seeds": 3}
    return make_plan(NAMES, **(fields | changes))


def needs(made: Plan) -> dict[tuple[int, str], Need]:
    return {(index, row.name): need for index, row, need in made.jobs()}


def test_each_clip_of_a_row_is_measured_once_for_all_tables() -> None:
    jobs = plan().jobs()
    assert len({(index, row.name) for index, row, _ in jobs}) == len(jobs)


def test_a_row_without_control_serves_all_tables() -> None:
    found = needs(plan())
    assert found[0, NONE] == Need(repeats=3, by_region=True)
    assert found[3, NONE] == Need(repeats=1, by_region=False)


def test_gaps_need_right_and_wrong_hints_and_none() -> None:
    found = needs(plan(tables=["gaps"]))
    assert len(found) == 4 * (1 + 2 * len(NAMES))
    assert set(found.values()) == {Need()}


def test_table_1_needs_two_seeds_of_few_clips_for_diversity() -> None:
    found = needs(plan(tables=["1"]))
    assert found[1, "a"].repeats == 2
    assert found[2, "a"].repeats == 1
    assert (1, "all but a") in found
    assert (2, "all but a") not in found
    assert not any("wrong" in row for _, row in found)


def test_table_2_puts_the_first_two_in_front_and_the_reverse() -> None:
    found = needs(plan(tables=["2"]))
    rows = {row for _, row in found}
    front, behind = "a + b in front, c + d behind", "c + d in front, a + b behind"
    assert rows == {NONE, front, behind}
    assert found[1, front] == Need(repeats=3, by_region=True)
    assert (2, front) not in found


def test_table_2_takes_the_modalities_it_is_given() -> None:
    made = plan(front=["d"], behind=["a"])
    assert [row.name for row in made.splits()] == [
        "d in front, a behind",
        "a in front, d behind",
    ]


def test_work_goes_on_clip_by_clip() -> None:
    indices = [index for index, _, _ in plan().jobs()]
    assert indices == sorted(indices)


def test_one_modality_has_no_regions_and_nothing_to_leave_out() -> None:
    made = make_plan(["a"], tables=TABLES, clips=2, few=2, seeds=2)
    assert made.tables == ("gaps", "1")
    rows = {row.name for _, row, _ in made.jobs()}
    assert rows == {NONE, "a", "a, wrong"}


def test_there_are_never_more_few_clips_than_clips() -> None:
    assert plan(clips=2, few=16).few == 2


def test_everything_wrong_with_regions_is_told_at_once() -> None:
    with pytest.raises(Problems) as caught:
        plan(front=["a", "z"], behind=["a"])
    assert len(caught.value.problems) == 2
    assert "'z' is to lead a region but is not evaluated" in str(caught.value)
    assert "'a' is to lead both regions" in str(caught.value)


def test_a_modality_is_evaluated_once() -> None:
    with pytest.raises(Problems, match="'a' is named more than once"):
        make_plan(["a", "b", "a"], tables=TABLES, clips=2, few=2, seeds=2)


@pytest.mark.parametrize(
    "changes",
    [{"front": ["a"]}, {"tables": ["2"], "can_split": False}],
)
def test_regions_that_cannot_be_compared_are_refused(changes) -> None:
    with pytest.raises(Problems, match="table 2 needs one modality in front"):
        plan(**changes)
