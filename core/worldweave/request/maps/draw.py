"""Draw a map, whatever it is made from, on the frames of the video that is made."""

# T H W frames, rows, columns

from __future__ import annotations

import os
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from torch import Tensor

from worldweave.base import Frames
from worldweave.request.labels.rules import rule_map
from worldweave.request.labels.salient import salient_map
from worldweave.request.labels.video import LabelVideo
from worldweave.request.maps import arithmetic, shapes
from worldweave.request.maps.check import map_problems, needs_model
from worldweave.request.maps.files import (
    as_values,
    read_map_file,
    refuse_outside,
)
from worldweave.request.maps.shapes import Canvas
from worldweave.request.maps.timing import frame_index
from worldweave.request.sources import (
    Boxes,
    Feather,
    File,
    Inverse,
    Keyframes,
    Learned,
    MapArray,
    MapValue,
    Maximum,
    Product,
    Prompt,
    Rule,
    Salient,
)
from worldweave.request.walk import parts
from worldweave_registry import PluginError, Problems, WorldweaveError

__all__ = ["Scene", "draw", "map_problems", "needs_model"]


@attrs.frozen(kw_only=True)
class Scene:
    """What maps are drawn on, and what they may look at.

    source: frames (T, H, W, 3) the controls are made from. labels: the request's.
    foreground: returns bool (T, H, W), True where foreground objects are. see:
    returns the map a plugin makes of a prompt, None where no plugin answers.
    """

    canvas: Canvas
    source: Frames | None = attrs.field(default=None, eq=False, repr=False)
    labels: LabelVideo | None = attrs.field(default=None, eq=False, repr=False)
    foreground: Callable[[], npt.NDArray[np.bool_]] | None = None
    see: Callable[[str], Any] | None = None


def draw(name: str, value: MapValue, scene: Scene) -> MapArray:
    """Return the map of modality *name*, float32 (T or 1, H, W) in 0..1.

    H and W are those of its source, 1 where it is the same throughout. Raise
    Problems for what `map_problems` tells, WorldweaveError for what cannot be read
    or does not fit the video, PluginError for a plugin's answer.
    """
    problems = map_problems(name, value)
    if problems:
        raise Problems(problems)
    return _draw(name, value, scene)


def _draw(name: str, value: MapValue, scene: Scene) -> MapArray:
    canvas = scene.canvas
    if isinstance(value, (str, os.PathLike)):
        return _from_file(name, File(file=str(value)), canvas)
    if isinstance(value, (int, float, np.number)):
        return np.full((1, 1, 1), value, np.float32)
    if isinstance(value, (np.ndarray, Tensor)):
        return _from_array(name, value, canvas)
    if isinstance(value, File):
        return _from_file(name, value, canvas)
    if isinstance(value, (Boxes, Keyframes)):
        _refuse_late(name, value, canvas)
    if isinstance(value, Boxes):
        return shapes.draw_boxes(value, canvas)
    if isinstance(value, Keyframes):
        return shapes.draw_keyframes(value, canvas)
    if isinstance(value, Rule):
        return _from_rule(name, value, scene)
    if isinstance(value, Prompt):
        return _from_prompt(name, value, scene)
    if isinstance(value, Salient):
        return _from_objects(name, value, scene)
    if isinstance(value, Product):
        return arithmetic.product(_drawn(name, value, scene), canvas)
    if isinstance(value, Maximum):
        return arithmetic.maximum(_drawn(name, value, scene), canvas)
    if isinstance(value, Inverse):
        return arithmetic.inverse(_draw(name, value.invert, scene))
    if isinstance(value, Feather):
        hard = _draw(name, value.feather, scene)
        return arithmetic.feather(hard, value.pixels, canvas)
    if isinstance(value, Learned):
        raise WorldweaveError(
            f"map of {name!r} is learned: it is predicted from the hints, not drawn"
        )
    return shapes.draw_function(
        value,  # type: ignore[arg-type]
        canvas,
        what=f"the map function of {name!r}",
    )


