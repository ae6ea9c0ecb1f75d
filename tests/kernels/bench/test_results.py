"""Results: what is compared, and that JSON gives back what it was given."""

import dataclasses
import json
import math
import re

import pytest

from worldweave_kernels.bench import (
    Ceiling,
    Machine,
    Results,
    Row,
    Timing,
    compared,
    from_json,
)
from worldweave_kernels.bench.table import group

MACHINE = Machine(
    device="cpu", name="a CPU", driver=None, python="3.11", torch="2.13", triton=None,
    threads=1, commit="abc", date="2026-11-21T00:00:00+00:00", load=0.5,
)  # fmt: skip


def row(provider, kind, milliseconds, *, error=1e-7):
    seconds = milliseconds / 1e3
    timed = Timing(median=seconds, low=seconds, high=seconds, repeats=20)
    given = {
        "op": "weighted_add", "mode": "forward", "shape": {"L": 4, "D": 8, "N": 2},
        "dtype": "float32", "bytes": 1000, "flops": 2000, "floor": 1e-3,
    }  # fmt: skip
    return Row(
        **given, provider=provider, kind=kind, time=timed, error=error, tolerance=2e-6
    )


def test_what_was_not_measured_has_no_time_to_take():
    missing = dataclasses.replace(
        row("triton", "triton", 1.0), time=None, note="there is no GPU"
    )
    with pytest.raises(ValueError, match="triton of weighted_add has no time: there"):
        _ = missing.taken


def test_json_gives_back_the_same_results():
    rows = compared([row("official", "official", 4.0), row("triton", "triton", 1.0)])
    missing = dataclasses.replace(rows[0], time=None, error=None, note="no GPU")
    results = Results(
        machine=MACHINE,
        ceilings=(Ceiling(dtype="float32", bandwidth=1e10, flops=1e11),),
        rows=(*rows, missing),
        notes=("a note",),
    )
    assert from_json(results.to_json()) == results


def test_an_infinite_error_survives_json():
    results = Results(
        machine=MACHINE, ceilings=(), rows=(row("a", "triton", 1, error=math.inf),)
    )
    assert from_json(results.to_json()).rows[0].error == math.inf


@pytest.mark.parametrize("text", ["", "[]", "{}", "3", '{"rows": []}'])
def test_other_json_is_no_result(text):
    with pytest.raises(ValueError, match="no result of the benchmark"):
        from_json(text)


def test_results_of_another_schema_are_not_guessed_at():
    whole = json.loads(Results(machine=MACHINE, ceilings=(), rows=()).to_json())
    with pytest.raises(ValueError, match="schema 99, this version reads 1"):
        from_json(json.dumps({**whole, "schema": 99}))
    del whole["machine"]["torch"]
    with pytest.raises(ValueError, match=r"incomplete.*torch"):
        from_json(json.dumps(whole))


def test_a_row_is_compared_with_each_baseline():
    rows = compared(
        [
            row("official", "official", 4.0),
            row("compile", "compile", 2.0),
            row("cudnn", "library", 1.0),
            row("flash", "library", 3.0),
            row("triton", "triton", 2.0),
        ]
    )
    found = {each.provider: each.speedup for each in rows}
    assert found["triton"] == {"official": 2.0, "compile": 1.0, "library": 0.5}
    assert found["flash"]["library"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("error", [3e-6, math.inf, math.nan])
def test_who_computes_it_wrong_gets_no_speed_up(error):
    wrong = row("triton", "triton", 0.1, error=error)
    rows = compared([row("official", "official", 4.0), wrong])
    assert not rows[1].holds
    assert rows[1].speedup == {}


def test_nobody_is_compared_with_a_baseline_that_is_wrong():
    wrong = row("official", "official", 4.0, error=1.0)
    rows = compared([wrong, row("triton", "triton", 1.0)])
    assert rows[1].speedup == {}


def ranged(provider, kind, low, high, **given):
    timed = Timing(
        median=(low + high) / 2e3, low=low / 1e3, high=high / 1e3, repeats=20
    )
    return dataclasses.replace(row(provider, kind, 1, **given), time=timed)


def told(rows, provider):
    lines = group(compared(rows)).splitlines()
    (line,) = [each for each in lines if re.match(rf"  {provider} ", each)]
    return line.split("]")[1].split()


def test_ranges_that_overlap_give_no_ratio():
    rows = [
        ranged("official", "official", 4, 6),
        ranged("compile", "compile", 1, 2),
        ranged("triton", "triton", 1.9, 3),
        ranged("eager", "eager", 5.9, 7),
    ]
    assert told(rows, "triton")[-4:] == ["2.04", "≈", "-", "1e-07"]
    assert told(rows, "eager")[-4:] == ["≈", "0.23", "-", "1e-07"]
    assert told(rows, "official")[-4:] == ["1.00", "0.30", "-", "1e-07"]


def test_what_is_wrong_gets_no_rates_either():
    rows = [ranged("official", "official", 4, 6)]
    rows.append(ranged("triton", "triton", 1, 2, error=0.5))
    assert told(rows, "triton") == ["-"] * 6 + ["5e-01"]
    assert "100%" not in group(compared(rows))


def test_results_tell_how_they_were_measured():
    results = Results(machine=MACHINE, ceilings=(), rows=())
    whole = json.loads(results.to_json())
    assert whole["harness"] == results.harness >= 2
    del whole["harness"]
    assert from_json(json.dumps(whole)).harness == 1


def test_rates_are_of_the_needed_work():
    one = row("triton", "triton", 2.0)
    assert one.bandwidth == pytest.approx(5e5)
    assert one.rate == pytest.approx(1e6)
    assert one.roofline == pytest.approx(0.5)
