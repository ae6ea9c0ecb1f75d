"""What comes of a check, and how one check leans on another."""

import warnings

import pytest

from worldweave.testing.kit import Check, Examination, Outcome, check, fail
from worldweave.testing.subject import NotApplicable, Subject
from worldweave_registry import Modality, Plugin, Problems, State, WorldweaveError

SUBJECT = Subject(
    modality=Modality(
        name="it",
        summary="For tests",
        license="MIT",
        preprocessor="acme_cart.parts:Cart",
    ),
    plugin=Plugin(name="it", distribution="acme", version="1", state=State.READY),
    catalog=None,
)


@check("it always holds")
def holds(subject):
    pass


@check("it never holds")
def breaks(subject):
    fail("found 3 wheels", "add a fourth")


@check("there is nothing to look at")
def is_moot(subject):
    raise NotApplicable("it has no wheels")


def needing(*needs, look=lambda subject: None):
    return Check(
        name="leans", claim="it leans", look=look, needs=tuple(n.name for n in needs)
    )


def verdict_of(one, *others, expected=None):
    return Examination(SUBJECT, [one, *others], expected).verdict(one.name)


def test_a_check_has_the_name_of_its_function_and_those_it_needs():
    @check("it stands", needs=(holds, breaks))
    def stands(subject):
        pass

    assert (stands.name, stands.claim) == ("stands", "it stands")
    assert stands.needs == ("holds", "breaks")


def test_a_verdict_says_what_was_found_and_what_to_do():
    found = verdict_of(breaks)
    assert found.outcome is Outcome.FAILED
    assert (found.says, found.mend) == ("found 3 wheels", "add a fourth")
    assert found.is_bad


def test_a_check_that_passes_says_nothing():
    found = verdict_of(holds)
    assert (found.outcome, found.says, found.mend) == (Outcome.PASSED, "", "")
    assert not found.is_bad


def test_a_check_without_anything_to_look_at_says_why():
    found = verdict_of(is_moot)
    assert (found.outcome, found.says) == (Outcome.LEFT_OUT, "it has no wheels")
    assert not found.is_bad


def test_a_check_is_left_out_where_one_that_it_needs_fails():
    found = verdict_of(needing(holds, breaks), holds, breaks)
    assert found.outcome is Outcome.LEFT_OUT
    assert found.says == "nothing to look at before breaks passes"


def test_a_check_is_left_out_for_the_reason_of_the_one_that_it_needs():
    found = verdict_of(needing(is_moot), is_moot)
    assert (found.outcome, found.says) == (Outcome.LEFT_OUT, "it has no wheels")


def test_a_needed_check_goes_first_and_runs_once():
    looks = []
    first = Check(name="first", claim="", look=lambda subject: looks.append("first"))
    leans = needing(first, look=lambda subject: looks.append("leans"))
    examination = Examination(SUBJECT, [leans, first])
    assert [v.check.name for v in examination.verdicts()] == ["leans", "first"]
    assert looks == ["first", "leans"]


def test_an_expected_failure_is_told_with_its_reason_and_is_not_bad():
    found = verdict_of(breaks, expected={"breaks": "it is a tricycle"})
    assert found.outcome is Outcome.EXPECTED
    assert found.says == "found 3 wheels (it is a tricycle)"
    assert not found.is_bad


def test_a_check_that_passes_though_its_failure_is_expected_is_bad():
    found = verdict_of(holds, expected={"holds": "it is a tricycle"})
    assert found.outcome is Outcome.SURPRISED
    assert found.is_bad
    assert "it is a tricycle" in found.says
    assert found.mend == "take it out of the expected failures"


def test_what_needs_a_check_does_not_care_what_was_expected_of_it():
    reason = {"holds": "why not", "breaks": "why not"}
    on_passed = verdict_of(needing(holds), holds, breaks, expected=reason)
    assert on_passed.outcome is Outcome.PASSED
    on_failed = verdict_of(needing(breaks), holds, breaks, expected=reason)
    assert on_failed.outcome is Outcome.LEFT_OUT


def test_a_check_that_is_left_out_is_no_expected_failure():
    found = verdict_of(is_moot, expected={"is_moot": "why not"})
    assert (found.outcome, found.says) == (Outcome.LEFT_OUT, "it has no wheels")


def test_expecting_what_no_check_is_called_or_without_a_reason_is_refused_together():
    with pytest.raises(Problems) as told:
        Examination(SUBJECT, [holds, breaks], {"break": "why not", "holds": " "})
    assert told.value.problems == (
        "there is no check 'break'; did you mean 'breaks'?",
        "the expected failure of 'holds' has no reason; give one",
    )


def test_an_exception_in_a_check_is_a_failure_that_names_file_and_line():
    def look(subject):
        {}["wheels"]

    found = verdict_of(Check(name="raises", claim="", look=look))
    line = look.__code__.co_firstlineno + 1
    assert found.outcome is Outcome.FAILED
    assert found.says == f"it raised KeyError: 'wheels' (test_kit.py:{line})"
    assert found.mend


def test_the_place_is_the_last_one_in_the_plugin_not_in_what_it_calls():
    source = "def wheel(): return __import__('json').loads('{')\n"
    names = {"__name__": "acme_cart.wheels"}
    exec(compile(source, "/site/acme_cart/wheels.py", "exec"), names)
    found = verdict_of(Check(name="raises", claim="", look=lambda _: names["wheel"]()))
    assert found.says.endswith(" (wheels.py:1)")

    def look(subject):
        try:
            names["wheel"]()
        except ValueError as error:
            fail("a wheel is off", "mend it", error)

    found = verdict_of(Check(name="fails", claim="", look=look))
    assert found.says == "a wheel is off (wheels.py:1)"


def test_an_error_meant_for_users_speaks_for_itself():
    def look(subject):
        raise WorldweaveError("the wheel is flat; pump it up")

    found = verdict_of(Check(name="raises", claim="", look=look))
    assert (found.outcome, found.says) == (
        Outcome.FAILED,
        "the wheel is flat; pump it up",
    )
    assert found.mend


def test_a_plugin_that_ends_the_process_ends_its_check_alone():
    def look(subject):
        raise SystemExit("no licence key")

    found = verdict_of(Check(name="exits", claim="", look=look))
    assert found.outcome is Outcome.FAILED
    assert "SystemExit: no licence key" in found.says


def test_an_interruption_by_the_user_is_no_verdict():
    def look(subject):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verdict_of(Check(name="waits", claim="", look=look))


def test_a_warning_is_no_failure_even_where_warnings_are_errors():
    def look(subject):
        warnings.warn("deprecated", DeprecationWarning, stacklevel=1)

    warnings.simplefilter("error")
    assert verdict_of(Check(name="warns", claim="", look=look)).says == ""
