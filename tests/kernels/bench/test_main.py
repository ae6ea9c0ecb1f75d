"""The command: its table, its files, and what it refuses."""

import re
from pathlib import Path

import pytest

from worldweave_kernels.bench import from_json, measure
from worldweave_kernels.bench.__main__ import main
from worldweave_kernels.bench.results import Ceiling
from worldweave_kernels.bench.table import table as table_of

TOY = ["--op", "norm_modulate,weighted_add", "--shapes", "L=12,D=32,H=2,N=2"]
QUICK = ["--mode", "forward", "--device", "cpu", "--dtype", "float32", "--repeats", "2"]


@pytest.fixture(autouse=True)
def known_ceilings(monkeypatch):
    """Those of this machine, measured once before, so that a test takes no second."""

    def ceiling(device, dtype):
        name = str(dtype).removeprefix("torch.")
        return Ceiling(dtype=name, bandwidth=1e10, flops=1e11)

    monkeypatch.setattr(measure, "ceiling", ceiling)


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main([*QUICK, *arguments])
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_a_run_prints_a_line_for_each_provider(capsys):
    assert main([*TOY, *QUICK, "--provider", "official,eager,auto,triton"]) == 0
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert max(map(len, lines)) <= 110
    assert re.search(r"^commit .*, load before: [\d.]+$", said, re.M)
    assert "ceilings of this run, random data: copy 10.0 GB/s" in said
    assert re.search(r"^norm_modulate forward  L=12 D=32  float32  floor [\d.]+ ms$",
                     said, re.M)  # fmt: skip
    line = (
        r"^  {} +[\d.]+ \[[\d.]+, [\d.]+\] +[\d.]+ [kMG] +[\d.]+ [kMG] +\d+% "
        r"+(?:[\d.]+|≈) +- +- +\de-\d\d$"
    )
    for provider in ("official", "eager", "auto: reference"):
        assert len(re.findall(line.format(provider), said, re.M)) == 2
    flowing = " ".join(said.split())
    assert "not measured: triton of norm_modulate (1 case), weighted_add (1 case)" in (
        flowing
    )
    assert "Not measured: any GPU." in said


def test_files_are_written_where_asked(capsys, tmp_path):
    out, table = tmp_path / "r.json", tmp_path / "r.csv"
    arguments = [*TOY, *QUICK, "--provider", "auto"]
    assert main([*arguments, "--json", str(out), "--csv", str(table)]) == 0
    results = from_json(out.read_text())
    assert [row.op for row in results.rows] == ["norm_modulate", "weighted_add"]
    assert results.notes
    assert len(table.read_text().splitlines()) == 3
    said = capsys.readouterr().out
    assert f"written to {out}" in said
    assert said.startswith(table_of(results).rstrip())


def test_the_7b_on_a_cpu_is_refused_with_what_it_would_take(capsys):
    said = refused(capsys, "--shapes", "cosmos-7b", "--op", "attention")
    assert re.search(r"cosmos-7b on cpu would take \d+ hours or more and about \d+ GB",
                     said)  # fmt: skip
    assert "--force" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--op", "add"], "no operation 'add'"),
        (["--provider", "magic"], "no provider 'magic'; there are official"),
        (["--mode", "sideways"], "no mode 'sideways'"),
        (["--shapes", "L=0"], "'L=0' in the shapes"),
        (["--repeats", "0"], "give 1 or more"),
        (["--op", "control_inject", "--mode", "backward"], "ask for forward"),
        (["--mode", "fwd"], "there are forward, backward, both, backward-fixed-maps"),
        (["--op", "norm_modulate", "--mode", "backward-fixed-maps"], "has no"),
        (["--time", "-1"], "--time is -1; give seconds"),
        (["--time", "nan"], "--time is nan; give seconds"),
        (["--json", "/proc/r.json"], "nothing can be written to /proc"),
        (["--plots", "/proc/new/plots"], "nothing can be written to /proc"),
        (["--plots", "pyproject.toml/plots"], "pyproject.toml is no folder"),
        (["--draw", "r.json"], "--draw needs --plots"),
        (["--draw", "r.json", "--plots", "p", "--csv", "x"], "--csv measures"),
        (["--draw", "no.json", "--plots", "p"], "no.json"),
        (["--json", "no/such/folder/r.json"], "there is no folder no/such/folder"),
        (["--csv", "."], ". is a folder; name a file in it"),
        (["--base", "HEAD", "--json", "x"], "--json goes with a measurement"),
        (["--base", "HEAD", "--rounds", "0"], "give 1 or more"),
    ],
)
def test_what_makes_no_sense_is_refused(capsys, arguments, said):
    assert said in refused(capsys, *arguments)


def test_an_operation_that_a_provider_does_not_have_is_refused_before_measuring(
    capsys, monkeypatch
):
    monkeypatch.setattr(measure, "ceiling", None)
    said = refused(capsys, "--op", "norm_modulate", "--provider", "sdpa")
    assert "sdpa does not compute norm_modulate; ask for attention" in said


@pytest.mark.skipif(
    not (Path(__file__).parents[3] / ".git").exists(), reason="this is no checkout"
)
def test_a_commit_that_is_not_there_is_named(capsys):
    said = refused(capsys, "--base", "nonsense")
    assert "git knows no commit 'nonsense'" in said


def test_nothing_is_said_before_a_base_that_cannot_be(capsys):
    with pytest.raises(SystemExit):
        main([*TOY, *QUICK, "--base", "nonsense"])
    assert capsys.readouterr().out == ""


def test_an_operation_that_cannot_run_at_all_is_an_exit_code(
    capsys, monkeypatch, tmp_path
):
    monkeypatch.setenv("WORLDWEAVE_KERNELS", "norm_modulate=triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    out = tmp_path / "r.json"
    arguments = [*TOY, *QUICK, "--provider", "auto,official", "--json", str(out)]
    assert main(arguments) == 1
    assert "not measured: auto of norm_modulate" in capsys.readouterr().out
    # `--base` reads them whatever the exit code.
    assert len(from_json(out.read_text()).measured()) == 3


def test_results_are_drawn_later(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    out = tmp_path / "r.json"
    one = ["--op", "norm_modulate", "--shapes", "L=12,D=32,H=2", "--provider", "auto"]
    assert main([*one, *QUICK, "--json", str(out)]) == 0
    capsys.readouterr()
    drawn = tmp_path / "plots"
    assert main(["--draw", str(out), "--plots", str(drawn)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert f"drawn: {drawn / 'norm_modulate.png'}" in said
    assert all(line.startswith("drawn: ") for line in said)


def test_a_device_that_is_not_there_is_refused(capsys, monkeypatch):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert "there is no 'cuda' here" in refused(capsys, "--device", "cuda")
