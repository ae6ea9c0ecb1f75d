"""Real runs at toy sizes: nobody is missing, nobody wrong is compared."""

from typing import ClassVar

import pytest
import torch
from torch.utils import _pytree as pytree

from worldweave_kernels import reference
from worldweave_kernels.bench import Case, Ceiling, cases, exact, run, table
from worldweave_kernels.bench.ops import (
    FIXED_MAPS,
    OPS,
    arguments,
    parts,
    slopes,
    variable,
    work,
)
from worldweave_kernels.bench.providers import Provider, UnavailableError, providers

CEILINGS = [Ceiling(dtype="float32", bandwidth=1e10, flops=1e11)]
TOY = "L=12,D=32,H=4,N=2"
QUICK = ("official", "eager", "auto", "library", "triton")


def rows_of(op, *, mode="forward", more=(), only=QUICK, asked=TOY, **given):
    found = [
        case
        for case in cases(ops=[op], asked=asked, modes=[mode], **given)
        if case.mode == mode
    ]
    results = run(found, only=only, repeats=2, ceilings=CEILINGS, more=lambda op: more)
    return {row.provider: row for row in results.rows}


def way(name, compute, kind="triton"):
    return Provider(name, kind, lambda case, args: (compute, ""))


@pytest.mark.parametrize("mode", ["forward", "backward", "both", FIXED_MAPS])
@pytest.mark.parametrize("op", OPS)
def test_every_provider_is_measured_right_or_says_why_not(op, mode):
    has_none = op != "weighted_add" if mode == FIXED_MAPS else mode != "forward"
    if has_none and (mode == FIXED_MAPS or not OPS[op].differentiable):
        assert cases(ops=[op], modes=[mode]) == []
        return
    rows = rows_of(op, mode=mode)
    wanted = [each.name for each in providers(op) if each.kind in QUICK]
    assert list(rows) == wanted
    for row in rows.values():
        if row.time is None:
            assert row.note
        else:
            assert row.holds, row
            assert row.time.low <= row.time.median <= row.time.high
            assert row.time.repeats == 2
            assert row.floor == pytest.approx(max(row.bytes / 1e10, row.flops / 1e11))
    assert rows["auto"].time is not None
    assert "GPU" in rows["triton"].note or torch.cuda.is_available()


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str
)
def test_every_dtype_is_judged_by_its_own_tolerance(dtype):
    rows = rows_of("weighted_add", dtype=dtype)
    assert all(row.holds for row in rows.values() if row.time is not None)
    assert rows["auto"].tolerance == exact.TOLERANCE[dtype]


def without_the_last(x, residuals, maps):
    return reference.weighted_add(x, residuals[:-1], maps[:-1])


def test_a_wrong_provider_keeps_its_error_and_gets_no_speed_up():
    rows = rows_of("weighted_add", more=[way("short cut", without_the_last)])
    wrong = rows["short cut"]
    assert wrong.time is not None
    assert wrong.error > 0.1
    assert not wrong.holds
    assert wrong.speedup == {}
    assert rows["eager"].speedup["official"] > 0


def doubled_gradient(x, residuals, maps):
    out = reference.weighted_add(x, residuals, maps)
    return out.detach() + 2 * (out - out.detach())


def test_a_provider_with_wrong_gradients_is_wrong_backward_only():
    more = [way("steep", doubled_gradient)]
    assert rows_of("weighted_add", more=more)["steep"].holds
    assert not rows_of("weighted_add", mode="backward", more=more)["steep"].holds


def stumbling(*args):
    raise RuntimeError("it fell\nover its feet")


def test_a_provider_that_breaks_is_a_row_and_stops_no_other():
    rows = rows_of("norm_modulate", more=[way("clumsy", stumbling)])
    assert rows["clumsy"].time is None
    assert rows["clumsy"].note == "RuntimeError: it fell"
    assert rows["official"].time is not None


def test_what_stops_the_timing_costs_one_case_only():
    calls = []

    def tired(x, shift, scale):
        calls.append(1)
        if len(calls) > 3:
            raise RuntimeError("no more")
        return reference.norm_modulate(x, shift, scale)

    found = cases(ops=["norm_modulate", "weighted_add"], asked=TOY, modes=["forward"])

    def more(op):
        return [way("tired", tired)] if op == "norm_modulate" else []

    results = run(found, only=QUICK, repeats=2, ceilings=CEILINGS, more=more)
    told = [row for row in results.rows if "timing stopped" in row.note]
    assert {row.op for row in told} == {"norm_modulate"}
    assert "no more" in told[-1].note
    assert any(row.holds for row in results.rows if row.op == "weighted_add")


