"""Adaptive layer norm in Triton against the definition."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from worldweave_kernels import (
    BackendError,
    explain,
    gate_residual_norm_modulate,
    norm_modulate,
    reference,
)
from worldweave_kernels.agreement import TOLERANCE, agreements, relative_error

OPS = ("norm_modulate", "gate_residual_norm_modulate")
NAMES = ("x", "y", "gate", "shift", "scale", "positions")


@pytest.fixture
def given(device):
    """Return all that can be given, by name, for two videos of three tokens."""

    def given(dtype=torch.float32, shape=(2, 3, 20), shared=False, wants=NAMES):
        generator = torch.Generator().manual_seed(0)
        batch, tokens, width = shape
        modulation = (1 if shared else batch, 1, width)
        shapes = (shape, shape, *[modulation] * 3, (tokens, width))
        return {
            name: torch.randn(each, dtype=torch.float64, generator=generator)
            .to(device, dtype)
            .requires_grad_(name in wants)
            for name, each in zip(NAMES, shapes, strict=True)
        }

    return given


def outcome(compute, given, **kwargs):
    """Return both outputs and the gradients that are wanted."""
    outs = compute(**given, **kwargs)
    wanted = [each for each in given.values() if each.requires_grad]
    loss = sum((index + out.square()).sum() for index, out in enumerate(outs))
    return [*outs, *torch.autograd.grad(loss, wanted)]


def check(given, **tolerance):
    wanted = outcome(reference.gate_residual_norm_modulate, given)
    found = outcome(gate_residual_norm_modulate, given, backend="triton")
    torch.testing.assert_close(found, wanted, **tolerance)


@pytest.mark.usefixtures("unwritten_is_nan")
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("op", OPS)
def test_triton_agrees_with_the_definition(op, dtype, device):
    judged = list(agreements(op, backend="triton", dtype=dtype, device=device))
    assert judged
    assert [each for each in judged if not each.holds] == []


@pytest.mark.parametrize("shared", [False, True])
def test_slopes_are_those_of_finite_differences(given, shared):
    inputs = given(torch.float64, (2, 2, 5), shared)

    def compute(*inputs):
        return gate_residual_norm_modulate(
            *inputs[:-1], positions=inputs[-1], backend="triton"
        )

    assert torch.autograd.gradcheck(compute, tuple(inputs.values()), fast_mode=True)


@pytest.mark.parametrize("alone", NAMES)
def test_each_gradient_can_be_wanted_alone(given, alone):
    check(given(wants=(alone,)))


@pytest.mark.parametrize("used", [0, 1])
def test_one_output_may_go_unused(given, used):
    inputs = given()
    wanted, found = (
        torch.autograd.grad(
            compute(**inputs, **kwargs)[used].square().sum(),
            list(inputs.values()),
            allow_unused=True,
            materialize_grads=True,
        )
        for compute, kwargs in (
            (reference.gate_residual_norm_modulate, {}),
            (gate_residual_norm_modulate, {"backend": "triton"}),
        )
    )
    torch.testing.assert_close(found, wanted)


LAYOUTS = {
    "some tokens of each video": lambda x: x.repeat(1, 2, 1)[:, : x.shape[1]],
    "one for the batch": lambda x: x[:1].expand_as(x),
    "part of the channels": lambda x: x.repeat(1, 1, 3)[..., 20:40],
    "every other channel": lambda x: x.repeat_interleave(2, -1)[..., ::2],
    "one channel for all": lambda x: x[..., :1].expand_as(x),
}


@pytest.mark.usefixtures("unwritten_is_nan")
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_triton_reads_any_layout(given, layout):
    inputs = given()
    # Beside each strided one is one in order, so that no two may change places.
    for names in (("x", "gate"), ("y", "scale"), ("shift",)):
        changed = {name: layout(inputs[name].detach()) for name in names}
        strided = {**inputs, **{n: t.requires_grad_() for n, t in changed.items()}}
        check(strided)
    positions = layout(inputs["positions"].detach()[None])[0].requires_grad_()
    check({**inputs, "positions": positions})


def test_triton_reads_gradients_of_any_layout(given):
    inputs = given()
    for slope in (torch.ones(()), torch.arange(20.0), torch.arange(6.0).view(2, 3, 1)):
        found, wanted = (
            torch.autograd.grad(
                compute(**inputs, **kwargs),
                list(inputs.values()),
                [slope.to(inputs["x"].device).expand(2, 3, 20)] * 2,
            )
            for compute, kwargs in (
                (gate_residual_norm_modulate, {"backend": "triton"}),
                (reference.gate_residual_norm_modulate, {}),
            )
        )
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("shared", [False, True])
def test_a_program_sums_over_many_tokens(given, shared, monkeypatch):
    from worldweave_kernels.in_triton import norm_modulate as kernels

    # For each video two programs of two steps of two rows, of which three are none.
    monkeypatch.setattr(kernels, "SUMMED_BLOCKS", 2)
    tiling = kernels.Tiling(rows=2, columns=32, warps=1)
    monkeypatch.setattr(kernels, "backward_tiling", lambda tokens, width: tiling)
    check(given(shape=(2, 5, 20), shared=shared))


def test_rows_without_variance_are_no_numbers_only_where_they_are(given):
    # Five tokens are padded to eight, whose variance is none; eps would hide it.
    inputs = given(shape=(2, 5, 20))
    wanted = outcome(reference.gate_residual_norm_modulate, inputs, eps=0.0)
    found = outcome(gate_residual_norm_modulate, inputs, eps=0.0, backend="triton")
    torch.testing.assert_close(found, wanted)


def test_a_mean_far_from_zero_does_not_drown_the_variance(given):
    inputs = given()
    x = 1000 + inputs["x"].detach()
    out = norm_modulate(x, inputs["shift"], inputs["scale"], backend="triton")
    exact = [each.double() for each in (x, inputs["shift"], inputs["scale"])]
    wanted = reference.norm_modulate(*exact).float()
    # The mean is known to 3e-5; the mean of squares would be to 6e-2.
    torch.testing.assert_close(out, wanted, atol=3e-4, rtol=0)


def test_what_is_normalised_is_the_rounded_sum(given):
    inputs = given(torch.bfloat16, wants=())
    total, out = gate_residual_norm_modulate(**inputs, backend="triton")
    assert total.dtype == out.dtype == torch.bfloat16
    modulation = (inputs["shift"], inputs["scale"])
    again = norm_modulate(total, *modulation, backend="triton")
    assert torch.equal(out, again)


def retyped(inputs, **dtypes):
    return inputs | {
        name: inputs[name].detach().to(dtype).requires_grad_()
        for name, dtype in dtypes.items()
    }


AUTOCAST = dict.fromkeys(("y", "gate", "shift", "scale"), torch.bfloat16)
MIXES = {
    "training under autocast": AUTOCAST,
    "a branch of it alone": {"y": torch.bfloat16},
    "all but the positions narrow": {**AUTOCAST, "x": torch.bfloat16},
    "all but x narrow": {**AUTOCAST, "positions": torch.bfloat16},
    "one wide": {"y": torch.float16, "scale": torch.float64},
}


@pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES)
def test_dtypes_may_differ(given, mix):
    inputs = retyped(given(), **mix)
    found = outcome(gate_residual_norm_modulate, inputs, backend="triton")
    dtypes = [inputs["x"].dtype] * 2 + [each.dtype for each in inputs.values()]
    assert [each.dtype for each in found] == dtypes
    exact = {name: each.detach().double() for name, each in inputs.items()}
    exact = {name: each.requires_grad_() for name, each in exact.items()}
    wanted = outcome(reference.gate_residual_norm_modulate, exact)
    for ours, theirs in zip(found, wanted, strict=True):
        # In bfloat16 the sum is rounded first, and so are both its gradients.
        narrow = torch.bfloat16 in (ours.dtype, inputs["x"].dtype)
        assert relative_error(ours, theirs) < (1.6e-2 if narrow else 1e-3)


def test_modulation_may_be_narrower_than_x(given):
    inputs = retyped(given(), **AUTOCAST)
    inputs = {name: inputs[name] for name in ("x", "shift", "scale")}
    found, wanted = (
        [out, *torch.autograd.grad(out.square().sum(), list(inputs.values()))]
        for out in (
            norm_modulate(**inputs, backend="triton"),
            reference.norm_modulate(**inputs),
        )
    )
    torch.testing.assert_close(found, wanted, rtol=2**-7, atol=1e-5)


class Calls(TorchDispatchMode):
    """Keeps what was called, and what it returned."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        self.kept.append((func.name(), found))
        return found


