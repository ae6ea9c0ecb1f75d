"""Clips from whoever makes them, each looked at before a training takes it."""

# T frame, H W rows and columns

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from worldweave.base import Clip
from worldweave.blame import blamed
from worldweave.train.words import counted
from worldweave_registry import Base, Lazy, PluginError

_END = object()


def clips_of(
    maker: Lazy,
    base: Base,
    seed: int,
    count: int,
    *,
    device: torch.device,
    say: Callable[[str], object] | None = None,
) -> Iterator[Clip]:
    """Return *count* clips for *base*; a maker that takes ``device`` renders there.

    *say* is told where there are fewer. Raise WorldweaveError where the maker cannot
    be called; the clips are looked at as they are made, by `checked`.
    """
    make = maker.load()
    with blamed(f"the maker of clips {maker}", maker.report):
        if "device" in inspect.signature(make).parameters:
            made = make(seed, count, device=device)
        else:
            made = make(seed, count)
    return checked(made, base, count, maker, say)


def checked(
    clips: Iterable[Clip],
    base: Base,
    count: int,
    maker: Lazy,
    say: Callable[[str], object] | None = None,
) -> Iterator[Clip]:
    """Pass on up to *count* *clips* of *maker*, each looked at.

    *say* is told where there are fewer. Raise PluginError where one is not as *base*
    takes it, has another size than the first or where there is none at all;
    WorldweaveError naming *maker* where that raises.
    """
    with blamed(f"the maker of clips {maker}", maker.report):
        rest = iter(clips)
    shapes = [(base.chunk_frames, *size, 3) for size in base.sizes]
    for number in range(count):
        # Not around the yield: what others do with a clip is not its maker's fault.
        with blamed(f"clip {number} of {maker}", maker.report):
            clip: Any = next(rest, _END)
        if clip is _END:
            _tell_fewer(number, count, maker, say)
            return
        fault = fault_of(clip, shapes, base.name)
        if fault:
            raise PluginError(f"clip {number} of {maker}: {fault}; {maker.report}")
        # They are stacked: all have the first one's size.
        shapes = [clip.video.shape]
        yield clip


def fault_of(clip: object, shapes: Iterable[tuple[int, ...]], base: str) -> str:
    """Return what a clip is and should be instead, or "" where all is well.

    shapes: those that its video may have, (T, H, W, 3).
    """
    if not isinstance(clip, Clip):
        return f"it is {_described(clip)}, expected a worldweave.Clip"
    shapes = list(shapes)
    video: object = clip.video
    if not _is_frames(video, shapes):
        return (
            f"its video is {_described(video)}, expected uint8 "
            f"{' or '.join(map(str, shapes))} (T, H, W, 3) for base {base!r}"
        )
    prompt: object = clip.prompt
    if not isinstance(prompt, str):
        return f"its prompt is {prompt!r}, expected text"
    controls: object = clip.controls
    if not isinstance(controls, Mapping):
        return f"its controls are {_described(controls)}, expected them by modality"
    for name, control in clip.controls.items():
        if not _is_frames(control, [clip.video.shape]):
            return (
                f"its control {name!r} is {_described(control)}, expected uint8 "
                f"{clip.video.shape} as its video"
            )
    return ""


def _tell_fewer(
    found: int, count: int, maker: Lazy, say: Callable[[str], object] | None
) -> None:
    if not found:
        raise PluginError(
            f"{maker} makes no clip where {count} were asked for; {maker.report}"
        )
    if say is not None:
        say(f"{maker} makes {counted(found, 'clip')} where {count} were asked for")


def _is_frames(value: object, shapes: Iterable[tuple[int, ...]]) -> bool:
    return (
        isinstance(value, np.ndarray)
        and value.dtype == np.uint8
        and value.shape in list(shapes)
    )


def _described(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    kind = type(value).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
