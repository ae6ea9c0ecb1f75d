"""The forecast of a generation: operations, memory, time and files, in a second."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import torch

from worldweave.blame import blamed
from worldweave.forecast.cost import Evaluation, Parts, evaluation, total_cost
from worldweave.forecast.files import FileEntry, list_files
from worldweave.forecast.machine import (
    available_memory,
    available_on,
    process_bytes,
)
from worldweave.forecast.memory import Held, memory
from worldweave.forecast.rates import find_rate, predicted_seconds
from worldweave.loading import config_of
from worldweave.model.config import DiTConfig
from worldweave.request.chunks import cut
from worldweave_registry import (
    Base,
    Modality,
    PluginError,
    WorldweaveError,
    let_interrupts_pass,
    one_line,
)

if TYPE_CHECKING:
    from worldweave.forecast.ranks import RankMemory
    from worldweave_kernels.parallel import ParallelPlan
    from worldweave_registry.fetch import Fetcher

#: Numbers of GPUs that a plan tells of where none is asked for.
COUNTS = (1, 2, 4, 8, 16, 32, 64)
#: Text tokens where a base does not tell: those of Cosmos.
TEXT_TOKENS = 512


@attrs.frozen(kw_only=True)
class Forecast:
    """What a generation will take.

    flops: floating-point operations by part, one multiplication and one addition
    being two. bytes: memory by part. host_bytes, device_bytes: the peaks; the latter
    None on a CPU. evaluations: those of one chunk. seconds: of computing, None where
    no rate was measured. padded: frames made beyond the video's end and cut off.
    available_*: what is free, None where the system does not tell or the device is
    not in this machine; then it is taken to fit. notes: what the numbers leave out,
    one line each. ranks: memory by number of GPUs, where it was asked for; not_shared:
    what each of them holds whole, one line each.
    """

    flops: Mapping[str, int]
    total_flops: int
    bytes: Mapping[str, int]
    host_bytes: int
    device_bytes: int | None
    available_host: int | None
    available_device: int | None
    seconds: float | None
    files: tuple[FileEntry, ...]
    chunks: int
    padded: int
    evaluations: int
    notes: tuple[str, ...] = ()
    ranks: tuple[RankMemory, ...] = ()
    not_shared: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the memory is there, on the host and on the device."""
        return self.fits_host and self.fits_device

    @property
    def fits_host(self) -> bool:
        """Whether the machine's own memory is enough, as far as that is known."""
        there = self.available_host
        return there is None or self.host_bytes <= there

    @property
    def fits_device(self) -> bool:
        """Whether a GPU's memory is enough; True where none computes."""
        need, there = self.device_bytes, self.available_device
        return need is None or there is None or need <= there


