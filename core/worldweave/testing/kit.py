"""Judge a modality: what a check is, what comes of it, one after another."""

from __future__ import annotations

import contextlib
import enum
import time
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import TracebackType
from typing import NoReturn

import attrs
import torch

from worldweave.request.check import raise_all
from worldweave.testing.subject import NotApplicable, Subject
from worldweave_registry import (
    WorldweaveError,
    did_you_mean,
    let_interrupts_pass,
    one_line,
)


class Failure(Exception):  # noqa: N818 -- a verdict, not a mistake of the caller
    """What is wrong with a modality, what its author should do, and what it raised."""

    def __init__(
        self, says: str, mend: str, error: BaseException | None = None
    ) -> None:
        self.says = says
        self.mend = mend
        self.error = error
        super().__init__(f"{says}; {mend}")


def fail(says: str, mend: str, error: BaseException | None = None) -> NoReturn:
    """End a check: *says* what was found, with values; *mend* what to do about it.

    error: what the modality raised, if it did; the place is added to what is said.
    """
    raise Failure(says, mend, error)


def each_once(advice: Iterable[str]) -> str:
    """Return several pieces of advice as one, each said once."""
    return "; ".join(dict.fromkeys(advice))


@attrs.frozen(kw_only=True)
class Check:
    """One thing that every modality must do.

    name: how it is called, such as "one_frame_is_enough". claim: what holds where it
    passes, one line. needs: the checks without which there is nothing to look at.
    since: the minor release that brought it; none becomes stricter between two.
    """

    name: str
    claim: str
    look: Callable[[Subject], None] = attrs.field(repr=False, eq=False)
    needs: tuple[str, ...] = ()
    since: str = "0.1"


def check(
    claim: str, *, needs: Iterable[Check] = (), since: str = "0.1"
) -> Callable[[Callable[[Subject], None]], Check]:
    """Make a check of a function that looks at a subject.

    The function returns where all is well, calls `fail` where it is not, and raises
    NotApplicable where there is nothing to look at.
    """

    def made(look: Callable[[Subject], None]) -> Check:
        return Check(
            name=look.__name__,
            claim=claim,
            look=look,
            needs=tuple(each.name for each in needs),
            since=since,
        )

    return made


class Outcome(enum.Enum):
    """What came of a check."""

    PASSED = "passed"
    FAILED = "failed"
    LEFT_OUT = "left out"
    EXPECTED = "failed as expected"
    SURPRISED = "passed, though a failure is expected"


@attrs.frozen(kw_only=True)
class Verdict:
    """What came of one check of one modality.

    says: what was found, or why there was nothing to look at; "" where it passed.
    mend: what to do; "" unless something is to be done.
    """

    check: Check
    outcome: Outcome
    says: str = ""
    mend: str = ""
    seconds: float = 0.0

    @property
    def is_bad(self) -> bool:
        """Whether the modality does not conform."""
        return self.outcome in (Outcome.FAILED, Outcome.SURPRISED)


