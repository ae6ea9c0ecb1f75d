"""Maps share one where they exceed it and are left alone where they do not."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings

from worldweave.model.fusion import fuse, normalize

weight = st.floats(0.0, 10.0, width=32)
#: Some maps of one shape (T, H, W).
some_maps = st.tuples(st.integers(1, 5), st.integers(1, 6)).flatmap(
    lambda size: st.lists(
        st.lists(weight, min_size=size[1], max_size=size[1]).map(
            lambda values: torch.tensor(values).view(1, 1, -1)
        ),
        min_size=size[0],
        max_size=size[0],
    )
)
#: A busy machine is no failure.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def exact_sum(maps):
    return torch.stack(maps).double().sum(dim=0)


@patient
@given(some_maps)
def test_maps_above_one_share_one(maps):
    above = exact_sum(maps) > 1.0 + 1e-5
    shared = exact_sum(normalize(maps))
    torch.testing.assert_close(
        shared[above], torch.ones_like(shared[above]), rtol=0, atol=1e-6
    )


@patient
@given(some_maps)
def test_maps_up_to_one_are_untouched_bit_for_bit(maps):
    # A float32 sum may round up past one, so stay clear of the border.
    below = exact_sum(maps) <= 1.0 - 1e-6
    for before, after in zip(maps, normalize(maps), strict=True):
        assert torch.equal(before[below], after[below])


@patient
@given(some_maps)
def test_maps_keep_their_proportions(maps):
    shares = exact_sum(maps).clamp(min=1.0)
    for before, after in zip(maps, normalize(maps), strict=True):
        # The smallest float32 numbers have no seventh digit.
        error = (after.double() - before / shares).abs()
        assert (error <= 1e-6 * before + 1e-37).all()


@patient
@given(some_maps)
def test_nothing_stays_nothing(maps):
    for before, after in zip(maps, normalize(maps), strict=True):
        assert not after[before == 0].any()
        assert after[before > 1e-30].all()


@patient
@given(some_maps, st.randoms(use_true_random=False))
def test_the_order_of_modalities_changes_no_bit(maps, random):
    order = list(range(len(maps)))
    random.shuffle(order)
    shuffled = normalize([maps[i] for i in order])
    straight = normalize(maps)
    for place, index in enumerate(order):
        assert torch.equal(shuffled[place], straight[index])


@patient
@given(some_maps)
def test_normalised_maps_stay_within_what_was_asked_for(maps):
    for before, after in zip(maps, normalize(maps), strict=True):
        assert (after <= before).all()
        assert after.dtype == torch.float32


def test_exactly_one_is_left_alone():
    halves = [torch.full((1, 1, 1), 0.5)] * 2
    assert all(torch.equal(m, halves[0]) for m in normalize(halves))


@pytest.mark.parametrize(
    "hundredths", [(1, 4, 9, 20, 66), (2, 3, 9, 13, 23, 50), (10,) * 10, (70, 20, 10)]
)
def test_hundredths_that_make_one_are_left_alone(hundredths):
    maps = [torch.tensor([n / 100]) for n in hundredths]
    assert all(map(torch.equal, normalize(maps), maps))


def test_the_example_of_the_documentation():
    maps = normalize([torch.tensor([0.8]), torch.tensor([0.8]), torch.tensor([0.4])])
    assert torch.cat(maps).tolist() == pytest.approx([0.4, 0.4, 0.2])


def test_each_position_is_scaled_by_itself():
    one, other = normalize([torch.tensor([1.0, 0.2]), torch.tensor([1.0, 0.3])])
    assert one.tolist() == pytest.approx([0.5, 0.2])
    assert other.tolist() == pytest.approx([0.5, 0.3])


def test_inputs_are_not_changed():
    maps = [torch.ones(2), torch.ones(2)]
    normalize(maps)
    assert all(torch.equal(m, torch.ones(2)) for m in maps)


def test_no_maps_are_no_maps():
    assert normalize([]) == []


@pytest.mark.parametrize("bad", [-0.001, float("nan"), float("inf"), -float("inf")])
def test_negative_and_non_finite_weights_are_refused(bad):
    with pytest.raises(ValueError, match="map 1 holds negative or non-finite values"):
        normalize([torch.ones(3), torch.tensor([0.0, bad, 1.0])])


def test_maps_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"map 1 is \(1, 3\) but map 0 is \(3,\)"):
        normalize([torch.ones(3), torch.ones(1, 3)])


def test_fusing_adds_each_residual_by_its_map(maps):
    hidden, *residuals = torch.randn(4, 2, 3, 2, 3, 24, dtype=torch.float64)
    weights = [maps, 1 - maps[:1], maps[1:]]
    wanted = hidden.clone()
    for index in torch.cartesian_prod(*map(torch.arange, (2, 3, 2, 3))).tolist():
        b, *place = index
        for residual, m in zip(residuals, weights, strict=True):
            w = m[(b if len(m) > 1 else 0, *place)].double()
            wanted[tuple(index)] += w * residual[tuple(index)]
    torch.testing.assert_close(fuse(hidden, residuals, weights), wanted)
    rounded = fuse(hidden.float(), [r.float() for r in residuals], weights)
    torch.testing.assert_close(rounded.double(), wanted, rtol=1e-5, atol=1e-5)


def test_nothing_to_fuse_changes_nothing():
    hidden = torch.randn(1, 1, 2, 2, 4)
    assert torch.equal(fuse(hidden, [], []), hidden)
