"""From the name of a modality to its examination, with all mistakes told at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from worldweave.request.check import raise_all
from worldweave.testing.checks import CHECKS
from worldweave.testing.kit import (
    Check,
    Examination,
    expectation_problems,
    unknown_checks,
)
from worldweave.testing.subject import Subject
from worldweave_registry import Catalog, WorldweaveError, discover

BASE = "tiny-world"


def examine(
    name: str,
    *,
    base: str | None = None,
    only: Collection[str] = (),
    expected: Mapping[str, str] | None = None,
    catalog: Catalog | None = None,
) -> Examination:
    """Prepare the examination of the installed modality *name*; it has not begun.

    base: the base to try it on, by default the tiny world where there is one. only:
    the checks wanted, by name, with those they need; none means all. expected: why a
    check is known to fail, by its name. Raises Problems that name everything wrong.
    """
    catalog = discover() if catalog is None else catalog
    expected = expected or {}
    problems: list[str] = []
    try:
        catalog.find(name)
    except WorldweaveError as error:
        problems.append(str(error))
    if base is not None:
        try:
            catalog.find_base(base)
        except WorldweaveError as error:
            problems.append(str(error))
    known = [each.name for each in CHECKS]
    problems += unknown_checks(only, known)
    problems += expectation_problems(expected, known)
    raise_all(problems)
    wanted = with_needs(CHECKS, only) if only else CHECKS
    names = {each.name for each in wanted}
    return Examination(
        Subject.find(name, base=base or BASE, catalog=catalog),
        wanted,
        {check: reason for check, reason in expected.items() if check in names},
    )


def with_needs(checks: Iterable[Check], names: Collection[str]) -> tuple[Check, ...]:
    """Return the checks of these *names* and those they need, in their own order."""
    by_name = {each.name: each for each in checks}
    wanted: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in wanted:
            wanted.add(name)
            waiting += by_name[name].needs
    return tuple(each for each in by_name.values() if each.name in wanted)