class Examination:
    """The verdicts on one modality, each reached once and when it is asked for.

    expected: why a check is known to fail, by its name. That is strict: a check that
    passes although its failure is expected is as bad as one that fails.
    """

    def __init__(
        self,
        subject: Subject,
        checks: Iterable[Check],
        expected: Mapping[str, str] | None = None,
    ) -> None:
        self.subject = subject
        self.checks = {each.name: each for each in checks}
        self.expected = dict(expected or {})
        self._found: dict[str, Verdict] = {}
        raise_all(expectation_problems(self.expected, self.checks))

    def verdicts(self) -> Iterator[Verdict]:
        """Yield the verdict of every check, in order."""
        for name in self.checks:
            yield self.verdict(name)

    def verdict(self, name: str) -> Verdict:
        """Return the verdict of one check; those it needs are reached first."""
        if name not in self._found:
            self._found[name] = self._reach(self.checks[name])
        return self._found[name]

    def _reach(self, one: Check) -> Verdict:
        for needed in one.needs:
            outcome = self._raw(needed)
            if outcome is Outcome.PASSED:
                continue
            says = f"nothing to look at before {needed} passes"
            if outcome is Outcome.LEFT_OUT:
                says = self.verdict(needed).says  # for that reason, and no other
            return Verdict(check=one, outcome=Outcome.LEFT_OUT, says=says)
        begun = time.perf_counter()
        with _one_thread():
            found = _look(one, self.subject)
        spent = time.perf_counter() - begun
        return self._with_expectation(attrs.evolve(found, seconds=spent))

    def _raw(self, name: str) -> Outcome:
        """Return what came of a check, expected or not."""
        outcome = self.verdict(name).outcome
        return {
            Outcome.EXPECTED: Outcome.FAILED,
            Outcome.SURPRISED: Outcome.PASSED,
        }.get(outcome, outcome)

    def _with_expectation(self, found: Verdict) -> Verdict:
        reason = self.expected.get(found.check.name)
        if reason is None:
            return found
        if found.outcome is Outcome.FAILED:
            return attrs.evolve(
                found, outcome=Outcome.EXPECTED, says=f"{found.says} ({reason})"
            )
        if found.outcome is Outcome.PASSED:
            return attrs.evolve(
                found,
                outcome=Outcome.SURPRISED,
                says=f"it passes, though a failure is expected ({reason})",
                mend="take it out of the expected failures",
            )
        return found


def expectation_problems(
    expected: Mapping[str, str], known: Collection[str]
) -> list[str]:
    """Return what is wrong with expected failures: reasons by the name of a check."""
    return [
        *unknown_checks(expected, known),
        *(
            f"the expected failure of {name!r} has no reason; give one"
            for name, reason in expected.items()
            if not reason.strip()
        ),
    ]


def unknown_checks(names: Iterable[str], known: Collection[str]) -> list[str]:
    """Return a line for each name that no check has."""
    return [
        f"there is no check {name!r}"
        f"{did_you_mean(name, known) or '; see: worldweave check --list'}"
        for name in dict.fromkeys(names)
        if name not in known
    ]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in one thread; put their number back.

    Networks as small as those of the checks gain nothing from more, and lose much on
    a busy machine, where threads wait for each other.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _look(one: Check, subject: Subject) -> Verdict:
    try:
        # The verdict must not depend on what is done about warnings.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one.look(subject)
    except NotApplicable as reason:
        return Verdict(check=one, outcome=Outcome.LEFT_OUT, says=str(reason))
    except Failure as found:
        place = "" if found.error is None else where(found.error, subject)
        return Verdict(
            check=one,
            outcome=Outcome.FAILED,
            says=f"{found.says}{place}",
            mend=found.mend,
        )
    except WorldweaveError as error:
        return Verdict(
            check=one,
            outcome=Outcome.FAILED,
            says=one_line(error),
            mend="mend what it names",
        )
    except BaseException as error:
        # A plugin may raise anything at all, and that is what we are here to tell.
        let_interrupts_pass(error)
        return Verdict(
            check=one,
            outcome=Outcome.FAILED,
            says=f"it raised {one_line(error)}{where(error, subject)}",
            mend="make it run",
        )
    return Verdict(check=one, outcome=Outcome.PASSED)


def where(error: BaseException, subject: Subject) -> str:
    """Return where a modality failed, as " (file.py:12)".

    That is the last line of its own that the traceback has, not one of a library it
    calls; where it has none, the last of any file.
    """
    steps = [each for each in _steps(error) if not each[1].startswith("<")]
    own = [each for each in steps if each[0].partition(".")[0] in subject.packages]
    if not steps:
        return ""
    _, file, line = (own or steps)[-1]
    return f" ({file}:{line})"


def _steps(error: BaseException) -> Iterator[tuple[str, str, int]]:
    """Yield module, name of the file and line of the traceback, the last one last."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        file = frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
        yield str(frame.f_globals.get("__name__")), file, trace.tb_lineno
        trace = trace.tb_next