def forecast(
    base: Base,
    modalities: Mapping[str, Modality],
    *,
    size: tuple[int, int],
    frames: int,
    steps: int | None = None,
    guidance: float | None = None,
    overlap: int = 1,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
    evaluations: Mapping[str, int] | None = None,
    encoded: Mapping[str, int] | None = None,
    has_source: bool = True,
    from_source: bool = False,
    map_bytes: int = 0,
    reading: int | None = None,
    weights: Mapping[str, str | Path] | None = None,
    learned: Iterable[str] = (),
    compat: str | None = None,
    process: int | None = None,
    hook: Fetcher | None = None,
    rates: Path | None = None,
    gpus: Iterable[int] = (),
) -> Forecast:
    """Foretell a video of *frames* at *size* (H, W), a size of *base*.

    modalities: those that will run. steps, guidance: the base's where None.
    Of all chunks together, evaluations: those a branch takes part in, of steps + 1 a
    chunk; encoded: the chunks whose control is encoded; all where it is not named.
    has_source: a source video is read. from_source: denoising starts from it.
    map_bytes: of all maps in memory. reading: the most a process held that has read
    the videos and drawn the maps. weights: a user's own branch files. learned: the
    files of learned maps, "base" for those of the base. process: what `process_bytes`
    returned before any video was read; None asks it now. rates: a file of measured
    rates other than the user's. gpus: numbers of GPUs to tell the memory of each for.

    Nothing is loaded: modules run without values on torch's meta device. Raise
    WorldweaveError where a plugin's part cannot be run so, or the rates are damaged.
    """
    gpus, device = tuple(gpus), torch.device("cpu") if device is None else device
    if dtype is None:
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    steps = steps or base.steps
    guided = (base.guidance if guidance is None else guidance) != 0
    process = process_bytes() if process is None else process
    config = config_of(base, compat=compat)
    parts = _parts(base, base.chunk_frames, size)
    text_tokens = TEXT_TOKENS if parts is None else parts.text_tokens
    latent = latent_size(base, size)
    plans: dict[int, ParallelPlan] = {}
    if gpus:
        # It imports what exchanges; who does not ask for it need not.
        from worldweave.forecast.ranks import plans_for

        tokens = math.prod(n // p for n, p in zip(latent, config.patch, strict=True))
        plans = plans_for(gpus, heads=config.heads, guided=guided, tokens=tokens)
    one = evaluation_of(
        base, config, modalities, size, parts, text_tokens, dtype,
        on_ranks={(p.ring, p.ulysses) for p in plans.values() if p.sequence > 1},
    )  # fmt: skip
    chunks = cut(frames, base.chunk_frames, overlap)
    cost = total_cost(
        one,
        parts,
        _given_frames(base, config, size, overlap) if len(chunks) > 1 else None,
        chunks=len(chunks),
        steps=steps,
        guided=guided,
        evaluations=evaluations,
        encoded=encoded,
        from_source=from_source,
    )
    held = Held(
        frames=frames,
        chunk=base.chunk_frames,
        size=size,
        sources=int(has_source),
        controls=len(modalities),
        maps=map_bytes,
    )
    needed = memory(
        one,
        parts,
        held,
        device=device,
        dtype=dtype,
        text_channels=config.text_channels,
        text_tokens=text_tokens,
        guided=guided,
        process=process,
        reading=reading,
    )
    ranks: tuple[RankMemory, ...] = ()
    whole: tuple[str, ...] = ()
    if plans:
        from worldweave.forecast.ranks import not_shared, on_ranks

        ranks = on_ranks(needed, one, parts, held, plans, rows=latent[1], dtype=dtype)
        whole = not_shared(one, parts)
    rate = find_rate(base.name, device, dtype, rates)
    seconds = predicted_seconds(cost, rate)
    return Forecast(
        flops=cost.by_part(),
        total_flops=cost.total,
        bytes=needed.by_part(),
        host_bytes=needed.host,
        device_bytes=needed.device,
        available_host=available_memory() if _is_here(device) else None,
        available_device=available_on(device),
        seconds=seconds,
        files=list_files(base, modalities, weights=weights, learned=learned, hook=hook),
        chunks=len(chunks),
        padded=chunks[-1].start + base.chunk_frames - frames,
        evaluations=steps + 1,
        notes=_notes(base, parts, seconds, device),
        ranks=ranks,
        not_shared=whole,
    )


def evaluation_of(
    base: Base,
    config: DiTConfig,
    modalities: Mapping[str, Modality],
    size: tuple[int, int],
    parts: Parts | None,
    text_tokens: int,
    dtype: torch.dtype,
    *,
    on_ranks: Collection[tuple[int, int]] = (),
) -> Evaluation:
    """Count one evaluation of a chunk; what fails is a plugin's fault, and named."""
    try:
        return evaluation(
            config,
            modalities,
            latent_size(base, size),
            text_tokens=text_tokens,
            hint_channels=None if parts is None else parts.hint_channels,
            dtype=dtype,
            fps=base.fps,
            on_ranks=on_ranks,
        )
    except (WorldweaveError, MemoryError):
        raise
    except BaseException as error:
        let_interrupts_pass(error)
        raise PluginError(
            f"base {base.name!r} does not run with the sizes that its config tells "
            f"({one_line(error)}); {base.config.report}"
        ) from error


def latent_size(base: Base, size: tuple[int, int]) -> tuple[int, int, int]:
    """Return the latent positions (T, H, W) of a chunk of frames of *size*."""
    time_stride, space_stride = base.strides
    times = 1 + (base.chunk_frames - 1) // time_stride
    return times, size[0] // space_stride, size[1] // space_stride


def _given_frames(
    base: Base, config: DiTConfig, size: tuple[int, int], overlap: int
) -> Parts | None:
    """Return what encoding the frames given to a later chunk costs, if there are any.

    Only those that fill whole latent frames are encoded, and only for a base that
    knows what to do with them.
    """
    if not overlap or not config.condition_mask:
        return None
    stride = base.strides[0]
    return _parts(base, 1 + (overlap - 1) // stride * stride, size)


def _parts(base: Base, frames: int, size: tuple[int, int]) -> Parts | None:
    """Ask the base's plugin what surrounds its DiT; None where it does not tell."""
    if base.cost is None:
        return None
    tell = base.cost.load()
    with blamed(f"the cost of base {base.name!r}", base.cost.report):
        parts = tell(frames, *size)
    if not isinstance(parts, Parts):
        raise PluginError(
            f"{base.cost.path} gave {parts!r}, not a worldweave.forecast.cost.Parts; "
            f"{base.cost.report}"
        )
    return parts


def _is_here(device: torch.device) -> bool:
    """Tell whether this is the machine that would compute; plans are for others too."""
    return device.type != "cuda" or torch.cuda.is_available()


def _notes(
    base: Base, parts: Parts | None, seconds: float | None, device: torch.device
) -> tuple[str, ...]:
    notes = []
    if parts is None:
        notes.append(
            f"base {base.name!r} does not tell what its autoencoder and text encoder "
            "cost; they are left out"
        )
    if seconds is None:
        notes.append(
            f"no rate is measured for {base.name!r} on this machine, so no time is "
            f"told; measure one: worldweave bench --base {base.name} --save"
        )
    else:
        notes.append("the time is that of computing; starting and loading come on top")
    if device.type != "cpu":
        notes.append("memory on a GPU is added up, and was not measured on one")
    return tuple(notes)
