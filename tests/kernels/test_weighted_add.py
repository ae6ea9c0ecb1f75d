"""Weighted addition against the definition in double precision."""

import pytest
import torch
from torch.utils._pytree import tree_map

from worldweave_kernels import BackendError, explain, reference, weighted_add
from worldweave_kernels.agreement import TOLERANCE as AGREEMENT
from worldweave_kernels.agreement import agreements

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


@pytest.mark.usefixtures("unwritten_is_nan")
@pytest.mark.parametrize("dtype", AGREEMENT, ids=str)
def test_triton_agrees_with_the_definition(device, dtype):
    judged = list(
        agreements("weighted_add", backend="triton", dtype=dtype, device=device)
    )
    assert judged
    assert [each for each in judged if not each.holds] == []


@pytest.fixture
def given(device):
    """Two residuals of (2, 3, 20) with a map for all, and one shared by the batch."""
    generator = torch.Generator().manual_seed(1)

    def given(dtype=torch.float32, top=0.4, wants=False):
        x, *residuals = (
            torch.randn(2, 3, 20, dtype=dtype, generator=generator) for _ in range(3)
        )
        wide = torch.promote_types(dtype, torch.float32)
        maps = [
            top * (0.5 + 0.5 * torch.rand(shape, dtype=wide, generator=generator))
            for shape in ((2, 3), (1, 3))
        ]
        x, *rest = (
            each.to(device).requires_grad_(wants) for each in (x, *residuals, *maps)
        )
        return x, rest[:2], rest[2:]

    return given


@pytest.mark.parametrize("top", [0.4, 1.6], ids=["below one", "above one"])
@pytest.mark.parametrize("normalize", [False, True])
def test_slopes_are_those_of_finite_differences(given, normalize, top):
    x, residuals, maps = given(torch.float64, top, wants=True)

    def added(x, first, second, *maps):
        return weighted_add(
            x, [first, second], maps, normalize=normalize, backend="triton"
        )

    assert torch.autograd.gradcheck(added, (x, *residuals, *maps), fast_mode=True)


def slopes(add, x, residuals, maps, **kwargs):
    out = add(x, residuals, maps, **kwargs)
    return torch.autograd.grad(out.square().sum(), [x, *residuals, *maps])


def test_maps_that_sum_to_one_slope_as_the_definition_s_do(given):
    x, residuals, maps = given(wants=True)
    maps = [torch.full_like(each, 0.5, requires_grad=True) for each in maps]
    wanted = slopes(reference.weighted_add, x, residuals, maps, normalize=True)
    found = slopes(weighted_add, x, residuals, maps, normalize=True, backend="triton")
    torch.testing.assert_close(found, wanted)


LAYOUTS = {
    "some tokens of each video": lambda x: x.repeat(1, 2, 1)[:, :3],
    "one for the batch": lambda x: x[:1].expand_as(x),
    "one number": lambda x: x[0, 0, 0].expand_as(x),
    "tokens first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "every other channel": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "part of the channels": lambda x: x.repeat(1, 1, 2)[..., :20],
    "channels first": lambda x: x.movedim(-1, 0).contiguous().movedim(0, -1),
}


@pytest.mark.usefixtures("unwritten_is_nan")
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_triton_reads_any_layout(given, layout):
    x, (first, second), maps = given(top=1.6)
    for args in (
        (layout(x), [first, second], maps),
        (x, [layout(first), second], maps),
        (x, [first, layout(second)], [layout(x)[..., 0].abs(), maps[1]]),
    ):
        x_, residuals, maps_ = tree_map(
            lambda each: each.detach().requires_grad_(), args
        )
        wanted = slopes(reference.weighted_add, x_, residuals, maps_, normalize=True)
        found = slopes(
            weighted_add, x_, residuals, maps_, normalize=True, backend="triton"
        )
        torch.testing.assert_close(found, wanted)


def test_what_has_two_strides_is_read_where_it_lies(given):
    from worldweave_kernels.in_triton.weighted_add import Runs

    x, (first, second), maps = given()
    layouts = ("some tokens of each video", "one for the batch", "part of the channels")
    for name in layouts:
        tensors = [x, LAYOUTS[name](first), second, *maps]
        read = Runs((2, 3), tensors).tensors
        assert [r.data_ptr() for r in read] == [t.data_ptr() for t in tensors], name
    # Where two part at different axes the smaller is copied, here the map.
    x = torch.ones(2, 3, 4, 5)[:, :2]
    values = torch.ones(2, 3, 8)[:, :2, :4]
    runs = Runs((2, 2, 4), [x, values])
    assert runs.tensors[0] is x
    assert (runs.count, runs.inner) == (2, 8)
    assert (runs.run_strides, runs.row_strides) == ([60, 8], [5, 1])
    runs = Runs((2, 1, 3, 4), [torch.ones(2, 1, 3, 8)[..., :4]])
    assert (runs.count, runs.inner) == (6, 4)
    assert (runs.run_strides, runs.row_strides) == ([8], [1])


