"""worldweave check: does a modality do what every modality must?"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worldweave.cli.aside import standard_output_aside
from worldweave.cli.plugin_pages import columns, say, table

if TYPE_CHECKING:
    from worldweave.testing.kit import Check, Examination, Verdict

FAILED = 1
#: Outcome -> what stands before the claim, its colour, how it is counted.
MARKS = {
    "passed": ("ok", "green", "passed"),
    "failed": ("FAILED", "bold red", "failed"),
    "surprised": ("SURPRISE", "bold red", "passed though expected to fail"),
    "expected": ("expected", "yellow", "failed as expected"),
    "left_out": ("-", "dim", "left out"),
}
INDENT = 10


def check(
    name: Annotated[
        str | None,
        typer.Argument(help="A modality, as thermal or thermal@acme-thermal."),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The base to try it on [default: tiny-world].")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECK,...",
            help="Only these checks and those they need. May be repeated.",
        ),
    ] = None,
    expect: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECK=REASON",
            help="A check that is known to fail, and why. If it passes after all, "
            "that is a failure. May be repeated.",
        ),
    ] = None,
    list_: Annotated[
        bool, typer.Option("--list", help="Print every check there is, and stop.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print records.")] = False,
) -> None:
    """Check that a modality does what worldweave asks of every modality.

    This runs the plugin's code: its preprocessor, branch, metric and recipe, with
    your rights. Check what you would install. Nothing is downloaded.

    Exit code 1 where a check fails, or passes though its failure is expected.
    """
    if list_:
        with standard_output_aside():
            from worldweave.testing.checks import CHECKS
        say(_listing_as_json(CHECKS) if as_json else _listing(CHECKS))
        return
    with standard_output_aside():
        examination = _prepare(name, base, only or [], expect or [])
    found = _records(examination) if as_json else _lines(examination)
    if any(verdict.is_bad for verdict in found):
        raise typer.Exit(FAILED)


def _prepare(
    name: str | None, base: str | None, only: list[str], expect: list[str]
) -> Examination:
    """Read the arguments; raise Problems that name all that is wrong with them."""
    from worldweave.testing.examination import examine
    from worldweave_registry import Problems, WorldweaveError

    problems: list[str] = []
    if name is None:
        problems.append(
            "which modality? such as: worldweave check edge; see: worldweave plugins"
        )
    expected: dict[str, str] = {}
    for text in expect:
        check_name, is_given, reason = text.partition("=")
        if not is_given:
            problems.append(f"--expect {text!r} gives no reason; write CHECK=REASON")
        else:
            expected[check_name.strip()] = reason
    names = [each.strip() for text in only for each in text.split(",")]
    names = [each for each in names if each]
    if only and not names:
        problems.append("--only names no check; see: worldweave check --list")
    try:
        if name is not None:
            examination = examine(name, base=base, only=names, expected=expected)
            if not problems:
                return examination
    except WorldweaveError as error:
        problems += str(error).splitlines()
    raise Problems(problems)


def _verdicts(examination: Examination) -> Iterator[Verdict]:
    """Yield each verdict as it is reached; what plugins print is kept aside."""
    for name in examination.checks:
        with standard_output_aside():
            verdict = examination.verdict(name)
        yield verdict


def _records(examination: Examination) -> list[Verdict]:
    """Print one record for each check; keys may be added, never renamed."""
    found = list(_verdicts(examination))
    say(json.dumps([_record(verdict) for verdict in found], indent=2))
    return found


def _record(verdict: Verdict) -> dict[str, Any]:
    return {
        "check": verdict.check.name,
        "claim": verdict.check.claim,
        "outcome": verdict.outcome.name.lower(),
        "says": verdict.says,
        "mend": verdict.mend,
        "seconds": round(verdict.seconds, 3),
        "since": verdict.check.since,
    }


def _lines(examination: Examination) -> list[Verdict]:
    """Print each verdict as it is reached, and how many there are of which."""
    subject = examination.subject
    say(f"{subject.modality.name} from {subject.plugin}, on {subject.base_name}")
    found = []
    for verdict in _verdicts(examination):
        _show(verdict)
        found.append(verdict)
    say(_sentence(found))
    return found


def _show(verdict: Verdict) -> None:
    from rich.console import Console

    outcome = verdict.outcome.name.lower()
    mark, style, _ = MARKS[outcome]
    Console(highlight=False).print(mark.ljust(INDENT), style=style, end="")
    told = _one_line(verdict.says)
    after = f" [{verdict.check.name}]" if verdict.is_bad else ""
    after += f" ({told})" if outcome == "left_out" else ""
    say(_indented(f"{verdict.check.claim}{after}").lstrip())
    if verdict.is_bad or outcome == "expected":
        say(_indented(f"found: {told}"))
    if verdict.is_bad:
        say(_indented(f"to do: {_one_line(verdict.mend)}"))
    sys.stdout.flush()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _indented(text: str) -> str:
    """Return *text* below the claims, wrapped into the terminal if there is one."""
    indent = " " * INDENT
    width = columns()
    if width is None:
        return indent + text
    return textwrap.fill(
        text,
        max(width, INDENT + 20),
        initial_indent=indent,
        subsequent_indent=indent,
        break_on_hyphens=False,
    )


def _sentence(found: list[Verdict]) -> str:
    """Return such as "22 passed, 1 failed, 3 left out in 3.1 s"."""
    outcomes = [verdict.outcome.name.lower() for verdict in found]
    counts = ", ".join(
        f"{outcomes.count(outcome)} {told}"
        for outcome, (_, _, told) in MARKS.items()
        if outcome in outcomes
    )
    return f"{counts} in {sum(verdict.seconds for verdict in found):.1f} s"


def _listing(checks: Iterable[Check]) -> str:
    rows = [(each.name, each.since, each.claim) for each in checks]
    return table([("CHECK", "SINCE", "CLAIM"), *rows], columns())


def _listing_as_json(checks: Iterable[Check]) -> str:
    return json.dumps(
        [
            {
                "check": each.name,
                "claim": each.claim,
                "needs": list(each.needs),
                "since": each.since,
            }
            for each in checks
        ],
        indent=2,
    )
