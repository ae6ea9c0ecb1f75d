"""Queries and keys, normalised, rotated and packed, against the definition."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from worldweave_kernels import BackendError, explain, qk_norm_rope_pack, reference
from worldweave_kernels.agreement import TOLERANCE, agreements

NAMES = ("q", "k", "v", "q_weight", "k_weight", "cos", "sin")


@pytest.fixture
def given(device):
    """Return all inputs by name, for two videos of three tokens and six heads."""

    def given(dtype=torch.float32, shape=(2, 3, 6, 8), wants=NAMES):
        generator = torch.Generator().manual_seed(0)
        _, tokens, _, width = shape
        shapes = (*[shape] * 3, *[(width,)] * 2, *[(tokens, width // 2)] * 2)
        wide = torch.promote_types(dtype, torch.float32)
        return {
            name: torch.randn(each, dtype=torch.float64, generator=generator)
            .to(device, wide if name in ("cos", "sin") else dtype)
            .requires_grad_(name in wants)
            for name, each in zip(NAMES, shapes, strict=True)
        }

    return given


def outcome(compute, given, **kwargs):
    """Return the output and the gradients that are wanted."""
    out = compute(**given, **kwargs)
    wanted = [each for each in given.values() if each.requires_grad]
    slope = torch.arange(out.numel(), device=out.device).view(out.shape).cos()
    return [out, *torch.autograd.grad(out, wanted, slope.to(out.dtype))]


def check(given, **kwargs):
    wanted = outcome(reference.qk_norm_rope_pack, given, **kwargs)
    found = outcome(qk_norm_rope_pack, given, backend="triton", **kwargs)
    torch.testing.assert_close(found, wanted)


@pytest.mark.usefixtures("unwritten_is_nan")
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_triton_agrees_with_the_definition(dtype, device):
    op = "qk_norm_rope_pack"
    judged = list(agreements(op, backend="triton", dtype=dtype, device=device))
    assert judged
    assert [each for each in judged if not each.holds] == []


def by_hand(x, weight, cos, sin, slot, eps=1e-6):
    """Return one head of q, k or v of one token, channel by channel."""
    if slot == 2:
        return x
    rms = math.sqrt(sum(each * each for each in x) / len(x) + eps)
    y = [each / rms * factor for each, factor in zip(x, weight, strict=True)]
    half = len(x) // 2
    low = [y[i] * cos[i] - y[i + half] * sin[i] for i in range(half)]
    return low + [y[i + half] * cos[i] + y[i] * sin[i] for i in range(half)]


@pytest.mark.parametrize("backend", ["triton", "reference"])
@pytest.mark.parametrize(("world", "chunks"), [(1, 1), (3, 1), (1, 2), (2, 3), (3, 2)])
def test_each_rank_is_sent_its_heads_chunk_by_chunk(given, world, chunks, backend):
    inputs = given(torch.float64, (2, 2, 12, 4), wants=())
    split = {"world": world, "chunks": chunks}
    sent = qk_norm_rope_pack(**inputs, **split, backend=backend).tolist()
    q, k, v, q_weight, k_weight, cos, sin = (each.tolist() for each in inputs.values())
    head = 0
    for rank in range(world):
        for chunk in range(chunks):
            for place in range(12 // (world * chunks)):
                for video, token in ((0, 0), (0, 1), (1, 0), (1, 1)):
                    for slot, x in enumerate((q, k, v)):
                        wanted = by_hand(
                            x[video][token][head],
                            k_weight if slot else q_weight,
                            cos[token],
                            sin[token],
                            slot,
                        )
                        found = sent[chunk][rank][video][token][slot][place]
                        assert found == pytest.approx(wanted, abs=1e-12)
                head += 1
    assert head == 12


def test_slopes_are_those_of_finite_differences(given):
    inputs = given(torch.float64, (1, 2, 2, 4))

    def compute(*inputs):
        return qk_norm_rope_pack(*inputs, world=2, backend="triton")

    assert torch.autograd.gradcheck(compute, tuple(inputs.values()), fast_mode=True)


@pytest.mark.parametrize("alone", NAMES)
def test_each_gradient_can_be_wanted_alone(given, alone):
    check(given(shape=(2, 3, 2, 8), wants=(alone,)))


LAYOUTS = {
    "views of one projection": lambda x: torch.stack([x, x, x], 2)[:, :, 1],
    "heads before tokens": lambda x: x.transpose(1, 2).contiguous().transpose(1, 2),
    "some tokens of each video": lambda x: x.repeat(1, 2, 1, 1)[:, : x.shape[1]],
    "one for the batch": lambda x: x[:1].expand_as(x),
    "every other channel": lambda x: x.repeat_interleave(2, -1)[..., ::2],
}


@pytest.mark.usefixtures("unwritten_is_nan")
@pytest.mark.parametrize("first", range(len(LAYOUTS)), ids=LAYOUTS)
def test_triton_reads_any_layout(given, first):
    inputs = given(shape=(2, 3, 2, 8))
    # Three layouts at once, so that no two may change places.
    layouts = [*LAYOUTS.values()][first:] + [*LAYOUTS.values()][:first]
    for name, layout in zip("qkv", layouts, strict=False):
        inputs[name] = layout(inputs[name].detach()).requires_grad_()
    check(inputs)


def test_triton_reads_angles_and_weights_of_any_layout(given):
    inputs = given(shape=(2, 3, 2, 8))
    apart = {name: inputs[name].detach().repeat_interleave(2, -1) for name in NAMES[3:]}
    check({**inputs, **{n: t[..., ::2].requires_grad_() for n, t in apart.items()}})
    part = inputs["cos"].detach().repeat(1, 2)[:, :4]
    check({**inputs, "cos": part.requires_grad_()})


def test_triton_reads_gradients_of_any_layout(given):
    inputs = given(shape=(1, 3, 2, 8))
    found, wanted = (
        torch.autograd.grad(
            compute(**inputs, **kwargs).sum((0, 1)).transpose(1, 2).cos().sum(),
            list(inputs.values()),
        )
        for compute, kwargs in (
            (qk_norm_rope_pack, {"backend": "triton"}),
            (reference.qk_norm_rope_pack, {}),
        )
    )
    torch.testing.assert_close(found, wanted)


class Slopes(TorchDispatchMode):
    """Keeps the gradient of the result that each backward operator is given."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.name() == "worldweave::qk_norm_rope_pack_backward":
            self.kept.append(args[0])
        return func(*args, **(kwargs or {}))


