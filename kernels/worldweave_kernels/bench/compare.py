"""Measure this working tree and another commit in turn, and tell what changed."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
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


class BaseError(ValueError):
    """The other commit cannot be measured; the message says why and what to do."""


class Change(NamedTuple):
    """How many times as fast this tree is as the other commit, in each round."""

    op: str
    mode: str
    shape: str
    provider: str
    #: Median seconds of all rounds.
    base: float
    this: float
    #: None where one of the two computes it wrong.
    ratios: tuple[float, ...] | None
    #: Faster or slower where in every round the 20-80 % ranges lie apart.
    verdict: str


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
    where there is no such commit, or it has no benchmark, or a run fails.
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
            f"{revision} has no {inside}/bench: it is from before the benchmark; "
            "choose a later commit"
        )
    with tempfile.TemporaryDirectory(prefix="worldweave-base-") as room:
        tree = Path(room, "tree")
        if git(package, "worktree", "add", "--detach", str(tree), commit) is None:
            raise BaseError(f"git cannot make a worktree of {revision} in {room}")
        try:
            yield tree / inside
        finally:
            git(package, "worktree", "remove", "--force", str(tree))


def report(changes: Sequence[Change], revision: str) -> str:
    """Return a line for each change: both times and the ratio with its spread."""
    cases = [f"{c.op} {c.mode} {c.provider}, {c.shape}" for c in changes]
    width = max(map(len, cases), default=0)
    lines = [f"{'':<{width}}{revision[:11]:>12}{'this tree':>12}     times as fast"]
    for case, each in zip(cases, changes, strict=True):
        times = f"{each.base * 1e3:>12.3f}{each.this * 1e3:>12.3f} ms  "
        if each.ratios is None:
            ratio = "one of them is wrong: no ratio"
        else:
            middle = statistics.median(each.ratios)
            low, high = min(each.ratios), max(each.ratios)
            ratio = f"{middle:.3f} [{low:.3f}, {high:.3f}] {each.verdict}"
        lines.append(f"{case:<{width}}{times}{ratio}")
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
        if done.returncode != 0 or not out.exists():
            last = "\n".join(done.stderr.strip().splitlines()[-3:])
            raise BaseError(f"the benchmark of {name} failed:\n{last}")
        return from_json(out.read_text("utf-8"))


def _changes(base: Sequence[Results], this: Sequence[Results]) -> Iterator[Change]:
    mine = [{_key(row): row for row in each.measured()} for each in this]
    theirs = [{_key(row): row for row in each.measured()} for each in base]
    for key in mine[0]:
        pairs = [
            (theirs[i][key], mine[i][key])
            for i in range(len(mine))
            if key in theirs[i] and key in mine[i]
        ]
        if not pairs:
            continue
        times = [(_time(before), _time(now)) for before, now in pairs]
        right = all(before.holds and now.holds for before, now in pairs)
        ratios = tuple(before.median / now.median for before, now in times)
        row = pairs[0][1]
        yield Change(
            op=row.op,
            mode=row.mode,
            shape=spelled(row.shape),
            provider=row.provider,
            base=statistics.median(before.median for before, _ in times),
            this=statistics.median(now.median for _, now in times),
            ratios=ratios if right else None,
            verdict=_verdict(times) if right else "wrong",
        )


def _verdict(times: Sequence[tuple[Timing, Timing]]) -> str:
    if all(now.high < before.low for before, now in times):
        return "faster"
    if all(now.low > before.high for before, now in times):
        return "slower"
    return "no difference"


def _key(row: Row) -> tuple[str, ...]:
    return (*row.case, row.provider)


def _time(row: Row) -> Timing:
    assert row.time is not None
    return row.time
