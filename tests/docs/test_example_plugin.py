"""The example plugin of the docs: a modality of nobody here, and it conforms."""

import contextlib
import importlib
import io
import re
import runpy
import shutil
import sys
from pathlib import Path

import pytest

from worldweave.cli import main
from worldweave.testing import CHECKS, Examination, Outcome, Subject
from worldweave_registry import discover

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "example-plugin"
pytestmark = pytest.mark.skipif(
    not EXAMPLE.exists(), reason="the docs are not part of the wheel"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The example installed for this module's tests, and no other third party."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE / "worldweave_flow", folder / "worldweave_flow")
    info = folder / "worldweave_flow-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: worldweave-flow\nVersion: 0.1.0\n"
    )
    (info / "entry_points.txt").write_text("[worldweave.v1]\nflow = worldweave_flow\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("WORLDWEAVE_PLUGINS", "worldweave,worldweave-flow")
        importlib.invalidate_caches()
        yield folder
    for name in [each for each in sys.modules if each.startswith("worldweave_flow")]:
        del sys.modules[name]


def test_its_entry_point_is_the_one_these_tests_install(site):
    assert (
        '[project.entry-points."worldweave.v1"]\nflow = "worldweave_flow"\n'
        in (EXAMPLE / "pyproject.toml").read_text()
    )
    assert discover().find("flow").license == "Apache-2.0"


def test_it_does_what_every_modality_must(site):
    verdicts = list(Examination(Subject.find("flow"), CHECKS).verdicts())
    assert [(v.check.name, v.says) for v in verdicts if v.is_bad] == []
    left_out = {v.check.name for v in verdicts if v.outcome is Outcome.LEFT_OUT}
    # It does not claim to work frame by frame, and ships no weights.
    assert left_out == {
        "per_frame_claim_holds",
        "shipped_weights_are_there",
        "weights_fit_their_base",
    }


def test_its_own_tests_pass(site):
    tests = runpy.run_path(str(EXAMPLE / "tests" / "test_conforms.py"))
    own = [test for name, test in tests.items() if name.startswith("test_")]
    for test in own:
        test()
    assert len(own) >= 2
    assert tests["TestFlow"].modality_name == "flow"


def test_the_page_on_options_shows_its_code(site):
    page = (ROOT / "docs/plugins/3-options-and-errors.md").read_text()
    (shown,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    code = (EXAMPLE / "worldweave_flow/preprocess.py").read_text()
    for line in shown.splitlines():
        assert line.removesuffix(" ...") in code


def test_the_errors_of_the_page_on_options_are_what_users_read(
    site, source, tmp_path, monkeypatch
):
    page = (ROOT / "docs/plugins/3-options-and-errors.md").read_text()
    (block,) = re.findall(r"```console\n\$ worldweave (.*?)\n(.*?)```", page, re.DOTALL)
    command, wanted = block
    shutil.copy(source, tmp_path / "in.mp4")
    monkeypatch.chdir(tmp_path)
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        assert main(command.split()) == 2
    assert said.getvalue() == wanted
