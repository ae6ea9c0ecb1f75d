"""Shares of the keys: how many, computed at once, and merged."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldweave_kernels import (
    BackendError,
    attention,
    explain,
    merge_attention,
    reference,
)
from worldweave_kernels.agreement import TOLERANCE, agreements, relative_error
from worldweave_kernels.splits import attend_to_shares, split_count

#: A library may sum probabilities that it has rounded already.
LSE_TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 1e-5}


def random(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator)


def part(keys, seed=0, scale=1.0):
    """An attention of 3 queries to *keys* keys of 2 heads, and its log-sum-exp."""
    q, k, v = random(1, 3, 2, 4), random(1, keys, 2, 4, seed=seed), None
    v = random(1, keys, 2, 4, seed=seed + 100)
    return reference.attention(q, k, v, scale=scale)


@pytest.mark.parametrize(
    ("heads", "rows", "processors", "wanted"),
    [
        # One head of 56 320 tokens fills 83 % of the waves of an H200, two shares 95.
        (1, 128, 132, 2),
        (2, 128, 132, 1),
        (32, 128, 132, 1),
        # With 256 rows a tile, 74 % of a GB200's, two shares 99.
        (1, 256, 148, 2),
        (1, 128, 148, 1),
        (2, 256, 148, 1),
    ],
)
def test_few_heads_are_split(heads, rows, processors, wanted):
    assert split_count(heads * 56320 // rows, 56320, processors) == wanted


def test_a_split_must_pay_for_its_partial_results():
    # A quarter of the processors idles; of few keys, four partial results cost that.
    assert split_count(99, 56320, 132) == 4
    assert split_count(99, 4096, 132) == 1


def test_few_keys_are_never_split_and_none_more_than_fourfold():
    assert split_count(1, 4095, 132) == 1
    assert split_count(1, 100_000, 132) == 4
    assert split_count(0, 100_000, 132) == 1


@pytest.mark.usefixtures("unwritten_is_nan")
@pytest.mark.parametrize("backend", ["triton", "sdpa", "reference"])
@pytest.mark.parametrize(
    ("keys", "dtype"),
    [
        (70, torch.float64),
        (70, torch.float32),
        (70, torch.bfloat16),
        (3, torch.float32),
    ],
)
def test_shares_are_the_whole(device, backend, keys, dtype):
    q = random(2, 5, 2, 16).to(device, dtype)
    k, v = random(2, 2, keys, 2, 16, seed=1).to(device, dtype)
    if device == "cuda" and backend == "sdpa" and dtype == torch.float64:
        pytest.skip("the memory-efficient kernel has no float64")
    wanted = reference.attention(*(t.double() for t in (q, k, v)), scale=0.4)
    for splits in (1, 2, 3):
        found = attention(
            q, k, v, scale=0.4, return_lse=True, num_splits=splits, backend=backend
        )
        assert found[0].dtype == dtype
        # Shares of a library are rounded before they are merged, and then again.
        tolerance = TOLERANCE[dtype] * (1 if splits == 1 or backend != "sdpa" else 2)
        assert relative_error(found[0], wanted[0]) <= tolerance
        assert relative_error(found[1], wanted[1]) <= LSE_TOLERANCE[dtype]


@pytest.mark.usefixtures("unwritten_is_nan")
@pytest.mark.parametrize("tma", [False, True], ids=["pointers", "descriptors"])
def test_a_share_without_keys_is_empty(device, tma):
    from worldweave_kernels.in_triton.attention import attention_shares
    from worldweave_kernels.in_triton.merge import merge

    q, k, v = (random(1, 3, 1, 16, seed=s).to(device).half() for s in range(3))
    outs, lses = attention_shares(q, k, v, 0.4, 2, tma)
    assert outs.dtype == torch.float32
    assert torch.equal(outs[1], torch.zeros_like(outs[1]))
    assert torch.equal(lses[1], torch.full_like(lses[1], -math.inf))
    for order in ((0, 1), (1, 0)):
        merged, lse = merge(
            [outs[i] for i in order], [lses[i] for i in order], torch.float32
        )
        assert torch.equal(merged, outs[0])
        torch.testing.assert_close(lse, lses[0])
    empty, lse = merge([outs[1]] * 2, [lses[1]] * 2, torch.float32)
    assert torch.equal(empty, outs[1])
    assert torch.equal(lse, lses[1])


@pytest.mark.usefixtures("unwritten_is_nan")
@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str
)
def test_triton_merges_shares_of_any_strides(device, dtype):
    from worldweave_kernels.in_triton.merge import merge

    # More queries than a block.
    outs = [
        random(2, 70, 3, 10).to(device, dtype),
        random(3, 70, 2, 12, seed=1).to(device, dtype).transpose(0, 2)[..., 1:-1],
        random(2, 70, 3, 20, seed=2).to(device, dtype)[..., ::2],
    ]
    lses = [random(2, 3, 70, seed=i).to(device, outs[0].dtype) for i in range(2)]
    lses.append(random(3, 2, 70, seed=4).to(device, dtype).transpose(0, 1))
    wide = torch.promote_types(dtype, torch.float32)
    lses = [4 * lse.to(wide) for lse in lses]
    out, lse = merge(outs, lses, dtype)
    wanted, wanted_lse = reference.merge_attention(
        [out.double() for out in outs], [lse.double() for lse in lses]
    )
    assert (out.dtype, lse.dtype) == (dtype, wide)
    assert relative_error(out, wanted) <= TOLERANCE[dtype]
    assert relative_error(lse, wanted_lse) <= TOLERANCE[wide]


@pytest.mark.parametrize("keys", [7, 8, 9, 13])
@pytest.mark.parametrize("splits", [2, 3, 4])
def test_shares_of_a_library_are_at_least_two_keys_and_all_of_them(keys, splits):
    seen = []

    def attend(q, k, v):
        assert q.shape[0] == k.shape[0] == v.shape[0]
        seen.append(k.shape)
        return reference.attention(q, k, v, scale=0.4)

    q, (k, v) = random(2, 3, 2, 4), random(2, 2, keys, 2, 4, seed=1)
    parts = attend_to_shares(attend, q, k, v, splits)
    (batch, each, *_), *rest = seen
    assert batch == splits * 2
    assert splits * each + sum(shape[1] for shape in rest) == keys
    assert keys < 3 * splits or all(shape[1] != 1 for shape in seen)
    out, lse = reference.merge_attention(*map(list, zip(*parts, strict=True)))
    wanted, wanted_lse = reference.attention(q, k, v, scale=0.4)
    torch.testing.assert_close(out, wanted)
    torch.testing.assert_close(lse, wanted_lse)


@pytest.mark.parametrize("num_splits", [0, -1, 6])
def test_shares_are_one_to_as_many_as_keys(num_splits):
    q, k, v = random(3, 1, 5, 2, 4)
    with pytest.raises(ValueError, match=f"num_splits is {num_splits}; .* of keys, 5"):
        attention(q, k, v, num_splits=num_splits)


@settings(deadline=None, max_examples=25)
@given(
    keys=st.lists(st.integers(0, 5), min_size=3, max_size=3),
    scale=st.sampled_from([0.1, 1.0, 1e3]),
)
def test_merging_is_associative(keys, scale):
    one, two, three = (part(n, seed, scale) for seed, n in enumerate(keys))
    left = merge_attention(*merge_attention(*one, *two), *three)
    right = merge_attention(*one, *merge_attention(*two, *three))
    for ours, theirs in zip(left, right, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)
    if sum(keys):
        outs, lses = zip(one, two, three, strict=True)
        some = [i for i, n in enumerate(keys) if n]
        wanted = reference.merge_attention(
            [outs[i] for i in some], [lses[i] for i in some]
        )
        for ours, theirs in zip(left, wanted, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_merging_does_not_overflow():
    out, other = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    for height in (-1e4, 0.0, 1e4):
        lse = torch.full((1, 1, 1), height)
        merged, total = merge_attention(out, lse, other, lse)
        assert float(merged) == 0.5
        assert float(total) == pytest.approx(height + math.log(2))


@pytest.mark.usefixtures("unwritten_is_nan")
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_triton_agrees_with_the_definition_of_a_merge(device, dtype):
    found = list(
        agreements(
            "merge_attention",
            backend="triton",
            dtype=dtype,
            device=device,
            gradients=False,
        )
    )
    assert found
    assert [each for each in found if not each.holds] == []


@pytest.mark.parametrize("backend", ["triton", "reference"])
def test_merging_nothing_changes_no_bit(device, backend):
    out, lse = (x.float().to(device) for x in part(4))
    nothing = torch.zeros_like(out), torch.full_like(lse, -math.inf)
    for merged, total in (
        merge_attention(out, lse, *nothing, backend=backend),
        merge_attention(*nothing, out, lse, backend=backend),
    ):
        assert torch.equal(merged, out)
        assert torch.equal(total, lse)
    none, total = merge_attention(*nothing, *nothing, backend=backend)
    assert torch.equal(none, nothing[0])
    assert torch.equal(total, nothing[1])


def test_merging_rounds_once():
    out = torch.full((1, 1, 1, 1), 1.0, dtype=torch.bfloat16)
    lse, less = torch.zeros(1, 1, 1), torch.full((1, 1, 1), -1.0)
    merged, total = merge_attention(out, lse, 2 * out, less)
    assert (merged.dtype, total.dtype) == (torch.bfloat16, torch.float32)
    exact = (1 + 2 * math.exp(-1)) / (1 + math.exp(-1))
    assert float(merged) == float(torch.tensor(exact).bfloat16())


def test_merging_has_gradients():
    given = [x.requires_grad_() for x in (*part(4), *part(2, seed=1))]
    assert torch.autograd.gradcheck(merge_attention, given)


def test_a_gradient_passes_by_what_is_empty():
    out, lse = part(4)
    none = torch.zeros_like(out), torch.full_like(lse, -math.inf)
    given = [x.requires_grad_() for x in (out, lse, *none)]
    total = sum(x.sum() for x in merge_attention(*given))
    assert all(slope.isfinite().all() for slope in torch.autograd.grad(total, given))


def test_a_gpu_merges_in_one_pass_unless_a_gradient_is_wanted(device, monkeypatch):
    from worldweave_kernels.aot.stand_in import _gpu

    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with _gpu(90):
        out = torch.zeros(1, 7, 4, 128, device="cuda").half()
        lse = torch.zeros(1, 4, 7, device="cuda")
        assert str(explain(merge_attention, out, lse, out, lse)) == (
            "merge_attention: triton, the preferred one"
        )
        wide = torch.zeros(1, 7, 4, 264, device="cuda")
        assert explain(merge_attention, wide, lse, wide, lse).backend == "reference"
        with torch.enable_grad():
            choice = explain(merge_attention, out, lse, out, lse.requires_grad_())
    assert choice.passed_over == (
        "triton: it has no backward, and a gradient is wanted",
    )


@pytest.mark.parametrize("backend", ["auto", "triton"])
def test_a_merge_compiles_into_one_graph(device, backend):
    given = [x.to(device) for x in (*part(4), *part(2, seed=1))]
    torch.compiler.reset()
    compiled = torch.compile(merge_attention, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(
        compiled(*given, backend=backend), merge_attention(*given, backend=backend)
    )


def test_a_gradient_is_not_asked_of_the_merge_in_triton(device):
    given = [x.to(device) for x in (*part(4), *part(2, seed=1))]
    given[3].requires_grad_()
    with pytest.raises(BackendError, match="no backward, and a gradient is wanted"):
        merge_attention(*given, backend="triton")


def test_what_cannot_be_merged_is_refused():
    out, lse = part(4)
    with pytest.raises(ValueError, match="on cpu, cpu, cpu, meta cannot be merged"):
        merge_attention(out, lse, out, lse.to("meta"))
    with pytest.raises(ValueError, match=r"\(1, 3, 2, 4\) and \(1, 3, 2, 4\) with"):
        merge_attention(out, lse, out, lse.transpose(1, 2))
