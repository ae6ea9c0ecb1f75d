"""worldweave new: the package it writes, and the mistakes it tells."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from worldweave.cli import main
from worldweave.cli.new import _name_problems, _suggestion, _summary_problems, _who
from worldweave.testing import scaffold
from worldweave.testing.scaffold import Package
from worldweave_registry import WorldweaveError, discover

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[3]
RUFF = Path(sys.executable).with_name("ruff")
NAME = re.compile("[a-z][a-z0-9_]*")
#: Short, odd and long ones, and what an index or a formatter might stumble over.
NAMES = ("a", "x1", "very_long_name", "abcdefghijklmnopqrs", "a__b_", "i", "modality")
CATALOG = discover()


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working folder; what is imported from it is forgotten."""
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def new(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run the command; return what it says."""

    def new_(*arguments: str) -> str:
        assert main(["new", *arguments]) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    return new_


@pytest.fixture
def refused(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[str]]:
    """Run a command that must fail as a user's mistake; return its lines."""

    def refused_(*arguments: str) -> list[str]:
        before = sorted(place.rglob("*"))
        assert main(["new", *arguments]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert sorted(place.rglob("*")) == before
        lines = printed.err.splitlines()
        assert all(line.startswith("worldweave: ") for line in lines), lines
        return [line.removeprefix("worldweave: ") for line in lines]

    return refused_


def install(site: Path, name: str, module: str) -> None:
    """Let *module* on the path be found as a plugin called *name*."""
    info = site / f"worldweave_{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: worldweave-{name}\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text(f"[worldweave.v1]\n{name} = {module}\n")


def test_it_writes_a_package_and_says_how_much_of_it_is_python(new, place):
    said = new("thermal")
    folder = place / "worldweave-thermal"
    told = dict(re.findall(r"^  (\S+\.py) +(\d+) lines", said, re.MULTILINE))
    counted = {
        str(path.relative_to(folder)): str(
            len([line for line in path.read_text().split("\n") if line.strip()])
        )
        for path in folder.rglob("*.py")
    }
    assert told == counted
    assert len(counted) == 5
    total = sum(map(int, counted.values()))
    assert f"\n{total} lines of Python, the test included." in said
    assert total <= 40
    listed = {path for path in said.split() if (folder / path).is_file()}
    assert listed == {
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()
    }
    assert [path.name for path in place.iterdir()] == ["worldweave-thermal"]


@pytest.mark.parametrize("name", NAMES)
def test_what_it_writes_is_tidy(name):
    for path, text in Package(name=name).files().items():
        assert text.endswith("\n"), path
        assert "\n\n\n\n" not in text, path
        assert "$" not in text.replace("\n$ ", "\n"), path
        assert all(line == line.rstrip() for line in text.split("\n")), path
        if path.endswith(".py"):
            compile(text, path, "exec")


@pytest.mark.skipif(not RUFF.exists(), reason="ruff comes with the extra lint")
def test_what_it_writes_passes_the_linter_as_our_own_code_does(place):
    odd = {"a": "Größe: \"it's\" \\ 'said'", "x1": 'It\'s "heat" or "cold"'}
    for name in NAMES:
        files = Package(name=name, summary=odd.get(name, scaffold.SUMMARY)).files()
        scaffold.write(files, place / name)
    for command in (["check"], ["format", "--diff"]):
        done = subprocess.run(
            [RUFF, *command, "--no-cache", "--config", ROOT / "pyproject.toml", place],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["a", "x1", "very_long_name"])
def test_what_it_writes_is_found_and_works(name, new, place, monkeypatch):
    new(name, "--out", "site", "--license", "BSD-3-Clause", "--summary", "Größer")
    install(place / "site", name, f"worldweave_{name}")
    monkeypatch.syspath_prepend(place / "site")
    found = discover().find(name)
    assert (found.summary, found.license) == ("Größer", "BSD-3-Clause")
    kind, metric = found.preprocessor.load(), found.metric.load()()
    frames = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3), np.uint8)
    control = kind()(frames)
    assert (control.dtype, control.shape) == (np.uint8, frames.shape)
    for option, values in found.recipe.load().random_options.items():
        made = [kind(**{option: value})(frames) for value in values]
        assert any((one != control).any() for one in made)
    assert metric(frames, frames) == metric.best
    assert metric(255 - frames, frames) < 0.9


