"""The switches of a plan, measured: what each costs or gains on one of its ranks.

A switch that hides an exchange behind computing, or needs fewer of them, takes more
launches and smaller ones. What that costs is measured on one device; what it can save
is modelled, at most: as if computing hid all that it could. It pays where it saves more
than it costs.
"""

# U rank of one exchange, t seconds of a block

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from worldweave_kernels import splits
from worldweave_kernels.agreement import TOLERANCE, relative_error
from worldweave_kernels.bench.communication import (
    H200,
    Cluster,
    all_to_all_bytes,
    exchange_seconds,
)
from worldweave_kernels.bench.measure import Stopwatch
from worldweave_kernels.bench.rank_block import BlockShape, Grouped, RankBlock
from worldweave_kernels.bench.rank_times import Compute, block_times
from worldweave_kernels.bench.results import Timing

#: Control branches whose blocks share an exchange with one of the base.
BRANCHES = 4
CHUNKS = (2, 4)
#: What the others are compared with: of one block, and of all at a depth.
PLAIN, APART = "none", "an exchange for each branch"
EARLY, SHARED = "early values", "shared exchange"
UNSPLIT, GRAPH = "keys in one share", "CUDA graph"


@dataclass(frozen=True, kw_only=True)
class SwitchRow:
    """One switch on one of *ranks*, beside the same without it.

    The block is one, or with its branches: as in *against*. *gain* is t without the
    switch over t with it, in compute alone, measured. *saves* are the seconds of
    exchange that it can save at most, by the model.
    """

    ranks: int
    switch: str
    mode: str
    against: str = ""
    time: Timing | None = None
    gain: float | None = None
    #: Measured, in seconds: less than nothing where it gains.
    costs: float | None = None
    saves: float = 0.0
    note: str = ""

    @property
    def pays(self) -> bool | None:
        """Whether it saves more than it costs; None where nothing is known."""
        return None if self.costs is None else self.saves > self.costs


def measure_switches(
    shape: BlockShape,
    ranks: Sequence[int],
    *,
    device: str,
    dtype: torch.dtype,
    cluster: Cluster = H200,
    seconds: float = 2.0,
    repeats: int | None = None,
    say: Callable[[SwitchRow], None] = lambda row: None,
) -> list[SwitchRow]:
    """Measure what can be switched, for each count of *ranks* that exchange.

    One alone exchanges nothing and is left out. *seconds*, *repeats* and *say* are as
    in `measure_ranks`; what fails becomes a row that says why.
    """
    # The host's own launches are what eager and graph differ in.
    stopwatch = Stopwatch(device, host_ahead=False)
    rows = []
    for count in sorted({*ranks} - {1}):
        shape.refuse_ranks(count)
        forms = _forms(shape, count, stopwatch.device, dtype)
        times = block_times(forms, stopwatch, seconds=seconds, repeats=repeats)
        for row in _rows(times, count):
            rows.append(_modelled(row, shape, cluster))
            say(rows[-1])
    return rows


def saved(switch: str, shape: BlockShape, ranks: int, cluster: Cluster) -> float:
    """Return the seconds of exchange that *switch* saves at most, by the model.

    Of C chunks the first has to come and the last to go back; of values, keys and
    queries the last has to come; blocks that share an exchange wait for its first byte
    once. Raise ValueError where there is no way to so many ranks.
    """

    def takes(tensors: float) -> float:
        sent = all_to_all_bytes(shape.tokens, shape.hidden, ranks, tensors=1)
        return exchange_seconds(tensors * sent, ranks, cluster)

    there, back = takes(3), takes(1)
    if switch.startswith("chunks "):
        chunks = int(switch.removeprefix("chunks "))
        return there + back - takes(3 / chunks) - takes(1 / chunks)
    if switch == EARLY:
        return there - takes(1)
    if switch == SHARED:
        blocks = 1 + BRANCHES
        return blocks * (there + back) - takes(3 * blocks) - takes(blocks)
    return 0.0