def test_a_gradient_of_another_layout_is_copied_once(given):
    inputs = given(shape=(1, 3, 2, 8))
    out = qk_norm_rope_pack(**inputs, backend="triton")
    slope = torch.ones(out.shape[::-1], device=out.device).permute(6, 5, 4, 3, 2, 1, 0)
    for given_slope, copied in ((slope, True), (slope.contiguous(), False)):
        with Slopes() as slopes:
            out.backward(given_slope, retain_graph=True)
        assert len(slopes.kept) == 3
        assert all(each.is_contiguous() for each in slopes.kept)
        (place,) = {each.data_ptr() for each in slopes.kept}
        assert (place != given_slope.data_ptr()) is copied


def test_a_program_sums_over_many_tokens(given, monkeypatch):
    from worldweave_kernels.in_triton import qk_rope_pack as kernels

    # For each video and four of the six heads, two programs sum over five tokens.
    monkeypatch.setattr(kernels, "SUMMING_PROGRAMS", 6)
    tiling = kernels.Tiling(tokens=2, heads=4, half=4, warps=1)
    monkeypatch.setattr(kernels, "tiling", lambda tokens, heads, width: tiling)
    check(given(shape=(2, 5, 6, 8)))


@pytest.mark.usefixtures("device")
def test_long_inputs_are_summed_by_as_many_programs_as_may_be():
    from worldweave_kernels.in_triton import qk_rope_pack as kernels

    for tiles, others, steps in (
        (56_320, 1, 55),
        (56_321, 1, 56),
        (28_160, 2, 55),
        (1024, 1, 1),
        (3, 4096, 3),
        (0, 1, 1),
    ):
        assert kernels.steps_of(tiles, others) == steps


def test_what_is_beyond_the_last_head_is_not_counted(given):
    # Three heads and tokens are padded to four, which are zero; eps would hide it.
    check(given(shape=(1, 3, 3, 8)), eps=0.0)


def test_dtypes_of_weights_and_angles_may_differ(given):
    inputs = given()
    inputs["q_weight"] = inputs["q_weight"].detach().bfloat16().requires_grad_()
    inputs["cos"] = inputs["cos"].detach().double().requires_grad_()
    found = outcome(qk_norm_rope_pack, inputs, backend="triton")
    dtypes = [torch.float32] + [each.dtype for each in inputs.values()]
    assert [each.dtype for each in found] == dtypes
    wanted = outcome(reference.qk_norm_rope_pack, inputs)
    torch.testing.assert_close(found, wanted, rtol=2**-7, atol=1e-5)


def test_v_is_not_kept(given):
    kept = []

    def keep(x):
        kept.append(x.data_ptr())
        return x

    inputs = given()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        qk_norm_rope_pack(**inputs, backend="triton")
    assert inputs["q"].data_ptr() in kept
    assert inputs["v"].data_ptr() not in kept


