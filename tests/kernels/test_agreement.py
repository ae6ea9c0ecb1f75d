"""The judge of backends: what is right passes, what is wrong does not."""

import pytest
import torch

import worldweave_kernels
from worldweave_kernels import reference
from worldweave_kernels.agreement import (
    SAMPLES,
    TOLERANCE,
    agreements,
    relative_error,
)
from worldweave_kernels.dispatch import BACKENDS


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("op", SAMPLES)
def test_the_definition_agrees_with_itself(op, dtype):
    judged = list(agreements(op, backend="reference", dtype=dtype))
    assert [each for each in judged if not each.holds] == []


def test_every_operation_is_judged():
    assert set(SAMPLES) == set(BACKENDS)


@pytest.mark.parametrize("op", SAMPLES)
def test_a_fiftieth_too_much_is_noticed_in_every_output(op, monkeypatch):
    exact = getattr(worldweave_kernels, op)

    def off(*args, **kwargs):
        out = exact(*args, **kwargs)
        return tuple(1.02 * o for o in out) if isinstance(out, tuple) else 1.02 * out

    monkeypatch.setattr(worldweave_kernels, op, off)
    for dtype in (torch.float32, torch.bfloat16):
        judged = list(agreements(op, backend="reference", dtype=dtype, gradients=False))
        assert judged
        assert not any(each.holds for each in judged)


def test_not_a_number_is_no_agreement(monkeypatch):
    def nothing(x, *rest, **kwargs):
        return x * torch.nan

    monkeypatch.setattr(worldweave_kernels, "norm_modulate", nothing)
    judged = list(
        agreements(
            "norm_modulate", backend="reference", dtype=torch.float32, gradients=False
        )
    )
    assert judged
    assert not any(each.holds for each in judged)


def test_an_answer_of_another_shape_is_infinitely_wrong():
    assert relative_error(torch.ones(2), torch.ones(3)) == float("inf")


def test_the_error_is_relative_to_the_size_of_the_answer():
    wanted = torch.full((4,), 200.0)
    assert relative_error(wanted + 2, wanted) == pytest.approx(0.01)
    assert relative_error(torch.full((4,), 0.5), torch.zeros(4)) == 0.5


def test_the_hot_path_never_comes_within_a_hair_of_the_kink():
    # Where maps sum to one the normalised sum has no slope to compare.
    regimes = set()
    for sample in SAMPLES["weighted_add"]():
        total = sum(sample.args[2])
        assert ((total - 1).abs() > 1e-2).all(), sample.name
        regimes |= set((total > 1).flatten().tolist())
    assert regimes == {True, False}


def test_the_definition_shares_where_maps_sum_above_one_only():
    maps = [torch.tensor([0.2, 0.9]), torch.tensor([0.3, 0.9])]
    shared = reference.share(maps)
    assert torch.equal(torch.stack(shared)[:, 0], torch.tensor([0.2, 0.3]))
    torch.testing.assert_close(torch.stack(shared)[:, 1], torch.full((2,), 0.5))