def not_a_number(x, shift, scale):
    return torch.full_like(x, float("nan"))


def test_not_a_number_is_wrong():
    row = rows_of("norm_modulate", more=[way("empty", not_a_number)])["empty"]
    assert row.error == float("inf")
    assert not row.holds


def test_a_missing_compiler_is_told():
    from torch._inductor import config

    # Not monkeypatch, which would leave torch without this setting.
    with config.patch("cpp.cxx", ("/nowhere/c++",)):
        rows = rows_of("norm_modulate", asked="L=3,D=34,H=1", only=["compile"])
    row = rows["compile"]
    assert row.time is None
    assert "compiler" in row.note.lower()


def test_scores_that_do_not_fit_are_not_tried():
    case = Case("attention", "forward", {"L": 2**20, "M": 2**20, "D": 64, "H": 2},
                torch.float32, "cpu")  # fmt: skip
    eager = next(each for each in providers("attention") if each.name == "eager")
    with pytest.raises(UnavailableError, match="all scores at once take 26388 GB"):
        eager.prepare(case, ())


@pytest.mark.parametrize("op", OPS)
def test_a_part_judges_as_the_whole(op, monkeypatch):
    case = cases(ops=[op], asked="L=40,D=16,H=4,N=2")[0]
    backward = "backward" if OPS[op].differentiable else "forward"
    case = case._replace(mode=backward)
    args = arguments(case)
    given = slopes(case) if backward == "backward" else []
    leaves = pytree.tree_map_only(
        torch.Tensor, lambda x: x.detach().requires_grad_(bool(given)), args
    )
    outs = parts(op, OPS[op].define(*leaves))
    tensors = [x for x in pytree.tree_leaves(leaves) if isinstance(x, torch.Tensor)]
    inputs = [x for x, v in zip(tensors, variable(case), strict=True) if v]
    gradients = torch.autograd.grad(outs, inputs, given) if given else ()
    outs = [out.detach() for out in outs]
    monkeypatch.setattr(exact, "TOKENS", 7)
    part = torch.tensor([2]) if op == "attention" else torch.linspace(0, 39, 7).long()
    monkeypatch.setattr(exact, "_part", lambda case, args: part)
    judge = exact.Judge(case, args, given)
    assert judge.error(outs, gradients) < judge.tolerance
    # What is wrong in the part is seen.
    for index, dim in enumerate(OPS[op].outer):
        broken = [out.clone() for out in outs]
        broken[index].select(dim, int(part[-1])).add_(1)
        assert judge.error(broken, gradients) > 0.01


def test_large_cases_are_judged_by_a_part(monkeypatch):
    case = cases(ops=["norm_modulate"], asked="L=600,D=16,H=1")[0]
    args = arguments(case)
    assert exact._part(case, args) is None
    monkeypatch.setattr(exact, "WHOLE", 1000)
    part = exact._part(case, args)
    assert len(part) == exact.TOKENS
    assert (part[0], part[-1]) == (0, 599)
    attention = cases(ops=["attention"], asked="L=2048,D=16,H=4")[0]
    assert exact._part(attention, args).tolist() == [2]


class Asked(torch.autograd.Function):
    """Hands on one tensor, and remembers the gradient that it is given."""

    given: ClassVar[list[torch.Tensor]] = []

    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        Asked.given.append(gradient)
        return gradient


def test_a_packed_result_is_given_one_packed_gradient():
    case = cases(ops=["qk_norm_rope_pack"], asked=TOY, modes=["backward"])[0]
    Asked.given.clear()
    found = []

    def packed(*args):
        *tensors, ranks = args
        found.append([x.requires_grad for x in tensors])
        return Asked.apply(reference.qk_norm_rope_pack(*tensors, world=ranks))

    more = [way("packed", packed)]
    rows = run([case], only=["triton"], repeats=1, ceilings=CEILINGS,
               more=lambda op: more).rows  # fmt: skip
    assert rows[-1].holds
    gradient = Asked.given[0]
    assert gradient.shape == (1, 1, 1, 12, 3, 4, 8)
    # It lies as the result does: nothing has to be stacked or copied.
    assert gradient.is_contiguous()
    # Cosines and sines are not trained, and the floor counts nothing for them.
    assert found[0] == [True] * 5 + [False] * 2