def test_heat_runs_from_black_over_red_and_yellow_to_white(new, monkeypatch, place):
    new("heat", "--out", "warm")
    monkeypatch.syspath_prepend(place / "warm")
    from worldweave_heat.preprocess import Heat

    grey = np.arange(256, dtype=np.uint8)[None, None, :, None].repeat(3, -1)
    heat = Heat()(grey)[0, 0]
    assert [heat[level].tolist() for level in (0, 85, 170, 255)] == [
        [0, 0, 0],
        [255, 0, 0],
        [255, 255, 0],
        [255, 255, 255],
    ]
    assert (np.diff(heat.astype(int), axis=0) >= 0).all()
    flat, steep = (Heat(contrast=contrast)(grey).astype(int) for contrast in (5, 20))
    assert np.ptp(flat.sum(-1)) < np.ptp(heat.astype(int).sum(-1))
    assert (steep == 0).sum() > (heat == 0).sum()


@given(summary=st.text(max_size=90), who=st.text(max_size=20))
def test_summary_and_author_mean_the_same_in_toml_and_python(summary, who):
    problems: list[str] = []
    author, mail = _who(f"{who} <me@example.org>", problems)
    if problems or _summary_problems(summary):
        return
    package = Package(
        name="x", summary=summary.strip(), author=author, email=mail, license="MIT"
    )
    files = package.files()
    project = tomllib.loads(files["pyproject.toml"])["project"]
    assert project["description"] == summary.strip()
    assert project["authors"] == [{"name": who.strip(), "email": "me@example.org"}]
    tree = ast.parse(files["worldweave_x/__init__.py"])
    (said,) = (
        word.value for word in ast.walk(tree) if getattr(word, "arg", 0) == "summary"
    )
    assert ast.literal_eval(said) == summary.strip()
    assert package.longest_line() <= scaffold.WIDTH


@given(st.text(max_size=20) | st.from_regex("[A-Za-z0-9_.-]{1,20}", fullmatch=True))
def test_a_name_is_one_of_a_modality_or_is_refused_with_one_that_is(name):
    if NAME.fullmatch(name):
        assert all(name in each for each in _name_problems(name, CATALOG))
        return
    (problem,) = _name_problems(name, CATALOG)
    near = _suggestion(name)
    assert not near or NAME.fullmatch(near)
    assert problem.endswith(f"; try {near!r}" if near else "a letter first")


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("My-Thermal", "my_thermal"),
        ("MyThermal", "my_thermal"),
        ("worldweave-thermal", "thermal"),
        ("wärme bild!", "warme_bild"),
        ("3d", ""),
        ("温度", ""),
        ("", ""),
    ],
)
def test_a_wrong_name_is_answered_with_a_right_one(name, near):
    assert _suggestion(name) == near


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("My-Thermal", "a letter first; try 'my_thermal'"),
        ("class", "'class' is a word of Python"),
        ("true", "'true' is a word of Python"),
        ("edge", r"the modality 'edge' is supplied by worldweave \d"),
        ("annotator", r"the training 'annotator' is supplied by worldweave \d"),
        ("base", "'worldweave train base' trains something else"),
        ("maps", "'worldweave train maps' trains something else"),
        ("plugins", "there is a package 'worldweave_plugins' already"),
        ("abcdefghijklmnopqrstu", "has 21 characters, .* a name of 19 or less"),
    ],
)
def test_a_name_that_cannot_be_is_refused(name, problem, refused):
    (line,) = refused(name)
    assert re.search(problem, line)


def test_a_name_of_a_plugin_that_cannot_be_loaded_is_taken(refused, place, monkeypatch):
    (place / "sonar.py").write_text("1 / 0")
    install(place, "sonar", "sonar")
    monkeypatch.syspath_prepend(place)
    (line,) = refused("sonar")
    assert "the modality 'sonar' is supplied by worldweave-sonar 1.0" in line


def test_a_package_that_can_be_imported_is_not_hidden(refused, place, monkeypatch):
    (place / "worldweave_pulse.py").touch()
    monkeypatch.syspath_prepend(place)
    (line,) = refused("pulse")
    assert "there is a package 'worldweave_pulse' already" in line


def test_all_mistakes_are_told_at_once(refused):
    lines = refused(
        *("Not a name", "--license", "Apache 2.0", "--author", "me <here"),
        *("--summary", "two\nlines", "--out", "nowhere/at/all"),
    )
    assert [line.split()[0] for line in lines] == [
        "no",
        "--license",
        "--author",
        "--summary",
        "cannot",
    ]
    assert "did you mean 'Apache-2.0'?" in lines[1]


@pytest.mark.parametrize(
    "flags",
    [
        ("--license", "my own"),
        ("--license", ""),
        ("--license", "MIT,Apache-2.0"),
        ("--license", "https://example.com/terms"),
        ("--author", ""),
        ("--author", "Ada <>"),
        ("--author", "Ada <not a mail>"),
        ("--author", "Ada <ada@>"),
        ("--author", "Ada\n<ada@example.org>"),
        ("--summary", " "),
        ("--summary", "x" * 70),
        ("--summary", "温" * 40),
    ],
)
def test_what_would_spoil_the_package_is_refused(flags, refused):
    (line,) = refused("thermal", *flags)
    assert line.startswith(f"{flags[0]} ")