def _forms(
    shape: BlockShape, ranks: int, device: torch.device, dtype: torch.dtype
) -> dict[str, Callable[[], Compute]]:
    """Return by switch what makes a block, or several, with it."""

    def block(seed: int = 0, chunks: int = 1, early: bool = False) -> RankBlock:
        return RankBlock(
            shape, ranks, device=device, dtype=dtype, seed=seed,
            chunks=chunks, early_values=early,
        )  # fmt: skip

    def checked(chunks: int = 1, early: bool = False) -> Compute:
        found = block(chunks=chunks, early=early)
        _refuse_other(found, block(), found.x)
        return found

    def several() -> list[RankBlock]:
        return [block(seed) for seed in range(1 + BRANCHES)]

    forms: dict[str, Callable[[], Compute]] = {PLAIN: block}
    own = shape.heads // ranks
    for chunks in CHUNKS:
        if own % chunks == 0:
            forms[f"chunks {chunks}"] = functools.partial(checked, chunks)
    forms[EARLY] = functools.partial(checked, early=True)
    if _is_split(shape, own, device):
        forms[UNSPLIT] = lambda: _in_one_share(block())
    forms[APART] = lambda: _one_by_one(several())
    forms[SHARED] = lambda: _in_one(several())
    return forms


def _in_one(blocks: Sequence[RankBlock]) -> Compute:
    whole = Grouped(blocks)
    _refuse_other(whole, _one_by_one(blocks), torch.cat([each.x for each in blocks]))
    return whole


def _refuse_other(found: Compute, wanted: Compute, x: torch.Tensor) -> None:
    """Raise RuntimeError unless both add the same to x, which is in both."""
    error = relative_error(found() - x, wanted() - x)
    # Both round, at every step.
    if not error <= 4 * TOLERANCE[x.dtype]:
        raise RuntimeError(f"with it a block is {error:.1e} off the block without")


def _one_by_one(blocks: Sequence[RankBlock]) -> Compute:
    return lambda: torch.cat([block() for block in blocks])


def _is_split(shape: BlockShape, heads: int, device: torch.device) -> bool:
    """Return whether attention of so many heads is likely to split its keys here."""
    if device.type != "cuda":
        return False
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    tiles = -(-shape.tokens // 128) * heads
    return splits.split_count(tiles, shape.tokens, processors) > 1


def _in_one_share(compute: Compute) -> Compute:
    def whole() -> torch.Tensor:
        with _unsplit():
            return compute()

    return whole


@contextlib.contextmanager
def _unsplit() -> Iterator[None]:
    """Let no attention split its keys."""
    most, splits.MOST_SPLITS = splits.MOST_SPLITS, 1
    try:
        yield
    finally:
        splits.MOST_SPLITS = most


def _rows(
    times: dict[tuple[str, str], Timing | str], ranks: int
) -> Iterator[SwitchRow]:
    """Yield each switch beside the same without it, then graphs beside eager."""
    for (switch, mode), timed in times.items():
        against = {PLAIN: "", APART: "", SHARED: APART}.get(switch, PLAIN)
        row = SwitchRow(ranks=ranks, switch=switch, mode=mode, against=against)
        yield _compared(row, timed, times.get((against, mode)))
    for switch in (PLAIN, APART):
        if (switch, "graph") in times:
            row = SwitchRow(
                ranks=ranks, switch=GRAPH, mode="graph", against=f"eager, {switch}"
            )
            eager, graph = (times[switch, mode] for mode in ("eager", "graph"))
            yield _compared(row, graph, eager)


def _compared(
    row: SwitchRow, timed: Timing | str, without: Timing | str | None
) -> SwitchRow:
    if isinstance(timed, str):
        return dataclasses.replace(row, note=timed)
    row = dataclasses.replace(row, time=timed)
    if isinstance(without, str):
        return dataclasses.replace(row, note=f"{row.against} was not timed: {without}")
    if without is None:
        return row
    gain, costs = without.median / timed.median, timed.median - without.median
    return dataclasses.replace(row, gain=gain, costs=costs)


def _modelled(row: SwitchRow, shape: BlockShape, cluster: Cluster) -> SwitchRow:
    try:
        saves = saved(row.switch, shape, row.ranks, cluster)
    except ValueError as error:
        return dataclasses.replace(row, note=row.note or str(error))
    return dataclasses.replace(row, saves=saves)
