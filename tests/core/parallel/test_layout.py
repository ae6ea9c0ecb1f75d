"""What --layout says, and which layout a job gets."""

import pytest

from worldweave.parallel.layout import chosen, read, tokens_of
from worldweave.request.maps.tokens import TokenGrid
from worldweave_kernels.parallel import ParallelPlan
from worldweave_registry import Problems

MODEL = {"heads": 8, "guidance": True, "node_size": 8, "tokens": 100}


def test_all_parts_of_a_layout_can_be_asked_for():
    assert read("cfg=2, ring=1,ulysses=4,chunks=2,cuda_graph=true") == {
        "cfg": 2,
        "ring": 1,
        "ulysses": 4,
        "chunks": 2,
        "cuda_graph": True,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ulyses=4", "did you mean 'ulysses'"),
        ("cfg=two", "--layout 'cfg=two': cfg is a whole number, such as 2"),
        ("cuda_graph=1", "--layout 'cuda_graph=1': cuda_graph is true or false"),
        ("cfg=1,cfg=2", "cfg twice"),
        ("cfg=3", "give 1 or 2"),
        ("", "--layout is empty"),
        ("cfg=2,", "--layout 'cfg=2,' has a comma too many"),
        ("=2", "has no part ''"),
        ("ring=0", "ring is 0"),
    ],
)
def test_what_is_wrong_with_one_is_told(text, words):
    with pytest.raises(Problems, match="layout") as caught:
        read(text)
    assert words in str(caught.value)


def test_everything_wrong_is_told_at_once():
    with pytest.raises(Problems) as caught:
        read("tensor=2,ring=a")
    assert len(caught.value.problems) == 2


def test_the_best_is_chosen_where_nothing_is_asked_for():
    assert chosen({}, world=8, **MODEL) == ParallelPlan(cfg=2, ulysses=4)


def test_switches_leave_the_axes_to_us():
    made = chosen({"chunks": 2, "shared_exchange": False}, world=8, **MODEL)
    assert made == ParallelPlan(cfg=2, ulysses=4, chunks=2, shared_exchange=False)


def test_more_processes_than_fit_get_the_nearest_below():
    assert chosen({}, world=8, **MODEL | {"tokens": 3}).world == 6


def test_what_is_asked_for_is_what_one_gets():
    made = chosen({"ring": 4, "ulysses": 2}, world=8, **MODEL)
    assert made == ParallelPlan(ring=4, ulysses=2)


def test_what_does_not_fit_is_refused_with_every_reason():
    model = MODEL | {"guidance": False, "tokens": 4}
    with pytest.raises(Problems) as caught:
        chosen({"cfg": 2, "ulysses": 5}, world=8, **model)
    told = "\n".join(caught.value.problems)
    for words in (
        "ulysses is 5, which does not divide 8 heads",
        "5 ranks cannot share 4 tokens",
        "guidance is 0",
        "is for 10 processes but there are 8; start 10",
    ):
        assert words in told


def test_axes_for_fewer_processes_than_there_are_leave_none_idle_silently():
    with pytest.raises(Problems, match="is for 2 processes but there are 8; start 2"):
        chosen({"ulysses": 2}, world=8, **MODEL)


def test_switches_that_do_not_fit_are_refused_too():
    with pytest.raises(Problems, match="chunks is 3"):
        chosen({"chunks": 3}, world=8, **MODEL)


def test_tokens_are_those_of_one_chunk():
    grid = TokenGrid(frames=9, stride=4, rows=4, columns=6)
    assert tokens_of(grid, 1) == 3 * 4 * 6
