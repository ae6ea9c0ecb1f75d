"""Stage 3: attention by every installed backend, in tiles of many sizes, in shares."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from gpu.record import Measured, Part
from gpu.rows import measured_rows
from gpu.setting import Setting, timed
from worldweave_kernels import BackendError, attention
from worldweave_kernels.agreement import TOLERANCE, relative_error
from worldweave_kernels.bench.measure import Call
from worldweave_kernels.bench.results import first_line
from worldweave_kernels.dispatch import BACKENDS

#: Queries, keys, warps, stages; True: by TMA descriptors. Of 84 that were compiled
#: ahead of time for sm_90 with Triton 3.6 the likeliest of those that spill nothing and
#: fit in shared memory. Warp specialisation changes nothing there: the same code.
CONFIGURATIONS = (
    (True, (128, 128, 8, 2)),
    (True, (128, 128, 8, 3)),
    (True, (128, 64, 8, 2)),
    (True, (128, 64, 8, 3)),
    (True, (128, 64, 8, 4)),
    (True, (128, 64, 4, 3)),
    (True, (64, 128, 4, 2)),
    (True, (64, 128, 4, 3)),
    (True, (64, 64, 4, 3)),
    (False, (128, 64, 8, 2)),
    (False, (128, 64, 8, 3)),
    (False, (128, 64, 8, 4)),
    (False, (128, 32, 8, 3)),
    (False, (64, 64, 4, 3)),
)
SPLITS = (1, 2, 3)


def parts(setting: Setting) -> list[Part]:
    """Return a part for each number of heads, then tiles, shares and text."""
    found = [
        Part(f"attention of {heads} heads", functools.partial(_heads, setting, heads))
        for heads in setting.heads
    ]
    text = functools.partial(_heads, setting, setting.heads[0], setting.block.text)
    found.append(Part("attention to the text", text))
    found.append(Part("1 head, keys in shares", functools.partial(_shares, setting)))
    found += [
        Part(f"tiles {_named(tma, tile)}", functools.partial(_tile, setting, tma, tile))
        for tma, tile in CONFIGURATIONS
    ]
    return found


def _heads(setting: Setting, heads: int, keys: int | None = None) -> Iterator[Measured]:
    """Yield the time of every backend as it splits by itself."""
    tokens = setting.block.tokens
    shape = {"L": tokens, "M": keys or tokens, "D": heads * setting.head_width}
    prefix = f"attention.H{heads}" if keys is None else "attention.text"
    only = ("auto", "triton", "library")
    yield from measured_rows(
        setting, "attention", "forward", {**shape, "H": heads}, prefix, only=only
    )


def _shares(setting: Setting) -> Iterator[Measured]:
    """Yield the time of one head for each backend and number of shares."""
    q, k, v = _random(setting, heads=1)
    exact = _rows_of(q, k, v)
    for backend in BACKENDS["attention"]:
        if backend == "reference":
            continue
        calls: dict[str, Call] = {}
        for splits in SPLITS:
            key = f"attention.H1.{backend}.shares{splits}"
            compute = functools.partial(
                attention, q, k, v, num_splits=splits, backend=backend
            )
            try:
                error = _error(compute(), exact)
            except Exception as error_:
                told = "refused" if isinstance(error_, BackendError) else "failed"
                about = f"not measured: {told}, {first_line(error_)}"
                yield Measured(key, math.nan, "ms", about)
                continue
            if error <= TOLERANCE[setting.dtype]:
                calls[key] = Call(lambda _, compute=compute: compute())
            else:
                about = f"beyond its tolerance: error {error:.1e}"
                yield Measured(key, math.nan, "ms", about)
        yield from _timed(setting, calls)


def _tile(
    setting: Setting, tma: bool, tile: tuple[int, int, int, int]
) -> Iterator[Measured]:
    """Yield the time of 8 heads by Triton in tiles of this size."""
    heads = min(8, setting.block.heads)
    key = f"attention.H{heads}.tile.{_named(tma, tile)}"
    if setting.is_toy:
        yield Measured(key, math.nan, "ms", "not measured: a dry run")
        return
    q, k, v = _random(setting, heads=heads)
    compute = functools.partial(attention, q, k, v, num_splits=1, backend="triton")
    with _tiles(tma, tile):
        error = _error(compute(), _rows_of(q, k, v))
        if not error <= TOLERANCE[setting.dtype]:
            raise RuntimeError(f"its error is {error:.1e}")
        yield from _timed(setting, {key: Call(lambda _: compute())})


@contextlib.contextmanager
def _tiles(tma: bool, tile: tuple[int, int, int, int]) -> Iterator[None]:
    """Let Triton's attention take this configuration, whatever its own table says."""
    from worldweave_kernels.in_triton import attention as kernel

    kept = kernel.configuration, kernel.has_tma
    kernel.configuration = lambda *_: kernel.Config(*tile)
    kernel.has_tma = lambda *_: tma
    try:
        yield
    finally:
        kernel.configuration, kernel.has_tma = kept


def _timed(setting: Setting, calls: dict[str, Call]) -> Iterator[Measured]:
    if not calls:
        return
    with torch.no_grad():
        times = timed(setting, calls)
    for key, time in times.items():
        about = f"{1e3 * time.low:.4g} to {1e3 * time.high:.4g} ms"
        yield Measured(key, 1e3 * time.median, "ms", about)


def _random(setting: Setting, *, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator(setting.device).manual_seed(0)
    shape = (1, setting.block.tokens, heads, setting.head_width)
    q, k, v = (
        torch.randn(shape, generator=generator, device=setting.device).to(setting.dtype)
        for _ in range(3)
    )
    return q, k, v


def _rows_of(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return some queries, and their exact attention by the last head, (L, d)."""
    rows = torch.linspace(0, q.shape[1] - 1, 64, device=q.device).long()
    wide_q, wide_k, wide_v = (x[0, :, -1].double() for x in (q, k, v))
    scores = wide_q[rows] @ wide_k.T * q.shape[-1] ** -0.5
    return rows, scores.softmax(dim=-1) @ wide_v


def _error(out: Tensor, exact: tuple[Tensor, Tensor]) -> float:
    rows, wanted = exact
    return relative_error(out[0, rows, -1], wanted)


def _named(tma: bool, tile: tuple[int, int, int, int]) -> str:
    queries, keys, warps, stages = tile
    return f"{'tma' if tma else 'pointer'}-{queries}x{keys}-{warps}w-{stages}s"
