"""`worldweave check`: a line for each check, what to do, and an honest exit code."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from worldweave.cli import main
from worldweave.testing import CHECKS, only_plugins

SONAR = """
import os

import attrs
import worldweave


@attrs.frozen(kw_only=True)
class Echo:
    def __attrs_post_init__(self):
        print("1 printed")
        os.write(1, b"2 written to the descriptor\\n")
        os.system("echo 3 a subprocess")

    def __call__(self, frames):
        return 255 - frames


@worldweave.hookimpl
def worldweave_modalities():
    echo = "acme_sonar:Echo"
    about = {"summary": "Echoes", "preprocessor": echo}
    return [
        worldweave.Modality(name="sonar", license="ask [b]us[/b] :car:", **about),
        worldweave.Modality(name="radar", license="MIT", **about),
    ]
"""
QUICK = "parts_can_be_imported,licence_is_stated,shipped_weights_are_there"
CLAIM = {check.name: check.claim for check in CHECKS}


@attrs.frozen
class Ran:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def complaints(self) -> list[str]:
        return [line.removeprefix("worldweave: ") for line in self.err.splitlines()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two distributions: one with two modalities, one that is broken."""
    folder = tmp_path_factory.mktemp("site")
    for name, source in (("sonar", SONAR), ("lost", "import no_such_package_here")):
        (folder / f"acme_{name}.py").write_text(source)
        info = folder / f"acme_{name}-0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 0.1\n"
        )
        (info / "entry_points.txt").write_text(
            f"[worldweave.v1]\n{name} = acme_{name}\n"
        )
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    with only_plugins("worldweave", "acme-sonar", "acme-lost"):
        yield folder
    sys.path.remove(str(folder))


