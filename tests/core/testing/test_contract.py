"""`ModalityContract` as authors use it: with pytest, with unittest, one test alone."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import attrs
import pytest

import worldweave
import worldweave.testing
from worldweave.testing import CHECKS, ModalityContract, only_plugins
from worldweave_registry import discover

PLUGIN = """
import worldweave

@worldweave.hookimpl
def worldweave_modalities():
    return [worldweave.Modality(
        name="sonar", summary="Echoes", license="ask us",
        preprocessor="worldweave_plugins.edge.preprocess:Canny")]
"""
TESTS = """
import unittest

from worldweave.testing import ModalityContract

WHY = {"licence_is_stated": "the lawyers are slow"}

class TestGood(ModalityContract):
    modality_name = "edge"

class TestBad(ModalityContract):
    modality_name = "sonar@acme-contract"

class TestExpected(TestBad):
    expected_failures = WHY

class TestExpectedInUnittest(ModalityContract, unittest.TestCase):
    modality_name = "sonar"
    expected_failures = WHY

class TestSurprised(TestGood):
    expected_failures = WHY

class TestNameless(ModalityContract):
    pass

class TestMisspelt(ModalityContract):
    modality_name = "sonnar"
    base_name = "tiny-word"
    expected_failures = {"licence_is_state": "", "one_frame_is_enough": " "}
"""


@attrs.frozen
class Told:
    """What pytest says of one test."""

    outcome: str
    message: str = ""


@attrs.frozen
class Ran:
    code: int
    printed: str
    told: dict[str, Told]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "acme_contract.py").write_text(PLUGIN)
    info = folder / "acme_contract-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: acme-contract\nVersion: 0.1\n"
    )
    (info / "entry_points.txt").write_text("[worldweave.v1]\nsonar = acme_contract\n")
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    with only_plugins("worldweave", "acme-contract"):
        yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def ran(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A run of pytest over a test module as authors write it, two checks of each."""
    folder = tmp_path_factory.mktemp("tests")
    (folder / "test_them.py").write_text(TESTS)
    path = os.pathsep.join([str(site), *filter(None, sys.path)])
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider"),
            *("-k", "licence_is_stated or shipped_weights", "--junitxml=told.xml"),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200", "CI": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    told = {}
    for case in ElementTree.parse(folder / "told.xml").iter("testcase"):
        name = f"{case.attrib['classname']}.{case.attrib['name']}"
        ends = [Told(_outcome(each), each.attrib["message"]) for each in case]
        told[name.removeprefix("test_them.")] = (ends or [Told("passed")])[0]
    return Ran(done.returncode, done.stdout, told)


def _outcome(end: ElementTree.Element) -> str:
    return end.attrib.get("type", end.tag).removeprefix("pytest.")


LICENCE, WEIGHTS = "test_licence_is_stated", "test_shipped_weights_are_there"


def test_pytest_has_a_line_for_each_check_of_each_class(ran):
    assert ran.code == 1
    assert len(ran.told) == 2 * 7  # and nothing of ModalityContract itself
    assert re.search(r"6 failed, 3 passed, 3 skipped, .* 2 xfailed in", ran.printed)


def test_a_check_that_passes_is_a_test_that_passes(ran):
    assert ran.told[f"TestGood.{LICENCE}"] == Told("passed")
    assert ran.told[f"TestGood.{WEIGHTS}"] == Told("passed")


def test_a_failure_says_what_was_found_what_is_asked_and_what_to_do(ran):
    told = ran.told[f"TestBad.{LICENCE}"]
    assert told.outcome == "failure"
    found, asked, to_do = told.message.splitlines()
    assert found == "AssertionError: it has license 'ask us'"
    (claim,) = (each.claim for each in CHECKS if each.name == "licence_is_stated")
    assert asked == f"asked: {claim}"
    assert to_do.startswith("to do: write an SPDX identifier")


def test_a_failure_is_told_without_our_own_code_around_it(ran):
    failures = ran.printed.split("= FAILURES =")[1].split("= short test summary")[0]
    assert failures.count("All traceback entries are hidden") == 6
    assert ".py" not in failures


def test_where_there_is_nothing_to_look_at_the_test_is_skipped_and_says_why(ran):
    for name in ("TestBad", "TestExpected"):
        assert ran.told[f"{name}.{WEIGHTS}"] == Told("skip", "it ships no weights")


@pytest.mark.parametrize("name", ["TestExpected", "TestExpectedInUnittest"])
def test_an_expected_failure_is_xfailed_with_its_reason(ran, name):
    told = ran.told[f"{name}.{LICENCE}"]
    assert told.outcome == "xfail"
    assert told.message == "it has license 'ask us' (the lawyers are slow)"


