"""Measure this working tree and another commit in turn, and tell what changed."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import worldweave_kernels
from worldweave_kernels.bench.machine import git
from worldweave_kernels.bench.results import Results, Row, Timing, from_json, spelled

#: Where this code is, which is also where its checkout is looked for.
PACKAGE = Path(worldweave_kernels.__file__).resolve().parent

#: How often each side is measured; the order alternates.
ROUNDS = 3

#: Rounds from which on there is a verdict: two may agree by chance.
FEWEST = 3


class BaseError(ValueError):
    """The other commit cannot be measured; the message says why and what to do."""


class Change(NamedTuple):
    """How many times as fast this tree is as the other commit, in each round."""

    op: str
    mode: str
    shape: str
    provider: str
    #: Median seconds of all rounds, None where that side did not measure it.
    base: float | None
    this: float | None
    #: None where one of the two computes it wrong, or not at all.
    ratios: tuple[float, ...] | None
    #: Faster or slower where in every round the 20-80 % ranges lie apart.
    verdict: str

    @property
    def is_worse(self) -> bool:
        """Whether a result is wrong, or this tree does not measure it any more."""
        return self.verdict == WRONG or self.this is None


WRONG = "one of them is wrong: no ratio"


class Base(NamedTuple):
    """The commit to compare with, and where in it the package is."""

    revision: str
    commit: str
    inside: str

    @property
    def short(self) -> str:
        """The beginning of the hash, as git prints it."""
        return self.commit[:9]


def compare(
    revision: str,
    arguments: Sequence[str],
    *,
    rounds: int = ROUNDS,
    package: Path = PACKAGE,
    say: Callable[[str], None] = lambda line: None,
) -> list[Change]:
    """Run the benchmark with *arguments* on *revision* and on this tree.

    Each run is a process of its own that imports only its own code. Raise BaseError
    where there is no such commit, or its benchmark is none or another, or a run
    fails.
    """
    with checked_out(revision, package) as other:
        sides = {revision: other.parent, "this tree": package.parent}
        found: dict[str, list[Results]] = {name: [] for name in sides}
        for number in range(rounds):
            # A B, B A, A B: what drifts steadily hits both alike.
            for name in list(sides) if number % 2 == 0 else list(sides)[::-1]:
                say(f"round {number + 1} of {rounds}: {name}")
                found[name].append(_measured(name, sides[name], arguments))
    return list(_changes(found[revision], found["this tree"]))


@contextmanager
def checked_out(revision: str, package: Path) -> Iterator[Path]:
    """Lend the folder of *package* as it is in *revision*, in a worktree of git."""
    base = find_base(revision, package)
    with tempfile.TemporaryDirectory(prefix="worldweave-base-") as room:
        tree = Path(room, "tree")
        if git(package, "worktree", "add", "--detach", str(tree), base.commit) is None:
            raise BaseError(f"git cannot make a worktree of {revision} in {room}")
        try:
            yield tree / base.inside
        finally:
            git(package, "worktree", "remove", "--force", str(tree))


def find_base(revision: str, package: Path = PACKAGE) -> Base:
    """Return the commit that *revision* means; nothing is checked out.

    Raise BaseError where there is none, or its benchmark is none or another.
    """
    root = git(package, "rev-parse", "--show-toplevel")
    if root is None:
        raise BaseError(
            f"worldweave_kernels was imported from {package}, which is no git "
            "checkout; clone the project and run the benchmark from there"
        )
    commit = git(package, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if commit is None:
        raise BaseError(
            f"git knows no commit {revision!r}; give one that `git log` shows, or "
            "fetch it first"
        )
    inside = package.relative_to(Path(root).resolve()).as_posix()
    if git(package, "cat-file", "-e", f"{commit}:{inside}/bench/__main__.py") is None:
        raise BaseError(
            f"{revision} ({commit[:9]}) has no {inside}/bench/__main__.py: it is from "
            "before the benchmark; choose a later commit"
        )
    results = git(package, "show", f"{commit}:{inside}/bench/results.py")
    ours = (package / "bench/results.py").read_text("utf-8")
    _refuse_other_harness(revision, _harness(results or ""), _harness(ours))
    return Base(revision, commit, inside)


def _refuse_other_harness(revision: str, theirs: int, ours: int) -> None:
    if theirs != ours:
        raise BaseError(
            f"the benchmark of {revision} has version {theirs}, this tree's {ours}: "
            "they time the same code differently; choose a commit with the same "
            "HARNESS in bench/results.py"
        )


def _harness(text: str) -> int:
    """Return the version that *text*, of results.py, says."""
    found = re.search(r"^HARNESS = (\d+)$", text, re.M)
    # The first version did not say.
    return int(found[1]) if found else 1


def report(changes: Sequence[Change], name: str) -> str:
    """Return a line for each change: both times and the ratio with its spread.

    *name* heads the column of the other commit.
    """
    cases = [f"{c.op} {c.mode} {c.provider}, {c.shape}" for c in changes]
    width = max(map(len, cases), default=0)
    lines = [f"{'':<{width}}{name[:11]:>12}{'this tree':>12}     times as fast"]
    for case, each in zip(cases, changes, strict=True):
        times = "".join(
            f"{'-' if t is None else f'{t * 1e3:.3f}':>12}"
            for t in (each.base, each.this)
        )
        ratio = each.verdict
        if each.ratios is not None:
            middle = statistics.median(each.ratios)
            low, high = min(each.ratios), max(each.ratios)
            ratio = f"{middle:.3f} [{low:.3f}, {high:.3f}] {each.verdict}"
        lines.append(f"{case:<{width}}{times} ms  {ratio}")
    return "\n".join(lines)


def _measured(name: str, root: Path, arguments: Sequence[str]) -> Results:
    """Run the benchmark of the package in *root* and return what it found."""
    path = os.pathsep.join(filter(None, [str(root), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory(prefix="worldweave-round-") as room:
        out = Path(room, "results.json")
        command = [sys.executable, "-m", "worldweave_kernels.bench", *arguments]
        done = subprocess.run(
            [*command, "--json", str(out)],
            cwd=room,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )
        # 1 tells that something is wrong or missing, which the results tell, too.
        if done.returncode not in (0, 1) or not out.exists():
            last = "\n".join(done.stderr.strip().splitlines()[-3:])
            raise BaseError(
                f"the benchmark of {name} failed (exit code {done.returncode}):\n{last}"
            )
        return from_json(out.read_text("utf-8"))


def _changes(base: Sequence[Results], this: Sequence[Results]) -> Iterator[Change]:
    mine = [{_key(row): row for row in each.measured()} for each in this]
    theirs = [{_key(row): row for row in each.measured()} for each in base]
    for key in dict.fromkeys(key for each in (*mine, *theirs) for key in each):
        before, now = ([each[key] for each in s if key in each] for s in (theirs, mine))
        row = (now or before)[0]
        named = (row.op, row.mode, spelled(row.shape), row.provider)
        if not before or not now:
            side = "this tree" if now else "the base"
            said = f"measured in {side} only"
            yield Change(*named, _middle(before), _middle(now), None, said)
            continue
        pairs = [
            (theirs[i][key], mine[i][key])
            for i in range(len(mine))
            if key in theirs[i] and key in mine[i]
        ]
        times = [(one.taken, other.taken) for one, other in pairs]
        right = all(each.holds for each in (*before, *now))
        ratios = tuple(one.median / other.median for one, other in times)
        verdict = _verdict(times) if right else WRONG
        shown = ratios if right and ratios else None
        yield Change(*named, _middle(before), _middle(now), shown, verdict)


def _middle(rows: Iterable[Row]) -> float | None:
    medians = [row.taken.median for row in rows]
    return statistics.median(medians) if medians else None


def _verdict(times: Sequence[tuple[Timing, Timing]]) -> str:
    if len(times) < FEWEST:
        return f"no verdict below {FEWEST} rounds"
    if all(now.high < before.low for before, now in times):
        return "faster"
    if all(now.low > before.high for before, now in times):
        return "slower"
    return "no difference"


def _key(row: Row) -> tuple[str, ...]:
    return (*row.case, row.provider)