def test_branches_are_trained_without_gradients_of_maps():
    found = cases(ops=["weighted_add"], asked=TOY, modes=["backward"])
    assert [case.mode for case in found] == ["backward", FIXED_MAPS]
    assert variable(found[1]) == [True] * 3 + [False] * 2
    whole, fixed = map(work, found)
    plane, maps = 12 * 32 * 4, 2 * 12 * 4
    assert fixed == (3 * plane + maps, 2 * 12 * 32)
    assert whole.bytes == 5 * plane + 2 * maps


def test_who_does_not_copy_v_is_told_at_one_rank():
    rows = rows_of("qk_norm_rope_pack", only=["official", "eager"])
    assert all("v is handed on as it is" in row.note for row in rows.values())
    rows = rows_of("qk_norm_rope_pack", only=["official", "eager"], asked=TOY + ",U=2")
    assert not any("v is handed on" in row.note for row in rows.values())


def test_gradients_that_were_not_judged_are_named(monkeypatch):
    monkeypatch.setattr(exact, "WHOLE", 100)
    monkeypatch.setattr(exact, "TOKENS", 5)
    rows = rows_of("norm_modulate", mode="backward", only=["auto", "official"])
    said = "gradients of shift, scale not judged"
    assert rows["official"].note == said
    assert rows["auto"].note == f"reference; {said}"
    told = table.group([rows["auto"], rows["official"]])
    assert f"    auto, official: {said}" in told.splitlines()
    assert "  auto: reference " in told
    assert rows_of("norm_modulate", only=["official"])["official"].note == ""
    monkeypatch.setattr(exact, "_fits", lambda case, args: True)
    whole = rows_of("norm_modulate", mode="backward", only=["official"])
    assert whole["official"].note == ""


def test_all_shared_gradients_have_names():
    for name, op in OPS.items():
        shape = cases(ops=[name], asked=TOY, modes=["forward"])[0].shape
        shared = [dim for dim in op.inner(shape) if dim is None]
        assert len(shared) == len(op.shared) or not op.differentiable


def test_what_calls_our_own_operation_is_no_library():
    rows = rows_of("control_inject", only=["library", "ours"])
    assert {name: row.kind for name, row in rows.items()} == {
        "linear + ours": "ours",
        "addmm": "library",
    }


def test_a_preset_takes_other_axes():
    shape = {"L": 56320, "D": 4096, "N": 4}
    assert [c.shape for c in cases(ops=["weighted_add"], asked="cosmos-7b,N=4",
                                   modes=["forward"])] == [shape]  # fmt: skip
    found = cases(ops=["attention"], asked="tiny,L=64", modes=["forward"])
    assert [(c.shape["L"], c.shape["M"]) for c in found] == [(64, 64), (64, 128)]
    (one,) = cases(ops=["control_inject"], asked="tiny,N=2", modes=["forward"])
    assert one.shape["N"] == 2
    assert len(cases(ops=["control_inject"], asked="tiny", modes=["forward"])) == 1
    with pytest.raises(ValueError, match="'tiny' in the shapes 'N=2,tiny'"):
        cases(asked="N=2,tiny")


def test_inputs_are_random_and_the_same_each_time():
    case = cases(ops=["weighted_add"], asked=TOY)[0]
    first, second = (pytree.tree_leaves(arguments(case)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(x.std() > 0.05 for x in first)


def test_unknown_names_are_told_with_what_there_is():
    with pytest.raises(ValueError, match=r"no operation 'add'; there are weighted_add"):
        cases(ops=["add"])
    with pytest.raises(ValueError, match="no mode 'sideways'"):
        cases(modes=["sideways"])
    with pytest.raises(ValueError, match="'X=3' in the shapes"):
        cases(asked="L=4,X=3")
    with pytest.raises(ValueError, match="D=30 does not divide into H=4"):
        cases(ops=["attention"], asked="L=4,D=30,H=4")
    with pytest.raises(ValueError, match="H=4 heads do not divide among U=3"):
        cases(ops=["qk_norm_rope_pack"], asked="L=4,D=32,H=4,U=3")


def test_one_run_is_of_one_device():
    one = cases(ops=["norm_modulate"], asked=TOY)[0]
    with pytest.raises(ValueError, match="measure one device at a time"):
        run([one, one._replace(device="cuda")])
