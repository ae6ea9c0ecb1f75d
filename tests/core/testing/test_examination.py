"""Which checks of a modality run, in which order, and in how many threads."""

import pytest
import torch

from worldweave.testing import CHECKS, Examination, Outcome, define_check, examine
from worldweave.testing.examination import with_needs
from worldweave_registry import Problems


@define_check("the first")
def first(subject):
    pass


@define_check("the second", needs=(first,))
def second(subject):
    pass


@define_check("the third", needs=(second,))
def third(subject):
    pass


@define_check("another")
def another(subject):
    pass


@pytest.mark.parametrize(
    ("asked", "run"),
    [
        (["third"], [first, second, third]),
        (["another", "first"], [first, another]),
        (["another", "second", "third"], [first, second, third, another]),
        ([], []),
    ],
)
def test_a_check_brings_what_it_needs_and_all_keep_their_order(asked, run):
    assert with_needs((first, second, third, another), asked) == tuple(run)


def test_without_a_choice_all_checks_run():
    assert list(examine("vis").checks) == [each.name for each in CHECKS]
    assert examine("vis").subject.base_name == "tiny-world"


def test_only_those_asked_for_run_and_only_their_failures_are_expected():
    made = examine(
        "vis@worldweave",
        base="tiny-world@worldweave",
        only=["licence_is_stated"],
        expected={"licence_is_stated": "a", "odd_sizes_work": "b"},
    )
    assert list(made.checks) == ["licence_is_stated"]
    assert made.expected == {"licence_is_stated": "a"}
    assert made.subject.base_name == "tiny-world@worldweave"


def test_a_wrong_reason_is_told_even_for_a_check_that_does_not_run():
    with pytest.raises(Problems, match="'odd_sizes_work' has no reason"):
        examine("vis", only=["licence_is_stated"], expected={"odd_sizes_work": " "})


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_a_check_computes_in_one_thread_and_the_others_are_given_back(two_threads):
    seen = []

    @define_check("counts")
    def counts(subject):
        seen.append(torch.get_num_threads())

    @define_check("is stopped")
    def is_stopped(subject):
        raise KeyboardInterrupt

    made = Examination(examine("vis").subject, (counts, is_stopped))
    assert made.verdict("counts").outcome is Outcome.PASSED
    assert seen == [1]
    assert torch.get_num_threads() == 2
    with pytest.raises(KeyboardInterrupt):
        made.verdict("is_stopped")
    assert torch.get_num_threads() == 2
