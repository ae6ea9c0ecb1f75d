"""Attention against the definition in double precision, and who computes it."""

import math

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from worldweave_kernels import BackendError, attention, explain, reference
from worldweave_kernels.agreement import TOLERANCE, agreements, relative_error

CLOSE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 2e-2}


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
    out, lse = reference.attention(q, k, v, scale=0.3)
    for b, i, h in ((0, 0, 0), (1, 6, 2), (0, 3, 1)):
        scores = [0.3 * float(q[b, i, h] @ k[b, j, h]) for j in range(5)]
        total = sum(map(math.exp, scores))
        wanted = sum(math.exp(s) / total * v[b, j, h] for j, s in enumerate(scores))
        torch.testing.assert_close(out[b, i, h], wanted)
        assert lse[b, h, i] == pytest.approx(math.log(total))


@pytest.mark.usefixtures("unwritten_is_nan")
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_triton_agrees_with_the_definition(device, dtype):
    found = list(
        agreements(
            "attention", backend="triton", dtype=dtype, device=device, gradients=False
        )
    )
    assert found
    assert [each for each in found if not each.holds] == []


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_torch_agrees_with_the_definition(dtype):
    found = list(agreements("attention", backend="sdpa", dtype=dtype, gradients=False))
    assert found
    assert [each for each in found if not each.holds] == []


@pytest.mark.usefixtures("unwritten_is_nan")
@pytest.mark.parametrize("width", [16, 40])
@pytest.mark.parametrize("tma", [False, True], ids=["pointers", "descriptors"])
@pytest.mark.parametrize("splits", [1, 2])
def test_both_kernels_read_all_that_is_theirs_and_nothing_else(
    device, tma, width, splits
):
    from worldweave_kernels.in_triton.attention import attention_shares

    def among_what_is_no_number(beside):
        around = torch.full((4, 150, 3, 4, width + beside), math.nan, device=device)
        return around.half()[1:-1, 5:-5, :, 1:-1, :width]

    # More than a block of each, and not whole blocks.
    packed, other = among_what_is_no_number(8), among_what_is_no_number(16)
    packed.copy_(random(*packed.shape))
    q, k, v = packed[:, :, 0], packed[:, :, 1], other[:, :, 2]
    v.copy_(packed[:, :, 2])
    outs, lses = attention_shares(q, k, v, 0.4, splits, tma)
    out, lse = reference.merge_attention(list(outs), list(lses))
    wanted, wanted_lse = reference.attention(
        *(t.double() for t in (q, k, v)), scale=0.4
    )
    assert relative_error(out, wanted) <= TOLERANCE[torch.float16]
    assert relative_error(lse, wanted_lse) <= 1e-6


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
def test_on_the_cpu_it_is_torchs_attention_bit_for_bit(dtype):
    q, k, v = (t.to(dtype) for t in inputs(queries=33, keys=65, width=24))
    heads_first = (t.transpose(1, 2) for t in (q, k, v))
    wanted = scaled_dot_product_attention(*heads_first, scale=0.4).transpose(1, 2)
    assert torch.equal(attention(q, k, v, scale=0.4), wanted)
    assert wanted.dtype == dtype


def test_the_scale_is_that_of_the_width_unless_given():
    q, k, v = inputs(width=16)
    wanted, _ = reference.attention(q, k, v, scale=0.25)
    for backend in ("auto", "reference"):
        torch.testing.assert_close(attention(q, k, v, backend=backend), wanted)


@pytest.mark.parametrize("backend", ["auto", "triton", "reference"])
def test_strides_do_not_matter(device, backend):
    q = random(3, 7, 2, 10).permute(2, 1, 0, 3).to(device)
    k, v = (t[..., ::2] for t in random(2, 2, 5, 3, 20).to(device))
    assert not k.is_contiguous()
    wanted, wanted_lse = reference.attention(q, k, v, scale=0.4)
    out, lse = attention(q, k, v, scale=0.4, return_lse=True, backend=backend)
    torch.testing.assert_close(out, wanted)
    torch.testing.assert_close(lse, wanted_lse)
    torch.testing.assert_close(attention(q, k, v, scale=0.4, backend=backend), wanted)


