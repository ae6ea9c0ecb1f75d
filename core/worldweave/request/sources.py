"""What a map may be made from: frozen data that says it, and nothing yet read.

Each class is one form of a map in a request; its fields are the keys of its JSON.
A number, a file name and an array are maps too. In Python maps can be computed
with: ``0.5 * m``, ``1 - m``, ``maximum(m, n)``, ``m.feathered(8)``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from fractions import Fraction
from typing import Any, Literal, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt

#: Learned(learned="base") means the weights of the base, not a file of that name.
OF_THE_BASE = "base"
#: Marks a field that holds a file name; `worldweave.request.walk` finds them by it.
FILE = {"file": True}


def plain(value: Any) -> Any:
    """Let callers give paths, fractions and the scalars of NumPy."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Fraction):
        return float(value)
    return value.item() if isinstance(value, np.generic) else value


def plain_map(value: Any) -> Any:
    """Let callers give tensors too; one that NumPy cannot hold is refused later."""
    torch = sys.modules.get("torch")  # without it there are no tensors
    if torch is None or not isinstance(value, torch.Tensor):
        return plain(value)
    if value.layout is not torch.strided or value.is_complex() or value.is_meta:
        return value
    # NumPy knows no bfloat16.
    dense = value.detach().cpu()
    return (dense.float() if dense.dtype == torch.bfloat16 else dense).numpy()


def is_number(value: object) -> bool:
    """Tell whether *value* is a number to people too, as True is not."""
    kinds = (int, float, np.integer, np.floating)
    return isinstance(value, kinds) and not isinstance(value, bool)


# What cannot be converted stays as it is, to be told with all else that is wrong:
# see `worldweave.request.kinds`.


def _tuple(values: Iterable[Any]) -> tuple[Any, ...]:
    no_list = (str, bytes, Mapping, np.ndarray)
    if isinstance(values, no_list) or not isinstance(values, Iterable):
        return values  # type: ignore[return-value]
    return tuple(values)


def _maps(values: Iterable[Any]) -> tuple[Any, ...]:
    made = _tuple(plain_map(values))
    return tuple(map(plain_map, made)) if isinstance(made, tuple) else made


def _floats(values: Iterable[Any]) -> tuple[Any, ...]:
    if isinstance(values, np.ndarray):
        values = values.tolist()
    made = _tuple(values)
    if not isinstance(made, tuple):
        return made
    return tuple(float(each) if is_number(each) else each for each in made)


def _optional_floats(values: Iterable[Any] | None) -> tuple[Any, ...] | None:
    return None if values is None else _floats(values)


def _own_copy(value: Any) -> Any:
    return plain(deepcopy(value))


