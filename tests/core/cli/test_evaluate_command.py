"""The evaluate command: a modality, a whole base, and what it refuses."""

import json

import pytest


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("tiny-wrold", ["'tiny-wrold'", "tiny-world"]),
        ("tiny-world --modalities vis,egde", ["'egde'", "'edge'"]),
        ("tiny-world --weights in.mp4", ["--weights", "is a base", "leave it out"]),
        ("tiny-world --table 3", ["--table", "'3'"]),
        ("tiny-world --clips 1", ["--clips", "'1'"]),
        ("tiny-world --seeds 1", ["--seeds", "'1'"]),
        ("tiny-world --dtype float8", ["--dtype", "'float8'"]),
        (
            "tiny-world --modalities vis,edge --front seg",
            ["'seg' is to lead a region", "vis, edge"],
        ),
        ("tiny-world --out nowhere/report.json", ["no folder nowhere", "create it"]),
        ("cosmos-transfer1-7b", ["makes no clips to evaluate on"]),
    ],
)
def test_what_cannot_be_evaluated_is_refused(arguments, parts, run):
    ran = run("evaluate", *arguments.split())
    assert ran.code == 2
    assert ran.stderr.startswith("worldweave: ")
    for part in parts:
        assert part in ran.stderr


def test_a_base_is_evaluated_table_by_table(run, tmp_path):
    out = tmp_path / "report.json"
    ran = run(
        *("evaluate", "tiny-world", "--modalities", "edge", "--table", "gaps"),
        *("--clips", "2", "--steps", "1", "--device", "cpu", "--out", out),
    )
    assert ran.code == 0, ran.stderr
    assert "closed gap" in ran.stdout
    assert "Table 1" not in ran.stdout
    found = json.loads(out.read_text())
    assert set(found["gaps"]["edge"]) == {
        *("ceiling", "tokenizer", "right", "none", "wrong", "closed")
    }
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


def test_a_modality_may_be_scored_by_its_base(run, tmp_path):
    out = tmp_path / "seg.json"
    ran = run(
        *("evaluate", "seg", "--clips", "2", "--steps", "1", "--device", "cpu"),
        *("--out", out),
    )
    assert ran.code == 0, ran.stderr
    assert "small network" in ran.stdout
    means = json.loads(out.read_text())["means"]
    assert 0 <= means["off"] < means["tokenizer"] <= 1
