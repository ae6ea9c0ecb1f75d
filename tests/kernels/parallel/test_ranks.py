"""The groups that ranks make: each once, by all processes alike."""

import pytest
import torch
import torch.distributed as dist
from torch.distributed import device_mesh, distributed_c10d

from worldweave_kernels.parallel import ParallelPlan, Ranks

GROUPS = ("cfg", "ring", "ulysses", "sequence", "everyone")
#: cfg, ring, ulysses; who is in the groups of rank 0 and of the last.
PLANS = {
    (2, 2, 2): (
        {"cfg": [0, 4], "ring": [0, 2], "ulysses": [0, 1], "sequence": [0, 1, 2, 3],
         "everyone": [*range(8)]},
        {"cfg": [3, 7], "ring": [5, 7], "ulysses": [6, 7], "sequence": [4, 5, 6, 7],
         "everyone": [*range(8)]},
    ),
    (1, 2, 2): (
        {"ring": [0, 2], "ulysses": [0, 1], "sequence": [*range(4)],
         "everyone": [*range(4)]},
        {"ring": [1, 3], "ulysses": [2, 3], "sequence": [*range(4)],
         "everyone": [*range(4)]},
    ),
    (2, 1, 3): (
        {"cfg": [0, 3], "ulysses": [0, 1, 2], "sequence": [0, 1, 2],
         "everyone": [*range(6)]},
        {"cfg": [2, 5], "ulysses": [3, 4, 5], "sequence": [3, 4, 5],
         "everyone": [*range(6)]},
    ),
    (2, 3, 1): (
        {"cfg": [0, 3], "ring": [0, 1, 2], "sequence": [0, 1, 2],
         "everyone": [*range(6)]},
        {"cfg": [2, 5], "ring": [3, 4, 5], "sequence": [3, 4, 5],
         "everyone": [*range(6)]},
    ),
    (2, 1, 1): ({"cfg": [0, 1], "everyone": [0, 1]},) * 2,
    (1, 3, 1): ({"ring": [0, 1, 2], "sequence": [0, 1, 2], "everyone": [0, 1, 2]},) * 2,
    (1, 1, 4): (
        {"ulysses": [*range(4)], "sequence": [*range(4)], "everyone": [*range(4)]},
    ) * 2,
}  # fmt: skip


def joined(plan):
    """Return what this process is, who is in its groups, and which were made."""
    made, plain = [], distributed_c10d.new_group

    def told(ranks=None, *given, **named):
        made.append(tuple(ranks))
        return plain(ranks, *given, **named)

    # torch has the name in all of them.
    distributed_c10d.new_group = device_mesh.new_group = dist.new_group = told
    try:
        ranks = Ranks.join(plan, "cpu")
    finally:
        distributed_c10d.new_group = device_mesh.new_group = dist.new_group = plain
    if ranks is None:
        return None, None, made
    groups = {name: getattr(ranks, name) for name in GROUPS}
    for group in groups.values():
        if group is not None:
            total = torch.ones(1)
            dist.all_reduce(total, group=group)
            assert total.item() == dist.get_world_size(group)
    members = {
        name: dist.get_process_group_ranks(group)
        for name, group in groups.items()
        if group is not None
    }
    at = (ranks.rank, ranks.cfg_index, ranks.ring_index, ranks.ulysses_index)
    return at, members, made


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("axes", PLANS)
def test_groups_are_those_of_the_plan_and_all_processes_make_each_once(
    ranks, axes, beyond
):
    plan = ParallelPlan(*axes)
    if plan.world + beyond > 8:
        beyond = 0
    told = ranks(plan.world + beyond, joined, plan)
    first, last = PLANS[axes]
    (at_first, in_first, made), (at_last, in_last, _) = told[0], told[plan.world - 1]
    assert at_first == (0, 0, 0, 0)
    assert at_last == (plan.world - 1, *(size - 1 for size in axes))
    assert (in_first, in_last) == (first, last)
    # What one process leaves out, the others of NCCL would wait for.
    assert [each[2] for each in told] == [made] * len(told)
    assert [each[:2] for each in told[plan.world :]] == [(None, None)] * beyond
    # No rank alone, nor the same ranks again, nor what torch has made already.
    assert len(made) == len(set(made))
    assert all(1 < len(each) < len(told) for each in made)
