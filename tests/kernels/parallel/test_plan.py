"""How ranks are laid out."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worldweave_kernels.parallel import ParallelPlan

WORLDS = st.integers(1, 256)
HEADS = st.sampled_from([1, 3, 4, 12, 16, 24, 32, 40])
NODES = st.sampled_from([1, 2, 4, 6, 8, 72])


@given(WORLDS, HEADS, st.booleans(), NODES)
def test_every_rank_has_its_place(world, heads, guidance, node):
    plan = ParallelPlan.auto(world, heads, guidance, node)
    assert plan.world == world == plan.cfg * plan.ring * plan.ulysses
    assert plan.sequence == plan.ring * plan.ulysses


@given(WORLDS, HEADS, st.booleans(), NODES)
def test_heads_are_divided(world, heads, guidance, node):
    plan = ParallelPlan.auto(world, heads, guidance, node)
    assert heads % plan.ulysses == 0
    plan.refuse_misfit(heads)


@given(WORLDS, HEADS, st.booleans(), NODES)
def test_no_group_for_heads_crosses_a_node(world, heads, guidance, node):
    plan = ParallelPlan.auto(world, heads, guidance, node)
    for first in range(0, world, plan.ulysses):
        last = first + plan.ulysses - 1
        assert first // node == last // node


@given(WORLDS, HEADS, NODES)
def test_halves_are_apart_only_where_there_is_guidance(world, heads, node):
    assert ParallelPlan.auto(world, heads, False, node).cfg == 1
    assert ParallelPlan.auto(world, heads, True, node).cfg == (1 if world % 2 else 2)


@given(WORLDS, HEADS, st.booleans(), st.integers(1, 64))
@example(5, 4, True, 2)
@example(7, 4, False, 3)
def test_a_world_too_large_gets_the_most_that_fit(world, heads, guidance, tokens):
    plan = ParallelPlan.auto(world, heads, guidance, tokens=tokens)
    plan.refuse_misfit(heads, tokens)
    fitting = [
        fewer
        for fewer in range(1, world + 1)
        if ParallelPlan.auto(fewer, heads, guidance).sequence <= tokens
    ]
    assert plan.world == max(fitting)


@pytest.mark.parametrize(
    ("world", "node", "layout"),
    [
        (1, 8, (1, 1, 1)),
        (2, 8, (2, 1, 1)),
        (3, 8, (1, 3, 1)),
        (8, 8, (2, 1, 4)),
        (64, 8, (2, 4, 8)),
        (64, 72, (2, 1, 32)),
        (72, 72, (2, 9, 4)),
        (128, 72, (2, 8, 8)),
    ],
)
def test_layouts_of_32_heads(world, node, layout):
    plan = ParallelPlan.auto(world, 32, True, node)
    assert (plan.cfg, plan.ring, plan.ulysses) == layout


def test_switches_are_kept():
    switches = {"chunks": 2, "early_values": True, "shared_exchange": False}
    plan = ParallelPlan.auto(3, 32, True, tokens=2, cuda_graph=True, **switches)
    assert plan == ParallelPlan(cfg=2, cuda_graph=True, **switches)
    assert plan.alone() == ParallelPlan(cuda_graph=True, **switches)


@pytest.mark.parametrize(
    ("numbers", "told"),
    [
        ({"cfg": 3}, "cfg is 3, but guidance has two halves; give 1 or 2"),
        ({"ring": 0}, "ring is 0; give a whole number, 1 or more"),
        ({"ulysses": 2.0}, "ulysses is 2.0; give a whole number"),
        ({"chunks": -1, "cfg": 0}, "cfg is 0.*\nchunks is -1"),
    ],
)
def test_numbers_that_are_none_are_refused(numbers, told):
    with pytest.raises(ValueError, match=told):
        ParallelPlan(**numbers)


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ((0, 32, 8), "world is 0; give 1 or more"),
        ((8, 0, 8), "heads is 0"),
        ((8, 32, 0), "node is 0"),
    ],
)
def test_a_world_of_none_is_refused(counts, told):
    world, heads, node = counts
    with pytest.raises(ValueError, match=told):
        ParallelPlan.auto(world, heads, True, node)


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (
            ParallelPlan(ulysses=6),
            "ulysses is 6, which does not divide 32 heads; give 2 and the rest as ring",
        ),
        (
            ParallelPlan(ulysses=8, chunks=6),
            "chunks is 6, which does not divide the 4 heads of a rank; give 2",
        ),
        (
            ParallelPlan(ulysses=32, chunks=2),
            "chunks is 2, which does not divide the 1 head of a rank; give 1",
        ),
        (
            ParallelPlan(ring=4, ulysses=4),
            "16 ranks cannot share 15 tokens; give at most 15",
        ),
        (ParallelPlan(ring=5, ulysses=5), "(?s)ulysses is 5.*25 ranks cannot share"),
    ],
)
def test_what_a_model_cannot_be_shared_by_is_refused(plan, told):
    with pytest.raises(ValueError, match=told):
        plan.refuse_misfit(32, 15)


def test_a_plan_tells_what_it_is():
    assert str(ParallelPlan()) == "cfg 1 x ring 1 x ulysses 1"
    plan = ParallelPlan(2, 3, 4, 2, True, False, True)
    assert str(plan) == (
        "cfg 2 x ring 3 x ulysses 4, chunks 2, early values, "
        "an exchange for each branch, CUDA graph"
    )
