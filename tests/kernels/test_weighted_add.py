"""Weighted addition against the definition in double precision."""

import pytest
import torch

from worldweave_kernels import reference, weighted_add

#: Half a unit in the last place of sums of about ten.
TOLERANCE = {
    torch.float64: 1e-12,
    torch.float32: 2e-6,
    torch.bfloat16: 5e-2,
    torch.float16: 6e-3,
}


@pytest.fixture
def random():
    generator = torch.Generator().manual_seed(0)

    def random(*shape, dtype=torch.float64):
        return torch.randn(shape, dtype=dtype, generator=generator)

    return random


def defined(x, residuals, maps):
    total = x.double().clone()
    for residual, weight in zip(residuals, maps, strict=True):
        total += weight.double()[..., None] * residual.double()
    return total


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("branches", [0, 1, 3])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3, 5, 7, 13), (1, 3, 1, 1, 129)])
def test_each_residual_is_added_by_its_map(random, shape, branches, dtype):
    x, *residuals = (random(*shape).to(dtype) for _ in range(1 + branches))
    maps = [random(*shape[:-1]).float() for _ in range(branches)]
    out = weighted_add(x, residuals, maps)
    assert out.dtype == dtype
    torch.testing.assert_close(
        out.double(), defined(x, residuals, maps), rtol=0, atol=TOLERANCE[dtype]
    )


def test_the_sum_is_rounded_once(random):
    # 1 + 256 * 2**-9: added one by one in bfloat16, each would vanish.
    x = torch.ones(1, 4, dtype=torch.bfloat16)
    residuals = [torch.ones_like(x)] * 256
    maps = [torch.full((1,), 2.0**-9)] * 256
    assert torch.equal(weighted_add(x, residuals, maps), torch.full_like(x, 1.5))


@pytest.mark.parametrize("map_shape", [(1, 3, 4), (2, 1, 1), (1, 1, 1), (4,), ()])
def test_maps_broadcast_over_positions(random, map_shape):
    x, residual, weight = random(2, 3, 4, 5), random(2, 3, 4, 5), random(*map_shape)
    out = weighted_add(x, [residual], [weight])
    full = weight.expand(2, 3, 4)
    torch.testing.assert_close(out, defined(x, [residual], [full]))


def test_strides_do_not_matter(random):
    x = random(4, 3, 2, 6).permute(2, 1, 0, 3)
    residual = random(2, 3, 4, 12)[..., ::2]
    weight = random(4, 3, 2).permute(2, 1, 0)
    assert not x.is_contiguous()
    out = weighted_add(x, [residual], [weight])
    torch.testing.assert_close(out, defined(x, [residual], [weight]))


def test_inputs_are_left_alone(random):
    x, residual, weight = random(2, 3), random(2, 3), random(2)
    before = [t.clone() for t in (x, residual, weight)]
    weighted_add(x, [residual], [weight])
    for tensor, copy in zip((x, residual, weight), before, strict=True):
        assert torch.equal(tensor, copy)


def test_a_map_of_zeros_changes_no_bit(random):
    x, residual = random(2, 3, 5).float(), random(2, 3, 5).float()
    assert torch.equal(weighted_add(x, [residual], [torch.zeros(2, 3)]), x)


def test_gradients_are_those_of_the_definition(random):
    x, first, second = (random(2, 3, 4).requires_grad_() for _ in range(3))
    maps = [random(2, 3).requires_grad_(), random(1, 3).requires_grad_()]

    def added(x, first, second, *maps):
        return weighted_add(x, [first, second], maps)

    assert torch.autograd.gradcheck(added, (x, first, second, *maps))


def test_gradients_keep_each_inputs_dtype(random):
    x, residual = (random(2, 3).to(torch.bfloat16).requires_grad_() for _ in range(2))
    weight = random(2).float().requires_grad_()
    weighted_add(x, [residual], [weight]).sum().backward()
    assert (x.grad.dtype, residual.grad.dtype) == (torch.bfloat16,) * 2
    assert weight.grad.dtype == torch.float32
    torch.testing.assert_close(
        weight.grad, residual.detach().float().sum(-1), rtol=0.01, atol=0.01
    )


@pytest.mark.parametrize("add", [weighted_add, reference.weighted_add])
def test_residuals_and_maps_come_in_pairs(random, add):
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        add(random(2, 3), [random(2, 3), random(2, 3)], [random(2)])
