"""For every check a plugin that does just that wrong, and all else right."""

from pathlib import Path

import pytest

from worldweave.testing.checks import CHECKS
from worldweave.testing.kit import Examination, Outcome

WRONG = {file.stem for file in (Path(__file__).parent / "wrong").glob("*.py")}


@pytest.mark.parametrize("check", [each.name for each in CHECKS])
def test_a_plugin_that_does_one_thing_wrong_fails_that_check_and_no_other(check, wrong):
    verdicts = {v.check.name: v for v in Examination(wrong(check), CHECKS).verdicts()}
    failed = [n for n, v in verdicts.items() if v.outcome is Outcome.FAILED]
    assert failed == [check], [(v.check.name, v.says) for v in verdicts.values()]
    # And it says so: what was found, and what to do.
    assert verdicts[check].says
    assert verdicts[check].mend
    left_out = {n for n, v in verdicts.items() if v.outcome is Outcome.LEFT_OUT}
    after = {each.name for each in CHECKS if check in each.needs}
    assert left_out <= after | {"weights_fit_their_base"}


def test_every_wrong_plugin_belongs_to_a_check():
    assert {each.name for each in CHECKS} == WRONG
