"""The command: what it prints is what the page says; its picture and its files."""

import contextlib
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from worldweave_kernels.bench import scaling
from worldweave_kernels.bench.scaling_figures import PAPER

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "benchmarks" / "scaling.md"
in_a_checkout = pytest.mark.skipif(
    not PAGE.exists(), reason="the docs are not part of the wheel"
)


def printed(capsys, *arguments):
    assert scaling.main(list(arguments)) == 0
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def usual():
    """What the command prints without arguments."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        assert scaling.main([]) == 0
    return said.getvalue()


def cells(line):
    return [each.strip() for each in line.strip("|").split("|")]


@in_a_checkout
def test_the_page_says_what_the_command_prints(usual):
    page = PAGE.read_text()
    begin, end = "<!-- printed: begin -->\n", "<!-- printed: end -->"
    told = page[page.index(begin) + len(begin) : page.index(end)]
    assert told == usual, (
        "put what worldweave bench scaling prints between the marks of "
        f"docs/benchmarks/{PAGE.name}, and draw with --plots docs/media"
    )


def text_of(path):
    found = ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")
    return sorted("".join(each.itertext()) for each in found)


@in_a_checkout
def test_the_picture_of_the_page_is_of_these_numbers(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    out = printed(capsys, "--plots", str(tmp_path / "new"))
    paths = [tmp_path / "new" / f"scaling.{kind}" for kind in ("png", "svg")]
    assert out.endswith("".join(f"drawn: {path}\n" for path in paths))
    assert paths[0].stat().st_size > 50_000
    assert text_of(paths[1]) == text_of(DOCS / "media" / "scaling.svg")


def test_a_row_for_each_count_has_the_paper_beside_it(capsys):
    said = printed(capsys, "--cluster", "GB200", "--gpus", "64,4,1,4")
    tables = [part for part in said.split("### ") if "cfg x ring" in part]
    assert [part.splitlines()[0].split(": ")[1].split(",")[0] for part in tables] == [
        "plain", "ours",
    ]  # fmt: skip
    labels = ("two fitted, rest assumed", "one fitted, rest assumed")
    for part, label in zip(tables, labels, strict=True):
        rows = [cells(line) for line in part.splitlines() if line.startswith("| ")][2:]
        assert [row[0] for row in rows] == ["1", "4", "64"]
        paper = {row.gpus: row for row in PAPER}
        for row in rows:
            known = paper[int(row[0])]
            assert row[12].startswith(f"{known.diffusion} (")
            assert f", {known.whole} (" in row[12]
            assert row[-1] == label
    assert "H200" not in said.replace("GB200", "").split("what it stands on")[0]


def test_nothing_claims_to_be_measured(usual):
    said = " ".join(usual.split())
    assert said.startswith("Scaling on paper: a model. Nothing here was measured.")
    assert "(measured" not in said
    assert "13% to 65% too much" in said


def test_everything_is_written_as_json(capsys, tmp_path):
    path = tmp_path / "s.json"
    said = printed(
        capsys, "--gpus", "8,64", "--branches", "1", "--steps", "9", "--json", str(path)
    )
    assert said.endswith(f"written to {path}\n")
    first, second = json.loads(path.read_text())["clusters"]
    assert (first["cluster"], second["cluster"]) == ("H200", "GB200")
    assert second["work"]["branches"] == 1
    assert second["work"]["steps"] == 9
    rows = {(row["design"], row["gpus"]): row for row in second["rows"]}
    assert set(rows) == {(d, n) for d in ("plain", "ours") for n in (8, 64)}
    row = rows["ours", 64]
    parts = [row[n] for n in ("compute", "imbalance", "exchange_exposed", "launches")]
    assert sum(parts) + sum(row["serial"].values()) == pytest.approx(row["whole"])
    assert row["plan"]["ulysses"] == 32
    assert second["figures"]["efficiency"]["label"] == "fitted"
    # The fit is to the paper, whatever is asked for.
    assert second["fit"][0]["diffusion"] == 141.0
    assert second["fit"][0]["modelled_diffusion"] == pytest.approx(141, rel=0.05)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--gpus", "1,x"), "--gpus is '1,x'; give numbers such as 1,2,4,8"),
        (("--gpus", "0"), "--gpus is '0'; give numbers"),
        (("--gpus", "5000"), "--gpus is '5000'; the model ends at 4096"),
        (("--branches", "-1"), "--branches is -1; give 0 or more"),
        (("--steps", "0"), "--steps is 0; give 1 or more"),
        (("--json", "no/where.json"), "there is no folder no"),
        (("--measured", "no.json"), "there is no file no.json"),
    ],
)
def test_mistakes_are_told_in_a_line(capsys, tmp_path, monkeypatch, given, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        scaling.main(list(given))
    assert stopped.value.code == 2
    found = capsys.readouterr()
    assert found.out == ""
    (line,) = found.err.splitlines()
    assert said in line
