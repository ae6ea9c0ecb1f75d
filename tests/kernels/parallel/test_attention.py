"""Self-attention over shared tokens is that of one process."""

import pytest
import torch
import torch.distributed as dist

from worldweave_kernels import attention, merge_attention, qk_norm_rope_pack
from worldweave_kernels.parallel import ParallelPlan, Ranks, Share
from worldweave_kernels.parallel.attention import early_attention, sequence_attention
from worldweave_kernels.parallel.exchange import Exchange, VirtualExchange

LAYOUTS = [
    (ring, world // ring)
    for world in (1, 2, 3, 4, 8)
    for ring in range(1, world + 1)
    if world % ring == 0
]
#: 61 leaves the last of 8 ranks less; of 9, the last 3 of 8 have padding alone.
TOKENS = (64, 61, 9)
#: Chunks, and whether values are early.
WAYS = ((1, False), (2, False), (2, True))


@pytest.mark.parametrize(("ring", "ulysses"), LAYOUTS)
def test_every_layout_is_one_process(against_one_process, case, ring, ulysses):
    found = against_one_process(
        *(
            case(
                ParallelPlan(
                    ring=ring, ulysses=ulysses, chunks=chunks, early_values=early
                ),
                tokens=tokens,
            )
            for tokens in TOKENS
            for chunks, early in WAYS
        )
    )
    assert max(error for error, _ in found) < 1e-12


@pytest.mark.parametrize(("ring", "ulysses"), [(1, 2), (3, 1), (2, 4)])
@pytest.mark.parametrize("early", [False, True])
def test_so_are_several_at_once_and_batches(
    against_one_process, case, ring, ulysses, early
):
    plan = ParallelPlan(ring=ring, ulysses=ulysses, chunks=2, early_values=early)
    sizes = ((2, 1), (1, 3), (2, 2))
    found = against_one_process(
        *(case(plan, batch=batch, several=several) for batch, several in sizes)
    )
    assert max(error for error, _ in found) < 1e-12


@pytest.mark.parametrize(("ring", "ulysses"), [(1, 4), (2, 2), (4, 1)])
def test_float32_agrees_to_its_rounding(against_one_process, case, ring, ulysses):
    plan = ParallelPlan(ring=ring, ulysses=ulysses)
    ((error, _),) = against_one_process(case(plan, dtype=torch.float32))
    assert error < 1e-5


def test_each_half_of_guidance_keeps_to_itself(against_one_process, case):
    plan = ParallelPlan(cfg=2, ring=2, ulysses=2, chunks=2)
    ((error, _),) = against_one_process(case(plan))
    assert error < 1e-12


@pytest.mark.parametrize("ulysses", [2, 3, 8])
def test_where_only_heads_are_exchanged_it_is_one_process_bit_by_bit(
    against_one_process, case, ulysses
):
    found = against_one_process(
        *(
            case(
                ParallelPlan(ulysses=ulysses, chunks=chunks, early_values=early),
                tokens=tokens,
                batch=several,
                several=several,
                dtype=dtype,
            )
            for tokens, several in ((9, 2), (61, 2), (200, 1))
            for chunks, early in WAYS
            for dtype in (torch.float32, torch.float64)
        )
    )
    assert all(same for _, same in found)


@pytest.mark.parametrize("tokens", [64, 61, 9])
def test_a_ring_merges_in_the_order_of_the_tokens_on_every_rank(ranks, tokens):
    assert ranks(4, merges_in_order, tokens) == [True] * 4


def merges_in_order(tokens):
    ranks = Ranks.join(ParallelPlan(ring=4))
    share = Share.of(tokens, ranks)
    random = torch.Generator().manual_seed(3)
    q, k, v = torch.randn(3, 1, tokens, 4, 8, generator=random)
    own = torch.stack([share.cut(each, 1) for each in (q, k, v)], 2)
    (got,) = sequence_attention([own[None, None]], share, ranks)
    mine = q.narrow(1, share.start, share.held)
    if not share.held:
        return not got.any()
    each = zip(k.split(share.size, 1), v.split(share.size, 1), strict=True)
    (out, lse), *others = (attention(mine, *kv, return_lse=True) for kv in each)
    for other in others:
        out, lse = merge_attention(out, lse, *other)
    return got[:, : share.held].equal(out.flatten(2))


def test_the_ring_rounds_once(ranks):
    for once in ranks(8, rounds_once):
        assert once < 1.01


def rounds_once():
    """Return how far bfloat16 is off, over what its parts alone bring with them."""
    ranks = Ranks.join(ParallelPlan(ring=8))
    share = Share.of(64, ranks)
    random = torch.Generator().manual_seed(3)
    q, k, v = torch.randn(3, 1, 64, 4, 8, generator=random).bfloat16()
    own = torch.stack([share.cut(each, 1) for each in (q, k, v)], 2)
    (got,) = sequence_attention([own[None, None]], share, ranks)
    mine = share.cut(q, 1)
    each = zip(k.split(8, 1), v.split(8, 1), strict=True)
    (out, lse), *others = (attention(mine, *kv, return_lse=True) for kv in each)
    out = out.double()
    for other in others:
        out, lse = merge_attention(out, lse.double(), *other)
    right = attention(mine.double(), k.double(), v.double())
    at_best = (out.bfloat16().double() - right).abs().mean()
    return ((got.double() - right.flatten(2)).abs().mean() / at_best).item()


def packed_of(case_shape, world=1, chunks=1, **like):
    q, k, v = torch.randn(3, *case_shape, **like)
    width, tokens = case_shape[-1], case_shape[1]
    turns = torch.zeros(2, tokens, width // 2)
    weights = torch.ones(2, width)
    return qk_norm_rope_pack(q, k, v, *weights, *turns, world=world, chunks=chunks)


def test_one_rank_needs_no_torch_distributed():
    assert not dist.is_initialized()
    ranks = Ranks.join(ParallelPlan(chunks=2))
    packed = packed_of((2, 9, 8, 4), chunks=2)
    (got,) = sequence_attention([packed], Share.of(9, ranks), ranks)
    q, k, v = packed.permute(2, 3, 4, 1, 0, 5, 6).flatten(3, 5).unbind(2)
    assert got.equal(attention(q, k, v).flatten(2))


def test_one_rank_passes_gradients():
    ranks = Ranks.join(ParallelPlan())
    packed = packed_of((1, 9, 8, 4), requires_grad=True)
    (got,) = sequence_attention([packed], Share.of(9, ranks), ranks)
    assert got.requires_grad


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("ring", [1, 2])
def test_a_virtual_rank_receives_what_it_sends(ring, early):
    """Its tokens, taken for those of every rank, are attended to by its own heads."""
    plan = ParallelPlan(ring=ring, ulysses=4, chunks=2, early_values=early)
    ranks, share = Ranks(plan, torch.device("cpu")), Share(48, plan.sequence, 0)
    packed = packed_of((1, share.size, 16, 8), world=4, chunks=2)
    if early:
        q, k, v = packed.permute(2, 3, 4, 1, 0, 5, 6).flatten(3, 5).unbind(2)
        (got,) = early_attention(
            lambda: [v], lambda: [k], lambda: [q],
            share, ranks, exchange=VirtualExchange(),
        )  # fmt: skip
    else:
        (got,) = sequence_attention([packed], share, ranks, exchange=VirtualExchange())
    for chunk in range(2):
        # (U, 1, N, 3, h, d) as one row of tokens; twice the same keys are as once.
        q, k, v = packed[chunk].flatten(0, 2)[None].unbind(2)
        wanted = attention(q, k, v).view(4, share.size, 2, 8)
        heads = got.view(share.size, 4, 2, 2, 8)[:, :, chunk].transpose(0, 1)
        torch.testing.assert_close(heads, wanted)


def test_ranks_that_have_not_joined_are_refused():
    for plan, axis in (
        (ParallelPlan(ulysses=4), "ulysses is 4"),
        (ParallelPlan(ring=2), "ring is 2"),
    ):
        with pytest.raises(ValueError, match=f"{axis} but these ranks have no group"):
            Exchange.of(Ranks(plan, torch.device("cpu")))


FOUR = Ranks(ParallelPlan(ulysses=4), torch.device("cpu"))


@pytest.mark.parametrize(
    ("packed", "share", "told"),
    [
        ([], Share(32, 4, 0), "attends at once is nothing"),
        (
            [packed_of((1, 8, 8, 4))],
            Share(32, 4, 0),
            r"must be \(1, 4, B, 8, 3, h, d\)",
        ),
        ([packed_of((1, 9, 8, 4), 4)], Share(32, 4, 0), "for 8 tokens a rank"),
        ([packed_of((1, 8, 8, 4), 4, 2)], Share(32, 4, 0), r"packed is \(2, 4"),
        (
            [packed_of((1, 8, 8, 4), 4), packed_of((2, 8, 8, 4), 4)],
            Share(32, 4, 0),
            "differ in heads alone",
        ),
        ([packed_of((1, 8, 8, 4), 4)], Share(32, 4, 1), "part 1 of 4, but this rank"),
        ([packed_of((1, 8, 8, 4), 4)], Share(16, 2, 0), "part 0 of 2, but this rank"),
        (
            [packed_of((1, 8, 8, 4), 4, requires_grad=True)],
            Share(32, 4, 0),
            "a gradient is wanted",
        ),
    ],
)
def test_what_does_not_fit_is_refused(packed, share, told):
    with pytest.raises(ValueError, match=told):
        sequence_attention(packed, share, FOUR, exchange=VirtualExchange())


@pytest.mark.parametrize("shape", [(1, 9, 8, 4), (1, 8, 6, 4), (1, 8, 32)])
def test_early_values_that_do_not_fit_are_refused(shape):
    def make():
        return [torch.randn(shape)]

    alone = VirtualExchange()
    with pytest.raises(ValueError, match=r"must be \(B, 8, H, d\), H a multiple of 4"):
        early_attention(make, make, make, Share(32, 4, 0), FOUR, exchange=alone)


def test_values_leave_before_keys_are_made_and_keys_before_queries():
    told = []

    class Told(VirtualExchange):
        def all_to_all(self, send, async_op=False):
            told.append("under way" if async_op else "waited for")
            return super().all_to_all(send, async_op)

    def make(name):
        told.append(name)
        return [torch.randn(1, 8, 8, 4)]

    early_attention(
        *(lambda name=name: make(name) for name in ("values", "keys", "queries")),
        Share(32, 4, 0), FOUR, exchange=Told(),
    )  # fmt: skip
    sent = "under way"
    assert told == ["values", sent, "keys", sent, "queries", sent, sent]


def test_a_chunk_is_under_way_while_another_is_attended_to():
    told = []

    class Told(VirtualExchange):
        def all_to_all(self, send, async_op=False):
            assert async_op
            what = "in" if send.ndim == 6 else "out"
            told.append(what)
            pending = super().all_to_all(send)
            wait = pending.wait
            pending.wait = lambda: (told.append(f"{what} waited for"), wait())[1]
            return pending

    ranks = Ranks(ParallelPlan(ulysses=4, chunks=3), torch.device("cpu"))
    packed = packed_of((1, 8, 24, 4), 4, 3)
    sequence_attention([packed], Share(32, 4, 0), ranks, exchange=Told())
    there = ["in", "in waited for", "in", "out", "in waited for", "in", "out"]
    assert told == [*there, "in waited for", "out", *["out waited for"] * 3]


class OneAtATime(VirtualExchange):
    """Fails where something is under way in both groups at once."""

    def __init__(self):
        super().__init__()
        self.under_way, self.together = [], 0

    def all_to_all(self, send, async_op=False):
        assert "ring" not in self.under_way
        return self._noted("ulysses", super().all_to_all(send), async_op)

    def hand_on(self, send):
        assert "ulysses" not in self.under_way
        return self._noted("ring", super().hand_on(send), True)

    def _noted(self, name, pending, async_op):
        if async_op:
            self.under_way.append(name)
            self.together = max(self.together, len(self.under_way))
            wait = pending.wait

            def noted():
                if name in self.under_way:
                    self.under_way.remove(name)
                pending.wait = wait
                return wait()

            pending.wait = noted
        return pending


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize(("ring", "together"), [(1, True), (2, False), (3, False)])
def test_a_ring_and_an_exchange_are_never_under_way_at_once(ring, together, early):
    plan = ParallelPlan(ring=ring, ulysses=2, chunks=3, early_values=early)
    ranks, share = Ranks(plan, torch.device("cpu")), Share(48, plan.sequence, 0)
    exchange = OneAtATime()
    packed = packed_of((1, share.size, 12, 8), 2, 3)
    if early:
        made = [torch.randn(1, share.size, 12, 8)]
        early_attention(*[lambda: made] * 3, share, ranks, exchange=exchange)
    else:
        sequence_attention([packed], share, ranks, exchange=exchange)
    assert not exchange.under_way
    if not early:
        assert (exchange.together > 1) is together


def test_keys_and_values_are_handed_on_in_one_message_and_copied_once():
    sent = []

    class Told(VirtualExchange):
        def hand_on(self, send):
            assert send.is_contiguous()
            sent.append(send.data_ptr())
            return super().hand_on(send)

    ranks = Ranks(ParallelPlan(ring=4), torch.device("cpu"))
    packed = packed_of((1, 12, 4, 8))
    sequence_attention([packed], Share(48, 4, 0), ranks, exchange=Told())
    # A virtual rank receives what it sends: the same memory goes round.
    assert len(sent) == 3
    assert len(set(sent)) == 1