@pytest.fixture
def check(site: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    def check_(*arguments: str) -> Ran:
        capfd.readouterr()
        code = main(["check", *arguments])
        return Ran(code, *capfd.readouterr())

    return check_


def test_each_check_has_a_line_and_a_failure_says_what_to_do(check):
    ran = check("sonar", "--only", QUICK)
    heading, imported, licence, found, to_do, weights, sentence = ran.lines
    assert ran.code == 1
    assert heading == "sonar from acme-sonar 0.1, on tiny-world"
    assert imported == f"ok        {CLAIM['parts_can_be_imported']}"
    assert licence == f"FAILED    {CLAIM['licence_is_stated']} [licence_is_stated]"
    assert found == "          found: it has license 'ask [b]us[/b] :car:'"
    assert to_do.startswith("          to do: write an SPDX identifier")
    assert weights == (
        f"-         {CLAIM['shipped_weights_are_there']} (it ships no weights)"
    )
    assert sentence.startswith("1 passed, 1 failed, 1 left out in ")
    assert sentence.endswith(" s")


def test_where_all_is_well_the_exit_code_is_0(check):
    ran = check("radar@acme-sonar", "--only", "licence_is_stated")
    assert ran.code == 0
    assert ran.lines[-1].startswith("1 passed in ")


def test_what_plugins_print_goes_to_standard_error(check):
    ran = check("radar", "--only", "parts_can_be_imported", "--json")
    assert [record["outcome"] for record in json.loads(ran.out)] == ["passed"]
    assert {line[0] for line in ran.err.splitlines()} == set("123")


def test_a_failure_that_is_expected_is_no_failure_and_its_reason_is_shown(check):
    expect = "licence_is_stated=the lawyers are slow"
    ran = check("sonar", "--only", QUICK, "--expect", expect)
    assert ran.code == 0
    assert ran.lines[2] == f"expected  {CLAIM['licence_is_stated']}"
    assert ran.lines[3].endswith("(the lawyers are slow)")
    assert ran.lines[-1].startswith("1 passed, 1 failed as expected, 1 left out in ")


def test_an_expected_failure_that_does_not_come_is_a_failure(check):
    expect = "licence_is_stated=the lawyers are slow"
    ran = check("radar", "--only", "licence_is_stated", "--expect", expect)
    assert ran.code == 1
    assert ran.lines[1].startswith("SURPRISE  ")
    assert "a failure is expected (the lawyers are slow)" in ran.lines[2]
    assert ran.lines[3].startswith("          to do: take it out")
    assert ran.lines[-1].startswith("1 passed though expected to fail in ")


def test_an_expectation_of_a_check_that_does_not_run_is_let_be(check):
    ran = check(
        "radar", "--only", "licence_is_stated", "--expect", "odd_sizes_work=none"
    )
    assert ran.code == 0


def test_only_also_runs_what_the_named_check_needs(check):
    (one,) = (each for each in CHECKS if each.name == "one_frame_is_enough")
    assert one.needs
    ran = check("radar", "--only", one.name, "--json")
    names = [record["check"] for record in json.loads(ran.out)]
    assert names[-1] == one.name
    assert set(one.needs) < set(names)
    in_order = [each.name for each in CHECKS if each.name in names]
    assert names == in_order


def test_the_records_have_stable_keys(check):
    ran = check("sonar", "--only", QUICK, "--json")
    assert ran.code == 1
    passed, failed, left_out = json.loads(ran.out)
    keys = ["check", "claim", "outcome", "says", "mend", "seconds", "since"]
    assert [*passed] == [*failed] == [*left_out] == keys
    assert (passed["outcome"], passed["says"], passed["mend"]) == ("passed", "", "")
    assert failed["check"] == "licence_is_stated"
    assert failed["claim"] == CLAIM["licence_is_stated"]
    assert failed["outcome"] == "failed"
    assert failed["says"] == "it has license 'ask [b]us[/b] :car:'"
    assert failed["mend"]
    assert failed["since"] == "0.1"
    assert left_out["outcome"] == "left_out"
    assert all(each["seconds"] >= 0 for each in (passed, failed, left_out))


def test_the_list_has_every_check_with_claim_and_release(check):
    heading, *rows = check("--list").lines
    assert heading.split() == ["CHECK", "SINCE", "CLAIM"]
    assert [row.split(maxsplit=2) for row in rows] == [
        [each.name, each.since, each.claim] for each in CHECKS
    ]
    records = json.loads(check("--list", "--json").out)
    assert [record["check"] for record in records] == [each.name for each in CHECKS]
    assert {tuple(record) for record in records} == {
        ("check", "claim", "needs", "since")
    }


def test_all_mistakes_are_told_at_once(check):
    ran = check(
        *("sonnar", "--base", "tinyworld", "--only", "foo,licence_is_state"),
        *("--expect", "bar", "--expect", "licence_is_stated= ", "--only", "baz"),
    )
    assert (ran.code, ran.out) == (2, "")
    assert ran.complaints == [
        "--expect 'bar' gives no reason; write CHECK=REASON",
        "no plugin supplies the modality 'sonnar'; did you mean 'sonar'?",
        "no plugin supplies the base 'tinyworld'; did you mean 'tiny-world'?",
        "there is no check 'foo'; see: worldweave check --list",
        "there is no check 'licence_is_state'; did you mean 'licence_is_stated'?",
        "there is no check 'baz'; see: worldweave check --list",
        "the expected failure of 'licence_is_stated' has no reason; give one",
    ]


def test_a_broken_plugin_is_told_with_its_problem(check):
    ran = check("lost")
    assert (ran.code, ran.out) == (2, "")
    (complaint,) = ran.complaints
    assert "acme-lost 0.1, which is broken: " in complaint
    assert "no_such_package_here" in complaint


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "which modality? such as: worldweave check edge; see: worldweave plugins"),
        (["radar", "--only", ","], "--only names no check; see: worldweave check "),
    ],
)
def test_what_is_missing_is_asked_for(check, arguments, complaint):
    ran = check(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert ran.complaints[0].startswith(complaint)


def test_colours_are_for_terminals(check, monkeypatch):
    for variable in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b" not in check("sonar", "--only", QUICK).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32mok" in check("sonar", "--only", QUICK).out


def test_a_plugin_cannot_paint_the_terminal(check):
    ran = check("sonar", "--only", QUICK, "--expect", "licence_is_stated=\x1b[31mred")
    assert "?[31mred" in ran.out
    assert "\x1b" not in ran.out


def test_the_help_warns_that_foreign_code_runs(site):
    code = "from worldweave.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "check", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert "This runs the plugin's code" in done.stdout
