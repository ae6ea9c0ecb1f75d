"""Stage 6: control branches in one go or one by one, and their projections."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import torch

from gpu.record import Measured, Part
from gpu.rows import measured_rows
from gpu.setting import Setting
from worldweave_kernels.bench.measure import Call, Stopwatch, in_turn
from worldweave_kernels.bench.rank_block import RankBlock, graphed, grouped

BRANCHES = 4


def parts(setting: Setting) -> list[Part]:
    """Return the parts of the stage."""
    most = setting.most_ranks
    found = [
        Part(f"grouped blocks, U={ranks}", functools.partial(_grouped, setting, ranks))
        for ranks in dict.fromkeys((most, most // 4))
    ]
    shape = {"D": setting.block.hidden, "N": BRANCHES}
    for name, tokens in (
        ("full", setting.block.tokens),
        (f"U{most}", setting.block.tokens // most),
    ):
        measure = functools.partial(
            _inject, setting, {"L": tokens, **shape}, f"control_inject.{name}"
        )
        found.append(Part(f"control_inject, {name}", measure))
    return found


def _grouped(setting: Setting, ranks: int) -> Iterator[Measured]:
    """Yield the time of a base block and N control blocks, together and in turn."""
    blocks = [
        RankBlock(
            setting.block, ranks, device=setting.device, dtype=setting.dtype, seed=seed
        )
        for seed in range(1 + BRANCHES)
    ]
    together = grouped(blocks)

    def in_sequence() -> torch.Tensor:
        return torch.cat([block() for block in blocks])

    forms: dict[str, Callable[[], torch.Tensor]]
    forms = {"sequential": in_sequence, "grouped": together}
    calls = {f"{name}.eager": _call(form) for name, form in forms.items()}
    if setting.device != "cpu":
        for name, form in forms.items():
            # Without the host's launches, of which a group has fewer.
            replay, _ = graphed(form)
            calls[f"{name}.graph"] = Call(lambda _, replay=replay: replay())
    times = in_turn(
        calls,
        Stopwatch(setting.device),
        seconds=setting.seconds,
        repeats=setting.repeats,
    )
    for name, time in times.items():
        yield Measured(f"grouped.U{ranks}.{name}", 1e3 * time.median, "ms")
    mode = "graph" if "grouped.graph" in times else "eager"
    one_by_one, at_once = (times[f"{n}.{mode}"].median for n in forms)
    yield Measured(f"grouped.U{ranks}", one_by_one / at_once, "x", f"by {mode}")


def _call(form: Callable[[], torch.Tensor]) -> Call:
    return Call(lambda _: form())


def _inject(setting: Setting, shape: dict[str, int], prefix: str) -> Iterator[Measured]:
    """Yield every provider, then linear and weighted_add over control_inject."""
    found = {}
    for each in measured_rows(setting, "control_inject", "forward", shape, prefix):
        found[each.key] = each.value
        yield each
    ours = found.get(f"{prefix}.triton", float("nan"))
    other = found.get(f"{prefix}.linear + ours", float("nan"))
    yield Measured(prefix, other / ours, "x")
