"""Attention over shares of the keys at once, for GPUs that few heads leave idle."""

# B batch, L query, M key, H head, d channels of one head

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

#: Below so many keys the launches cost more than idle multiprocessors.
FEWEST_KEYS = 4096
MOST_SPLITS = 4
#: How much shorter the modelled time must get for another split.
GAIN = 0.05
#: The arithmetic of so many keys takes as long as one share's partial result, which
#: is written and read in float32: 8 bytes against 4 operations per channel (and
#: key), at 144 operations a byte (an H200 with FA3: 620 TFLOP/s over 4.3 TB/s).
KEYS_PER_PARTIAL = 288

#: Attends, and returns the result and its log-sum-exp.
Attend = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def split_count(tiles: int, keys: int, multiprocessors: int) -> int:
    """Return into how many shares to split *keys* for a GPU of *multiprocessors*.

    *tiles* is the number of blocks of queries, of all heads: what can be computed
    side by side without a split. Each multiprocessor is taken to work on one tile at
    a time, so that the last wave leaves some idle. A model, not a measurement.
    """
    if keys < FEWEST_KEYS or tiles == 0:
        return 1
    best, shortest = 1, _modelled_time(1, tiles, keys, multiprocessors)
    for splits in range(2, MOST_SPLITS + 1):
        time = _modelled_time(splits, tiles, keys, multiprocessors)
        if time < (1 - GAIN) * shortest:
            best, shortest = splits, time
    return best


def _modelled_time(splits: int, tiles: int, keys: int, multiprocessors: int) -> float:
    """Return the time in waves of unsplit tiles, with that of the partial results."""
    waves = -(-tiles * splits // multiprocessors) / splits
    if splits == 1:
        return waves
    return waves + splits * KEYS_PER_PARTIAL / keys * tiles / multiprocessors


def attend_to_shares(
    attend: Attend, q: Tensor, k: Tensor, v: Tensor, splits: int
) -> list[tuple[Tensor, Tensor]]:
    """Attend to *splits* equal shares of the keys in one batch, to the rest apart.

    Queries are repeated, share by share. Keys and values are viewed where B is one,
    else copied. Return the results and log-sum-exps of all shares.
    """
    each = k.shape[1] // splits
    if k.shape[1] - splits * each == 1 and each > 2:
        each -= 1  # cuDNN takes no single key.
    even = splits * each
    k_shares, v_shares = (_shares(x, splits, each) for x in (k, v))
    out, lse = attend(q.repeat(splits, 1, 1, 1), k_shares, v_shares)
    parts = list(zip(out.chunk(splits), lse.chunk(splits), strict=True))
    if even < k.shape[1]:
        parts.append(attend(q, k[:, even:], v[:, even:]))
    return parts


def _shares(x: Tensor, splits: int, each: int) -> Tensor:
    """Return the first *splits* times *each* tokens of x as a batch, share by share."""
    batch, _, heads, width = x.shape
    apart = x.narrow(1, 0, splits * each).view(batch, splits, each, heads, width)
    return apart.transpose(0, 1).flatten(0, 1)
