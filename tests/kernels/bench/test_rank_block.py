"""One rank's part of a block is the block, divided."""

import attrs
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from worldweave.model.config import DiTConfig
from worldweave.model.layers import Block
from worldweave_kernels.agreement import relative_error
from worldweave_kernels.bench import rank_block
from worldweave_kernels.bench.rank_block import (
    COSMOS_7B,
    TINY,
    BlockShape,
    Grouped,
    RankBlock,
)
from worldweave_kernels.parallel.attention import attended, joined
from worldweave_kernels.parallel.exchange import VirtualExchange

SMALL = BlockShape(tokens=32, hidden=32, heads=4, text=5, adaln_rank=4)


def ranked(ranks, shape=SMALL, **switches):
    return RankBlock(shape, ranks, device="cpu", dtype=torch.float64, **switches)


def model_block(own):
    """Return the model's block with the values of *own*, and what it is given."""
    shape = own.shape
    config = attrs.evolve(
        DiTConfig(), hidden=shape.hidden, heads=shape.heads, adaln_rank=4,
        mlp_ratio=shape.mlp_ratio, text_channels=shape.hidden,
    )  # fmt: skip
    block = Block(config).double()
    first, second = block.self_attention, block.cross_attention
    values = [
        (first.q, own.qkv[0]), (first.k, own.qkv[1]), (first.v, own.qkv[2]),
        (first.out, own.out), (second.q, own.cross[0]), (second.out, own.cross[1]),
        (first.q_norm, own.norms[0]), (first.k_norm, own.norms[1]),
        (second.q_norm, own.norms[2]), (block.mlp.up, own.mlp[0]),
        (block.mlp.down, own.mlp[1]),
    ]  # fmt: skip
    for each, name in zip(block.modulation, own.down, strict=True):
        values += [(each.down, own.down[name]), (each.up, own.up[name])]
    with torch.no_grad():
        for layer, value in values:
            layer.weight.copy_(value)
    text = torch.randn(1, shape.text, shape.hidden, dtype=torch.float64)
    heads = (shape.heads, -1)
    own.text = [
        second.k_norm(second.k(text).unflatten(-1, heads)),
        second.v(text).unflatten(-1, heads),
    ]
    around = {
        "positions": own.positions, "rope": own.rope, "text": text,
        "noise": own.noise[0], "shared": own.shared[0],
    }  # fmt: skip
    return block, around


@torch.no_grad()
def test_one_rank_computes_the_block_of_the_model():
    own = ranked(1)
    block, around = model_block(own)
    # Angles are kept in float32, as the model keeps them.
    assert relative_error(own(), block(own.x, **around)) < 1e-12


@pytest.fixture
def counted_attention(monkeypatch):
    """Attention as products that torch's counter knows; it misses fused ones on CPU."""
    monkeypatch.setenv("WORLDWEAVE_KERNELS", "attention=reference")


