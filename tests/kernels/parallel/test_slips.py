"""A slip in the exchange is noticed: the check of the real one fails for it."""

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from worldweave_kernels import parallel
from worldweave_kernels.parallel import ParallelPlan


class Slip(NamedTuple):
    what: str
    module: str
    right: str
    wrong: str


TOLD = Path(__file__).with_name("slips.toml").read_text("utf-8")
SLIPS = [Slip(**each) for each in tomllib.loads(TOLD)["slip"]]
#: Each slip shows in one of them, most in several.
PLANS = (
    ParallelPlan(ulysses=4),
    ParallelPlan(ring=2, ulysses=2, chunks=2),
    ParallelPlan(ring=4),
    ParallelPlan(ring=2, ulysses=2, chunks=2, early_values=True),
)
HALVES = (ParallelPlan(cfg=2, ring=2, ulysses=2),)


@pytest.fixture
def worst(against_one_process, case, tmp_path):
    """Return the worst error of the package with *slip*, infinite where it fails."""

    def check(slip):
        name = tmp_path.name
        folder = tmp_path / name
        folder.mkdir()
        for file in Path(parallel.__file__).parent.glob("*.py"):
            source = file.read_text("utf-8")
            if file.stem == slip.module:
                assert source.count(slip.right) == 1, (
                    "the line to change is not there once"
                )
                source = source.replace(slip.right, slip.wrong)
            source = source.replace("worldweave_kernels.parallel", name)
            (folder / file.name).write_text(source, "utf-8")
        plans = HALVES if "halves" in slip.right else PLANS
        # The last rank of four has padding alone.
        cases = [case(plan, tokens=9, batch=2, several=2) for plan in plans]
        try:
            found = against_one_process(*cases, package=name, folder=str(tmp_path))
        except Exception as error:  # A slip may fail in any way.
            print(f"{type(error).__name__}: {error}")
            return float("inf")
        return max(error for error, _ in found)

    return check


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: slip.what)
def test_it_is_noticed(worst, slip):
    assert worst(slip) > 1e-3


@pytest.mark.parametrize(
    "slip", {each.module: each for each in SLIPS}.values(), ids=lambda slip: slip.module
)
def test_a_copy_without_a_slip_is_right(worst, slip):
    assert worst(slip._replace(wrong=slip.right)) < 1e-12


def test_no_exchange_at_all_is_noticed(against_one_process, case):
    cases = [case(plan) for plan in PLANS]
    assert all(error > 0.1 for error, _ in against_one_process(*cases, virtual=True))