@pytest.mark.parametrize("wants", [NAMES, ("x", "y"), ("y",), ("gate", "y")])
def test_the_gradient_of_y_is_made_in_the_dtype_of_y(given, wants):
    inputs = retyped(given(wants=wants), y=torch.bfloat16)
    total, out = gate_residual_norm_modulate(**inputs, backend="triton")
    with Calls() as calls:
        (total.sum() + out.square().sum()).backward()
    (slopes,) = (
        found
        for name, found in calls.kept
        if name == "worldweave::norm_modulate_backward"
    )
    large = [each.dtype for each in slopes if each.shape == out.shape]
    assert large == [torch.float32, torch.bfloat16][-2 if "x" in wants else -1 :]
    assert inputs["y"].grad.dtype == torch.bfloat16


@pytest.mark.parametrize("batch", [1, 2])
def test_no_wider_copy_is_made_for_the_gradient_of_positions(given, batch):
    inputs = given(torch.bfloat16, (batch, 3, 20), wants=("x", "positions"))
    total, _ = gate_residual_norm_modulate(**inputs, backend="triton")
    with Calls() as calls:
        total.backward(torch.ones_like(total))
    made = [(name, found) for name, found in calls.kept if torch.is_tensor(found)]
    assert [name for name, found in made if found.dtype == torch.float32] == []
    x, positions = inputs["x"].grad, inputs["positions"].grad
    assert torch.equal(positions, x.float().sum(0).bfloat16())
    assert positions.data_ptr() != x.data_ptr()


