"""Floors against the figures of the study, passes against what torch moves."""

import pytest
import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from worldweave_kernels import roofline
from worldweave_kernels.bench import chains
from worldweave_kernels.bench.ops import OPS, Case, arguments, work
from worldweave_kernels.roofline import H200, Ceilings, Work, floor

TOKENS, HIDDEN, HEADS, CHANNELS = 56320, 4096, 32, 128


class Passes(TorchDispatchMode):
    """Adds up the bytes that each operation of torch reads and writes."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            given = {id(x): x for x in pytree.tree_leaves((args, kwargs))}
            tensors = [*given.values(), *pytree.tree_leaves(out)]
            self.bytes += sum(held(x) for x in tensors if isinstance(x, torch.Tensor))
        return out


def held(x):
    """Return the bytes of x, of broadcast dimensions one."""
    sizes = zip(x.shape, x.stride(), strict=True)
    count = 1
    for size, stride in sizes:
        count *= size if stride else 1
    return count * x.element_size()


@pytest.mark.parametrize(
    ("branches", "milliseconds"), [(1, 0.322), (2, 0.429), (4, 0.644), (6, 0.858)]
)
def test_the_weighted_add_of_the_7b_takes_at_least_this(branches, milliseconds):
    needed = roofline.weighted_add(TOKENS, HIDDEN, branches)
    assert floor(needed, H200) * 1e3 == pytest.approx(milliseconds, rel=2e-3)


def test_the_weighted_add_of_four_branches_moves_2_77_gigabytes():
    needed = roofline.weighted_add(TOKENS, HIDDEN, 4)
    assert needed.bytes / 1e9 == pytest.approx(2.77, abs=0.005)


def test_its_backward_is_nine_passes():
    needed = roofline.weighted_add(TOKENS, HIDDEN, 4, backward=True)
    assert floor(needed, H200) * 1e3 == pytest.approx(0.966, abs=0.001)
    assert needed.bytes // (TOKENS * HIDDEN * 2) == 9


def test_its_backward_without_maps_is_five_passes():
    needed = roofline.weighted_add(TOKENS, HIDDEN, 4, backward=True, of_maps=False)
    assert needed.bytes // (TOKENS * HIDDEN * 2) == 5
    assert floor(needed, H200) * 1e3 == pytest.approx(0.537, abs=0.001)


def test_self_attention_of_the_7b_is_bound_by_arithmetic():
    needed = roofline.attention(TOKENS, TOKENS, HEADS, CHANNELS)
    assert needed.flops / 1e12 == pytest.approx(51.97, abs=0.005)
    assert needed.bytes / 1e9 == pytest.approx(1.85, abs=0.005)
    assert needed.intensity == 28160
    assert floor(needed, H200) * 1e3 == pytest.approx(65.8, abs=0.05)
    assert needed.bytes / H200.bandwidth * 1e3 == pytest.approx(0.43, abs=0.001)


def test_a_block_and_a_forward_are_those_of_the_study():
    block = roofline.block()
    assert [round(part / 1e12, 2) for part in block] == [7.56, 3.79, 15.12, 51.97, 0.47]
    assert block.total / 1e12 == pytest.approx(78.91, abs=0.005)
    petaflops = [round(roofline.forward(n) / 1e15, 3) for n in (0, 1, 2, 4, 6)]
    assert petaflops == [2.209, 2.452, 2.694, 3.179, 3.664]


def test_the_floor_is_the_larger_of_both_times():
    ceilings = Ceilings(bandwidth=10.0, flops=100.0)
    assert floor(Work(bytes=100, flops=10), ceilings) == 10
    assert floor(Work(bytes=1, flops=1000), ceilings) == 10


@pytest.mark.parametrize("branches", [1, 4])
@pytest.mark.parametrize("op", roofline.PASSES)
def test_chains_make_as_many_passes_as_stated(op, branches):
    shape = {"L": 256, "D": 512, "H": 4, "N": branches, "U": 1}
    case = Case(op, "forward", shape, torch.bfloat16, "cpu")
    stated = roofline.PASSES[op]
    for provider, chain in (("official", chains.OFFICIAL), ("eager", chains.EAGER)):
        args = arguments(case)
        with torch.no_grad(), Passes() as passes:
            chain[op](*args)
        made = passes.bytes / (256 * 512 * 2)
        # Maps, shifts and scales are small beside a pass, but not nothing.
        assert made == pytest.approx(stated[provider](branches), rel=0.01), provider


@pytest.mark.parametrize("op", [op for op in OPS if op != "attention"])
def test_the_work_of_a_forward_is_its_inputs_and_its_outputs_once(op):
    shape = {"L": 64, "D": 32, "H": 2, "N": 3, "U": 2}
    case = Case(op, "forward", shape, torch.float32, "cpu")
    args = arguments(case)
    outs = OPS[op].define(*args)
    tensors = [x for x in pytree.tree_leaves((args, outs)) if hasattr(x, "shape")]
    moved = sum(x.numel() * x.element_size() for x in tensors)
    # What all tokens share is not counted: it stays in the cache.
    assert work(case).bytes == pytest.approx(moved, rel=0.04)
    assert work(case).bytes <= moved


def test_both_ways_is_the_sum_of_both():
    shape = {"L": 64, "D": 32, "N": 3}
    forward, backward, both = (
        work(Case("weighted_add", mode, shape, torch.float32, "cpu"))
        for mode in ("forward", "backward", "both")
    )
    assert both.bytes == forward.bytes + backward.bytes
    assert both.flops == forward.flops + backward.flops