@pytest.mark.usefixtures("counted_attention")
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_ranks_divide_the_work_among_them(ranks):
    with FlopCounterMode(display=False) as alone:
        whole = ranked(1)()
    with FlopCounterMode(display=False) as divided:
        part = ranked(ranks)()
    # Every rank makes the modulation: of a vector, by three pairs of projections.
    once = 3 * 2 * (SMALL.hidden * 4 + 4 * 3 * SMALL.hidden)
    shared = alone.get_total_flops() - once
    assert divided.get_total_flops() == shared // ranks + once
    assert part.shape == (1, whole.shape[1] // ranks, whole.shape[2])
    assert part.isfinite().all()


@pytest.mark.usefixtures("counted_attention")
def test_inside_attention_a_rank_has_its_heads_of_all_tokens():
    own = ranked(4)
    seen = torch.randn(1, 8, 32, dtype=torch.float64)
    with FlopCounterMode(display=False) as counted:
        assert own.self_attention(seen).shape == seen.shape
    projections = 3 * 2 * 8 * 32 * 32
    scores_and_sums = 2 * 2 * 32 * 32 * 8
    assert counted.get_total_flops() == projections + scores_and_sums


@torch.no_grad()
@pytest.mark.parametrize(("ranks", "chunks"), [(2, 1), (2, 2), (4, 1)])
def test_with_a_true_exchange_the_ranks_compute_what_one_does(ranks, chunks):
    whole = ranked(1)
    parts = [ranked(ranks, chunks=chunks) for _ in range(ranks)]
    seen = torch.randn(2, SMALL.tokens, SMALL.hidden, dtype=torch.float64)
    for part, cos, sin in zip(
        parts, *(angles.chunk(ranks) for angles in whole.rope), strict=True
    ):
        part.rope, part.qkv, part.norms = (cos, sin), whole.qkv, whole.norms
    sent = [
        part.sent(mine)
        for part, mine in zip(parts, seen.chunk(ranks, dim=1), strict=True)
    ]
    itself = VirtualExchange()
    answers = [
        [
            attended(
                torch.stack([each[chunk, rank] for each in sent]),
                part.share, part.ranks, exchange=itself,
            )
            for chunk in range(chunks)
        ]
        for rank, part in enumerate(parts)
    ]  # fmt: skip
    found = []
    for rank in range(ranks):
        back = [
            torch.stack([each[chunk][rank] for each in answers])
            for chunk in range(chunks)
        ]
        found += joined(back, [SMALL.heads // (ranks * chunks)])
    wanted = whole.self_attention(seen)
    assert relative_error(torch.cat(found, dim=1), wanted) < 1e-12


@pytest.mark.parametrize(
    "switches", [{"chunks": 2}, {"early_values": True},
                 {"chunks": 2, "early_values": True}],
    ids=str,
)  # fmt: skip
def test_no_switch_changes_what_is_computed(switches):
    switched = ranked(2, **switches)
    plan = switched.ranks.plan
    assert {name: getattr(plan, name) for name in switches} == switches
    assert relative_error(switched(), ranked(2)()) < 1e-12


def test_the_values_of_a_block_leave_early_where_they_are_told_to(monkeypatch):
    sent = []

    class Counted(VirtualExchange):
        def all_to_all(self, send, async_op=False):
            sent.append((tuple(send.shape), async_op))
            return super().all_to_all(send, async_op)

    monkeypatch.setattr(rank_block, "VirtualExchange", Counted)
    ranked(2)()
    there, back = (2, 1, 16, 3, 2, 8), (2, 1, 16, 2, 8)
    assert sent == [(there, False), (back, False)]
    sent.clear()
    ranked(2, early_values=True)()
    assert sent == [(back, True)] * 4
    sent.clear()
    ranked(2, chunks=2)()
    halves = [(*each[:-2], 1, 8) for each in (there, there, back, back)]
    assert sorted(sent) == sorted((each, True) for each in halves)
    sent.clear()
    # Three blocks, side by side.
    Grouped([ranked(2) for _ in range(3)])()
    assert sent == [((2, 1, 16, 3, 6, 8), False), ((2, 1, 16, 6, 8), False)]


def test_chunks_that_do_not_divide_the_heads_of_a_rank_are_refused():
    with pytest.raises(ValueError, match="chunks is 2, which does not divide the 1"):
        ranked(4, chunks=2)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_group_computes_each_of_its_blocks(ranks):
    blocks = [
        RankBlock(SMALL, ranks, device="cpu", dtype=torch.float64, seed=seed)
        for seed in range(3)
    ]
    whole = Grouped(blocks)()
    assert whole.shape == (3, SMALL.tokens // ranks, SMALL.hidden)
    for part, own in zip(whole, blocks, strict=True):
        assert relative_error(part, own()[0]) < 1e-12


def test_the_same_seed_gives_the_same_block():
    assert torch.equal(ranked(2)(), ranked(2)())


def test_the_shapes_are_those_of_the_base():
    config = DiTConfig()
    assert (COSMOS_7B.hidden, COSMOS_7B.heads) == (config.hidden, config.heads)
    assert (COSMOS_7B.adaln_rank, COSMOS_7B.mlp_ratio) == (256, config.mlp_ratio)
    assert COSMOS_7B.tokens == 16 * 44 * 80
    for ranks in (1, 2, 4):
        TINY.refuse_ranks(ranks)
