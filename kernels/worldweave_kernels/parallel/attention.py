"""Self-attention over tokens that ranks share: exchanged for heads, and back.

Around it each rank has N tokens and all heads; in it, the tokens of U ranks and a part
of the heads (Ulysses, arXiv 2309.14509). R such groups hand keys and values round
(arXiv 2310.01889) and merge what each of them gives by its log-sum-exp.

With one such group every head is attended to as by one process, whatever the layout:
bit by bit where `attention` does not look at how many heads there are. On a CPU it does
not; on a GPU its num_splits="auto" cuts the keys into more shares where a rank has few
heads, and results agree to rounding.
"""

# B batch, L token, N token of a rank (with padding), H head, U rank of a group for
# heads, R such group, C chunk of a rank's heads, h head of a chunk, d channels of one

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from worldweave_kernels.attention import attention, merge_attention
from worldweave_kernels.parallel.exchange import Exchange, Pending
from worldweave_kernels.parallel.ranks import Ranks
from worldweave_kernels.parallel.share import Share

#: Projects, normalises and rotates: one (B, N, H, d) for each that attends at once.
Make = Callable[[], Sequence[Tensor]]


def sequence_attention(
    packed: Sequence[Tensor],
    share: Share,
    ranks: Ranks,
    *,
    scale: float | None = None,
    exchange: Exchange | None = None,
) -> list[Tensor]:
    """Return the self-attention of each of *packed* over all tokens, (B, N, H * d).

    packed: what `qk_norm_rope_pack` returns with world=plan.ulysses and
    chunks=plan.chunks, (C, U, B, N, 3, h, d), of the tokens of this rank. Several
    differ in H alone; none sees another: their heads lie side by side in one exchange
    there, one attention and one exchange back. With more chunks than one, one is under
    way while another is attended to; not with a ring, which is under way then itself.
    *scale* is d ** -0.5 unless given.

    Padding may hold anything: it is no key, and gets zeros. All ranks of the sequence
    call this at once, those that have nothing but padding too. *exchange* takes the
    place of the one of *ranks*. Raise ValueError where shapes do not fit the plan, or
    a gradient is wanted: none passes an exchange.
    """
    _refuse_misfit(packed, share, ranks)
    exchange = exchange or Exchange.of(ranks)
    chunks = ranks.plan.chunks
    overlaps = chunks > 1 and ranks.plan.ring == 1

    def leave(chunk: int) -> Pending[Tensor]:
        send = _side_by_side([each[chunk] for each in packed])
        return exchange.all_to_all(send, async_op=overlaps)

    coming: Pending[Tensor] | None = None
    back = []
    for chunk in range(chunks):
        received = (coming or leave(chunk)).wait()
        coming = leave(chunk + 1) if overlaps and chunk + 1 < chunks else None
        answer = attended(received, share, ranks, scale=scale, exchange=exchange)
        back.append(exchange.all_to_all(answer, async_op=overlaps))
    heads = [each.shape[-2] for each in packed]
    return joined([each.wait() for each in back], heads)


