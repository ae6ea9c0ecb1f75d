"""Files: a table that only grows, and nothing half written."""

import csv

import pytest
import torch

from worldweave_kernels.bench import Ceiling, cases, files, from_json, run


@pytest.fixture(scope="module")
def results():
    found = cases(ops=["norm_modulate"], asked="L=3,D=8,H=1", modes=["forward"])
    ceilings = [Ceiling(dtype="float32", bandwidth=1e10, flops=1e11)]
    return run(found, only=["official", "triton"], repeats=1, ceilings=ceilings)


def test_a_second_run_is_added_below_the_first(results, tmp_path):
    path = tmp_path / "all.csv"
    files.append_csv(path, results)
    first = path.read_text()
    files.append_csv(path, results)
    assert path.read_text().startswith(first)
    lines = list(csv.DictReader(path.read_text().splitlines()))
    assert [line["provider"] for line in lines] == ["official", "triton"] * 2
    assert lines[0]["torch"] == torch.__version__
    assert lines[0]["machine"]
    assert float(lines[0]["median_ms"]) > 0
    assert float(lines[0]["ceiling_gb_s"]) == 10
    assert lines[1]["median_ms"] == ""
    assert lines[1]["note"]


def test_a_table_with_other_columns_is_left_alone(results, tmp_path):
    path = tmp_path / "all.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="other columns"):
        files.append_csv(path, results)
    assert path.read_text() == "a,b\n1,2\n"


def test_json_on_disk_reads_back(results, tmp_path):
    files.write_json(tmp_path / "r.json", results)
    assert from_json((tmp_path / "r.json").read_text()) == results
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_what_cannot_be_written_leaves_the_old_file(results, tmp_path):
    target = tmp_path / "r.json"
    target.mkdir()
    with pytest.raises(OSError, match=r"r\.json"):
        files.write_json(target, results)
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]
