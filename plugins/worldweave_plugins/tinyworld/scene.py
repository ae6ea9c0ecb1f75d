"""Describe a small world in numbers.

Metres, seconds and radians; x right, y up, z away from the viewer. What a value
may be is said with its field; ``scene_check`` holds a scene to that.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import attrs

from worldweave_plugins.tinyworld.labels import OBJECT_COLOURS
from worldweave_plugins.tinyworld.ranges import choice, number, numbers, parts, text

Family = Literal["street", "table"]
Time = Literal["day", "dusk", "night"]
Shape = Literal["box", "ball"]

FPS: Final = 24

TIMES: Final[tuple[Time, ...]] = ("day", "dusk", "night")
WALLS: Final = ("brick", "grey")
MATERIALS: Final = ("wooden", "metal")
SHAPES: Final[tuple[Shape, ...]] = ("box", "ball")
COLOURS: Final = tuple(OBJECT_COLOURS)

TURN: Final = round(math.pi, 4)
WHOLE_TURN: Final = round(2 * math.pi, 4)


@attrs.frozen(kw_only=True)
class Camera:
    """Where the viewer is at time 0, and how that changes per second.

    Forward speed lasts; what goes sideways, up or round sways back and forth.
    """

    position: tuple[float, float, float] = numbers(
        (-10, 10), (0.3, 20), (-10, 10), unit="m"
    )
    velocity: tuple[float, float, float] = numbers(
        (-5, 5), (-5, 5), (-40, 40), unit="m/s"
    )
    yaw: float = number(-TURN, TURN, "rad")
    yaw_rate: float = number(-2, 2, "rad/s")
    pitch: float = number(-1.2, 1.2, "rad")


@attrs.frozen(kw_only=True)
class Pace:
    """A swing of ``swing`` metres, ``rate`` radians per second from ``phase``."""

    swing: float = number(0, 5, "m")
    rate: float = number(0, 20, "rad/s")
    phase: float = number(-WHOLE_TURN, WHOLE_TURN, "rad")


STEADY: Final = Pace(swing=0.0, rate=0.0, phase=0.0)


@attrs.frozen(kw_only=True)
class Car:
    """A car; ``z`` is metres ahead of the viewer at time 0.

    A car that goes our way swings around its place with its pace. One that
    approaches comes at ``approach`` metres per second, seen from the viewer,
    and starts again in the distance when it has passed.
    """

    x: float = number(-10, 10, "m")
    z: float = number(2, 32, "m")
    length: float = number(1, 8, "m")
    width: float = number(1, 3, "m")
    height: float = number(0.8, 3, "m")
    pace: Pace
    approach: float = number(0, 40, "m/s")


@attrs.frozen(kw_only=True)
class Building:
    """A box beside the road, by its centre on the ground and half sizes."""

    x: float = number(-60, 60, "m")
    z: float = number(-100, 100, "m")
    half_width: float = number(0.5, 30, "m")
    half_depth: float = number(0.5, 30, "m")
    height: float = number(1, 60, "m")
    shade: float = number(0.5, 1.5)


@attrs.frozen(kw_only=True)
class Street:
    """A straight road with cars of one colour between two rows of buildings."""

    colour: str = choice(COLOURS)
    wall: str = choice(WALLS)
    half_width: float = number(2.5, 8, "m")
    cars: tuple[Car, ...] = parts(0, 9)
    buildings: tuple[Building, ...] = parts(0, 60)


@attrs.frozen(kw_only=True)
class Arm:
    """A robot arm of two links; angles turn, lift and bend, in radians."""

    colour: str = choice(COLOURS)
    x: float = number(-4, 4, "m")
    z: float = number(0.5, 10, "m")
    radius: float = number(0.05, 0.3, "m")
    lengths: tuple[float, float] = numbers((0.3, 2), (0.3, 2), unit="m")
    angles: tuple[float, float, float] = numbers(*[(-TURN, TURN)] * 3, unit="rad")
    swings: tuple[float, float, float] = numbers(*[(0, 1.5)] * 3, unit="rad")
    rates: tuple[float, float, float] = numbers(*[(0, 20)] * 3, unit="rad/s")
    phases: tuple[float, float, float] = numbers(
        *[(-WHOLE_TURN, WHOLE_TURN)] * 3, unit="rad"
    )


@attrs.frozen(kw_only=True)
class Thing:
    """A box or ball on the table; ``size`` is half an edge or the radius.

    It slides along x with ``speed`` at time 0, and back again.
    """

    x: float = number(-4, 4, "m")
    z: float = number(0.5, 10, "m")
    size: float = number(0.05, 0.6, "m")
    yaw: float = number(-TURN, TURN, "rad")
    speed: float = number(-2, 2, "m/s")


@attrs.frozen(kw_only=True)
class Table:
    """A robot arm and a few things of one colour on a table before a wall."""

    material: str = choice(MATERIALS)
    shape: Shape = choice(SHAPES)  # noqa: RUF009 -- it declares a field
    colour: str = choice(COLOURS)
    wall_shade: float = number(0.5, 1.2)
    wall_distance: float = number(2, 20, "m")
    half_width: float = number(0.5, 4, "m")
    back: float = number(1.5, 10, "m")
    arm: Arm
    things: tuple[Thing, ...] = parts(0, 9)


@attrs.frozen(kw_only=True)
class Scene:
    """Everything the renderer needs, and a prompt that fits."""

    time: Time = choice(TIMES)  # noqa: RUF009 -- it declares a field
    camera: Camera
    place: Street | Table
    prompt: str = text(300)

    @property
    def family(self) -> Family:
        """Tell a street from a table."""
        return "street" if isinstance(self.place, Street) else "table"