@pytest.mark.parametrize("backend", ["auto", "triton", "reference"])
def test_large_scores_do_not_overflow(device, backend):
    q, k, v = (t.float().to(device) for t in inputs(keys=130))
    given = (1e4 * q, 1e4 * k, v)
    out, lse = attention(*given, scale=1.0, return_lse=True, backend=backend)
    assert out.isfinite().all()
    assert lse.isfinite().all()
    scores = torch.einsum("blhd,bmhd->bhlm", *given[:2])
    nearest = scores.argmax(-1)
    torch.testing.assert_close(out[1, 2, 0], v[1, nearest[1, 0, 2], 0])
    torch.testing.assert_close(lse, scores.amax(-1), rtol=1e-5, atol=0)


def test_triton_gives_the_same_bits_twice(device):
    given = [t.to(device, torch.bfloat16) for t in inputs(queries=40, keys=70)]
    one, two = (
        attention(*given, backend="triton", num_splits=2, return_lse=True)
        for _ in range(2)
    )
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])


def test_no_queries_are_no_work(device):
    q, k, v = (t.to(device) for t in inputs(queries=0))
    for backend in ("auto", "triton", "reference"):
        out, lse = attention(q, k, v, return_lse=True, backend=backend, num_splits=2)
        assert (out.shape, lse.shape) == (q.shape, (2, 3, 0))


def test_gradients_are_those_of_the_definition():
    given = tuple(t.requires_grad_() for t in inputs(queries=3, keys=4, width=2))
    assert torch.autograd.gradcheck(lambda *t: attention(*t, scale=0.7), given)


@pytest.mark.parametrize("num_splits", ["auto", 3])
def test_the_log_sum_exp_has_gradients_too(num_splits):
    given = tuple(t.requires_grad_() for t in inputs(queries=3, keys=4, width=2))

    def both(*qkv):
        return attention(*qkv, scale=0.7, return_lse=True, num_splits=num_splits)

    assert torch.autograd.gradcheck(both, given)


def test_the_custom_ops_are_sound(device):
    q, k, v = (t.to(device) for t in inputs(batch=1, heads=1))
    compute = torch.ops.worldweave.attention.default
    torch.library.opcheck(compute, (q, k, v, 0.4, 2))
    parts = [compute(q, k, v, 0.4, 1) for _ in range(2)]
    outs, lses = (list(each) for each in zip(*parts, strict=True))
    merge = torch.ops.worldweave.merge_attention.default
    torch.library.opcheck(
        merge, (outs, lses), test_utils=("test_schema", "test_faketensor")
    )


