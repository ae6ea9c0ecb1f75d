"""Attention against the definition in double precision, and who computes it."""

import math
import sys

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
        ({}, {"scale": -1.0}, r"the scale -1\.0 is not positive"),
        ({}, {"scale": 0.0}, r"the scale 0\.0 is not positive"),
    ],
)
def test_triton_says_what_it_cannot(device, sizes, kwargs, why):
    given = [t.to(device) for t in inputs(queries=1, heads=1, **sizes)]
    with pytest.raises(BackendError, match=why):
        attention(*given, **kwargs, backend="triton")
    wanted, _ = reference.attention(*given, **kwargs)
    torch.testing.assert_close(attention(*given, **kwargs), wanted)


def test_a_grid_has_room_for_so_many_heads_and_splits(device):
    given = [torch.zeros(2, 1, 32768, 1, device=device) for _ in range(3)]
    with pytest.raises(BackendError, match="at most 65535 heads, of all videos"):
        attention(*given, backend="triton")
    given = [torch.zeros(1, 65536, 1, 1, device=device) for _ in range(3)]
    with pytest.raises(BackendError, match="at most 65535 heads, of all videos, or sp"):
        attention(*given, backend="triton", num_splits=65536)


@pytest.mark.parametrize("backend", ["sdpa", "reference", "triton"])
def test_under_autocast_the_result_is_like_the_queries(device, backend):
    given = [t.to(device, torch.float32) for t in inputs(width=16)]
    wanted = reference.attention(*given)
    with torch.autocast(device, torch.bfloat16):
        alone = attention(*given, backend=backend)
        out, lse = attention(*given, backend=backend, return_lse=True)
    for found in (alone, out):
        assert found.dtype == torch.float32
        assert relative_error(found, wanted[0]) <= TOLERANCE[torch.bfloat16]
    assert lse.dtype == torch.float32


def test_on_a_gpu_the_reference_is_not_taken_unasked_for_scores_without_end(device):
    from worldweave_kernels.aot.stand_in import _gpu

    with _gpu(90), torch.enable_grad():
        few, many = (
            [torch.zeros(1, n, 4, 8, device="cuda").requires_grad_()] * 3
            for n in (64, 2**15)
        )
        assert explain("attention", *few, return_lse=True).backend == "reference"
        with pytest.raises(BackendError, match="its scores would take 17 GB, several"):
            explain("attention", *many, return_lse=True)
        asked = explain("attention", *many, return_lse=True, backend="reference")
        assert asked.backend == "reference"
        assert explain("attention", *many).backend == "sdpa"


def test_what_is_asked_about_a_gpu_can_be_traced(device, monkeypatch):
    from worldweave_kernels import libraries
    from worldweave_kernels.aot.stand_in import _gpu

    # Its own name is that of a function.
    door = sys.modules["worldweave_kernels.attention"]
    with _gpu(90):
        properties = torch.cuda.get_device_properties("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda gpu: properties)

    def ask(q, k, v):
        wanted = libraries.Wanted(q, k, v, None, True, False, 2, (9, 0))
        found = [each(wanted) for each in libraries._OBSTACLES.values()]
        processors = door._processors(torch.device("cuda", 0))
        return q + processors, libraries._misaligned(wanted), found

    # Queries, keys and values begin where the ones before them end.
    given = torch.zeros(1, 7, 3, 2, 16).unbind(2)
    torch.compiler.reset()
    compiled = torch.compile(ask, fullgraph=True, backend="eager")
    _, misaligned, found = compiled(*given)
    assert misaligned is None
    assert (misaligned, found) == ask(*given)[1:]
    odd = torch.zeros(1, 7, 2, 17)[..., :16]
    assert compiled(odd, odd, odd)[1] == ask(odd, odd, odd)[1] is not None


@pytest.mark.parametrize("gradient", [False, True])
def test_flash_attention_3_is_told_its_splits(monkeypatch, gradient):
    from worldweave_kernels import libraries

    told = []

    class Interface:
        """Takes what the real one takes, of which there is none without a GPU."""

        @staticmethod
        def flash_attn_func(
            q, k, v, softmax_scale=None, num_splits=1, return_attn_probs=False
        ):
            told.append(num_splits)
            out, lse = reference.attention(q, k, v, scale=softmax_scale)
            return (out, lse) if return_attn_probs else out

    monkeypatch.setitem(sys.modules, "flash_attn_interface", Interface)
    q, k, v = (t.float() for t in inputs())
    wanted = libraries.Wanted(q, k, v, 0.4, True, gradient, 3, (9, 0))
    out, lse = libraries.attend("fa3", wanted)
    assert told == [3]
    exact = reference.attention(q, k, v, scale=0.4)
    torch.testing.assert_close((out, lse), exact)


def test_a_library_that_gives_no_log_sum_exp_is_told(monkeypatch):
    from worldweave_kernels import libraries

    class Older:
        """Forgets what it was asked for."""

        @staticmethod
        def flash_attn_func(q, k, v, softmax_scale, num_splits, return_attn_probs):
            return reference.attention(q, k, v, scale=softmax_scale)[0]

    monkeypatch.setitem(sys.modules, "flash_attn_interface", Older)
    q, k, v = (t.float() for t in inputs())
    for gradient in (False, True):
        wanted = libraries.Wanted(q, k, v, 0.4, True, gradient, 1, (9, 0))
        with pytest.raises(BackendError, match="fa3 was asked for the log-sum-exp"):
            libraries.attend_with_lse("fa3", wanted)


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