@pytest.mark.parametrize("shape", [(1, 0, 2, 8), (0, 3, 2, 8)], ids=str)
def test_no_tokens_are_no_work(given, shape):
    check(given(shape=shape), world=2)


def test_the_same_again_is_the_same_to_the_bit(given):
    inputs = given(torch.bfloat16)
    first, again = (
        outcome(qk_norm_rope_pack, inputs, world=3, backend="triton") for _ in range(2)
    )
    assert all(map(torch.equal, first, again))


def test_torch_knows_the_operators(given):
    ops = torch.ops.worldweave
    args = given(shape=(1, 3, 2, 4)).values()
    torch.library.opcheck(ops.qk_norm_rope_pack.default, (*args, 2, 1, 1e-6))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_torch_knows_the_operator_of_the_gradients(given, dtype):
    op = torch.ops.worldweave.qk_norm_rope_pack_backward.default
    shape = (1, 3, 2, 4)
    q, k, _, weight, _, cos, sin = given(dtype, shape, wants=()).values()
    grad = torch.ones(1, 2, 1, 3, 3, 1, 4, dtype=dtype, device=q.device)
    for slot, x, wants in (
        (0, q, [True] * 3),
        (1, k, [False, True, False]),
        (0, q, [False, False, True]),
        (2, q, [True, False, False]),
    ):
        args = (grad, x, weight, cos, sin, slot, 1e-6, wants)
        torch.library.opcheck(op, args)


def test_it_compiles_as_one_graph(given):
    @torch.compile(fullgraph=True, backend="aot_eager")
    def compiled(**inputs):
        return qk_norm_rope_pack(**inputs, world=2, chunks=3, backend="triton")

    inputs = given()
    wanted = outcome(reference.qk_norm_rope_pack, inputs, world=2, chunks=3)
    torch.testing.assert_close(outcome(compiled, inputs), wanted)


def test_it_says_which_backend_it_takes(given, monkeypatch):
    inputs = given()
    choice = explain(qk_norm_rope_pack, **inputs, backend="triton")
    assert (choice.backend, choice.reason) == ("triton", "asked for by backend")
    for batch, heads, obstacle in (
        (65_536, 1, "B is 65536 and a grid holds 65535"),
        (1, 65_536, "H is 65536 and a grid holds 65535"),
        (65_535, 65_535, None),
    ):
        many = inputs["q"].new_empty(1).expand(batch, 1, heads, 2)
        others = [inputs[name] for name in NAMES[3:]]
        told = str(explain(qk_norm_rope_pack, many, many, many, *others))
        assert obstacle in told if obstacle else "a grid holds" not in told
    monkeypatch.setenv("WORLDWEAVE_KERNELS", "reference")
    assert explain("qk_norm_rope_pack", **inputs).backend == "reference"
    with pytest.raises(BackendError, match="qk_norm_rope_pack has no backend 'flash'"):
        qk_norm_rope_pack(**inputs, backend="flash")


@pytest.mark.parametrize(
    ("heads", "world", "chunks", "message"),
    [
        (6, 4, 1, r"6 heads do not divide among .* = 4 \* 1; .* are 3 and 6"),
        (32, 3, 2, r"32 heads .* = 3 \* 2; the nearest products that do are 4 and 8"),
        (6, 2, 4, r"the nearest products that do are 6$"),
        (6, 0, 1, "world is 0 and chunks 1; both must be 1 or more"),
        (6, -2, -3, "world is -2 and chunks -3"),
    ],
)
def test_heads_that_do_not_divide_are_refused(given, heads, world, chunks, message):
    inputs = given(shape=(1, 1, heads, 2))
    with pytest.raises(ValueError, match=message):
        qk_norm_rope_pack(**inputs, world=world, chunks=chunks)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: {"q": x["q"][0]}, r"q is \(3, 6, 8\); it must be \(B, L, H, d\)"),
        (lambda x: {"q": x["q"][..., :7]}, r"q is \(2, 3, 6, 7\); .* an even d"),
        (
            lambda x: {"k": x["k"][:, :2]},
            r"k is \(2, 2, 6, 8\) .* must be \(2, 3, 6, 8\)",
        ),
        (
            lambda x: {"v": x["v"].double()},
            r"v is torch.float64 but q is torch.float32",
        ),
        (lambda x: {"k_weight": x["cos"]}, r"k_weight is \(3, 4\) .* must be \(8,\)"),
        (lambda x: {"sin": x["sin"][:1]}, r"sin is \(1, 4\) .* must be \(3, 4\)"),
        (
            lambda x: {"cos": torch.empty(3, 4, device="meta")},
            "cos is on meta but q is on .* bring all to one device",
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
        qk_norm_rope_pack(**{**inputs, **change(inputs)})