@pytest.mark.parametrize(
    "kwargs",
    [{}, {"backend": "triton"}, {"num_splits": 2, "return_lse": True}],
    ids=str,
)
def test_it_compiles_into_one_graph(device, kwargs):
    q, k, v = (t.to(device) for t in inputs())
    torch.compiler.reset()
    compiled = torch.compile(attention, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(
        compiled(q, k, v, **kwargs), attention(q, k, v, **kwargs)
    )


def test_it_says_who_computes_and_why():
    q, k, v = inputs()
    assert str(explain("attention", q, k, v)).splitlines() == [
        "attention: sdpa, the first that can",
        "  not fa4: the tensors are on the CPU",
        "  not fa3: the tensors are on the CPU",
        "  not cudnn: the tensors are on the CPU",
        "  not flash: the tensors are on the CPU",
    ]
    asked = explain("attention", q, k, v, backend="reference", num_splits=2)
    assert (
        str(asked) == "attention: reference, asked for by backend; the keys in 2 shares"
    )


def test_the_environment_names_the_backend(monkeypatch):
    given = tuple(t.float() for t in inputs())
    monkeypatch.setenv("WORLDWEAVE_KERNELS", "attention=reference")
    assert explain("attention", *given).backend == "reference"
    assert torch.equal(attention(*given), reference.attention(*given)[0])
    monkeypatch.setenv("WORLDWEAVE_KERNELS", "attention=cudnn")
    with pytest.raises(BackendError, match=r"cudnn was asked for, .* are on the CPU"):
        attention(*given)


def test_a_gradient_is_not_asked_of_what_has_none(device):
    q, k, v = (t.to(device).requires_grad_() for t in inputs())
    with pytest.raises(BackendError, match="no backward, and a gradient is wanted"):
        attention(q, k, v, backend="triton")
    with pytest.raises(BackendError, match=r"log-sum-exp, by which .* has no gradient"):
        attention(q, k, v, backend="sdpa", return_lse=True)
    with pytest.raises(BackendError, match=r"log-sum-exp, by which .* has no gradient"):
        attention(q, k, v, backend="sdpa", num_splits=2)
    assert explain("attention", q, k, v, return_lse=True).backend == "reference"
    with torch.no_grad():
        assert explain("attention", q, k, v, backend="triton").backend == "triton"


@pytest.mark.parametrize(
    ("sizes", "kwargs", "why"),
    [
        ({"width": 264}, {}, "heads have 264 channels, more than 256"),
        ({}, {"scale": -1.0}, r"the scale -1\.0 is negative"),
    ],
)
def test_triton_says_what_it_cannot(device, sizes, kwargs, why):
    given = [t.to(device) for t in inputs(queries=1, heads=1, **sizes)]
    with pytest.raises(BackendError, match=why):
        attention(*given, **kwargs, backend="triton")
    attention(*given, **kwargs)


def test_torch_needs_channels_side_by_side_for_the_log_sum_exp():
    q, k, v = inputs()
    strided = v.transpose(1, 3).contiguous().transpose(1, 3)
    assert explain("attention", q, k, strided).backend == "sdpa"
    choice = explain("attention", q, k, strided, return_lse=True)
    assert choice.backend == "reference"
    assert any("side by side" in each for each in choice.passed_over)


@pytest.mark.parametrize(
    ("shapes", "why"),
    [
        ([(1, 7, 2, 16), (1, 5, 3, 16), (1, 5, 3, 16)], "heads are 2 in q, 3 in k"),
        ([(1, 7, 2, 16), (2, 5, 2, 16), (2, 5, 2, 16)], "batch sizes are 1 in q, 2"),
        ([(1, 7, 2, 16), (1, 5, 2, 8), (1, 5, 2, 8)], "channels are 16 in q, 8 in k"),
        ([(1, 7, 2, 16), (1, 5, 2, 16), (1, 6, 2, 16)], "k and v differ in shape"),
        ([(1, 7, 2, 16), (1, 0, 2, 16), (1, 0, 2, 16)], "there is no key"),
        ([(7, 2, 16)] * 3, r"each is \(batch, tokens, heads, channels\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(shapes, why):
    with pytest.raises(ValueError, match=why) as raised:
        attention(*(torch.zeros(shape) for shape in shapes))
    for name, shape in zip("qkv", shapes, strict=True):
        assert f"{name} {shape}" in str(raised.value)


def test_all_that_does_not_fit_is_told_at_once():
    q, k, v = torch.zeros(1, 7, 2, 16), torch.zeros(2, 5, 3, 8).half(), torch.zeros(1)
    with pytest.raises(ValueError, match="cannot take") as raised:
        attention(q, k, v)
    for misfit in ("batch", "heads", "channels", "differ", "float32, float16, float32"):
        assert misfit in str(raised.value)


def test_integers_are_refused():
    with pytest.raises(ValueError, match="int64, int64, int64; one of floating point"):
        attention(*(torch.zeros(1, 1, 1, 1, dtype=torch.int64) for _ in range(3)))
