"""What a plan can switch is measured beside the same without it."""

import dataclasses
import json

import pytest
import torch

from worldweave_kernels import splits
from worldweave_kernels.bench import rank_switches
from worldweave_kernels.bench.communication import (
    H200,
    all_to_all_bytes,
    exchange_seconds,
    layer_seconds,
)
from worldweave_kernels.bench.machine import machine
from worldweave_kernels.bench.rank_block import (
    COSMOS_7B,
    BlockShape,
    Grouped,
    RankBlock,
)
from worldweave_kernels.bench.rank_report import switch_line, table
from worldweave_kernels.bench.rank_switches import (
    APART,
    BRANCHES,
    EARLY,
    GRAPH,
    PLAIN,
    SHARED,
    UNSPLIT,
    SwitchRow,
    measure_switches,
    saved,
)
from worldweave_kernels.bench.ranks import RankResults, main
from worldweave_kernels.bench.results import Timing

ON_A_GPU = torch.cuda.is_available()
SMALL = BlockShape(tokens=32, hidden=32, heads=4, text=5, adaln_rank=4)


def measured(ranks, *, shape=SMALL, **options):
    given = {"device": "cpu", "dtype": torch.float32, "repeats": 2, **options}
    return measure_switches(shape, ranks, **given)


@pytest.fixture(scope="module")
def rows():
    said = []
    found = measured([1, 4, 2, 2], say=said.append)
    assert said == found
    return found


def test_every_switch_is_measured_where_it_can_be(rows):
    # One head of a rank has no chunks, two have no four; one rank exchanges nothing.
    own = {2: ["chunks 2"], 4: []}
    assert [(row.ranks, row.switch) for row in rows] == [
        (ranks, switch)
        for ranks in (2, 4)
        for switch in (PLAIN, *own[ranks], EARLY, APART, SHARED)
    ]
    assert {row.mode for row in rows} == {"eager"}
    assert all(row.time is not None for row in rows), rows


def test_each_stands_beside_the_same_without_it(rows):
    times = {(row.ranks, row.switch): row.time.median for row in rows}
    for row in rows:
        if row.switch in (PLAIN, APART):
            assert row.gain is row.costs is row.pays is None
            continue
        assert row.against == (APART if row.switch == SHARED else PLAIN)
        without = times[row.ranks, row.against]
        assert row.gain == without / row.time.median
        assert row.costs == row.time.median - without
        assert row.pays is (row.saves > row.costs)


def test_what_a_switch_saves_is_modelled_at_most():
    def takes(tensors):
        sent = all_to_all_bytes(56_320, 4096, 8, tensors=1)
        return exchange_seconds(tensors * sent, 8, H200)

    def of(switch):
        return saved(switch, COSMOS_7B, 8, H200)

    layer = layer_seconds(56_320, 4096, 8, H200)
    assert of(PLAIN) == of(APART) == of(UNSPLIT) == of(GRAPH) == 0
    assert of("chunks 2") == pytest.approx(layer - takes(1.5) - takes(0.5))
    assert of("chunks 4") == pytest.approx(layer - takes(0.75) - takes(0.25))
    # Values and keys are hidden, queries have to come.
    assert of(EARLY) == pytest.approx(takes(3) - takes(1))
    latency = H200.inside.latency.value
    assert of(SHARED) == pytest.approx(2 * BRANCHES * latency)
    for switch in ("chunks 2", "chunks 4", EARLY, SHARED):
        assert 0 < of(switch) < 5 * layer


def test_a_switch_that_computes_something_else_is_not_timed(monkeypatch):
    class Wrong(RankBlock):
        def self_attention(self, seen):
            answer = super().self_attention(seen)
            return answer + self.ranks.plan.early_values

    monkeypatch.setattr(rank_switches, "RankBlock", Wrong)
    for row in measured([2]):
        wrong = row.switch == EARLY
        assert (row.time is None) is wrong
        assert ("off the block without" in row.note) is wrong