@pytest.mark.usefixtures("device")
def test_long_inputs_are_summed_by_as_many_programs_as_may_be():
    from worldweave_kernels.in_triton import norm_modulate as kernels

    for tiles, batch, steps in (
        (56_320, 1, 55),
        (56_321, 1, 56),
        (28_160, 2, 55),
        (4096, 1, 4),
        (3, 1, 3),
        (0, 1, 1),
    ):
        assert kernels.steps_of(tiles, batch) == steps


@pytest.mark.usefixtures("device")
def test_registers_are_limited_where_all_that_is_read_is_narrow():
    from worldweave_kernels.in_triton import norm_modulate as kernels

    narrow, wide = torch.ones(1, dtype=torch.bfloat16), torch.ones(1)
    assert kernels.limited(80, narrow, narrow.half()) == 80
    assert kernels.limited(80, narrow, wide) is None


def test_y_is_kept_for_the_gradient_of_the_gate_alone(given):
    kept = []

    def keep(x):
        kept.append(x.data_ptr())
        return x

    for wants, kept_too in ((NAMES, True), (("x", "y"), False)):
        kept.clear()
        inputs = given(wants=wants)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            gate_residual_norm_modulate(**inputs, backend="triton")
        assert (inputs["y"].data_ptr() in kept) is kept_too


@pytest.mark.parametrize("shape", [(2, 0, 20), (0, 3, 20)], ids=str)
def test_no_tokens_are_no_work(given, shape):
    inputs = given(shape=shape)
    found = outcome(gate_residual_norm_modulate, inputs, backend="triton")
    wanted = outcome(reference.gate_residual_norm_modulate, inputs)
    torch.testing.assert_close(found, wanted)


def test_the_same_again_is_the_same_to_the_bit(given):
    inputs = given(torch.bfloat16, shared=True)
    first, again = (
        outcome(gate_residual_norm_modulate, inputs, backend="triton") for _ in range(2)
    )
    assert all(map(torch.equal, first, again))


def test_torch_knows_the_operators(given):
    ops = torch.ops.worldweave
    x, y, gate, shift, scale, positions = given().values()
    torch.library.opcheck(ops.norm_modulate.default, (x, shift, scale, 1e-6))
    everything = (x, y, gate, shift, scale, positions, 1e-6)
    torch.library.opcheck(ops.gate_residual_norm_modulate.default, everything)
    few = (x, None, None, shift, scale, positions, 1e-6)
    torch.library.opcheck(ops.gate_residual_norm_modulate.default, few)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_torch_knows_the_operator_of_the_gradients(given, dtype):
    op = torch.ops.worldweave.norm_modulate_backward.default
    x, y, gate, _, scale, _ = given(dtype, wants=()).values()
    for others, y_dtype, wants in (
        ((None, y, None, None, scale), None, [True, False, False, False, True]),
        ((x, y, y, gate, scale), dtype, [True] * 5),
        ((None, y, None, gate, scale), torch.float16, [False, True] + [False] * 3),
    ):
        torch.library.opcheck(op, (x, *others, 1e-6, y_dtype, wants))


