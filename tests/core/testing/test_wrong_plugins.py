"""For every check a plugin that does just that wrong, and all else right."""

from pathlib import Path

import attrs
import pytest

from worldweave.testing.checks import CHECKS
from worldweave.testing.kit import Examination, Outcome

WRONG = {file.stem for file in (Path(__file__).parent / "wrong").glob("*.py")}

# Not every plugin ships weights, has options, or claims to work frame by frame.
NOT_EVERYBODY_HAS = {
    "shipped_weights_are_there",
    "weights_fit_their_base",
    "options_refuse_nonsense",
    "random_options_are_accepted",
    "per_frame_claim_holds",
}

# What the checks of a module look at. Most wrong plugins share all parts but one,
# and what has been judged once need not be judged again: 5 s for each plugin. That
# assumes that a check looks at nothing else of a plugin than the parts named here, and
# keeps nothing for the next: where one comes to look at more, name it, or a verdict of
# another plugin is taken for that of this one.
PARTS = {
    "preprocessing": ("preprocessor",),
    "options": ("preprocessor", "recipe"),
    "branch": ("branch",),
    "numerics": ("branch",),
    "weights": ("branch", "weights"),
    "training": ("branch", "preprocessor", "recipe"),
    "metric": ("metric",),
    "living": ("branch",),
}


def _once(check, judged):
    """Return *check* so that it looks once at the parts that plugins share."""
    parts = PARTS.get(check.look.__module__.rpartition(".")[2])
    if parts is None:
        return check

    def look(subject):
        named = [getattr(subject.modality, part) for part in parts]
        key = (check.name, *named)
        if key not in judged:
            judged[key] = None
            try:
                check.look(subject)
            except Exception as found:
                judged[key] = found
        if judged[key] is not None:
            raise judged[key]

    return attrs.evolve(check, look=look)


JUDGED = {}
CHECKS_ONCE = [_once(each, JUDGED) for each in CHECKS]


@pytest.mark.parametrize("check", [each.name for each in CHECKS])
def test_a_plugin_that_does_one_thing_wrong_fails_that_check_and_no_other(check, wrong):
    examination = Examination(wrong(check), CHECKS_ONCE)
    verdicts = {v.check.name: v for v in examination.verdicts()}
    failed = [n for n, v in verdicts.items() if v.outcome is Outcome.FAILED]
    assert failed == [check], [(v.check.name, v.says) for v in verdicts.values()]
    # And it says so: what was found, and what to do.
    assert verdicts[check].says
    assert verdicts[check].mend
    left_out = {n for n, v in verdicts.items() if v.outcome is Outcome.LEFT_OUT}
    assert left_out <= _after(check) | NOT_EVERYBODY_HAS


def _after(check):
    """Return the checks that need *check*, or one that needs it."""
    found = {each.name for each in CHECKS if check in each.needs}
    return found.union(*map(_after, found))


def test_every_wrong_plugin_belongs_to_a_check():
    assert {each.name for each in CHECKS} == WRONG
