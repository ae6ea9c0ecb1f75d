"""Efficiencies of virtual ranks follow from measured times and modelled exchanges."""

import dataclasses
import json
import sys

import pytest
import torch

from worldweave_kernels.bench.communication import (
    GB200,
    H200,
    attention_fill,
    layer_seconds,
    ring_bytes,
)
from worldweave_kernels.bench.machine import machine
from worldweave_kernels.bench.rank_block import (
    COSMOS_7B,
    TINY,
    BlockShape,
    RankBlock,
)
from worldweave_kernels.bench.rank_report import draw, notes, table
from worldweave_kernels.bench.rank_times import IN_A_ROW, one_block
from worldweave_kernels.bench.ranks import (
    LABEL,
    RankResults,
    RankRow,
    layout,
    main,
    measure_ranks,
)
from worldweave_kernels.bench.results import Timing

ON_A_GPU = torch.cuda.is_available()
SMALL = BlockShape(tokens=32, hidden=32, heads=4, text=5, adaln_rank=4)


def ranked(ranks, shape=SMALL, **switches):
    return RankBlock(shape, ranks, device="cpu", dtype=torch.float64, **switches)


@pytest.mark.parametrize(
    ("gpus", "groups"),
    [(1, (1, 1)), (2, (1, 2)), (16, (1, 16)), (32, (1, 32)), (64, (2, 32))],
)
def test_beyond_a_rank_per_head_guidance_is_split(gpus, groups):
    assert layout(gpus, COSMOS_7B.heads) == groups


@pytest.mark.parametrize("gpus", [0, -1, 3, 48, 128])
def test_counts_that_share_unevenly_are_refused(gpus):
    with pytest.raises(ValueError, match=f"{gpus} GPUs cannot share 32 heads"):
        layout(gpus, 32)


def test_tokens_that_do_not_divide_are_refused():
    odd = BlockShape(tokens=30, hidden=32, heads=4, text=5, adaln_rank=4)
    with pytest.raises(ValueError, match="4 ranks cannot share 30 tokens"):
        ranked(4, odd)
    with pytest.raises(ValueError, match="4 ranks cannot share 30 tokens"):
        measured([4], shape=odd)


def measured(gpus, *, shape=SMALL, **options):
    return measure_ranks(
        shape, gpus, device="cpu", dtype=torch.float32, repeats=2, **options
    )


@pytest.fixture(scope="module")
def rows():
    said = []
    found = measured([8, 4], cluster=GB200, say=said.append)
    assert said == found
    return found


def test_one_gpu_is_measured_unasked_and_each_count_once(rows):
    assert [(row.gpus, row.guidance, row.ranks) for row in rows] == [
        (1, 1, 1),
        (4, 1, 4),
        (8, 2, 4),
    ]
    assert {row.mode for row in rows} == {"eager"}
    assert rows[1].time is rows[2].time


def test_efficiency_is_made_of_measured_times_and_modelled_exchanges(rows):
    alone, four, _ = rows
    assert alone.efficiency == alone.with_exchange == 1
    taken, exchange = four.time.median, layer_seconds(32, 32, 4, GB200)
    assert four.exchange == exchange
    assert four.efficiency == alone.time.median / (4 * taken)
    assert four.with_exchange == alone.time.median / (4 * (taken + exchange))
    assert four.with_overlap == pytest.approx(
        alone.time.median / (4 * (taken + 0.4 * exchange))
    )
    assert four.with_exchange < four.with_overlap < four.efficiency


