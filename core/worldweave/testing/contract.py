"""The checks as tests: one class for a plugin's own test folder."""

from __future__ import annotations

import os
import sys
import unittest
from collections.abc import Callable, Mapping
from typing import ClassVar

from worldweave.testing.checks import CHECKS
from worldweave.testing.examination import examine
from worldweave.testing.kit import Check, Examination, Outcome, Verdict
from worldweave_registry import WorldweaveError

# unittest leaves out the frames of modules that say so: only the verdict is of use.
__unittest = True


class ModalityContract:
    """What every modality must do, a test method for each check.

    Subclass it in a test module and name the installed modality:

        class TestThermal(ModalityContract):
            modality_name = "thermal"

    pytest then shows a line for each check. With `unittest.TestCase` as a second
    parent, unittest runs them too.
    """

    modality_name: ClassVar[str] = ""
    """The modality, as thermal or thermal@acme-thermal."""
    expected_failures: ClassVar[Mapping[str, str]] = {}
    """Why a check is known to fail, by its name. One that passes after all fails."""
    base_name: ClassVar[str | None] = None
    """The base to try it on; None: the tiny world, where there is one."""
    _examination: ClassVar[Examination]

    @classmethod
    def examination(cls) -> Examination:
        """Return the examination of the modality, made once for each class.

        Raises WorldweaveError where there is nothing to examine.
        """
        # Not inherited: a subclass may name another modality.
        made: Examination | None = cls.__dict__.get("_examination")
        if made is None:
            if not cls.modality_name:
                raise WorldweaveError(
                    f"{cls.__name__} does not say which modality it is about; "
                    'write in it: modality_name = "thermal"'
                )
            made = examine(
                cls.modality_name, base=cls.base_name, expected=cls.expected_failures
            )
            cls._examination = made
        return made


def _test(check: Check) -> Callable[[ModalityContract], None]:
    def test(self: ModalityContract) -> None:
        __tracebackhide__ = True
        try:
            examination = self.examination()
        except WorldweaveError as error:
            raise AssertionError(str(error)) from None
        _tell(examination.verdict(check.name))

    test.__name__ = f"test_{check.name}"
    test.__qualname__ = f"{ModalityContract.__name__}.{test.__name__}"
    test.__doc__ = f"{check.claim[:1].upper()}{check.claim[1:]}."
    return test


def _tell(verdict: Verdict) -> None:
    """Speak of a verdict as test runners do."""
    __tracebackhide__ = True
    if verdict.outcome is Outcome.LEFT_OUT:
        raise unittest.SkipTest(verdict.says)
    if verdict.outcome is Outcome.EXPECTED:
        _tell_expected(verdict.says)
    if verdict.outcome is not Outcome.PASSED:
        raise AssertionError(
            f"{verdict.says}\nasked: {verdict.check.claim}\nto do: {verdict.mend}"
        )


def _tell_expected(says: str) -> None:
    """Say that a check fails as expected: xfailed where pytest runs, else skipped.

    Returns where pytest is asked to show such failures (--runxfail).
    """
    __tracebackhide__ = True
    pytest = sys.modules.get("pytest")
    if pytest is not None and "PYTEST_CURRENT_TEST" in os.environ:
        pytest.xfail(says)
        return
    raise unittest.SkipTest(f"fails as expected: {says}")


for _check in CHECKS:
    setattr(ModalityContract, f"test_{_check.name}", _test(_check))