def test_a_package_nobody_has_described_says_that_it_is_a_start(new, place):
    said = new("night_view")
    about = (
        place / "worldweave-night-view/worldweave_night_view/__init__.py"
    ).read_text()
    assert 'summary="A first version: brightness as heat"' in about
    assert "say what it shows\nin the summary" in said
    assert "say what it shows" not in new("sonar", "--summary", "What is near is red")


def test_where_bugs_go_is_not_told_before_somebody_knows():
    text = Package(name="x").files()["pyproject.toml"]
    assert "urls" not in tomllib.loads(text)["project"]
    filled = text.replace("# [", "[").replace("# Home", "Home").replace("# Iss", "Iss")
    assert tomllib.loads(filled)["project"]["urls"].keys() == {"Homepage", "Issues"}


def test_the_longest_summary_there_is_room_for_is_taken(new):
    assert "_long" in new("long", "--summary", "x" * 69)


def test_nothing_is_overwritten(refused, place):
    kept = place / "worldweave-thermal" / "notes.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    (line,) = refused("thermal")
    assert line == (
        "worldweave-thermal is not empty, and nothing is overwritten; "
        "choose another with --out"
    )
    assert "notes.txt is no folder" in refused("thermal", "--out", str(kept))[0]
    assert kept.read_text() == "mine"
    (place / "broken").symlink_to("nowhere")
    assert "broken is no folder" in refused("thermal", "--out", "broken")[0]


def test_an_empty_folder_is_filled_and_stays_the_folder_it_is(new, place):
    (place / "empty").mkdir()
    before = (place / "empty").stat().st_ino
    new("thermal", "--out", "empty")
    assert (place / "empty").stat().st_ino == before
    assert (place / "empty" / "pyproject.toml").is_file()
    assert [path.name for path in place.iterdir()] == ["empty"]


def test_where_something_goes_wrong_nothing_is_left(place):
    with pytest.raises(UnicodeEncodeError):
        scaffold.write({"whole.txt": "whole", "half/way.txt": "\ud800"}, place / "x")
    (place / "full").mkdir()
    (place / "full" / "mine").touch()
    with pytest.raises(WorldweaveError, match="full is not empty"):
        scaffold.write({"whole.txt": "whole"}, place / "full")
    with pytest.raises(WorldweaveError, match="Not a directory; choose another"):
        scaffold.write({"whole.txt": "whole"}, place / "full" / "mine" / "x")
    assert sorted(path.name for path in place.rglob("*")) == ["full", "mine"]


def test_the_workflow_installs_checks_and_tests():
    text = Package(name="x1").files()[".github/workflows/test.yml"]
    steps = yaml.safe_load(text)["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step][-3:] == [
        'pip install -e ".[test]"',
        "worldweave check x1",
        "pytest",
    ]


def test_an_index_and_python_each_get_a_name_they_take():
    package = Package(name="a__b_")
    assert package.distribution == "worldweave-a-b"
    assert package.package == "worldweave_a__b_"
    assert tomllib.loads(package.files()["pyproject.toml"])["tool"]["hatch"]["build"][
        "targets"
    ]["wheel"] == {"packages": ["worldweave_a__b_"]}


def test_wide_characters_take_two_columns():
    assert scaffold.columns("a\N{CJK UNIFIED IDEOGRAPH-6E29}") == 3
    assert scaffold.columns("\N{FULLWIDTH LATIN SMALL LETTER A}é") == 3


def test_only_a_licence_whose_text_is_at_hand_comes_with_it(new, place):
    said = new("one", "--license", "mit", "--author", "Ada Lovelace")
    assert "Copyright (c) Ada Lovelace" in (
        place / "worldweave-one" / "LICENSE"
    ).read_text("utf-8")
    assert 'license = "MIT"' in (place / "worldweave-one/pyproject.toml").read_text()
    assert "put the text" not in said
    said = new("two", "--license", "apache-2.0")
    assert not (place / "worldweave-two" / "LICENSE").exists()
    assert "put the text of Apache-2.0 into a file LICENSE" in said


def test_templates_are_nothing_that_python_or_a_linter_would_take_for_code():
    folder = Path(scaffold.__file__).parent / "template"
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in found} == {".in"}
    told = set(scaffold.TEMPLATES.values())
    assert told == {path.relative_to(folder).as_posix() for path in found}
