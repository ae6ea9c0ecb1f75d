"""What is made of a run on a GPU: nothing wrong passes, and no miss is hidden."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks/gpu_kernels.py"
BENCHMARKS = SCRIPT.parent


def test_the_forms_of_a_block_round_differently_and_agree(script):
    import torch
    from gpu.block import _block, _pointwise
    from gpu.setting import toy

    setting = dataclasses.replace(toy(), dtype=torch.bfloat16)
    found = {
        each.key: each.value for part in (_block, _pointwise) for each in part(setting)
    }
    # Not the same code twice: it would not differ at all.
    assert 1e-4 < found["block.fused_against_eager"] < 0.032
    assert found["block.speedup"] == found["block.eager"] / found["block.fused"]
    parts = found["block.attention_part"] * found["block.speedup_with_one_attention"]
    assert found["block.speedup"] == pytest.approx(parts)
    eager, fused = (found[f"pointwise.{form}.error"] for form in ("eager", "fused"))
    assert 1e-4 < fused < eager < 0.008


def results_of_a_gpu():
    """Return rows that all hold, of every provider there is on a GPU."""
    from worldweave_kernels.bench.machine import machine
    from worldweave_kernels.bench.results import (
        Ceiling,
        Results,
        Row,
        Timing,
        compared,
    )

    rows = [
        Row(
            op="weighted_add", mode="forward", shape={}, dtype="bfloat16",
            provider=name, kind=name, bytes=100, flops=1, floor=1e-3, error=0.0,
            tolerance=1.0,
            time=Timing(median=seconds, low=seconds, high=seconds, repeats=1),
        )
        for name, seconds in (("official", 8e-3), ("compile", 3e-3), ("triton", 2e-3))
    ]  # fmt: skip
    return Results(
        machine=machine("cpu"),
        ceilings=(Ceiling(dtype="bfloat16", bandwidth=1e5, flops=1.0),),
        rows=tuple(compared(rows)),
    )


def test_triton_is_compared_with_the_chain_the_compiler_and_the_copy(script):
    from gpu.rows import _compared

    found = {each.key: each.value for each in _compared(results_of_a_gpu(), "op")}
    assert found["op.over_official"] == 4
    assert found["op.over_compile"] == found["op.compile_over_triton"] == 1.5
    assert found["op.share_of_copy"] == pytest.approx(0.5)
    assert found["op.share_of_floor"] == 0.5


def test_a_time_beyond_its_tolerance_is_no_time(script):
    from gpu.rows import _milliseconds

    row = results_of_a_gpu().rows[0]
    assert _milliseconds(row, "op").value == 8
    wrong = _milliseconds(dataclasses.replace(row, error=2.0), "op")
    assert math.isnan(wrong.value)
    assert "beyond its tolerance" in wrong.about
    missing = _milliseconds(dataclasses.replace(row, time=None, note="no GPU"), "op")
    assert math.isnan(missing.value)
    assert missing.about == "not measured: no GPU"


def test_every_prediction_has_something_that_measures_it(script, folder, tmp_path):
    """With Triton in the place of what a CPU takes, at the head counts of the 7B."""
    from gpu import report
    from gpu.predictions import PREDICTIONS
    from gpu.record import Ledger, Measured, Record
    from gpu.rows import _compared

    suffixes = [each.key for each in _compared(results_of_a_gpu(), "")]
    keys = set(report.measured(report.read(folder)))
    for key in list(keys):
        if key.endswith(".auto"):
            prefix = key.removesuffix(".auto")
            keys |= {f"{prefix}.triton", *(prefix + suffix for suffix in suffixes)}
    keys |= {f"attention.H{n}.{name}" for n in (1, 2, 4, 8, 32) for name in
             ("auto", "triton", "cudnn")}  # fmt: skip
    keys |= {f"attention.H1.cudnn.shares{n}" for n in (1, 2, 3)}
    # U4 and U2 are what a toy block has heads for; compilers are left out of a dry run.
    keys |= {key.replace("U4", each) for key in keys for each in ("U8", "U16", "U32")}
    keys |= {key.replace("U2", "U8") for key in keys}
    keys |= {"pointwise.compile", "agreement.a.triton.b", "pytest.marked.failed"}
    timed = tuple(key for key in keys if key.startswith(("ranks.", "switch.")))
    keys |= {key.replace(".eager", "") for key in timed}
    keys |= {"ranks.U32.eager_over_graph", "switch.U32.keys_in_one_share.gain"}
    keys |= {key.replace("chunks_2", "chunks_4") for key in keys}
    # What needs NCCL.
    named = (BENCHMARKS / "gpu/nccl.py").read_text()
    keys |= {
        key
        for key in ("nccl.graph.changed", "nccl.ring.changed")
        if f'"{key}"' in named
    }
    keys |= {"nccl.exchange.graph"} if '"nccl.exchange.{mode}"' in named else set()
    ledger = Ledger(tmp_path, 1)
    ledger.records["all"] = Record("all", "done")
    ledger.records["all"].measured += [Measured(key, 1.0) for key in sorted(keys)]
    known = report.measured({1: ledger})
    wanted = {each.key for some in PREDICTIONS.values() for each in some}
    assert wanted - set(known) == set()


def test_a_prediction_is_hit_within_its_range_only(script):
    from gpu.predictions import Prediction

    def said(low, high):
        return Prediction("k", "w", low, high, "ms", "s", "r")

    assert [said(1, 2).holds(v) for v in (0.9, 1, 2, 2.1)] == [False, True, True, False]
    assert said(1, None).holds(9)
    assert not said(1, None).holds(0.9)
    assert said(None, 2).holds(-9)
    assert not said(None, 2).holds(2.1)
    assert not said(None, None).holds(math.nan)
    told = [said(*each).said for each in ((1, 2), (0, 0), (1, None), (None, 2))]
    assert told == ["1 to 2 ms", "0 ms", "at least 1 ms", "at most 2 ms"]


def test_predictions_stand_beside_what_was_measured(script, tmp_path):
    from gpu import report
    from gpu.record import Ledger, Measured, Part

    ledger = Ledger(tmp_path, 2)
    slow = [Measured("weighted_add.forward.N4.triton", 2.0, "ms")]
    ledger.run(Part("slow", lambda: slow))
    judged = {each.prediction.key: each for each in report.verdicts({2: ledger})}
    assert judged["weighted_add.forward.N4.triton"].word == "**missed**"
    assert judged["weighted_add.forward.N1.triton"].word == "not measured"
    told = report.markdown({2: ledger})
    (line,) = [each for each in told.splitlines() if "add forward, N=4 |" in each]
    assert "| 0.612 to 0.74 ms | bytes over the copy's rate" in line
    assert line.endswith("| 2 ms | **missed** |")
    assert judged["ceiling.copy"].word == "not run yet"


def test_what_follows_from_several_measurements_is_told(script):
    from gpu import report
    from gpu.record import Ledger, Measured, Record

    ledger = Ledger(Path("/nowhere"), 3)
    times = {
        "attention.H32.cudnn": 100.0, "attention.H32.triton": 125.0,
        "attention.H32.auto": 101.0, "attention.H8.cudnn": 31.25,
        "attention.H1.cudnn": 3.0, "attention.H1.cudnn.shares1": 4.0,
        "attention.H1.triton.shares1": 5.0, "attention.H1.triton.shares2": 3.2,
        "attention.H1.cudnn.shares2": math.nan,
        "agreement.a.triton.float32": 0.5, "agreement.b.triton.float32": 3.0,
        "agreement.c.fa4.float32": math.nan, "bits.a": 0.0, "bits.b": 2.0,
        "pytest.marked.failed": 1.0, "pytest.forward.failed": 2.0,
    }  # fmt: skip
    made = [Measured(key, value) for key, value in times.items()]
    ledger.records["x"] = Record("x", "done", measured=made)
    found = {key: each.value for key, each in report.measured({3: ledger}).items()}
    assert found["attention.H32.best"] == 100
    assert found["attention.H32.auto_over_best"] == 1.01
    assert found["attention.H32.triton_rate"] == 0.8
    assert found["attention.H8.fill"] == 0.8
    # Left to itself one head is split: its rate is taken from one share.
    assert found["attention.H1.fill"] == 100 / 32 / 4
    assert found["attention.H1.split2"] == 4 / 3.2
    assert found["agreement.missed"] == 1
    assert found["bits.changed"] == 1
    assert found["pytest.failed"] == 3


@pytest.mark.parametrize("at", [0, 1, 2])
def test_what_is_not_a_number_is_infinitely_wrong(script, at):
    from gpu.correct import worst
    from gpu.record import largest

    shares = [0.25, 0.5, 0.75]
    shares[at] = math.nan
    found = [(share, str(index)) for index, share in enumerate(shares)]
    assert worst(found) == (math.inf, str(at))
    assert largest(shares) == math.inf
    assert worst([(0.5, "a"), (0.25, "b")]) == (0.5, "a")


def test_a_kernel_that_returns_no_numbers_misses(script, monkeypatch):
    import torch
    from gpu.correct import _agreement
    from gpu.setting import toy

    import worldweave_kernels

    whole = worldweave_kernels.norm_modulate
    asked = []

    def broken(x, *args, **options):
        """Compute it right but for one sample, which is not the last."""
        asked.append(x)
        return whole(x, *args, **options) * (math.nan if len(asked) == 2 else 1)

    monkeypatch.setattr(worldweave_kernels, "norm_modulate", broken)
    (found,) = _agreement(toy(), "norm_modulate", "reference", torch.float32)
    assert len(asked) > 2
    assert found.value == math.inf


def judged_by(tmp_path, parts, judged):
    """Return the verdicts of stage 1 by key where these parts ran."""
    from gpu import report
    from gpu.record import Ledger

    ledger = Ledger(tmp_path, 1)
    ledger.judged = judged
    for part in parts:
        ledger.run(part)
    judged = report.verdicts(report.read(tmp_path))
    return {each.prediction.key: each for each in judged if each.stage == 1}


def test_a_correctness_check_that_breaks_is_a_miss(script, tmp_path):
    from gpu.record import Measured, Part

    def broken():
        raise RuntimeError("an illegal memory access")
        yield

    names = ["agreement.a.triton.b", "bits.a", "pytest.marked.failed"]
    parts = [Part(name, broken, name) for name in names]
    fine = [Measured("agreement.b.triton.b", 0.5), Measured("bits.b", 0.0)]
    found = judged_by(tmp_path, [*parts, Part("fine", lambda: fine)], names)
    for key in ("agreement.missed", "bits.changed", "pytest.failed"):
        assert found[key].word == "**missed**", key
    assert found["agreement.missed"].found.value == 1


def test_a_correctness_check_without_a_number_is_no_hit(script, tmp_path):
    from gpu.record import Ledger, Measured, Part, Record

    judged = ["agreement.a.triton.b", "agreement.a.triton.c", "agreement.a.fa4.b"]
    judged += ["bits.a", "bits.b", "pytest.marked.failed", "pytest.forward.failed"]
    some = [
        Measured("agreement.a.triton.b", 0.5), Measured("agreement.a.fa4.b", math.nan),
        Measured("bits.a", 0.0), Measured("pytest.marked.failed", 0.0),
        Measured("pytest.forward.failed", math.nan, "", "not measured: no pytest"),
    ]  # fmt: skip
    found = judged_by(tmp_path, [Part("some", lambda: some)], judged)
    for key in ("agreement.missed", "bits.changed", "pytest.failed"):
        assert found[key].word == "not measured", key
    assert "agreement.a.triton.c" in found["agreement.missed"].found.about
    ledger = Ledger(tmp_path, 1)
    ledger.records["slow"] = Record("slow", judges="bits.b")
    ledger.bury("stopped: the stage took 1 s", "stopped")
    assert judged_by(tmp_path, [], judged)["bits.changed"].word == "not measured"
    rest = [Measured(key, 0.0) for key in judged if ".fa4." not in key]
    found = judged_by(tmp_path, [Part("rest", lambda: rest)], judged)
    for key in ("agreement.missed", "bits.changed", "pytest.failed"):
        assert found[key].word == "hit", key


def test_all_that_has_to_be_right_is_known_before_it_is_looked_at(script, folder):
    from gpu.record import Ledger

    ledger = Ledger(folder, 1)
    wanted = ["agreement.attention.triton.bfloat16", "bits.attention"]
    wanted += ["agreement.attention.auto.backward", "pytest.marked.failed"]
    assert set(wanted) < set(ledger.judged)
    # Each is what its part yields.
    assert set(ledger.judged) <= {each.key for each in ledger.measured()}


def test_a_triton_that_computes_nothing_on_a_gpu_fails(script):
    import torch
    from gpu.correct import _agreement
    from gpu.setting import toy

    given = ("norm_modulate", "triton", torch.float32)
    (quiet,) = _agreement(toy(), *given)
    assert math.isnan(quiet.value)
    with pytest.raises(RuntimeError, match="Triton computed nothing"):
        list(_agreement(dataclasses.replace(toy(), is_toy=False), *given))


def test_the_picture_counts_all_verdicts_and_tells_none_in_words(script, tmp_path):
    pytest.importorskip("matplotlib")
    from gpu.drawing import draw
    from gpu.record import Ledger, Measured, Part

    made = [
        Measured("ceiling.copy", 4.3, "TB/s"), Measured("ceiling.product", 100.0),
        Measured("bits.a", 0.0), Measured("agreement.a.triton.b", 3.0),
    ]  # fmt: skip
    Ledger(tmp_path, 1).run(Part("some", lambda: made))
    assert [each.name for each in draw(tmp_path)] == [
        "predictions.png",
        "predictions.svg",
    ]
    drawn = (tmp_path / "predictions.svg").read_text()
    assert "2 of 70 predictions and aims hit, 63 not run yet, 3 not measured," in drawn
    assert "2 missed" in drawn
    assert "0; said 0" in drawn
    assert "1; said 0" in drawn


def test_rows_are_kept_for_the_benchmark_to_draw(script, folder):
    from gpu.rows import keep

    from worldweave_kernels.bench import from_json

    for stage in (2, 3, 4, 6):
        kept = from_json((folder / f"bench-{stage}.json").read_text())
        assert kept.rows, stage
    path = folder / "bench-again.json"
    whole = results_of_a_gpu()
    first = dataclasses.replace(whole, rows=whole.rows[:2])
    keep(path, first)
    faster = dataclasses.replace(whole.rows[1], note="again")
    keep(path, dataclasses.replace(first, rows=(faster, whole.rows[2])))
    kept = from_json(path.read_text())
    assert kept.rows == (whole.rows[0], faster, whole.rows[2])


def test_the_page_tells_every_prediction_as_it_was_made(script):
    from gpu.predictions import PREDICTIONS

    page = (SCRIPT.parents[1] / "docs/benchmarks/gpu-kernels.md").read_text()
    for each in (one for some in PREDICTIONS.values() for one in some):
        kind = "aim: " if each.is_aim else ""
        told = f"| {each.what} | {kind}{each.said} | {each.source} | {each.refutes} |"
        assert told in page
