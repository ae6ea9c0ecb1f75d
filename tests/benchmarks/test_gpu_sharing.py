"""What the script for a GPU asks of several ranks, of one process."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks/gpu_kernels.py"
BENCHMARKS = SCRIPT.parent


def test_exchanges_of_one_process_are_right(script):
    from gpu.setting import toy
    from gpu.sharing import _exchanged

    found = {each.key: each.value for each in _exchanged(toy())}
    assert found["nccl.sequence_attention"] < 1
    assert found["nccl.early_attention"] < 1
    assert found["nccl.gather.changed"] == 0
    assert found["nccl.broadcast.changed"] == 0
    assert found["nccl.groups.changed"] == 0
    # A graph and a ring of one are NCCL's.
    assert "nccl.graph.changed" not in found


def test_what_ends_halfway_tells_what_it_had_measured_and_fails(script):
    from gpu.outside import Ended
    from gpu.sharing import told

    one = 'nccl: ["nccl.sequence_attention", 0.5, "of its tolerance", ""]'
    found = told(Ended(1, [one, "nccl: [", "RuntimeError: no NCCL"][:1]))
    assert next(found).value == 0.5
    with pytest.raises(RuntimeError, match=r"gpu.nccl ended with 1"):
        next(found)
    found = told(Ended(None, ["what it was at"]))
    with pytest.raises(RuntimeError, match="was stopped\nwhat it was at"):
        next(found)
    (whole,) = told(Ended(0, ["a warning", one, "nccl: all"]))
    assert whole.key == "nccl.sequence_attention"


def test_exchanges_that_break_are_a_miss(script, tmp_path):
    from gpu import report, sharing
    from gpu.record import Ledger, Part
    from gpu.setting import toy

    (named,) = [each for each in sharing.parts(toy()) if each.name.startswith("exch")]

    def broken():
        raise RuntimeError("it hung")
        yield

    ledger = Ledger(tmp_path, 7)
    ledger.run(Part(named.name, broken, named.judges))
    judged = {each.prediction.key: each for each in report.verdicts({7: ledger})}
    assert judged["nccl.sequence_attention"].word == "**missed**"


def test_an_attention_that_is_wrong_misses(script, monkeypatch):
    import torch
    import torch.distributed as dist
    from gpu import nccl

    plain = nccl.sequence_attention

    def swapped(packed, *place, **named):
        return plain([each.flip(0) for each in packed], *place, **named)

    monkeypatch.setattr(nccl, "sequence_attention", swapped)
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        found = {each.key: each.value for each in nccl.measured(torch.device("cpu"))}
    finally:
        dist.destroy_process_group()
    assert found["nccl.sequence_attention"] > 100
    assert found["nccl.early_attention"] < 1


def test_switches_are_told_with_what_they_cost(script):
    from gpu.sharing import switched

    from worldweave_kernels.bench.rank_switches import GRAPH, SwitchRow
    from worldweave_kernels.bench.results import Timing

    time = Timing(median=2e-3, low=1e-3, high=3e-3, repeats=3)
    row = SwitchRow(
        ranks=8, switch="chunks 2", mode="graph", against="none", time=time, gain=0.9,
        costs=2e-4, saves=3e-4,
    )  # fmt: skip
    found = {each.key: each for each in switched([row])}
    assert found["switch.U8.chunks_2.graph"].value == 2
    assert found["switch.U8.chunks_2.gain"].value == 0.9
    costs = found["switch.U8.chunks_2.costs"]
    assert costs.value == pytest.approx(0.2)
    assert "at most 0.3 ms of exchange: it pays" in costs.about
    graph = SwitchRow(
        ranks=8, switch=GRAPH, mode="graph", against="eager, none", time=time, gain=1.5,
        costs=-1e-3,
    )  # fmt: skip
    found = {each.key: each.value for each in switched([graph])}
    assert found["switch.U8.CUDA_graph.none.gain"] == 1.5
    lost = SwitchRow(ranks=8, switch="early values", mode="eager", note="no memory")
    (one,) = switched([lost])
    assert math.isnan(one.value)
    assert one.about == "not measured: no memory"


def test_tests_of_graphs_need_the_whole_package(script, monkeypatch):
    import dataclasses

    from gpu import outside
    from gpu.setting import toy

    setting = dataclasses.replace(toy(), is_toy=False)
    monkeypatch.setattr(
        outside, "find_spec", lambda name: None if name == "greenlet" else name
    )
    (found,) = outside.tested(setting, "graphs", "graphs.failed")
    assert found.key == "graphs.failed"
    assert math.isnan(found.value)
    assert "greenlet is not installed" in found.about


def test_those_tests_are_there_and_only_generations_need_a_base(script):
    from gpu.outside import GRAPHS

    folder = SCRIPT.parents[1] / "tests/core/parallel"
    for name in GRAPHS:
        on_a_gpu = (folder / name).read_text().partition("# On a GPU")[2]
        tests = on_a_gpu.split("\ndef test_")[1:]
        assert on_a_gpu.count("@pytest.mark.gpu") == len(tests) > 0
        for each in tests:
            named = f"{name} {each.partition('(')[0]}"
            assert ("generation" in named) is ("latents(" in each)


def test_the_process_of_its_own_is_found(script):
    from gpu.outside import ran

    command = [sys.executable, "-m", "gpu.nccl", "--help"]
    ended = ran(command, BENCHMARKS, {}, 60)
    assert ended.code == 0, ended.lines