def test_the_model_tells_what_waves_and_a_ring_would_take(rows):
    for row in rows:
        assert row.fill == attention_fill(SMALL.tokens, 4 // row.ranks, GB200)
        assert row.ring == ring_bytes(SMALL.tokens, SMALL.hidden, row.ranks)
    told = table(results(rows)).splitlines()
    (line,) = [each for each in told if each.startswith("| 4 |")]
    # One tile of one head on 148 multiprocessors; three times 2 * 8 rows of 64 bytes.
    assert line.split(" | ")[5:8] == ["0.7%", "0.0", "0.0"]
    full = dataclasses.replace(rows[1], sent=56_000_000, ring=894_000_000)
    assert "| 56.0 | 894.0 |" in table(results([full]))


def test_a_few_blocks_in_a_row_are_timed_and_told_as_one():
    few = Timing(median=4.0 * IN_A_ROW, low=1.0 * IN_A_ROW, high=IN_A_ROW, repeats=3)
    assert one_block(few) == Timing(median=4.0, low=1.0, high=1.0, repeats=3)


def test_what_fails_becomes_a_row_that_says_why():
    # A head of one channel has no halves to rotate.
    narrow = BlockShape(tokens=8, hidden=4, heads=4, text=5, adaln_rank=4)
    (alone, two) = measured([2], shape=narrow)
    for row in (alone, two):
        assert row.time is None
        assert row.efficiency is None
        assert row.note.startswith("ValueError: ")
    assert "| ValueError: " in table(results([alone, two]))


@pytest.mark.gpu
@pytest.mark.skipif(not ON_A_GPU, reason="needs a GPU")
def test_on_a_gpu_a_graph_is_timed_beside_the_eager_block():
    rows = measure_ranks(TINY, [1, 4], device="cuda", dtype=torch.bfloat16, repeats=3)
    assert [(row.gpus, row.mode) for row in rows] == [
        (1, "eager"), (1, "graph"), (4, "eager"), (4, "graph"),
    ]  # fmt: skip
    assert all(row.time is not None for row in rows), rows


def results(rows, cluster=GB200):
    return RankResults(
        machine=machine("cpu"),
        shape="small",
        dtype="float32",
        cluster=cluster.name,
        rows=tuple(rows),
        notes=notes("cpu", cluster),
    )


def test_the_table_says_what_was_measured_and_what_was_modelled(rows):
    told = table(results(rows))
    assert told.startswith(LABEL)
    assert "compute measured, communication modelled" in told
    assert "four runs on 8 GPUs that others published by 13% to 65%" in told
    assert "says nothing about GPUs" in told
    assert "assumed" in told
    assert "| 8 | 2 x 4 | eager |" in told
    assert "says nothing about GPUs" not in "\n".join(notes("cuda", H200))


def test_json_holds_every_row_and_its_label(rows):
    kept = json.loads(results(rows).to_json())
    assert kept["label"] == LABEL
    assert [RankRow(**{**row, "time": None}) for row in kept["rows"]] == [
        dataclasses.replace(row, time=None) for row in rows
    ]
    assert kept["rows"][1]["time"]["median"] == rows[1].time.median


def test_the_picture_is_drawn_as_png_and_svg(rows, tmp_path):
    pytest.importorskip("matplotlib")
    png, svg = draw(results(rows), tmp_path / "plots")
    assert png.read_bytes().startswith(b"\x89PNG")
    drawn = svg.read_text()
    assert "<svg" in drawn
    assert LABEL in drawn


def test_the_command_prints_and_writes_what_it_measured(tmp_path, capsys):
    kept = tmp_path / "ranks.json"
    given = ["--device", "cpu", "--ranks", "1,4", "--repeats", "1", "--dtype"]
    assert main([*given, "float32", "--shapes", "tiny", "--json", str(kept)]) == 0
    said = capsys.readouterr().out
    # What is done is told at once, the table at the end.
    progress, _, told = said.partition(LABEL)
    lines = progress.split("\n")
    assert [each.partition(":")[0] for each in lines[:2]] == [
        "GPUs 1, eager",
        "GPUs 4, eager",
    ]
    assert "| 4 | 1 x 4 | eager |" in told
    assert [row["gpus"] for row in json.loads(kept.read_text())["rows"]] == [1, 4]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--ranks", "1,two"], "--ranks is '1,two'"),
        (["--ranks", "3"], "3 GPUs cannot share 4 heads"),
        (["--repeats", "0"], "--repeats is 0"),
        (["--ranks", "1", "--json", "/nowhere/at/all.json"], "/nowhere/at/all.json"),
        (["--ranks", "1", "--plots", "/dev/null"], "/dev/null"),
        (["--ranks", "1", "--csv", "ranks.csv"], "--csv is of single operations"),
    ],
)
def test_a_user_s_mistake_is_told_in_a_line_before_it_costs_time(given, said, capsys):
    options = ["--device", "cpu", "--shapes", "tiny", "--repeats", "1"]
    with pytest.raises(SystemExit) as ended:
        main([*options, *given])
    assert ended.value.code == 2
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    assert said in line
    assert told.out == ""


def test_pictures_are_refused_first_where_nothing_draws(monkeypatch, capsys, tmp_path):
    # As where it is not installed.
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    given = ["--device", "cpu", "--shapes", "tiny", "--ranks", "1", "--plots"]
    with pytest.raises(SystemExit):
        main([*given, str(tmp_path / "plots")])
    told = capsys.readouterr()
    assert "matplotlib" in told.err
    assert told.out == ""


def test_the_help_calls_the_command_as_it_was_called(capsys):
    with pytest.raises(SystemExit):
        main(["--help"], prog="worldweave bench kernels")
    said = capsys.readouterr().out
    assert said.startswith("usage: worldweave bench kernels [-h] [--ranks")
    assert "--csv" not in said