def test_an_expected_failure_that_does_not_come_fails(ran):
    told = ran.told[f"TestSurprised.{LICENCE}"]
    assert told.outcome == "failure"
    assert "a failure is expected (the lawyers are slow)" in told.message
    assert "to do: take it out of the expected failures" in told.message
    assert ran.told[f"TestSurprised.{WEIGHTS}"] == Told("passed")


@pytest.mark.parametrize("test", [LICENCE, WEIGHTS])
def test_a_class_that_names_no_modality_fails_and_says_what_to_write(ran, test):
    told = ran.told[f"TestNameless.{test}"]
    assert told.outcome == "failure"
    assert told.message == (
        "AssertionError: TestNameless does not say which modality it is about; "
        'write in it: modality_name = "thermal"'
    )


@pytest.mark.parametrize("test", [LICENCE, WEIGHTS])
def test_all_mistakes_of_a_class_are_told_at_once(ran, test):
    told = ran.told[f"TestMisspelt.{test}"]
    assert told.outcome == "failure"
    assert told.message.removeprefix("AssertionError: ").splitlines() == [
        "no plugin supplies the modality 'sonnar'; did you mean 'sonar'?",
        "no plugin supplies the base 'tiny-word'; did you mean 'tiny-world'?",
        "there is no check 'licence_is_state'; did you mean 'licence_is_stated'?",
        "the expected failure of 'licence_is_state' has no reason; give one",
        "the expected failure of 'one_frame_is_enough' has no reason; give one",
    ]


def test_there_is_a_test_for_every_check_and_it_tells_the_claim():
    tests = [name for name in vars(ModalityContract) if name.startswith("test_")]
    assert tests == [f"test_{each.name}" for each in CHECKS]
    for each in CHECKS:
        claim = getattr(ModalityContract, f"test_{each.name}").__doc__
        assert claim.lower() == f"{each.claim}.".lower()


def test_one_test_can_be_run_alone_and_brings_what_it_needs(site):
    class Alone(ModalityContract):
        modality_name = "sonar"

    Alone().test_one_frame_is_enough()  # type: ignore[attr-defined]
    reached = Alone.examination()._found
    assert {"one_frame_is_enough", "parts_can_be_imported"} <= set(reached)
    assert "licence_is_stated" not in reached


def test_a_class_is_examined_once_and_its_children_for_themselves(site):
    class Mother(ModalityContract):
        modality_name = "sonar"

    class Child(Mother):
        modality_name = "edge"

    assert Mother.examination() is Mother.examination()
    assert Child.examination() is not Mother.examination()
    assert Child.examination().subject.modality.name == "edge"


def test_unittest_runs_it_too(site, monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")

    class Good(ModalityContract, unittest.TestCase):
        modality_name = "edge"

    class Bad(ModalityContract, unittest.TestCase):
        modality_name = "sonar"

    class Expected(Bad):
        expected_failures = {"licence_is_stated": "the lawyers are slow"}  # noqa: RUF012

    result = unittest.TestResult()
    for kind in (Good, Bad, Expected):
        kind(LICENCE).run(result)
    assert result.testsRun == 3
    assert result.errors == []
    ((failed, text),) = result.failures
    assert isinstance(failed, Bad)
    assert text.startswith("AssertionError: it has license 'ask us'\nasked: ")
    ((_, why),) = result.skipped
    assert why == "fails as expected: it has license 'ask us' (the lawyers are slow)"


def test_only_plugins_hides_the_others_and_puts_all_back(site, monkeypatch):
    monkeypatch.setenv("WORLDWEAVE_PLUGINS", "sonar")
    with only_plugins("edge@worldweave", "vis"):
        assert {plugin.name for plugin in discover().plugins} == {"edge", "vis"}
        with only_plugins():
            assert discover().plugins == ()
    assert [plugin.name for plugin in discover().plugins] == ["sonar"]
    monkeypatch.delenv("WORLDWEAVE_PLUGINS")
    with pytest.raises(KeyError, match="whatever"), only_plugins("vis"):
        raise KeyError("whatever")
    assert "WORLDWEAVE_PLUGINS" not in os.environ


@pytest.mark.parametrize("name", worldweave.testing.__all__)
def test_every_public_name_of_the_kit_is_there(name):
    assert getattr(worldweave.testing, name) is not None
    assert name in dir(worldweave.testing)


def test_the_kit_imports_nothing_until_it_is_asked():
    code = (
        "import sys, worldweave.testing as t; t.only_plugins; "
        "print({'torch', 'numpy', 'pytest'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
