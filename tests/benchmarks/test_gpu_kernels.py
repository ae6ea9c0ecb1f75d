"""The script for a GPU: tried on a CPU, and hard to stop."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks/gpu_kernels.py"
BENCHMARKS = SCRIPT.parent

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
    assert {each["stage"] for each in whole} == set(STAGES)
    assert {(each["verdict"], each["value"]) for each in whole} == {("dry run", None)}
    assert (folder / "ranks.png").exists()
    assert (folder / "ranks.svg").exists()


def test_what_is_measured_is_not_measured_again(script, folder):
    before = (folder / "stage-2.json").read_bytes()
    assert script.work(folder, 2, dry=True) == 0
    after = json.loads((folder / "stage-2.json").read_text())
    assert after["parts"] == json.loads(before)["parts"]


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


def test_a_checkout_without_git_is_told_its_commit(script, tmp_path, monkeypatch):
    from gpu.record import Ledger

    monkeypatch.setenv("WORLDWEAVE_COMMIT", "abc1234")
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    assert script.work(tmp_path, 5, dry=True) == 0
    assert Ledger(tmp_path, 5).machine["commit"] == "abc1234"


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
