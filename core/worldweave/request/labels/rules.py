"""Rules: values by class, as in ``robot_arm, gripper -> 1.0; else -> 0.0``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

from worldweave.request.labels.video import LabelVideo
from worldweave.request.sources import MapArray
from worldweave_registry import Problems, did_you_mean

ELSE: Final = "else"
_EXAMPLE = "write it as 'arm, gripper -> 1.0; else -> 0.0'"


@attrs.frozen(kw_only=True)
class Clause:
    """Classes, names or patterns with ``*`` and ``?``, and their value in 0..1."""

    classes: tuple[str, ...]
    value: float

    @property
    def is_else(self) -> bool:
        return self.classes == (ELSE,)

    @property
    def title(self) -> str:
        """Return what the clause says on its left."""
        return ", ".join(self.classes)


def parse_rule(text: str) -> tuple[Clause, ...]:
    """Return the clauses of a rule; raise Problems with all that is wrong in it.

    Clauses are separated by ``;``, classes by ``,``. ``else`` stands alone and last.
    """
    clauses, problems = _parse(text)
    if problems:
        raise Problems(problems)
    return clauses


def rule_problems(text: str) -> list[str]:
    """Return what is wrong with a rule, as far as it shows without labels."""
    return _parse(text)[1]


def rule_map(text: str, labels: LabelVideo) -> MapArray:
    """Return the values a rule gives to each pixel, float32 (T or 1, H, W).

    The first clause that names a class decides. Raise Problems for a class that the
    table does not have, for a clause that is left with nothing to decide, and for
    classes in the picture that no clause names.
    """
    clauses, decides = _decide(text, labels)
    values = np.array([clause.value for clause in clauses], np.float32)
    return np.asarray(values[decides][labels.ids], np.float32)


def regions_of(text: str, labels: LabelVideo) -> dict[str, npt.NDArray[np.bool_]]:
    """Return where each clause decides, bool (T or 1, H, W), by its left side.

    Raise Problems as `rule_map` does.
    """
    clauses, decides = _decide(text, labels)
    return {
        clause.title: np.asarray((decides == number)[labels.ids], np.bool_)
        for number, clause in enumerate(clauses)
    }


def _parse(text: str) -> tuple[tuple[Clause, ...], list[str]]:
    if not text.replace(";", "").strip():
        return (), [f"the rule is empty; {_EXAMPLE}"]
    parts = text.split(";")
    if not parts[-1].strip():
        parts.pop()
    problems: list[str] = []
    clauses = tuple(
        clause for part in parts if (clause := _parse_clause(part.strip(), problems))
    )
    named = [name for clause in clauses for name in clause.classes]
    twice = [name for name, count in Counter(named).items() if count > 1]
    problems += [f"rule: {name!r} is named twice; name it once" for name in twice]
    if ELSE in named[:-1]:
        problems.append("rule: 'else' is not the last clause; nothing can follow it")
    return clauses, problems


def _parse_clause(part: str, problems: list[str]) -> Clause | None:
    """Return a clause, or None where it has no form at all."""
    left, arrow, right = part.partition("->")
    if not arrow:
        problems.append(f"rule: {part!r} has no '->'; {_EXAMPLE}")
        return None
    classes = tuple(name.strip() for name in left.split(","))
    if "" in classes:
        problems.append(f"rule: {part!r} lacks a class before '->' or a ','")
    if ELSE in classes and len(classes) > 1:
        problems.append(f"rule: {part!r} has 'else' beside classes; it stands alone")
    try:
        value = float(right)
    except ValueError:
        value = 0.0
        problems.append(f"rule: {part!r}: {right.strip()!r} is no number in 0..1")
    if not 0.0 <= value <= 1.0:
        problems.append(f"rule: {part!r}: {right.strip()} does not lie in 0..1")
    return Clause(classes=classes, value=value)


def _decide(
    text: str, labels: LabelVideo
) -> tuple[tuple[Clause, ...], npt.NDArray[np.intp]]:
    """Return for each class, by index, the number of the clause that decides it."""
    clauses = parse_rule(text)
    decides = np.full(len(labels.names), -1, np.intp)
    problems: list[str] = []
    for number, clause in enumerate(clauses):
        if clause.is_else:
            decides[decides < 0] = number
            continue
        for name in clause.classes:
            # To fnmatch "[0]" means "0"; to us only * and ? are more than themselves.
            pattern = name.replace("[", "[[]")
            meant = [fnmatchcase(known, pattern) for known in labels.names]
            free = np.array(meant) & (decides < 0)
            if not any(meant):
                problems.append(_unknown(name, labels.names))
            elif not free.any():
                problems.append(_taken(name, meant, labels.names))
            decides[free] = number
    # Frame by frame: it counts in int64, eight bytes for each of the pixel's one.
    many = len(labels.names)
    counts = (np.bincount(ids.ravel(), minlength=many) for ids in labels.ids)
    present = np.any([count > 0 for count in counts], axis=0)
    open_classes = [
        name
        for name, is_present, number in zip(labels.names, present, decides, strict=True)
        if is_present and number < 0
    ]
    if open_classes:
        problems.append(
            f"rule: no clause names {_listed(open_classes)}; name them or end with "
            "'else -> 0.0'"
        )
    if problems:
        raise Problems(problems)
    return clauses, decides


def _unknown(name: str, known: Sequence[str]) -> str:
    return (
        f"rule: the labels have no class {name!r}{did_you_mean(name, known)}; "
        f"they have {_listed(known)}"
    )


def _taken(name: str, meant: Sequence[bool], known: Sequence[str]) -> str:
    classes = [one for one, is_meant in zip(known, meant, strict=True) if is_meant]
    return (
        f"rule: {name!r} decides nothing, an earlier clause has taken "
        f"{_listed(classes)}; put the narrower clause first"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:40])) + (", …" if names[40:] else "")
