"""Attention against the definition in double precision."""

import math

import pytest
import torch

from worldweave_kernels import attention, reference

TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 2e-2}


def random(*shape):
    return torch.randn(
        shape, dtype=torch.float64, generator=torch.Generator().manual_seed(len(shape))
    )


def inputs(batch=2, queries=7, keys=5, heads=3, width=10):
    q = random(batch, queries, heads, width)
    k, v = random(2, batch, keys, heads, width)
    return q, k, v


def test_the_definition_is_a_softmax_over_keys():
    q, k, v = inputs()
    out = reference.attention(q, k, v, scale=0.3)
    for b, i, h in ((0, 0, 0), (1, 6, 2), (0, 3, 1)):
        scores = [0.3 * float(q[b, i, h] @ k[b, j, h]) for j in range(5)]
        total = sum(map(math.exp, scores))
        wanted = sum(math.exp(s) / total * v[b, j, h] for j, s in enumerate(scores))
        torch.testing.assert_close(out[b, i, h], wanted)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"queries": 1, "keys": 1, "heads": 1, "batch": 1},
        {"queries": 33, "keys": 65, "width": 24},
        {"queries": 2, "keys": 129, "width": 7},
    ],
    ids=str,
)
def test_it_equals_the_definition(sizes, dtype):
    rounded = [t.to(dtype) for t in inputs(**sizes)]
    out = attention(*rounded, scale=0.4)
    assert out.dtype == dtype
    wanted = reference.attention(*(t.double() for t in rounded), scale=0.4)
    torch.testing.assert_close(out.double(), wanted, rtol=0, atol=TOLERANCE[dtype])


def test_strides_do_not_matter():
    q = random(3, 7, 2, 10).permute(2, 1, 0, 3)
    k, v = (t[..., ::2] for t in random(2, 2, 5, 3, 20))
    assert not k.is_contiguous()
    wanted = reference.attention(q, k, v, scale=0.4)
    torch.testing.assert_close(attention(q, k, v, scale=0.4), wanted)
    assert attention(q, k, v, scale=0.4).shape == q.shape


def test_large_scores_do_not_overflow():
    q, k, v = (t.float() for t in inputs())
    out = attention(1e4 * q, 1e4 * k, v, scale=1.0)
    assert out.isfinite().all()
    nearest = torch.einsum("blhd,bmhd->bhlm", q, k).argmax(-1)
    torch.testing.assert_close(out[1, 2, 0], v[1, nearest[1, 0, 2], 0])


def test_gradients_are_those_of_the_definition():
    given = tuple(t.requires_grad_() for t in inputs(queries=3, keys=4, width=2))
    assert torch.autograd.gradcheck(lambda *t: attention(*t, scale=0.7), given)