def test_they_compile_as_one_graph(given):
    @torch.compile(fullgraph=True, backend="aot_eager")
    def compiled(**inputs):
        total, out = gate_residual_norm_modulate(**inputs, backend="triton")
        modulation = (inputs["shift"], inputs["scale"])
        return total, norm_modulate(out, *modulation, backend="triton")

    def eager(**inputs):
        total, out = reference.gate_residual_norm_modulate(**inputs)
        return total, reference.norm_modulate(out, inputs["shift"], inputs["scale"])

    inputs = given(shared=True)
    torch.testing.assert_close(outcome(compiled, inputs), outcome(eager, inputs))


def test_it_says_which_backend_it_takes(given, monkeypatch):
    x, y, gate, shift, scale, positions = given().values()
    choice = explain(norm_modulate, x, shift, scale, backend="triton")
    assert (choice.backend, choice.reason) == ("triton", "asked for by backend")
    wide = torch.empty(1, 1, 8193, device=x.device)
    choice = explain(gate_residual_norm_modulate, wide, y, gate, wide, wide)
    assert choice.backend == "reference"
    assert "x has 8193 channels and a row of it holds 8192" in str(choice)
    with pytest.raises(BackendError, match="8193 channels"):
        norm_modulate(wide, wide, wide, backend="triton")
    for batch in (65_535, 65_536):
        many = torch.empty(1, 1, 1, device=x.device).expand(batch, 1, 1)
        obstacle = f"B is {batch} and a grid holds 65535"
        for choice in (
            explain(norm_modulate, many, many, many),
            explain(gate_residual_norm_modulate, many, many, many, many, many),
        ):
            assert (obstacle in str(choice)) is (batch > 65_535)
    monkeypatch.setenv("WORLDWEAVE_KERNELS", "gate_residual_norm_modulate=reference")
    inputs = (x, y, gate, shift, scale)
    assert explain("gate_residual_norm_modulate", *inputs).backend == "reference"
    gate_residual_norm_modulate(*inputs, positions=positions)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: {"x": x["x"][0]}, r"x is \(3, 20\); it must be \(B, L, D\)"),
        (lambda x: {"y": x["y"][:, :2]}, r"y is \(2, 2, 20\) .* must be \(2, 3, 20\)"),
        (
            lambda x: {"gate": x["gate"][:, 0]},
            r"gate is \(2, 20\) .* must be \(2, 1, 20\) or \(1, 1, 20\)",
        ),
        (lambda x: {"shift": x["x"]}, r"shift is \(2, 3, 20\)"),
        (lambda x: {"scale": x["scale"][..., :1]}, r"scale is \(2, 1, 1\)"),
        (lambda x: {"positions": x["x"]}, r"positions is .* must be \(3, 20\)"),
        (lambda x: {"y": None}, "gate is given without y; give both or neither"),
        (lambda x: {"gate": None}, "y is given without gate"),
        (
            lambda x: {"y": None, "gate": None, "positions": None},
            "nothing is added to x; call norm_modulate",
        ),
        (
            lambda x: {"scale": torch.empty(2, 1, 20, device="meta")},
            "scale is on meta but x is on .* bring all to one device",
        ),
        *[
            (lambda x, name=name: {name: x[name].long()}, f"{name} is of torch.int64")
            for name in NAMES
        ],
    ],
)
def test_what_does_not_fit_is_refused(given, change, message):
    inputs = given()
    with pytest.raises(ValueError, match=message):
        gate_residual_norm_modulate(**{**inputs, **change(inputs)})


def test_a_modulation_of_another_batch_is_refused(given):
    x, *_, scale, _ = given().values()
    with pytest.raises(ValueError, match=r"shift is \(3, 1, 20\)"):
        norm_modulate(x, torch.ones(3, 1, 20, device=x.device), scale)