def _drawn(name: str, value: MapValue, scene: Scene) -> list[MapArray]:
    return [_draw(name, part, scene) for part in parts(value)]


def _refuse_late(name: str, value: Boxes | Keyframes, canvas: Canvas) -> None:
    problems = shapes.late_problems(value, canvas)
    if problems:
        raise Problems([f"map of {name!r}: {problem}" for problem in problems])


def _from_array(name: str, array: object, canvas: Canvas) -> MapArray:
    what = f"map of {name!r}"
    return _timed(as_values(array, what), File(file=""), None, canvas, what)


def _from_file(name: str, file: File, canvas: Canvas) -> MapArray:
    what = f"map of {name!r}"
    read = read_map_file(file.file, what=what)
    return _timed(read.values, file, read.fps, canvas, f"{what} from {file.file}")


def _timed(
    values: MapArray, file: File, fps: Fraction | None, canvas: Canvas, what: str
) -> MapArray:
    if len(values) == 1:
        return values
    index = frame_index(
        have=len(values),
        have_fps=fps,
        frames=canvas.frames,
        fps=canvas.fps,
        match=file.match,
        stated_fps=file.fps,
        length=file.length,
        what=what,
        whole=canvas.whole,
    )
    if np.array_equal(index, np.arange(len(values))):
        return values
    return values[index]


def _from_rule(name: str, rule: Rule, scene: Scene) -> MapArray:
    if scene.labels is None:
        raise WorldweaveError(
            f"map of {name!r} is the rule {rule.rule!r}, but there are no labels; "
            "add labels to the request"
        )
    try:
        return rule_map(rule.rule, scene.labels)
    except Problems as error:
        problems = [f"map of {name!r}: {problem}" for problem in error.problems]
        raise Problems(problems) from error


def _from_prompt(name: str, prompt: Prompt, scene: Scene) -> MapArray:
    what = f"map of {name!r}"
    if scene.source is None:
        raise WorldweaveError(
            f"{what} looks for {prompt.prompt!r}, but there is no video to look at; "
            "give a source video"
        )
    answer = None if scene.see is None else scene.see(prompt.prompt)
    if answer is None:
        raise WorldweaveError(
            f"{what}: no plugin answers {prompt.prompt!r}; install one that implements "
            "worldweave_map, for instance worldweave[grounding]"
        )
    values = _checked_answer(answer, scene.source, f"{what} for {prompt.prompt!r}")
    if not prompt.allow_empty and not values.any():
        raise WorldweaveError(
            f"{what}: {prompt.prompt!r} is nowhere in the video; say it in other "
            "words, or set allow_empty"
        )
    return values


def _checked_answer(answer: Any, source: Frames, what: str) -> MapArray:
    """Return what a plugin answered as a map, or say what is wrong with it."""
    if isinstance(answer, Tensor):
        answer = answer.detach().cpu().float().numpy()
    wanted = source.shape[:3]
    if not (isinstance(answer, np.ndarray) and answer.dtype.kind in "fb"):
        kind = getattr(answer, "dtype", type(answer).__name__)
        raise PluginError(
            f"a plugin answered {what} with {kind}; it must return floats"
        )
    if answer.shape != wanted:
        raise PluginError(
            f"a plugin answered {what} with shape {answer.shape}; it must return "
            f"{wanted}, as the video has"
        )
    try:
        refuse_outside(answer, what)
    except WorldweaveError as error:
        raise PluginError(f"a plugin answered wrongly: {error}") from error
    return answer.astype(np.float32).clip(0.0, 1.0)


def _from_objects(name: str, salient: Salient, scene: Scene) -> MapArray:
    if scene.foreground is None:
        raise WorldweaveError(
            f"map of {name!r} tells foreground from background, but there are no "
            "objects; give a source video, and labels or a prompt in objects"
        )
    return salient_map(scene.foreground(), salient.foreground, salient.background)