def _comparable(value: Any) -> Any:
    """Return what two maps are equal by; arrays where each byte is the same."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    return tuple(map(_comparable, value)) if isinstance(value, tuple) else value


class MapSource:
    """The arithmetic that all forms of a map have in common."""

    __array_ufunc__ = None  # so that numpy leaves `scalar * map` to us

    def __mul__(self, other: MapValue) -> Product:
        return Product(product=(other, self))

    __rmul__ = __mul__

    def __rsub__(self, other: object) -> Inverse:
        if not is_number(other) or other != 1:
            return NotImplemented
        return Inverse(invert=self)

    def feathered(self, pixels: float) -> Feather:
        """Return this map with soft edges, *pixels* of the made video wide."""
        return Feather(feather=self, pixels=pixels)


@attrs.frozen(kw_only=True)
class File(MapSource):
    """A picture for all frames, or one per frame, from a file.

    match: how a file with a rate of its own meets the video, by "frames" (n is n) or
    by "time"; None: by time where rates and lengths both differ. fps: the rate of a
    file that states none, or a wrong one. length: what a file that ends before the
    video does: "error", "hold" its last frame, or "loop".
    """

    file: str = attrs.field(converter=plain, metadata=FILE)
    match: Literal["frames", "time"] | None = None
    fps: float | None = None
    length: Literal["error", "hold", "loop"] = "error"


@attrs.frozen(kw_only=True)
class Box:
    """A rectangle (left, top, right, bottom) in 0..1 of the picture, and its value.

    start, end: seconds; from *start* up to but without *end*, None: to the last frame.
    """

    box: tuple[float, float, float, float] = attrs.field(converter=_floats)
    value: float = 1.0
    start: float = 0.0
    end: float | None = None


@attrs.frozen(kw_only=True)
class Boxes(MapSource):
    """Rectangles with times; where they overlap the largest value counts."""

    boxes: tuple[Box, ...] = attrs.field(converter=_tuple)
    outside: float = 0.0


@attrs.frozen(kw_only=True)
class Keyframe:
    """A moment in seconds: the *value* there, of the whole picture or of a *box*."""

    time: float
    value: float = 1.0
    box: tuple[float, float, float, float] | None = attrs.field(
        default=None, converter=_optional_floats
    )


@attrs.frozen(kw_only=True)
class Keyframes(MapSource):
    """Values, and boxes, that change linearly from one moment to the next.

    Before the first and after the last they stay. Either all have a box or none.
    """

    keyframes: tuple[Keyframe, ...] = attrs.field(converter=_tuple)
    outside: float = 0.0


@attrs.frozen(kw_only=True)
class Rule(MapSource):
    """Values by class of the request's labels: ``arm, gripper -> 1.0; else -> 0.0``.

    A class may hold ``*`` and ``?``. The first clause that names a class decides.
    """

    rule: str


@attrs.frozen(kw_only=True)
class Prompt(MapSource):
    """1 where a plugin sees what *prompt* says, 0 elsewhere.

    Nothing found is an error unless *allow_empty*.
    """

    prompt: str
    allow_empty: bool = False


@attrs.frozen(kw_only=True)
class Salient(MapSource):
    """One value for foreground objects, one for all else: the paper's SalientObject.

    What is an object, and what foreground, the request's `objects` say.
    """

    foreground: float
    background: float


@attrs.frozen(kw_only=True)
class Learned(MapSource):
    """Predicted from the hints by a trained network; not to be computed with.

    learned: a file of weights, or "base" for those that come with the base. scale:
    what the prediction, 0..1, is multiplied with.
    """

    learned: str = attrs.field(default=OF_THE_BASE, converter=plain, metadata=FILE)
    scale: float = 1.0


@attrs.frozen(kw_only=True)
class Product(MapSource):
    """Maps multiplied position by position; ``0.5 * m`` in Python."""

    product: tuple[MapValue, ...] = attrs.field(converter=_maps, eq=_comparable)


@attrs.frozen(kw_only=True)
class Maximum(MapSource):
    """The largest of several maps, position by position."""

    max: tuple[MapValue, ...] = attrs.field(converter=_maps, eq=_comparable)


@attrs.frozen(kw_only=True)
class Inverse(MapSource):
    """1 - map."""

    invert: MapValue = attrs.field(converter=plain_map, eq=_comparable)


@attrs.frozen(kw_only=True)
class Feather(MapSource):
    """A map with soft edges: a step becomes a ramp *pixels* wide, centred on it.

    Pixels are those of the video that is made, whatever the size of the map.
    """

    feather: MapValue = attrs.field(converter=plain_map, eq=_comparable)
    pixels: float


def maximum(*maps: MapValue) -> Maximum:
    """Return the largest of *maps*, position by position."""
    return Maximum(max=maps)


#: (t, y, x) -> values: seconds (T, 1, 1), rows (1, H, 1) and columns (1, 1, W) of
#: pixel centres in 0..1 of the picture.
MapFunction: TypeAlias = Callable[
    [npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]], Any
]
#: Values of a map: float32 (T or 1, H, W) in 0..1.
MapArray: TypeAlias = npt.NDArray[np.float32]
#: A number for everywhere, a file, an array (H, W) or (T, H, W), a function, or
#: any of the forms above.
MapValue: TypeAlias = float | str | npt.NDArray[Any] | MapFunction | MapSource

#: Every form that is a JSON object, by the key that only it has.
FORMS: dict[str, type[MapSource]] = {
    "file": File,
    "boxes": Boxes,
    "keyframes": Keyframes,
    "rule": Rule,
    "prompt": Prompt,
    "foreground": Salient,
    "learned": Learned,
    "product": Product,
    "max": Maximum,
    "invert": Inverse,
    "feather": Feather,
}
#: The keys of those that are computed from other maps: these hold a map, or several.
COMPUTED = ("product", "max", "invert", "feather")


@attrs.frozen(kw_only=True)
class Labels:
    """A video in which a colour or a number is a class, and the table that says which.

    file: a video or array of labels; for "isaac" and "carla" the folder the simulator
    wrote. layout: how file and table are to be read; see docs/maps.md. classes: the
    table, a file or a dict of it; None where the layout brings it. match, fps, length:
    as of `File`.
    """

    file: str = attrs.field(converter=plain, metadata=FILE)
    layout: Literal["plain", "isaac", "carla"] = "plain"
    classes: str | dict[str, Any] | None = attrs.field(
        default=None, converter=_own_copy, metadata=FILE
    )
    match: Literal["frames", "time"] | None = None
    fps: float | None = None
    length: Literal["error", "hold", "loop"] = "error"


@attrs.frozen(kw_only=True)
class Objects:
    """What is an object, and which are foreground.

    masks: "labels", one object for each class of the request's labels, or a prompt
    for a grounding plugin ("a car. a person."), one for each thing seen. classifier:
    "rule" (area, motion, centrality), or the name of one a plugin has ("vlm").
    """

    masks: str = "labels"
    classifier: str = "rule"


@attrs.frozen(kw_only=True)
class Schedule:
    """How a map depends on the denoising step; give one of the two.

    linear: factors at the first and at the last step, linear between by step.
    interval: noise levels (low, high), 0.002..80; the map counts where low <= sigma
    <= high and is 0 elsewhere.
    """

    linear: tuple[float, float] | None = attrs.field(
        default=None, converter=_optional_floats
    )
    interval: tuple[float, float] | None = attrs.field(
        default=None, converter=_optional_floats
    )
