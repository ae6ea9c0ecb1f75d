"""Which tokens a rank has, and where it is among the others."""

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

from worldweave_kernels.parallel import ParallelPlan, Ranks, Share


@given(st.integers(1, 300), st.integers(1, 40))
def test_shares_are_all_tokens_once_and_padding_is_last(tokens, parts):
    x = torch.arange(1, tokens + 1)
    shares = [Share(tokens, parts, index) for index in range(parts)]
    together = torch.cat([share.cut(x, 0) for share in shares])
    assert together[:tokens].equal(x)
    assert not together[tokens:].any()
    assert {share.cut(x, 0).numel() for share in shares} == {shares[0].size}
    assert shares[0].size == -(-tokens // parts)
    assert [share.held for share in shares] == [
        int(share.cut(x, 0).count_nonzero()) for share in shares
    ]


@given(st.integers(1, 300), st.integers(1, 40), st.data())
def test_what_some_hold_is_the_sum_of_what_each_holds(tokens, parts, data):
    first = data.draw(st.integers(0, parts - 1))
    count = data.draw(st.integers(1, parts - first))
    each = [Share(tokens, parts, at).held for at in range(first, first + count)]
    assert Share(tokens, parts).held_by(first, count) == sum(each)


def test_another_number_of_tokens_is_refused():
    with pytest.raises(ValueError, match=r"5 tokens along axis 1 of \(2, 5\), but 6"):
        Share(6, 2).cut(torch.zeros(2, 5), 1)


def test_one_rank_joins_what_it_has():
    x = torch.randn(2, 5, 3)
    share = Share.of(5, Ranks.join(ParallelPlan()))
    assert share.join(share.cut(x, 1), 1, None).equal(x)


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("tokens", [2, 7, 8])
def test_what_is_cut_is_joined_on_every_rank(ranks, tokens, dim):
    plan = ParallelPlan(cfg=2, ring=2, ulysses=2)
    assert ranks(8, joins, plan, tokens, dim) == [True] * 8


def joins(plan, tokens, dim):
    ranks = Ranks.join(plan)
    share = Share.of(tokens, ranks)
    size = [3, 4, 5]
    size[dim] = tokens
    # Each half of guidance has its own.
    random = torch.Generator().manual_seed(ranks.cfg_index)
    x = torch.randn(size, generator=random)
    return share.join(share.cut(x, dim), dim, ranks.sequence).equal(x)


@pytest.mark.parametrize(
    "plan",
    [
        ParallelPlan(cfg=2, ring=2, ulysses=2),
        ParallelPlan(ring=2, ulysses=3),
        ParallelPlan(cfg=2, ulysses=2),
        ParallelPlan(cfg=2, ring=3),
        ParallelPlan(ulysses=4),
        ParallelPlan(ring=4),
        ParallelPlan(cfg=2),
    ],
    ids=str,
)
def test_groups_are_those_of_the_mesh(ranks, plan):
    told = ranks(8, groups, plan)
    assert told[plan.world :] == [None] * (8 - plan.world)
    for rank, (indices, found) in enumerate(told[: plan.world]):
        cfg, ring, ulysses, sequence = indices
        first = cfg * plan.sequence
        assert rank == first + sequence
        assert sequence == ring * plan.ulysses + ulysses
        row = first + ring * plan.ulysses
        assert found == {
            "cfg": members(range(sequence, plan.world, plan.sequence)),
            "ring": members(
                range(first + ulysses, first + plan.sequence, plan.ulysses)
            ),
            "ulysses": members(range(row, row + plan.ulysses)),
            "sequence": members(range(first, first + plan.sequence)),
            "everyone": members(range(plan.world)),
        }


def members(found):
    """Return who is in a group; None is what a group of one is."""
    return list(found) if len(found) > 1 else None


def groups(plan):
    ranks = Ranks.join(plan)
    if ranks is None:
        return None
    indices = (ranks.cfg_index, ranks.ring_index, ranks.ulysses_index)
    assert ranks.is_first == (dist.get_rank() == 0)
    found = {}
    for name in ("cfg", "ring", "ulysses", "sequence", "everyone"):
        group = getattr(ranks, name)
        found[name] = group and dist.get_process_group_ranks(group)
    return (*indices, ranks.sequence_index), found


def test_too_few_ranks_are_refused(ranks):
    with pytest.raises(
        ValueError, match=r"is for 4 ranks \(.*ulysses 4\) but there ar"
    ):
        ranks(2, groups, ParallelPlan(ulysses=4))
    with pytest.raises(ValueError, match="but there are 1; start as many with torch"):
        Ranks.join(ParallelPlan(ring=4))


def test_of_several_processes_the_first_is_the_one_rank_of_a_plan(ranks):
    assert [each is None for each in ranks(3, groups, ParallelPlan())] == [
        False, True, True,
    ]  # fmt: skip
