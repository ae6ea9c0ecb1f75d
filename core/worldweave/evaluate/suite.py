"""The evaluation of a base: what to generate, and the scores of all of it."""

# R rows of a table, N clips

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from worldweave.evaluate.bench import Bench
from worldweave.evaluate.ledger import Ledger
from worldweave.evaluate.rows import NONE, Row, single, split, together, without, wrong
from worldweave_registry import Problems

Values = npt.NDArray[np.float64]
TABLES = ("gaps", "1", "2")
CEILING = "ceiling"
TOKENIZER = "tokenizer"


@attrs.frozen(kw_only=True)
class Need:
    """How often a clip is generated for a row, and whether regions are scored."""

    repeats: int = 1
    by_region: bool = False

    def and_also(self, other: Need) -> Need:
        """Return what serves both."""
        return Need(
            repeats=max(self.repeats, other.repeats),
            by_region=self.by_region or other.by_region,
        )


@attrs.frozen(kw_only=True)
class Plan:
    """What to generate.

    names: the modalities. tables: some of TABLES. few: how many of the clips are
    generated more than once: twice for diversity, *seeds* times for regions. inside
    and outside: the modalities of Table 2, in front and behind and then swapped.
    """

    names: tuple[str, ...]
    tables: tuple[str, ...]
    clips: int
    few: int
    seeds: int
    inside: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    def splits(self) -> tuple[Row, ...]:
        """Return the two rows of Table 2."""
        if "2" not in self.tables:
            return ()
        return split(self.inside, self.outside), split(self.outside, self.inside)

    def leave_one_out(self) -> tuple[Row, ...]:
        """Return all but one modality; with two that would be the other alone."""
        if "1" not in self.tables or len(self.names) < 3:
            return ()
        return tuple(without(name, self.names) for name in self.names)

    def jobs(self) -> list[tuple[int, Row, Need]]:
        """Return each clip, row and need once, clip by clip."""
        needs: dict[tuple[int, str], Need] = {}
        rows: dict[str, Row] = {}

        def need(row: Row, clips: int, **fields: Any) -> None:
            rows.setdefault(row.name, row)
            for index in range(clips):
                asked = Need(**fields)
                known = needs.get((index, row.name), asked)
                needs[index, row.name] = known.and_also(asked)

        none = Row(name=NONE)
        singles = [single(name) for name in self.names]
        if "gaps" in self.tables:
            for row in (none, *singles, *(wrong(name) for name in self.names)):
                need(row, self.clips)
        if "1" in self.tables:
            several = [together(self.names)] if len(self.names) > 1 else []
            for row in (none, *singles, *several):
                need(row, self.clips)
                need(row, self.few, repeats=2)
            for row in self.leave_one_out():
                need(row, self.few)
        if "2" in self.tables:
            for row in (none, *self.splits()):
                need(row, self.few, repeats=self.seeds, by_region=True)
        order = list(rows)
        keys = sorted(needs, key=lambda key: (key[0], order.index(key[1])))
        return [(i, rows[name], needs[i, name]) for i, name in keys]


@attrs.frozen(kw_only=True, eq=False)
class Results:
    """Everything that was measured, by row and clip."""

    plan: Plan
    measured: Mapping[tuple[str, int], Any]

    def scores(
        self,
        row: str,
        metric: str,
        *,
        clips: int | None = None,
        region: str | None = None,
        repeat: int = 0,
    ) -> Values:
        """Return (N,) scores of the first *clips*; NaN where a clip has none."""
        count = self.plan.clips if clips is None else clips
        found = []
        for index in range(count):
            entry = self.measured[row, index]
            part = entry if region is None else entry[region]
            found.append(part["scores"][repeat][metric])
        return np.array([np.nan if v is None else v for v in found], float)

    def diversity(self, row: str, *, region: str | None = None) -> Values:
        """Return (N,) of the clips that were generated more than once."""
        entries = [self.measured[row, index] for index in range(self.plan.few)]
        parts = [e if region is None else e[region] for e in entries]
        return np.array([part["diversity"] for part in parts], float)

    def has(self, row: str) -> bool:
        """Whether *row* was measured."""
        return (row, 0) in self.measured


def run(
    bench: Bench,
    plan: Plan,
    ledger: Ledger,
    progress: Callable[[int, int, str], None] | None = None,
) -> Results:
    """Measure all of *plan* that *ledger* does not know yet.

    *progress* is called after each new measurement with the videos there are, those
    of the whole plan, and what was made.
    """
    jobs = plan.jobs()
    total = sum(need.repeats for _, _, need in jobs)
    measured: dict[tuple[str, int], Any] = {}
    done = 0
    for index in range(plan.clips):
        key = f"truth, clip {index}"
        if key not in ledger:
            ledger.add(key, bench.truth(index))
        for name in (CEILING, TOKENIZER):
            measured[name, index] = {"scores": [ledger[key][name]]}
    for index, row, need in jobs:
        key = f"{row.name}, clip {index}, {need.repeats} times"
        key += ", by region" if need.by_region else ""
        is_new = key not in ledger
        if is_new:
            found = bench.measure(
                row, index, repeats=need.repeats, by_region=need.by_region
            )
            ledger.add(key, found)
        measured[row.name, index] = ledger[key]
        done += need.repeats
        if progress is not None and is_new:
            progress(done, total, f"clip {index + 1}/{plan.clips}, {row.name}")
    return Results(plan=plan, measured=measured)


def make_plan(
    names: Sequence[str],
    *,
    tables: Sequence[str],
    clips: int,
    few: int,
    seeds: int,
    front: Sequence[str] = (),
    behind: Sequence[str] = (),
    can_split: bool = True,
) -> Plan:
    """Return the plan for modalities *names*.

    Table 2 compares *front* in the foreground and *behind* in the background with
    the reverse; where they are not given, the first two names and the next two. It
    is left out where *can_split* is False or there is but one modality, unless it
    was the only table asked for.

    Raise Problems naming all that is wrong.
    """
    half = min(2, len(names) // 2)
    is_given = bool(front or behind)
    inside, outside = (
        (tuple(front), tuple(behind))
        if is_given
        else (tuple(names[:half]), tuple(names[half : 2 * half]))
    )
    problems = [
        f"{name!r} is named more than once; name it once"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    problems += [
        f"{name!r} is to lead a region but is not evaluated; choose from: "
        f"{', '.join(names)}"
        for name in dict.fromkeys([*front, *behind])
        if name not in names
    ]
    problems += [
        f"{name!r} is to lead both regions; leave it out of one"
        for name in front
        if name in behind
    ]
    is_possible = can_split and bool(inside) and bool(outside)
    if not is_possible and (is_given or tuple(tables) == ("2",)):
        problems.append(
            f"table 2 needs one modality in front and another behind (of "
            f"{', '.join(names)}) and a base that tells foreground from background; "
            "name both, or choose another table"
        )
    if problems:
        raise Problems(problems)
    return Plan(
        names=tuple(names),
        tables=tuple(t for t in TABLES if t in tables and (t != "2" or is_possible)),
        clips=clips,
        few=min(few, clips),
        seeds=seeds,
        inside=inside,
        outside=outside,
    )
