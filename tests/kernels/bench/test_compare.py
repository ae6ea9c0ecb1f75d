"""Comparing with another commit: real processes, real worktrees of git."""

import shutil
import subprocess
from pathlib import Path

import pytest

import worldweave_kernels
from worldweave_kernels.bench import Timing, compare
from worldweave_kernels.bench.compare import BaseError, Change, checked_out, report

PACKAGE = Path(worldweave_kernels.__file__).parent


def git(folder, *arguments):
    name = ("-c", "user.name=a", "-c", "user.email=a@b")
    command = ["git", "-C", str(folder), *name, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A repository: without the package, with it, and its working tree as it is."""
    root = tmp_path_factory.mktemp("checkout")
    git(root, "init", "--quiet")
    git(root, "commit", "--quiet", "--allow-empty", "-m", "Nothing")
    git(root, "tag", "before")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, root / "kernels/worldweave_kernels", ignore=ignored)
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "The package")
    return root


def test_a_commit_is_measured_beside_the_working_tree(checkout):
    package = checkout / "kernels/worldweave_kernels"
    arguments = [
        "--op", "norm_modulate", "--shapes", "L=12,D=32,H=1", "--mode", "forward",
        "--device", "cpu", "--dtype", "float32", "--provider", "auto", "--repeats", "2",
    ]  # fmt: skip
    said = []
    changes = compare.compare(
        "HEAD", arguments, rounds=1, package=package, say=said.append
    )
    assert said == ["round 1 of 1: HEAD", "round 1 of 1: this tree"]
    [only] = changes
    assert (only.op, only.provider) == ("norm_modulate", "auto")
    assert only.ratios == (pytest.approx(only.base / only.this),)
    assert len(git(checkout, "worktree", "list").splitlines()) == 1


def test_the_other_commit_runs_its_own_code(checkout):
    package = checkout / "kernels/worldweave_kernels"
    with checked_out("HEAD", package) as other:
        assert other != package
        assert (other / "bench/__main__.py").exists()
        (other / "__init__.py").write_text("raise SystemError('the other one')\n")
        with pytest.raises(BaseError, match=r"of HEAD failed:(.|\n)*the other one"):
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
        ("before", "before has no kernels/worldweave_kernels/bench"),
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


def timing(low, high):
    return Timing(median=(low + high) / 2, low=low, high=high, repeats=20)


def test_only_what_every_round_shows_beyond_its_range_is_a_difference():
    slow, middle, fast = timing(5, 6), timing(3.9, 5.1), timing(3, 4.5)
    assert compare._verdict([(slow, fast), (slow, fast)]) == "faster"
    assert compare._verdict([(fast, slow), (fast, slow)]) == "slower"
    assert compare._verdict([(slow, fast), (slow, middle)]) == "no difference"
    assert compare._verdict([(slow, fast), (fast, slow)]) == "no difference"


def change(*ratios):
    return Change(
        op="attention", mode="forward", shape="L=4", provider="triton", base=2e-3,
        this=1e-3, ratios=ratios or None, verdict="faster" if ratios else "wrong",
    )  # fmt: skip


def test_the_report_gives_the_ratio_with_its_spread():
    lines = report([change(2.0, 1.9, 2.2), change()], "abcdef").splitlines()
    assert "2.000 [1.900, 2.200] faster" in lines[1]
    assert "no ratio" in lines[2]