def test_each_tensor_keeps_its_dtype(given):
    x, (first, second), maps = given(wants=True)
    residuals = [first.detach().bfloat16().requires_grad_(), second]
    maps = [maps[0], maps[1].detach().double().requires_grad_()]
    found = slopes(weighted_add, x, residuals, maps, backend="triton")
    assert [each.dtype for each in found] == [
        each.dtype for each in (x, *residuals, *maps)
    ]
    wanted = slopes(reference.weighted_add, x, residuals, maps)
    # Triton's interpreter cuts bfloat16 off where torch rounds it.
    torch.testing.assert_close(found, wanted, rtol=8e-3, atol=1e-5)


def test_residuals_are_kept_for_the_gradients_of_maps_alone(given):
    kept = []

    def keep(x):
        kept.append(x.shape)
        return x

    x, residuals, maps = given(wants=True)
    for wanted, shapes in (
        (maps, [*maps, *residuals]),
        ([x, *residuals], maps),
        ([residuals[1]], maps),
    ):
        for each in (x, *residuals, *maps):
            each.requires_grad_(any(each is w for w in wanted))
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            out = weighted_add(x, residuals, maps, backend="triton")
        assert kept == [each.shape for each in shapes]
        found = torch.autograd.grad(out.sum(), wanted)
        out = reference.weighted_add(x, residuals, maps)
        torch.testing.assert_close(found, torch.autograd.grad(out.sum(), wanted))


def test_the_gradient_of_x_is_that_of_the_output_itself(given):
    x, residuals, maps = given(wants=True)
    out = weighted_add(x, residuals, maps, backend="triton")
    slope = torch.ones_like(out)
    (found,) = torch.autograd.grad(out, x, slope)
    assert found.data_ptr() == slope.data_ptr()


@pytest.mark.parametrize("backend", ["triton", "reference"])
def test_the_result_goes_where_it_is_wanted(given, backend):
    x, residuals, maps = given()
    wanted = reference.weighted_add(x, residuals, maps)
    for out in (torch.empty_like(x), x.repeat(2, 2, 2)[:2, 1:4, 1:21], x):
        found = weighted_add(x, residuals, maps, out=out, backend=backend)
        assert found is out
        torch.testing.assert_close(out, wanted)


def test_a_strided_x_takes_the_result_in_place(given):
    for name in ("some tokens of each video", "tokens first", "every other channel"):
        x, residuals, maps = given()
        wanted = reference.weighted_add(x, residuals, maps)
        x = LAYOUTS[name](x)
        weighted_add(x, residuals, maps, out=x, backend="triton")
        torch.testing.assert_close(x, wanted)


def test_no_positions_and_no_channels_are_no_work(device):
    for shape in ((0, 20), (3, 0)):
        x, residual = (torch.ones(shape, device=device) for _ in range(2))
        values = torch.ones(shape[0], device=device, requires_grad=True)
        out = weighted_add(x, [residual], [values], backend="triton")
        assert out.shape == shape
        (slope,) = torch.autograd.grad(out.sum(), values)
        assert torch.equal(slope, torch.zeros_like(values))


def test_a_row_alone_has_one_map(given):
    x, (first, second), _ = given()
    maps = [torch.tensor(0.5, device=x.device)] * 2
    found = weighted_add(x[0, 0], [first[0, 0], second[0, 0]], maps, backend="triton")
    torch.testing.assert_close(found, (x + 0.5 * first + 0.5 * second)[0, 0])


def test_the_same_again_is_the_same_to_the_bit(given):
    x, residuals, maps = given(torch.bfloat16, top=1.6, wants=True)
    first, again = (
        slopes(weighted_add, x, residuals, maps, normalize=True, backend="triton")
        for _ in range(2)
    )
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)


def test_torch_knows_the_operators(given):
    ops = torch.ops.worldweave
    torch.library.opcheck(ops.weighted_add.default, (*given(wants=True), True))
    x, residuals, maps = given()
    args = (x, residuals, maps, True)
    torch.library.opcheck(ops.weighted_add_.default, args)
    torch.library.opcheck(ops.weighted_add_into.default, (*args, torch.empty_like(x)))
    for of_maps in (False, True):
        torch.library.opcheck(
            ops.weighted_add_backward.default, (*args, [True, False], of_maps)
        )


