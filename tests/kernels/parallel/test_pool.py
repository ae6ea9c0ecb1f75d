"""The pool of ranks that other tests stand on."""

import os
import time

import pytest
import torch
import torch.distributed as dist

from worldweave_kernels.parallel import ParallelPlan, Ranks


class ToldError(Exception):
    pass


def whoami(given):
    total = torch.tensor([float(dist.get_rank())])
    dist.all_reduce(total)
    return dist.get_rank(), dist.get_world_size(), total.item(), given * 2, os.getpid()


def place(plan):
    ranks = Ranks.join(plan, "cpu")
    return None if ranks is None else (ranks.cfg_index, ranks.ring_index)


def fail_on_last():
    if dist.get_rank() == dist.get_world_size() - 1:
        raise ToldError("so it is")
    dist.barrier()


def exit_on_first():
    if dist.get_rank() == 0:
        os._exit(7)
    dist.barrier()


def hang_on_first():
    if dist.get_rank() == 0:
        time.sleep(60)
    dist.barrier()


def draw():
    return torch.rand(1).item()


@pytest.mark.parametrize("world", [1, 3, 8, 2])
def test_a_call_has_as_many_members_as_it_asks_for(ranks, world):
    told = ranks(world, whoami, torch.ones(2))
    assert [each[0] for each in told] == list(range(world))
    assert {each[1] for each in told} == {world}
    assert {each[2] for each in told} == {world * (world - 1) / 2}
    assert all(each[3].equal(torch.full((2,), 2.0)) for each in told)
    assert len({each[4] for each in told}) == world
    assert os.getpid() not in {each[4] for each in told}


def test_the_mesh_of_a_plan_is_made_anew_in_each_call(ranks):
    plan = ParallelPlan(cfg=2, ring=2)
    assert ranks(5, place, plan) == [(0, 0), (0, 1), (1, 0), (1, 1), None]
    assert ranks(2, place, ParallelPlan(ring=2)) == [(0, 0), (0, 1)]


def test_random_numbers_differ_by_rank_and_not_by_call(ranks):
    drawn = ranks(3, draw)
    assert len(set(drawn)) == 3
    assert ranks(3, draw) == drawn


def test_what_a_rank_raises_is_raised_with_its_rank(ranks):
    with pytest.raises(ToldError, match="so it is") as caught:
        ranks(3, fail_on_last)
    assert "on rank 2 of 3" in str(caught.value.__cause__)
    assert "fail_on_last" in str(caught.value.__cause__)
    assert len(ranks(3, draw)) == 3


def test_a_rank_that_ends_is_named(ranks):
    with pytest.raises(ChildProcessError, match="rank 0 ended: exit code 7"):
        ranks(2, exit_on_first)
    assert len(ranks(2, draw)) == 2


def test_ranks_that_hang_are_ended_and_tell_where(ranks):
    with pytest.raises(TimeoutError, match=r"(?s)rank 0 is at.*hang_on_first"):
        ranks(2, hang_on_first, limit=1.0)
    assert len(ranks(2, draw)) == 2


def test_a_function_in_a_function_is_refused(ranks):
    with pytest.raises(ValueError, match="not at the top of its file"):
        ranks(2, lambda: None)
