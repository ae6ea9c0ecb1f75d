"""Comparing with another commit: real processes, real worktrees of git."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

import worldweave_kernels
from worldweave_kernels.bench import Timing, compare, machine
from worldweave_kernels.bench.compare import BaseError, Change, checked_out, report
from worldweave_kernels.bench.machine import _PACKAGE as PACKAGE_OF_MACHINE
from worldweave_kernels.bench.machine import commit
from worldweave_kernels.bench.results import HARNESS

PACKAGE = Path(worldweave_kernels.__file__).parent


def git(folder, *arguments):
    name = ("-c", "user.name=a", "-c", "user.email=a@b")
    command = ["git", "-C", str(folder), *name, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


#: Stands for the benchmark, which takes seconds to import: it writes what it is told.
STAND_IN = """
import json, os, sys
from pathlib import Path
from worldweave_kernels.bench.results import Machine, Results, Row, Timing

folder = Path(__file__).parents[1]
told = json.loads((folder / "told.json").read_text())
machine = Machine(device="cpu", name="a CPU", driver=None, python="3", torch="2",
                  triton=None, threads=1, commit="abc", date="2026")
rows = [
    Row(op=op, mode="forward", shape={"L": len(sys.argv)}, dtype="float32",
        provider="auto", kind="auto", bytes=1, flops=1, error=error, tolerance=1e-6,
        time=seconds and Timing(median=seconds, low=seconds, high=seconds, repeats=1))
    for op, (seconds, error) in told.items()
]
out = Path(sys.argv[sys.argv.index("--json") + 1])
out.write_text(Results(machine=machine, ceilings=(), rows=tuple(rows)).to_json())
sys.exit(not all(row.holds for row in rows))
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A repository: without the package, with it, and its working tree as it is."""
    root = tmp_path_factory.mktemp("checkout")
    git(root, "init", "--quiet")
    git(root, "commit", "--quiet", "--allow-empty", "-m", "Nothing")
    git(root, "tag", "before")
    package = root / "kernels/worldweave_kernels"
    (package / "bench").mkdir(parents=True)
    shutil.copy(PACKAGE / "bench/results.py", package / "bench")
    (package / "__init__.py").touch()
    (package / "bench/__init__.py").touch()
    (package / "bench/__main__.py").write_text(STAND_IN)
    (package / "told.json").write_text('{"a": [2.0, 0], "b": [1.0, 0], "c": [1.0, 0]}')
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "The package")
    return root


@pytest.fixture
def package(checkout):
    """The package in the checkout, as it was committed."""
    yield checkout / "kernels/worldweave_kernels"
    git(checkout, "checkout", "--", ".")


def test_a_commit_is_measured_beside_the_working_tree(checkout, package):
    # One of them is faster now, one wrong, one not measured: the exit code is 1, which
    # is no reason to say nothing.
    (package / "told.json").write_text('{"a": [1.0, 0], "b": [1.0, 1], "c": [null, 0]}')
    said = []
    changes = compare.compare(
        "HEAD", ["--op", "a"], rounds=3, package=package, say=said.append
    )
    sides = ["HEAD", "this tree", "this tree", "HEAD", "HEAD", "this tree"]
    assert said == [f"round {i // 2 + 1} of 3: {side}" for i, side in enumerate(sides)]
    faster, wrong, missing = changes
    assert (faster.op, faster.provider, faster.shape) == ("a", "auto", "L=5")
    assert (faster.base, faster.this, faster.ratios) == (2, 1, (2, 2, 2))
    assert faster.verdict == "faster"
    assert (wrong.op, wrong.ratios) == ("b", None)
    assert wrong.verdict == "one of them is wrong: no ratio"
    assert (missing.op, missing.base, missing.this) == ("c", 1, None)
    assert missing.verdict == "measured in the base only"
    assert [each.is_worse for each in changes] == [False, True, True]
    assert len(git(checkout, "worktree", "list").splitlines()) == 1


def test_the_other_commit_runs_its_own_code(checkout):
    package = checkout / "kernels/worldweave_kernels"
    with checked_out("HEAD", package) as other:
        assert other != package
        (other / "__init__.py").write_text("raise SystemError('the other one')\n")
        with pytest.raises(BaseError, match=r"of HEAD failed(.|\n)*the other one"):
            compare._measured("HEAD", other.parent, [])
    assert not other.exists()


def test_a_worktree_goes_whatever_happens(checkout):
    with (
        pytest.raises(KeyboardInterrupt),
        checked_out("HEAD", checkout / "kernels/worldweave_kernels"),
    ):
        raise KeyboardInterrupt
    assert len(git(checkout, "worktree", "list").splitlines()) == 1


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        ("nonsense", "git knows no commit 'nonsense'"),
        ("--help", "git knows no commit '--help'"),
        ("before", r"has no kernels/worldweave_kernels/bench/__main__\.py"),
    ],
)
def test_a_commit_that_cannot_be_measured_is_refused(checkout, revision, said):
    with (
        pytest.raises(BaseError, match=said),
        checked_out(revision, checkout / "kernels/worldweave_kernels"),
    ):
        pass


def test_an_installed_package_has_no_other_commits(tmp_path):
    with (
        pytest.raises(BaseError, match="no git checkout; clone the project"),
        checked_out("HEAD", tmp_path),
    ):
        pass


def test_another_way_to_measure_is_not_compared_with(package):
    path = package / "bench/results.py"
    path.write_text(path.read_text().replace("\nHARNESS = ", "\nHARNESS = 9"))
    said = f"of HEAD has version {HARNESS}, this tree's 9{HARNESS}: "
    with pytest.raises(BaseError, match=said):
        compare.find_base("HEAD", package)
    assert compare._harness("") == 1


def test_a_base_is_named_by_its_hash(checkout):
    base = compare.find_base("HEAD", checkout / "kernels/worldweave_kernels")
    assert base.short == git(checkout, "rev-parse", "HEAD")[:9]
    assert base.inside == "kernels/worldweave_kernels"


def test_a_change_to_a_kernel_is_no_clean_commit(
    checkout, package, monkeypatch, tmp_path
):
    clean = commit(package)
    assert git(checkout, "rev-parse", "HEAD").startswith(clean)
    assert PACKAGE_OF_MACHINE == PACKAGE
    monkeypatch.setattr(machine, "_PACKAGE", package)
    (package / "told.json").write_text("")
    monkeypatch.setenv("WORLDWEAVE_COMMIT", "abc")
    assert machine.machine("cpu").commit == f"{clean}+"
    monkeypatch.setattr(machine, "_PACKAGE", tmp_path)
    assert machine.machine("cpu").commit == "abc"


def timing(low, high):
    return Timing(median=(low + high) / 2, low=low, high=high, repeats=20)


def test_only_what_every_round_shows_beyond_its_range_is_a_difference():
    slow, middle, fast = timing(5, 6), timing(3.9, 5.1), timing(3, 4.5)
    faster, slower, hardly = (slow, fast), (fast, slow), (slow, middle)
    assert compare._verdict([faster] * 3) == "faster"
    assert compare._verdict([slower] * 3) == "slower"
    assert compare._verdict([faster, hardly, faster]) == "no difference"
    assert compare._verdict([faster, slower, faster]) == "no difference"
    assert compare._verdict([faster] * 2) == "no verdict below 3 rounds"


def change(*ratios):
    return Change(
        op="attention", mode="forward", shape="L=4", provider="triton", base=2e-3,
        this=1e-3, ratios=ratios or None, verdict="faster" if ratios else compare.WRONG,
    )  # fmt: skip


def test_the_report_gives_the_ratio_with_its_spread():
    gone = change()._replace(this=None, verdict="measured in the base only")
    lines = report([change(2.0, 1.9, 2.2), change(), gone], "abcdef").splitlines()
    assert "abcdef" in lines[0]
    assert re.search(r" 2\.000 +- ms  measured in the base only$", lines[3])
    assert "2.000 [1.900, 2.200] faster" in lines[1]
    assert "no ratio" in lines[2]