@pytest.mark.parametrize("normalize", [False, True])
def test_it_compiles_as_one_graph(given, normalize):
    @torch.compile(fullgraph=True, backend="aot_eager")
    def compiled(x, residuals, maps, out=None):
        return weighted_add(
            x, residuals, maps, normalize=normalize, out=out, backend="triton"
        )

    args = given(top=1.6, wants=True)
    wanted = slopes(reference.weighted_add, *args, normalize=normalize)
    torch.testing.assert_close(slopes(compiled, *args), wanted)
    x, residuals, maps = given()
    wanted = reference.weighted_add(x, residuals, maps, normalize=normalize)
    for out in (torch.empty_like(x), x):
        compiled(x, residuals, maps, out)
        torch.testing.assert_close(out, wanted)


def test_it_says_what_it_takes(given):
    args = given()
    if args[0].is_cuda:
        assert explain(weighted_add, *args).backend == "triton"
    else:
        choice = explain(weighted_add, *args)
        assert choice.backend == "reference"
        assert "triton: Triton's interpreter is for tests" in choice.passed_over
    assert explain(weighted_add, *args, backend="triton").reason.startswith("asked for")


def test_more_branches_than_triton_takes_are_the_definition_s(given):
    x, (residual, _), (values, _) = given()
    args = (x, [residual] * 17, [values] * 17)
    choice = explain(weighted_add, *args)
    assert choice.backend == "reference"
    assert choice.passed_over == ("triton: there are 17 residuals, more than 16",)
    with pytest.raises(BackendError, match="there are 17 residuals, more than 16"):
        weighted_add(*args, backend="triton")
    torch.testing.assert_close(
        weighted_add(*args), x + 17 * values[..., None] * residual
    )


def test_a_slope_of_a_slope_is_refused(given):
    x, residuals, maps = given(torch.float64, wants=True)
    out = weighted_add(x, residuals, maps, backend="triton")
    (slope,) = torch.autograd.grad(out.square().sum(), maps[0], create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd formula was registered"):
        slope.sum().backward()


def test_residuals_and_maps_come_in_pairs(random):
    args = (random(2, 3), [random(2, 3), random(2, 3)], [random(2)])
    with pytest.raises(ValueError, match="2 residuals but 1 maps; give one map per"):
        weighted_add(*args)
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        reference.weighted_add(*args)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((torch.ones(()), [], []), "x is a single number"),
        ((torch.ones(2, 3).int(), [], []), "x is of torch.int32; it must be of one of"),
        (
            (torch.ones(2, 3), [torch.ones(2, 3).bool()], [torch.ones(2)]),
            "residual 0 is of torch.bool",
        ),
        (
            (torch.ones(2, 3), [torch.ones(2, 3)], [torch.ones(2).long()]),
            "map 0 is of torch.int64",
        ),
        (
            (torch.ones(2, 3), [torch.ones(2, 3)], [torch.ones(2, device="meta")]),
            "map 0 is on meta but x is on cpu",
        ),
        (
            (torch.ones(2, 3), [torch.ones(1, 3)], [torch.ones(2)]),
            r"residual 0 is \(1, 3\) but x is \(2, 3\)",
        ),
        (
            (torch.ones(2, 3), [torch.ones(2, 3)], [torch.ones(3)]),
            r"map 0 is \(3,\), which does not broadcast against \(2,\)",
        ),
        (
            (torch.ones(2, 3), [torch.ones(2, 3)], [torch.ones(1, 2)]),
            r"map 0 is \(1, 2\), which does not broadcast",
        ),
    ],
)
def test_a_misfit_is_refused(args, message):
    with pytest.raises(ValueError, match=message):
        weighted_add(*args)


def test_an_out_that_cannot_take_the_result_is_refused(random):
    x, residual, around = random(2, 3), random(2, 3), random(8)
    values = around[:2]
    for out, message in (
        (random(2, 4), r"out is \(2, 4\) of torch.float64 on cpu but x is \(2, 3\)"),
        (random(2, 3).float(), "of torch.float32 on cpu but x"),
        (random(1, 3).expand(2, 3), "out is expanded"),
        (residual, "out lies in the memory of residual 0"),
        (x[:], "out lies in the memory of x; give x itself"),
        (around[1:7].view(2, 3), "out lies in the memory of map 0"),
    ):
        with pytest.raises(ValueError, match=message):
            weighted_add(x, [residual], [values], out=out)
    values.requires_grad_()
    with pytest.raises(ValueError, match="out cannot be given where a gradient"):
        weighted_add(x, [residual], [values], out=x)
    with torch.no_grad():
        weighted_add(x, [residual], [values], out=x)
        half = random(4, 3)
        weighted_add(half[:2], [residual], [values], out=half[2:])
