"""What follows from several measurements together."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator

from gpu.record import Measured

Found = dict[str, Measured]
_BACKENDS = ("fa4", "fa3", "cudnn", "flash", "sdpa", "triton")
_ALL_HEADS = 32


def follows(found: Found, judged: Collection[str] = ()) -> Iterator[Measured]:
    """Yield what the measurements, by key, say together.

    *judged* are the keys of what has to be right, whether it was begun or not.
    """
    known = {key: each for key, each in found.items() if not math.isnan(each.value)}
    yield from _correctness(known, judged)
    yield from _whole_attention(known)
    yield from _fill(known)
    yield from _shares(known)


def _correctness(found: Found, judged: Collection[str]) -> Iterator[Measured]:
    """Count what is beyond its tolerance, changed bits and failed tests.

    What was counted without a miss is not a hit while something has no number.
    """
    shares = {k: m.value for k, m in found.items() if k.startswith("agreement.")}
    beyond = sorted((k for k, v in shares.items() if v > 1), key=lambda k: -shares[k])
    about = f"of {len(shares)} backends and dtypes: {', '.join(beyond) or 'none'}"
    # Libraries may be missing; Triton is what is judged.
    needed = [k for k in judged if k.startswith("agreement.")]
    needed = [k for k in needed if ".triton." in k or k.endswith(".backward")]
    some = any(".triton." in key for key in shares)
    absent = [k for k in needed if k not in found]
    yield _counted("agreement.missed", len(beyond), about, absent, some)
    for key, prefix in (("bits.changed", "bits."), ("pytest.failed", "pytest.")):
        mine = {k: m.value for k, m in found.items() if k.startswith(prefix)}
        wrong = sorted(k for k, value in mine.items() if value > 0)
        count = len(wrong) if prefix == "bits." else sum(mine.values())
        absent = [k for k in judged if k.startswith(prefix) and k not in found]
        yield _counted(key, count, ", ".join(wrong), absent, bool(mine))


def _counted(
    key: str, count: float, about: str, absent: list[str], some: bool
) -> Measured:
    """Return a count of what is wrong; no number where none may mean not looked at."""
    if count or (some and not absent):
        return Measured(key, count, "", about)
    lacking = ", ".join(absent[:4]) or "all of it"
    return Measured(key, math.nan, "", f"not measured: nothing is known of {lacking}")


def _whole_attention(found: Found) -> Iterator[Measured]:
    """Yield the fastest backend, and what `auto` and Triton make of it."""
    prefix = f"attention.H{_ALL_HEADS}"
    best = _fastest(found, (f"{prefix}.{name}" for name in _BACKENDS))
    if best is None:
        return
    yield best._replace(key=f"{prefix}.best", about=best.key)
    if auto := found.get(f"{prefix}.auto"):
        yield Measured(f"{prefix}.auto_over_best", auto.value / best.value)
    if triton := found.get(f"{prefix}.triton"):
        yield Measured(f"{prefix}.triton_rate", best.value / triton.value)


def _fill(found: Found) -> Iterator[Measured]:
    """Yield each backend's rate with few heads over that with all of them.

    Keys in one share: left to itself, one head is split.
    """
    whole = f"attention.H{_ALL_HEADS}"
    best = _fastest(found, (f"{whole}.{name}" for name in _BACKENDS))
    for heads in (1, 2, 4, 8):
        for name in _BACKENDS:
            end = f"{name}.shares1" if heads == 1 else name
            few = found.get(f"attention.H{heads}.{end}")
            many = found.get(f"{whole}.{name}")
            if few is None or many is None:
                continue
            share = many.value * heads / _ALL_HEADS / few.value
            about = f"{name}: {few.value:.4g} ms for {heads}, {many.value:.4g} for all"
            yield Measured(f"attention.H{heads}.fill.{name}", share, "", about)
            if many is best:
                yield Measured(f"attention.H{heads}.fill", share, "", about)


def _shares(found: Found) -> Iterator[Measured]:
    """Yield what the fastest backend with the keys in shares gains for one head."""

    def fastest(splits: int) -> Measured | None:
        keys = (f"attention.H1.{name}.shares{splits}" for name in _BACKENDS)
        return _fastest(found, keys)

    alone = fastest(1)
    for splits in (2, 3):
        split = fastest(splits)
        if alone is not None and split is not None:
            about = f"{alone.key} over {split.key}"
            ratio = alone.value / split.value
            yield Measured(f"attention.H1.split{splits}", ratio, "x", about)


def _fastest(found: Found, keys: Iterable[str]) -> Measured | None:
    known = [found[key] for key in keys if key in found]
    return min(known, key=lambda each: each.value, default=None)
