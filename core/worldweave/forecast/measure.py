"""Measure how fast this machine computes a base: what `worldweave bench` does."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor

from worldweave.blame import blamed
from worldweave.forecast.machine import available_memory, available_on
from worldweave.forecast.rates import Rate, key_for
from worldweave.forecast.trace import watching
from worldweave.forecast.whole import TEXT_TOKENS, evaluation_of, latent_size
from worldweave.io.files import readable_size
from worldweave.loading import Placement, config_of, load_base
from worldweave.model.dit import DiT
from worldweave.model.step import Step
from worldweave_registry import Base, WeightsError, WorldweaveError, locate

if TYPE_CHECKING:
    from worldweave.base import Autoencoder
    from worldweave_registry.fetch import Fetcher


@attrs.frozen(kw_only=True)
class Row:
    """One part measured: its operations, and the median seconds of several runs."""

    part: str
    flops: int
    seconds: float

    @property
    def rate(self) -> float:
        """Floating-point operations a second."""
        return self.flops / self.seconds


@attrs.frozen(kw_only=True)
class Measured:
    """What was measured, and the rate that follows."""

    rows: tuple[Row, ...]
    rate: Rate


def measure(
    base: Base,
    device: torch.device,
    dtype: torch.dtype,
    *,
    repeats: int = 5,
    hook: Fetcher | None = None,
) -> Measured:
    """Run an evaluation of *base*, an encoding and a decoding, *repeats* times each.

    One chunk at the base's first size, after a run to warm up. Where its weights are
    missing, the DiT runs with fresh ones and the autoencoder not at all. Raise
    WorldweaveError where the memory will not do.
    """
    _refuse_too_large(base, device, dtype)
    dit, autoencoder, text, kind = _models(base, device, dtype, hook)
    shape = latent_size(base, base.sizes[0])
    noisy = torch.randn(1, dit.config.latent_channels, *shape, device=device)
    step = Step(
        c_noise=torch.zeros(1, device=device),
        text=text.to(device, dtype),
        fps=base.fps,
        condition_mask=torch.zeros_like(noisy[:, :1]),
    )
    placed = noisy.to(dtype)
    jobs: dict[str, Callable[[], object]] = {"evaluation": lambda: dit(placed, step)}
    if autoencoder is not None:
        video = torch.zeros(1, 3, base.chunk_frames, *base.sizes[0], device=device)
        jobs["encode"] = lambda: autoencoder.encode(video)
        jobs["decode"] = lambda: autoencoder.decode(noisy)
    rows = []
    whose = f"the autoencoder of base {base.name!r}"
    for name, job in jobs.items():
        # The DiT is ours; the rest is not.
        is_ours = name == "evaluation"
        blame = nullcontext() if is_ours else blamed(whose, base.autoencoder.report)
        with blame, torch.inference_mode():
            rows.append(_time(name, job, device, repeats))
    around = rows[1:]
    rate = Rate(
        key=key_for(base.name, device, dtype),
        denoise=rows[0].rate,
        autoencode=(
            sum(row.flops for row in around) / sum(row.seconds for row in around)
            if around
            else None
        ),
        weights=kind,
        torch=torch.__version__,
    )
    return Measured(rows=tuple(rows), rate=rate)


def _refuse_too_large(base: Base, device: torch.device, dtype: torch.dtype) -> None:
    one = evaluation_of(
        base, config_of(base), {}, base.sizes[0], None, TEXT_TOKENS, dtype
    )
    need = one.base_parameters * dtype.itemsize + one.peak
    there = available_memory() if device.type == "cpu" else available_on(device)
    if there is not None and need > there:
        raise WorldweaveError(
            f"base {base.name!r} needs {readable_size(need)} to be measured and "
            f"{readable_size(there)} are free; measure it on a larger machine"
        )


def _models(
    base: Base, device: torch.device, dtype: torch.dtype, hook: Fetcher | None
) -> tuple[DiT, Autoencoder | None, Tensor, str]:
    """Return the DiT, the autoencoder, text tokens, and whose weights they have."""
    if _all_present(base, hook):
        loaded = load_base(base, Placement(device=device, dtype=dtype), hook=hook)
        whose = f"the text encoder of base {base.name!r}"
        with blamed(whose, base.text_encoder.report):
            text = loaded.text_encoder.encode([""])
        return loaded.dit, loaded.autoencoder, text, "trained"
    config = config_of(base)
    with torch.device(device):
        dit = DiT(config).to(dtype).eval().requires_grad_(False)
        text = torch.zeros(1, TEXT_TOKENS, config.text_channels)
    return dit, None, text, "fresh"


def _all_present(base: Base, hook: Fetcher | None) -> bool:
    parts = [each for each in base.weights if each.part != "annotator"]
    try:
        return bool(parts) and all(locate(each, hook).exists() for each in parts)
    except WeightsError:
        return False


def _time(
    part: str, job: Callable[[], object], device: torch.device, repeats: int
) -> Row:
    seconds = []
    for _ in range(repeats + 1):
        _wait(device)
        start = time.perf_counter()
        job()
        _wait(device)
        seconds.append(time.perf_counter() - start)
    # The first run, which reads kernels in and tunes them, is not counted.
    return Row(part=part, flops=_flops(job), seconds=statistics.median(seconds[1:]))


def _flops(job: Callable[[], Any]) -> int:
    with watching() as watch:
        job()
    return watch.flops


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
