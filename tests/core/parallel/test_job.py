"""How processes become one job: what they hand over, agree on and say at the end."""

import os
import time
from fractions import Fraction

import attrs
import numpy as np
import pytest
import torch
import torch.distributed as dist

import worldweave
from worldweave import Control, Request
from worldweave.generate import pipeline as pipelines
from worldweave.parallel import handover
from worldweave.parallel.job import Job, device_of, last_words
from worldweave.parallel.member import Member
from worldweave.parallel.watch import Watch
from worldweave.request.maps.tokens import TokenGrid
from worldweave.request.plan import make_plan
from worldweave_registry import Problems, WorldweaveError, discover


def member(rank=0, world=2, node=0):
    return Member(
        rank=rank,
        world=world,
        local_rank=rank,
        local_world=world,
        node=node,
        host="here",
    )


def a_request(**changes):
    frames = np.arange(10 * 64 * 96 * 3, dtype=np.uint32).reshape(10, 64, 96, 3)
    ramp = np.linspace(0, 1, 24, dtype=np.float32)[None].repeat(16, 0)
    given = {"video": (frames // 7).astype(np.uint8), "steps": 1}
    return Request(**given | {"controls": {"vis": Control(map=ramp)}} | changes)


def a_plan(request=None):
    catalog = discover()
    return make_plan(request or a_request(), catalog, lambda *_: [])


def a_job(store, rank, world, **changes):
    def client():
        return dist.TCPStore("127.0.0.1", store, is_master=False)

    return Job(
        member=member(rank, world),
        store=client(),
        watch=Watch(client(), member(rank, world)),
        device=torch.device("cpu"),
        asked={},
        **changes,
    )


def handed_over():
    plan = a_plan() if dist.get_rank() == 0 else None
    with pytest.MonkeyPatch.context() as small:
        small.setattr(handover, "PIECE", 1000)
        return handover.plan_for_all(plan)


def test_a_plan_is_the_same_on_every_rank_without_what_has_done_its_work(ranks):
    ours, theirs = ranks(2, handed_over)
    assert theirs.source is not None
    assert np.array_equal(ours.source, theirs.source)
    assert np.array_equal(ours.maps["vis"], theirs.maps["vis"])
    assert ours.maps["vis"].std() > 0
    assert np.array_equal(ours.controls["vis"], theirs.controls["vis"])
    assert theirs.controls["vis"].flags.writeable
    assert theirs.prepared["vis"].preprocessor is None
    assert theirs.prepared["vis"].modality == ours.prepared["vis"].modality
    assert (theirs.fps, theirs.size, theirs.grid) == (ours.fps, ours.size, ours.grid)
    assert isinstance(theirs.fps, Fraction)


def planned(store, prompts, frames_of_tokens):
    """Return what a rank has after planning: its plan's size, or how it left."""
    rank, world = dist.get_rank(), dist.get_world_size()
    dist.destroy_process_group()
    job = a_job(store, rank, world)
    request = a_request(prompt=prompts[rank], guidance=0.0)

    def make():
        assert rank == 0
        grid = TokenGrid(frames=frames_of_tokens, stride=1, rows=1, columns=1)
        return attrs.evolve(a_plan(request), grid=grid)

    try:
        plan = job.plan(request, discover(), make)
    except SystemExit as left:
        return f"left with {left.code}"
    except Problems as error:
        # The others wait for a word that does not come; the watch would end them.
        job.store.set("agreed/versions", "")
        job.store.set("layout", '{"ring": 1}')
        return error.problems
    return plan.frames, dist.get_world_size() if dist.is_initialized() else 1


@pytest.fixture
def store():
    """The port of one."""
    server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    yield server.port
    del server


def test_processes_that_do_not_fit_leave_without_error(ranks, store):
    found = ranks(4, planned, store, ["a street"] * 4, 3)
    assert found == [(10, 3), (10, 3), (10, 3), "left with 0"]


def test_where_one_is_enough_the_others_leave(ranks, store):
    assert ranks(2, planned, store, ["a street"] * 2, 1) == [(10, 1), "left with 0"]


def matched(store, facts):
    rank, world = dist.get_rank(), dist.get_world_size()
    job = a_job(store, rank, world)
    try:
        if rank:
            job._agree("versions", facts[rank])
            return "agreed", job.store.check(["compared"])
        # All others have told their facts, and wait: nobody may go on meanwhile.
        job.store.wait([f"facts/versions/{other}" for other in range(1, world)])
        time.sleep(0.3)
        job.store.set("compared", "")
        job._agree("versions", facts[rank])
    except Problems as error:
        job.store.set("agreed/versions", "")
        return error.problems
    return "agreed", True


def test_nobody_goes_on_before_the_first_has_compared(ranks, store):
    assert ranks(3, matched, store, [{"a": "1"}] * 3) == [("agreed", True)] * 3


def test_the_first_finds_what_differs(ranks, store):
    facts = [{"a": "1", "b": "1"}, {"a": "2", "b": "1"}, {"a": "1", "b": "3"}]
    told, *others = ranks(3, matched, store, facts)
    assert list(told) == [
        "rank 1 (host here) has a 2 but rank 0 has 1",
        "rank 2 (host here) has b 3 but rank 0 has 1",
    ]
    assert others == [("agreed", True)] * 2


def weighed(store, files):
    """Return what each rank has read itself, and what it knows in the end."""
    rank, world = dist.get_rank(), dist.get_world_size()
    job = a_job(store, rank, world)
    pipeline = worldweave.load(modalities=["vis"], weights={"vis": files[rank]})
    read = []
    was = pipelines.tree_sha256
    with pytest.MonkeyPatch.context() as seen:
        seen.setattr(
            pipelines, "tree_sha256", lambda path: read.append(path.name) or was(path)
        )
        job._share_digests(pipeline, a_plan())
        return read, pipeline.hashes(a_plan())


def test_one_process_of_a_node_reads_the_weights_for_all(ranks, store, branch_file):
    file = branch_file("vis")
    (first, known), (second, same) = ranks(2, weighed, store, [file, file])
    assert file.name in first
    assert second == []
    assert known == same


def test_a_file_that_is_another_is_read_by_who_has_it(
    ranks, store, branch_file, tmp_path
):
    other = tmp_path / "other.safetensors"
    other.write_bytes(branch_file("edge").read_bytes())
    (_, ours), (read, theirs) = ranks(2, weighed, store, [branch_file("vis"), other])
    assert read == ["other.safetensors"]
    assert ours["branch vis"] != theirs["branch vis"]


@pytest.mark.parametrize(
    ("rank", "error", "code", "text"),
    [
        (0, Problems(["one", "two"]), 2, "worldweave: one\nworldweave: two"),
        (1, WorldweaveError("no"), 2, "worldweave: rank 1 of 2 (host here): no"),
        (1, KeyboardInterrupt(), 130, ""),
    ],
)
def test_a_mistake_is_the_user_s_affair_and_that_of_a_machine_is_named(
    rank, error, code, text
):
    assert last_words(member(rank), error) == (code, text)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_memory_that_runs_out_names_the_rank_and_has_a_code_of_its_own(error):
    code, text = last_words(member(1), error)
    assert code == 3
    assert text.startswith("worldweave: rank 1 of 2 (host here): ")
    assert "more GPUs" in text


def test_a_bug_has_its_traceback():
    try:
        raise ValueError("odd")
    except ValueError as error:
        code, text = last_words(member(0), error)
    assert code == 1
    assert "Traceback" in text
    assert text.endswith("\nworldweave: rank 0 of 2 (host here): ValueError: odd")


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert device_of(member(), "cpu") == torch.device("cpu")
    with pytest.raises(WorldweaveError, match="there is 1; start 1"):
        device_of(member(), None)
    with pytest.raises(WorldweaveError, match="a GPU of its own; give cuda"):
        device_of(member(), "cuda:1")
    with pytest.raises(WorldweaveError, match="is 'mps'"):
        device_of(member(), "mps")


def test_a_member_is_what_torchrun_says():
    environ = {
        "RANK": "5",
        "WORLD_SIZE": "8",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "4",
        "GROUP_RANK": "1",
    }
    made = Member.of(environ)
    assert (made.rank, made.world, made.local_rank) == (5, 8, 1)
    assert (made.local_world, made.node, made.is_first) == (4, 1, False)
    assert str(made) == f"rank 5 of 8 (host {os.uname().nodename})"