def test_a_group_that_computes_something_else_is_not_timed(monkeypatch):
    class Swapped(Grouped):
        def __init__(self, blocks):
            super().__init__([*blocks[1:], blocks[0]])

    monkeypatch.setattr(rank_switches, "Grouped", Swapped)
    (row,) = [each for each in measured([2]) if each.switch == SHARED]
    assert row.time is None
    assert "off the block without" in row.note


def test_keys_in_one_share_are_not_split():
    def shares():
        return splits.split_count(440, 56_320, 132)

    kept = shares()
    assert kept > 1
    with rank_switches._unsplit():
        assert shares() == 1
    assert shares() == kept


def test_graphs_stand_beside_eager_launches():
    times = {
        (switch, mode): Timing(median=seconds, low=seconds, high=seconds, repeats=1)
        for switch, mode, seconds in (
            (PLAIN, "eager", 3.0), (PLAIN, "graph", 2.0),
            (EARLY, "eager", 4.0), (EARLY, "graph", 1.0),
        )
    }  # fmt: skip
    times[SHARED, "graph"] = "out of memory"
    found = {(r.switch, r.mode): r for r in rank_switches._rows(times, 8)}
    assert found[EARLY, "eager"].gain == 0.75
    assert found[EARLY, "graph"].gain == 2.0
    assert found[GRAPH, "graph"].gain == 1.5
    assert found[GRAPH, "graph"].against == "eager, none"
    assert found[SHARED, "graph"].note == "out of memory"


def test_what_fails_becomes_a_row_that_says_why():
    # A head of one channel has no halves to rotate.
    narrow = BlockShape(tokens=8, hidden=4, heads=4, text=5, adaln_rank=4)
    for row in measured([2], shape=narrow):
        assert row.time is None
        assert row.note.startswith("ValueError: ")


@pytest.mark.gpu
@pytest.mark.skipif(not ON_A_GPU, reason="needs a GPU")
def test_on_a_gpu_switches_are_timed_as_graphs_too():
    found = measured([2], device="cuda", dtype=torch.bfloat16)
    assert {row.mode for row in found} == {"eager", "graph"}
    assert all(row.time is not None for row in found), found
    assert [row.against for row in found if row.switch == GRAPH] == [
        "eager, none",
        f"eager, {APART}",
    ]


def test_the_table_says_what_pays(rows):
    kept = RankResults(
        machine=machine("cpu"), shape="small", dtype="float32", cluster="H200",
        rows=(), switches=tuple(rows),
    )  # fmt: skip
    told = table(kept)
    assert "compute measured, of a block or of one and the 4 of its branches" in told
    cheap = SwitchRow(
        ranks=2, switch=EARLY, mode="eager", against=PLAIN,
        time=Timing(median=2e-3, low=1e-3, high=3e-3, repeats=3),
        gain=0.9, costs=2e-4, saves=3e-4,
    )  # fmt: skip
    dear = dataclasses.replace(cheap, saves=1e-4)
    told = table(dataclasses.replace(kept, switches=(cheap, dear)))
    begun = "| 2 | early values | eager | 2.000 | none | 0.900 | 0.200 |"
    assert f"{begun} 0.300 | yes |" in told
    assert f"{begun} 0.100 | no |" in told
    assert switch_line(cheap) == "ranks 2, early values, eager: 2.000 ms a block"


def test_the_command_measures_switches_where_it_is_asked_to(tmp_path, capsys):
    kept = tmp_path / "ranks.json"
    given = ["--device", "cpu", "--ranks", "1,2", "--repeats", "1", "--dtype"]
    given += ["float32", "--shapes", "tiny", "--json", str(kept)]
    assert main(given) == 0
    assert json.loads(kept.read_text())["switches"] == []
    assert "saves ms" not in capsys.readouterr().out
    assert main([*given, "--switches"]) == 0
    assert "| 2 | shared exchange | eager |" in capsys.readouterr().out
    found = json.loads(kept.read_text())["switches"]
    assert {each["ranks"] for each in found} == {2}
    assert {"chunks 2", EARLY, SHARED} < {each["switch"] for each in found}
