"""The attention of libraries, on a GPU: results, log-sum-exps, splits, gradients."""

import pytest
import torch

from worldweave_kernels import attention, explain, merge_attention, reference
from worldweave_kernels.agreement import TOLERANCE, relative_error

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]

LIBRARIES = ["fa4", "fa3", "cudnn", "flash", "sdpa"]
#: The last has keys for more blocks than a pipeline has stages.
SIZES = [(1, 256, 256, 4), (2, 130, 77, 3), (1, 300, 1100, 2)]


def inputs(sizes, dtype, gradients=False):
    batch, queries, keys, heads = sizes
    generator = torch.Generator().manual_seed(0)
    shapes = [(batch, n, heads, 128) for n in (queries, keys, keys)]
    return [
        torch.randn(shape, generator=generator)
        .to("cuda", dtype)
        .requires_grad_(gradients)
        for shape in shapes
    ]


def skip_without(backend, given, **kwargs):
    for each in explain("attention", *given, **kwargs).passed_over:
        if each.startswith(f"{backend}: "):
            pytest.skip(each)


@pytest.mark.parametrize("num_splits", [1, 2, 3])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("backend", [*LIBRARIES, "triton"])
def test_a_library_agrees_with_the_definition(backend, sizes, dtype, num_splits):
    given = inputs(sizes, dtype)
    asked = {"return_lse": True, "num_splits": num_splits}
    skip_without(backend, given, **asked)
    out, lse = attention(*given, **asked, backend=backend)
    wanted, wanted_lse = reference.attention(*(x.double() for x in given))
    assert (out.dtype, lse.dtype) == (dtype, torch.float32)
    # Probabilities are rounded to the dtype too, and shares before they are merged.
    assert relative_error(out, wanted) <= 2 * TOLERANCE[dtype]
    assert relative_error(lse, wanted_lse) <= 1e-5
    alone = attention(*given, num_splits=num_splits, backend=backend)
    assert relative_error(alone, wanted) <= 2 * TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("backend", LIBRARIES)
def test_a_librarys_gradients_are_those_of_the_definition(backend, sizes, dtype):
    given = inputs(sizes, dtype, gradients=True)
    skip_without(backend, given)
    out = attention(*given, backend=backend)
    slope = torch.randn_like(out)
    found = torch.autograd.grad(out, given, slope)
    exact = [x.detach().double().requires_grad_() for x in given]
    wanted = torch.autograd.grad(reference.attention(*exact)[0], exact, slope.double())
    for ours, theirs in zip(found, wanted, strict=True):
        assert relative_error(ours, theirs) <= 4 * TOLERANCE[dtype]


def test_float32_has_a_log_sum_exp():
    given = inputs(SIZES[1], torch.float32)
    assert explain("attention", *given, return_lse=True).backend == "sdpa"
    found = attention(*given, return_lse=True)
    wanted = reference.attention(*(x.double() for x in given))
    for ours, theirs in zip(found, wanted, strict=True):
        assert relative_error(ours, theirs) <= 1e-3


def test_packed_queries_keys_and_values_are_read_where_they_lie():
    generator = torch.Generator("cuda").manual_seed(0)
    packed = torch.randn(1, 200, 3, 2, 128, device="cuda", generator=generator)
    given = packed.half().unbind(2)
    wanted, _ = reference.attention(*(x.double() for x in given))
    for backend in (*LIBRARIES, "triton"):
        if any(
            each.startswith(f"{backend}: ")
            for each in explain("attention", *given).passed_over
        ):
            continue
        out = attention(*given, backend=backend)
        assert relative_error(out, wanted) <= 2 * TOLERANCE[torch.float16], backend


def test_two_results_are_merged_as_defined():
    given = inputs(SIZES[2], torch.bfloat16)
    q, k, v = given
    parts = [
        attention(q, x, y, return_lse=True)
        for x, y in zip(k.chunk(2, 1), v.chunk(2, 1), strict=True)
    ]
    merged = merge_attention(*parts[0], *parts[1])
    assert explain("merge_attention", *parts[0], *parts[1]).backend == "triton"
    wanted = reference.attention(*(x.double() for x in given))
    assert relative_error(merged[0], wanted[0]) <= 2 * TOLERANCE[torch.bfloat16]
    assert relative_error(merged[1], wanted[1]) <= 1e-5


def test_one_head_is_split_and_says_so():
    given = [torch.zeros(1, 56320, 1, 128, device="cuda").half() for _ in range(3)]
    choice = explain("attention", *given)
    assert "in the order of published speeds" in choice.reason
    processors = torch.cuda.get_device_properties("cuda").multi_processor_count
    if processors == 132:
        assert "the keys in 2 shares" in choice.reason


@pytest.mark.parametrize("backend", ["auto", "cudnn", "flash", "triton"])
def test_on_a_gpu_it_compiles_into_one_graph(backend):
    given = inputs(SIZES[0], torch.float16)
    skip_without(backend, given)
    torch.compiler.reset()
    compiled = torch.compile(attention, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(
        compiled(*given, backend=backend), attention(*given, backend=backend)
    )