def early_attention(
    values: Make,
    keys: Make,
    queries: Make,
    share: Share,
    ranks: Ranks,
    *,
    scale: float | None = None,
    exchange: Exchange | None = None,
) -> list[Tensor]:
    """Return what `sequence_attention` does, of three exchanges for one.

    values, keys and queries are called in this order, once each. What one returns,
    (B, N, H, d) for each that attends, with positions, leaves while the next is
    computed; before a ring begins, all has come. Raise ValueError as
    `sequence_attention` does.
    """
    exchange = exchange or Exchange.of(ranks)
    ulysses, chunks = ranks.plan.ulysses, ranks.plan.chunks
    under_way: list[list[Pending[Tensor]]] = []
    heads: list[int] = []
    for make in (values, keys, queries):
        made = make()
        _refuse_odd_ones(made, share, ranks)
        heads = [each.shape[2] // (ulysses * chunks) for each in made]
        parts = [_by_rank(each, ulysses, chunks) for each in made]
        under_way.append(
            [
                exchange.all_to_all(_side_by_side(each), async_op=True)
                for each in zip(*parts, strict=True)
            ]
        )
    overlaps = ranks.plan.ring == 1
    if not overlaps:
        for pending in itertools.chain(*under_way):
            pending.wait()
    back = []
    for chunk in zip(*under_way, strict=True):
        v, k, q = (_in_a_row(each.wait()) for each in chunk)
        answer = _rank_by_rank(
            _attended(q, k, v, share, ranks, scale, exchange), ulysses
        )
        back.append(exchange.all_to_all(answer, async_op=overlaps))
    return joined([each.wait() for each in back], heads)


def attended(
    received: Tensor,
    share: Share,
    ranks: Ranks,
    *,
    scale: float | None = None,
    exchange: Exchange | None = None,
) -> Tensor:
    """Map what U ranks sent, (U, B, N, 3, h, d), to their answers, (U, B, N, h, d).

    For a batch of one nothing is copied: tokens are attended to as they came, and the
    answers lie as they are sent back.
    """
    exchange = exchange or Exchange.of(ranks)
    q, k, v = _in_a_row(received).unbind(2)
    answer = _attended(q, k, v, share, ranks, scale, exchange)
    return _rank_by_rank(answer, received.shape[0])


def joined(back: Sequence[Tensor], heads: Sequence[int]) -> list[Tensor]:
    """Return (B, N, H * d) for each that attended, heads in their order.

    back: for each chunk, what comes from U ranks, (U, B, N, sum of h, d); *heads*: the
    h of each. In H they are counted rank by rank, in a rank chunk by chunk.
    """
    by_token = (each.permute(1, 2, 0, 3, 4) for each in back)
    apart = zip(*(torch.split(x, list(heads), dim=3) for x in by_token), strict=True)
    return [
        (parts[0] if len(parts) == 1 else torch.stack(parts, dim=3)).flatten(2)
        for parts in apart
    ]


def _attended(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    share: Share,
    ranks: Ranks,
    scale: float | None,
    exchange: Exchange,
) -> Tensor:
    """Return the attention (B, U * N, h, d) to the keys of all groups of the ring.

    The queries of padding are left out, and have zeros: with one group, a head has the
    queries and keys that it has on one process.
    """
    plan, own = ranks.plan, ranks.ring_index
    # In a group padding comes last.
    held = [share.held_by(at * plan.ulysses, plan.ulysses) for at in range(plan.ring)]
    wanted = q[:, : held[own]]
    if plan.ring == 1:
        out = attention(wanted, k[:, : held[0]], v[:, : held[0]], scale=scale)
    else:
        out = _around_the_ring(wanted, k, v, held, own, scale, exchange)
    missing = q.shape[1] - held[own]
    if not missing:
        return out
    return torch.cat([out, out.new_zeros((len(q), missing, *q.shape[2:]))], dim=1)


def _around_the_ring(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    held: Sequence[int],
    own: int,
    scale: float | None,
    exchange: Exchange,
) -> Tensor:
    """Attend to the keys of each group as they come by; the own are k and v.

    held: the keys of each group that are no padding. Results are kept, R / 3 of the
    size of what was received, and merged in the order of the groups: in the same on
    every rank, whichever came first.
    """
    results: dict[int, tuple[Tensor, Tensor]] = {}
    # One copy, and one message a step: as projected each is a third of every row.
    kv = torch.stack([k, v])
    for step in range(len(held)):
        group = (own - step) % len(held)
        # The next are under way while these are attended to.
        last = step + 1 == len(held)
        coming = None if last else exchange.hand_on(kv)
        if held[group] and q.shape[1]:
            there = slice(held[group])
            results[group] = attention(
                q, *kv[:, :, there].unbind(), scale=scale, return_lse=True
            )
        if coming is not None:
            kv = coming.wait()
    return _merged([results[group] for group in sorted(results)], q)


def _merged(results: Sequence[tuple[Tensor, Tensor]], like: Tensor) -> Tensor:
    """Merge in the order given, in float32 at least, and round once."""
    if not results:
        return torch.zeros_like(like)
    (out, lse), *others = results
    if not others:
        return out
    out = out.to(torch.promote_types(out.dtype, torch.float32))
    for other, other_lse in others:
        out, lse = merge_attention(out, lse, other, other_lse)
    return out.to(like.dtype)


def _in_a_row(received: Tensor) -> Tensor:
    """Return (B, U * N, ...) of (U, B, N, ...): a view where B is one."""
    return received.transpose(0, 1).flatten(1, 2)


def _rank_by_rank(answer: Tensor, ulysses: int) -> Tensor:
    """Return (U, B, N, h, d) of (B, U * N, h, d)."""
    batch, _, *head = answer.shape
    return answer.view(batch, ulysses, -1, *head).transpose(0, 1)


def _by_rank(x: Tensor, ulysses: int, chunks: int) -> Tensor:
    """Return (C, U, B, N, h, d) of (B, N, H, d): heads as `qk_norm_rope_pack` packs."""
    batch, tokens, _, channels = x.shape
    apart = x.reshape(batch, tokens, ulysses, chunks, -1, channels)
    return apart.permute(3, 2, 0, 1, 4, 5)


def _side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """Return the heads of all *parts*, (..., h, d), as those of one."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts), dim=-2)


def _refuse_misfit(packed: Sequence[Tensor], share: Share, ranks: Ranks) -> None:
    plan = ranks.plan
    sides = (plan.chunks, plan.ulysses, share.size, 3)
    for each in packed:
        shape = tuple(each.shape)
        if len(shape) != 7 or (*shape[:2], *shape[3:5]) != sides:
            raise ValueError(
                f"packed is {shape}; for {share.size} tokens a rank and a plan of "
                f"{plan} it must be ({plan.chunks}, {plan.ulysses}, B, {share.size}, "
                "3, h, d), as qk_norm_rope_pack(..., world=plan.ulysses, "
                "chunks=plan.chunks) returns it"
            )
    alike = [(*each.shape[2:5], each.shape[6]) for each in packed]
    _refuse_others(packed, alike, share, ranks)


def _refuse_odd_ones(made: Sequence[Tensor], share: Share, ranks: Ranks) -> None:
    plan = ranks.plan
    parts = plan.ulysses * plan.chunks
    for each in made:
        shape = tuple(each.shape)
        if len(shape) != 4 or shape[1] != share.size or shape[2] % parts:
            raise ValueError(
                f"values, keys or queries are {shape}; for a plan of {plan} they must "
                f"be (B, {share.size}, H, d), H a multiple of {parts}"
            )
    alike = [(*each.shape[:2], each.shape[3]) for each in made]
    _refuse_others(made, alike, share, ranks)


def _refuse_others(
    tensors: Sequence[Tensor],
    alike: Sequence[tuple[int, ...]],
    share: Share,
    ranks: Ranks,
) -> None:
    if len(set(alike)) != 1:
        shapes = ", ".join(str(tuple(each.shape)) for each in tensors) or "nothing"
        raise ValueError(
            f"what attends at once is {shapes}; give tensors that differ in heads alone"
        )
    parts, at = ranks.plan.sequence, ranks.sequence_index
    if (share.parts, share.index) != (parts, at):
        raise ValueError(
            f"the share is part {share.index} of {share.parts}, but this rank has part "
            f"{at} of {parts}; make it with Share.of(tokens, ranks)"
        )
    gradient = torch.is_grad_enabled() and any(each.requires_grad for each in tensors)
    if gradient and parts > 1:
        raise ValueError(
            "a gradient is wanted, and none passes an exchange; use torch.no_grad()"
        )
