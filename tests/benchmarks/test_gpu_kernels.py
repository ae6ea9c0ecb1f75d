"""The script for a GPU: tried on a CPU, and hard to stop."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SCRIPT = BENCHMARKS / "gpu_kernels.py"
pytestmark = pytest.mark.skipif(
    not SCRIPT.exists(), reason="benchmarks are not part of the distribution"
)

#: Marks a part as running, then takes its process with it; all well the second time.
DYING = """
import os, sys
sys.path.insert(0, {benchmarks!r})
from pathlib import Path
from gpu.record import Ledger, Measured, Part

def lethal():
    yield Measured("before", 1.0)
    os._exit(9)

ledger = Ledger(Path({folder!r}), 2)
for part in ledger.left([Part("lethal", lethal), Part("fine", lambda: [])]):
    ledger.run(part)
"""


@pytest.fixture(scope="module")
def script():
    """The script, with what it imports on the path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        # Tests of the kernels set it: the dry run would interpret them all once more.
        patch.delenv("TRITON_INTERPRET", raising=False)
        spec = importlib.util.spec_from_file_location("gpu_kernels", SCRIPT)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    for name in [each for each in sys.modules if each.split(".")[0] == "gpu"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def folder(script, tmp_path_factory):
    """A folder with all stages of a dry run."""
    from worldweave_kernels.bench import measure

    out = tmp_path_factory.mktemp("results")
    with pytest.MonkeyPatch.context() as patch:
        # Its numbers mean nothing: caches need not be emptied before each call.
        patch.setitem(measure._FLUSHED, "cpu", 64)
        for stage in range(1, 7):
            assert script.work(out, stage, dry=True) == 0
    return out


def test_a_dry_run_goes_through_every_stage_and_says_that_it_means_nothing(
    script, folder, capsys
):
    from gpu import report
    from gpu.report import BANNER, STAGES

    assert report.failures(report.read(folder)) == []
    assert script.main(["--report", "--out", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "drawn:" in said
    assert said.endswith(f"{BANNER}\n")
    told = (folder / "report.md").read_text()
    assert "its numbers mean nothing" in told
    for verdict in ("hit", "missed", "said 0"):
        assert verdict not in said
        assert f"| {verdict} |" not in told.replace("*", "")
    for number, stage in STAGES.items():
        assert f"## {number}. {stage.title}\n" in told
    whole = json.loads((folder / "report.json").read_text())
    assert {each["stage"] for each in whole} == set(range(1, 7))
    assert {(each["verdict"], each["value"]) for each in whole} == {("dry run", None)}
    assert (folder / "ranks.png").exists()
    assert (folder / "ranks.svg").exists()


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


def test_what_is_measured_is_not_measured_again(script, folder):
    before = (folder / "stage-2.json").read_bytes()
    assert script.work(folder, 2, dry=True) == 0
    after = json.loads((folder / "stage-2.json").read_text())
    assert after["parts"] == json.loads(before)["parts"]


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
    # U4 is what a toy block has heads for; compilers are left out of a dry run.
    keys |= {key.replace("U4", each) for key in keys for each in ("U8", "U32")}
    keys |= {"pointwise.compile", "agreement.a.triton.b", "pytest.marked.failed"}
    keys |= {key.replace(".eager", "") for key in keys if key.startswith("ranks.")}
    keys |= {"ranks.U32.eager_over_graph"}
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
    assert "2 of 53 predictions and aims hit, 46 not run yet, 3 not measured," in drawn
    assert "2 missed" in drawn
    assert "0; said 0" in drawn
    assert "1; said 0" in drawn


@pytest.mark.parametrize(
    ("code", "lines", "count"),
    [
        (0, ["3 passed in 1s"], 0),
        (1, ["1 failed, 3 passed, 2 errors in 1s"], 3),
        (1, [], 1),
        (0, [], 0),
    ],
)
def test_failing_tests_are_counted(script, code, lines, count):
    from gpu.outside import failed

    assert failed(code, lines) == count


@pytest.mark.parametrize("code", [4, 5, -9])
def test_tests_that_did_not_end_are_an_error(script, code):
    from gpu.outside import failed

    with pytest.raises(RuntimeError, match=f"pytest ended with {code}"):
        failed(code, [])


def test_the_tests_to_run_on_a_gpu_exist(script):
    from gpu.outside import FORWARD

    for each in FORWARD:
        name, _, test = each.partition("::")
        text = (SCRIPT.parents[1] / "tests" / "kernels" / name).read_text()
        assert f"def {test}(" in text, each


@pytest.mark.parametrize(
    ("code", "lines", "count"),
    [
        (0, ["once: all 7 ran", "========= ERROR SUMMARY: 0 errors"], 0),
        (
            0,
            ["once: all 7 ran", "RACECHECK SUMMARY: 2 hazards displayed (2 errors)"],
            2,
        ),
        (1, ["========= Invalid read", "========= ERROR SUMMARY: 3 errors"], 3),
        # It could not start the script, or was stopped: none of it was looked at.
        (1, ["ModuleNotFoundError", "========= ERROR SUMMARY: 0 errors"], None),
        (None, ["once: weighted_add, 3 samples"], None),
        (1, ["========= Error: this device is not supported"], None),
        (127, [], None),
    ],
)
def test_a_sanitizer_that_saw_nothing_is_no_hit(script, code, lines, count):
    from gpu.outside import Ended, complaints

    found = complaints("memcheck.errors", Ended(code, lines))
    if count is None:
        assert math.isnan(found.value)
        assert found.about.startswith("not measured: compute-sanitizer ")
    else:
        assert found.value == count


def test_what_is_started_is_stopped_with_all_it_started(script, tmp_path):
    from gpu.outside import ran

    beats = tmp_path / "beats"
    child = f"while :; do printf . >> {beats}; sleep 0.02; done"
    ended = ran(["sh", "-c", f"echo begun; sh -c '{child}' & wait"], tmp_path, {}, 0.5)
    assert ended == (None, ["begun"])
    counted = beats.stat().st_size
    time.sleep(0.1)
    assert beats.stat().st_size == counted


def test_what_a_sanitizer_watches_runs(script):
    pytest.importorskip("triton")
    from gpu.outside import ran

    command = [sys.executable, "-m", "gpu.once", "--device", "cpu"]
    command += ["--op", "norm_modulate"]
    ended = ran(command, BENCHMARKS, {"TRITON_INTERPRET": "1"}, 60)
    assert ended.code == 0, ended.lines
    assert ended.lines[-1] == "once: all 1 ran"


def test_the_stages_fit_in_half_an_hour(script):
    from gpu.outside import PATIENCE
    from gpu.report import STAGES

    assert sum(each.limit for each in STAGES.values()) <= 27 * 60
    assert min(each.limit for each in STAGES.values()) > PATIENCE


def test_a_stage_is_stopped_at_its_own_limit(script, tmp_path, monkeypatch):
    from gpu.report import STAGES

    limits = []
    monkeypatch.setattr(script, "supervise", lambda *_, limit: limits.append(limit))
    for given in ([], ["--limit", "3"]):
        script.main(["--dry-run", "--stage", "3", "--out", str(tmp_path), *given])
    assert limits == [STAGES[3].limit, 3]


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


def test_a_checkout_without_git_is_told_its_commit(script, tmp_path, monkeypatch):
    from gpu.record import Ledger

    monkeypatch.setenv("WORLDWEAVE_COMMIT", "abc1234")
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    assert script.work(tmp_path, 5, dry=True) == 0
    assert Ledger(tmp_path, 5).machine["commit"] == "abc1234"


def test_a_group_that_computes_something_else_is_not_timed(script, monkeypatch):
    from gpu import branches
    from gpu.setting import toy

    monkeypatch.setattr(branches, "_SHARED", ())
    found = branches._grouped(toy(), 1)
    assert next(found).value > 0.1
    with pytest.raises(RuntimeError, match=r"the group is .* off what it stands for"):
        next(found)


def test_a_part_that_fails_stops_no_other_and_is_told(script, tmp_path):
    from gpu import report
    from gpu.record import Ledger, Measured, Part

    def halfway():
        yield Measured("first", math.inf, "ms")
        raise RuntimeError("out of breath")

    ledger = Ledger(tmp_path, 4)
    for part in (Part("halfway", halfway), Part("fine", lambda: [])):
        ledger.run(part)
    again = report.read(tmp_path)
    assert [each.state for each in again[4].records.values()] == ["failed", "done"]
    assert again[4].records["halfway"].measured == [Measured("first", math.inf, "ms")]
    assert "out of breath" in report.markdown(again)
    assert script.main(["--report", "--out", str(tmp_path)]) == 1


def test_what_failed_is_measured_again_when_asked(script, tmp_path):
    from gpu.record import Ledger, Record

    for stage in (4, 5):
        ledger = Ledger(tmp_path, stage)
        for state in ("done", "failed", "running"):
            ledger.records[state] = Record(state, state)
        ledger.write()
    Ledger(tmp_path, 4).forget("running")
    assert list(Ledger(tmp_path, 4).records) == ["done", "failed"]
    Ledger(tmp_path, 5).forget("running", "failed")
    assert list(Ledger(tmp_path, 5).records) == ["done"]


def test_a_stopped_part_is_measured_again(script, tmp_path):
    from gpu.record import Ledger, Part

    def stopped():
        raise KeyboardInterrupt
        yield

    part = Part("stopped", stopped)
    with pytest.raises(KeyboardInterrupt):
        Ledger(tmp_path, 4).run(part)
    assert list(Ledger(tmp_path, 4).left([part])) == [part]


def test_a_part_that_takes_its_process_with_it_stops_no_other(script, tmp_path):
    from gpu.record import Ledger

    code = DYING.format(benchmarks=str(BENCHMARKS), folder=str(tmp_path))
    script.supervise(tmp_path, 2, [sys.executable, "-c", code], limit=60)
    lethal, fine = Ledger(tmp_path, 2).records.values()
    assert (lethal.state, fine.state) == ("failed", "done")
    assert lethal.error == "its process ended with 9"
    assert [each.key for each in lethal.measured] == ["before"]


def test_a_stage_that_takes_too_long_is_stopped(script, tmp_path, capsys):
    from gpu.record import Ledger, Record

    ledger = Ledger(tmp_path, 2)
    ledger.records["long"] = Record("long")
    ledger.write()
    beats = tmp_path / "beats"
    child = (
        "import time\nwhile True:\n    "
        f"open({str(beats)!r}, 'a').write('.')\n    time.sleep(0.02)"
    )
    parent = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    )
    script.supervise(tmp_path, 2, [sys.executable, "-c", parent], limit=1)
    (record,) = Ledger(tmp_path, 2).records.values()
    assert (record.state, record.error) == ("stopped", "stopped: the stage took 1 s")
    assert "run it again for the rest" in capsys.readouterr().out
    # What the process had started has ended with it.
    counted = beats.stat().st_size
    assert counted > 0
    time.sleep(0.2)
    assert beats.stat().st_size == counted


def test_a_stage_that_cannot_begin_stops_no_other(script, tmp_path):
    from gpu.record import Ledger

    failing = [sys.executable, "-c", "raise SystemExit(1)"]
    script.supervise(tmp_path, 2, failing, limit=60)
    (record,) = Ledger(tmp_path, 2).records.values()
    assert record.state == "failed"
    assert record.error.startswith("it ended with 1 before its first part")


def test_a_folder_of_something_else_is_refused(script, folder, tmp_path):
    from gpu.record import Ledger

    (tmp_path / "stage-3.json").write_text('{"machine": {}, "parts": [{"name": 1}]}')
    with pytest.raises(SystemExit, match="is not what this script writes"):
        Ledger(tmp_path, 3)


def test_results_of_a_dry_run_and_of_a_gpu_do_not_mix(script, tmp_path, capsys):
    from gpu.record import Ledger, Record

    ledger = Ledger(tmp_path, 5)
    ledger.machine = {"is_toy": False}
    ledger.records["virtual ranks"] = Record("virtual ranks", "done")
    ledger.write()
    assert script.work(tmp_path, 5, dry=True) == 2
    assert "another kind of run" in capsys.readouterr().err


def test_without_a_gpu_it_says_so_and_measures_nothing(script, tmp_path, capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert script.work(tmp_path, 2, dry=False) == script.REFUSED
    said = capsys.readouterr().err
    assert "there is no GPU here; --dry-run tries the script" in said
    assert list(tmp_path.iterdir()) == []


def test_a_machine_that_is_refused_ends_the_run(script, tmp_path):
    refusing = [sys.executable, "-c", f"raise SystemExit({script.REFUSED})"]
    with pytest.raises(SystemExit, match="stage 2 cannot begin"):
        script.supervise(tmp_path, 2, refusing, limit=60)
    assert list(tmp_path.iterdir()) == []


def test_triton_takes_the_tiles_that_are_swept(script):
    pytest.importorskip("triton")
    from gpu.attending import CONFIGURATIONS, _tiles

    from worldweave_kernels.in_triton import attention

    own = attention.configuration(9, 128, 2, True)
    for tma, tile in CONFIGURATIONS:
        with _tiles(tma, tile):
            assert attention.configuration(9, 128, 2, True)[:4] == tile
            assert attention.has_tma() is tma
    assert attention.configuration(9, 128, 2, True) == own
    # What the table says is among them: else the sweep has nothing to compare with.
    assert (True, own[:4]) in CONFIGURATIONS
    assert (False, attention.configuration(9, 128, 2, False)[:4]) in CONFIGURATIONS


def test_a_gpu_is_not_measured_with_interpreted_kernels(
    script, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert script.work(tmp_path, 2, dry=False) == 2
    assert "TRITON_INTERPRET is 1" in capsys.readouterr().err


def test_the_page_tells_every_prediction_as_it_was_made(script):
    from gpu.predictions import PREDICTIONS

    page = (SCRIPT.parents[1] / "docs/benchmarks/gpu-kernels.md").read_text()
    for each in (one for some in PREDICTIONS.values() for one in some):
        kind = "aim: " if each.is_aim else ""
        told = f"| {each.what} | {kind}{each.said} | {each.source} | {each.refutes} |"
        assert told in page
