"""Zero projections and their weighted sum, in Triton and by definition."""

import pytest
import torch

from worldweave_kernels import BackendError, control_inject, explain, reference
from worldweave_kernels.agreement import TOLERANCE, agreements, relative_error


@pytest.fixture
def inputs(device):
    """Arguments for two branches, 20 tokens of 24 channels, in float32."""
    generator = torch.Generator().manual_seed(0)

    def inputs(batch=1, dtype=torch.float32):
        def random(*shape):
            return torch.randn(shape, generator=generator).to(device, dtype)

        hiddens = [random(batch, 20, 16) for _ in range(2)]
        weights = [random(24, 16) for _ in range(2)]
        maps = [random(batch, 20).float() for _ in range(2)]
        biases = [random(24), random(24)]
        return random(batch, 20, 24), hiddens, weights, biases, maps

    return inputs


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_triton_agrees_with_the_definition(device, unwritten_is_nan, dtype):
    found = list(
        agreements(
            "control_inject",
            backend="triton",
            dtype=dtype,
            device=device,
            gradients=False,
        )
    )
    assert found
    assert [each for each in found if not each.holds] == []


@pytest.mark.parametrize("inner", [16, 24, 40])
def test_descriptors_read_what_pointers_read(device, unwritten_is_nan, inner):
    from worldweave_kernels.in_triton.control_inject import Tile
    from worldweave_kernels.in_triton.control_inject import control_inject as launch

    torch.manual_seed(0)
    x = torch.randn(20, 40, device=device)
    hiddens = [torch.randn(20, inner, device=device) for _ in range(2)]
    weights = [torch.randn(40, inner, device=device) for _ in range(2)]
    biases = [torch.randn(40, device=device) for _ in range(2)]
    maps = [torch.rand(20, device=device) for _ in range(2)]
    by_pointers, by_descriptors = (
        launch(
            x, hiddens, weights, biases, maps, Tile(16, 32, 16, 4, stages=1, tma=tma)
        )
        for tma in (False, True)
    )
    wanted = reference.control_inject(x, hiddens, weights, biases, maps)
    assert relative_error(by_descriptors, wanted) < 2e-6
    assert torch.equal(by_descriptors, by_pointers)


def test_inputs_may_lie_anywhere(inputs):
    x, hiddens, weights, biases, maps = inputs(batch=2)
    apart = (
        x.transpose(0, 1).contiguous().transpose(0, 1),
        [torch.cat([each, each], dim=-1)[..., :16] for each in hiddens],
        [weights[0].t().contiguous().t(), weights[1].repeat(1, 2)[:, :16]],
        [biases[0].repeat_interleave(2)[::2], biases[1]],
        [maps[0].t().contiguous().t(), maps[1]],
    )
    wanted = reference.control_inject(x, hiddens, weights, biases, maps)
    assert relative_error(control_inject(*apart, backend="triton"), wanted) < 2e-6


def test_a_branch_is_not_read_where_no_token_of_a_block_hears_it(inputs):
    x, hiddens, weights, biases, maps = inputs()
    hiddens[1].fill_(float("nan"))
    maps[1].zero_()
    found = control_inject(x, hiddens, weights, biases, maps, backend="triton")
    wanted = reference.control_inject(x, hiddens[:1], weights[:1], biases[:1], maps[:1])
    assert relative_error(found, wanted) < 2e-6


def test_twice_the_same_gives_the_same_bits(inputs):
    given = inputs(dtype=torch.bfloat16)
    first = control_inject(*given, backend="triton")
    assert torch.equal(first, control_inject(*given, backend="triton"))


def test_no_tokens_are_no_work(inputs):
    x, hiddens, weights, biases, maps = inputs(batch=0)
    assert control_inject(
        x, hiddens, weights, biases, maps, backend="triton"
    ).shape == (
        0,
        20,
        24,
    )


def test_no_branches_change_nothing():
    x = torch.ones(2, 3)
    assert control_inject(x, [], [], [], []) is x


def test_it_is_an_operation_that_torch_knows(inputs):
    x, hiddens, weights, biases, maps = inputs()
    op = torch.ops.worldweave.control_inject.default
    torch.library.opcheck(op, (x, hiddens, weights, biases, maps))


def test_it_compiles_as_one_graph(inputs):
    given = inputs()
    compiled = torch.compile(control_inject, fullgraph=True, backend="aot_eager")
    wanted = control_inject(*given, backend="triton")
    assert torch.equal(compiled(*given, backend="triton"), wanted)


def test_a_gradient_is_the_reference_s(inputs):
    x, hiddens, weights, biases, maps = inputs()
    weights[1].requires_grad_()
    given = (x, hiddens, weights, biases, maps)
    with pytest.raises(BackendError, match="no backward, and a gradient is wanted"):
        control_inject(*given, backend="triton")
    assert explain(control_inject, *given).backend == "reference"
    (slope,) = torch.autograd.grad(control_inject(*given).sum(), [weights[1]])
    wanted = (maps[1][0] @ hiddens[1][0]).expand(24, 16)
    torch.testing.assert_close(slope, wanted)
    with torch.no_grad():
        control_inject(*given, backend="triton")


def test_mixed_dtypes_are_the_reference_s(inputs):
    x, hiddens, weights, biases, maps = inputs()
    given = (x.half(), hiddens, weights, biases, maps)
    with pytest.raises(BackendError, match="dtypes are mixed: float16, float32"):
        control_inject(*given, backend="triton")
    assert control_inject(*given).dtype == torch.float16


@pytest.mark.parametrize(
    ("which", "wrong", "message"),
    [
        (1, lambda each: each[:1], "1 hiddens, 2 weights, 2 biases and 2 maps"),
        (1, lambda each: [each[0], each[1][:, :3]], r"hidden 1 is \(1, 3, 16\)"),
        (2, lambda each: [each[0].t(), each[1]], r"weight 0 is \(16, 24\)"),
        (3, lambda each: [each[0], each[1][:5]], r"bias 1 is \(5,\)"),
        (4, lambda each: [each[0][:, :3], each[1]], r"map 0 is \(1, 3\)"),
        (4, lambda each: [each[0], each[1][None]], r"map 1 is \(1, 1, 20\)"),
    ],
)
def test_a_misfit_is_refused(inputs, which, wrong, message):
    given = list(inputs())
    given[which] = wrong(given[which])
    with pytest.raises(ValueError, match=message):
        control_inject(*given)
