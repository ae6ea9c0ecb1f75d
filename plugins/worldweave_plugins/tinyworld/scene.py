"""Draw the numbers of one small world from a seed.

Metres and seconds; x right, y up, z away from the viewer.
"""

from __future__ import annotations

import math
from typing import Final, Literal

import attrs
import numpy as np

from worldweave_plugins.tinyworld.labels import OBJECT_COLOURS
from worldweave_plugins.tinyworld.prompts import describe_street, describe_table

Family = Literal["street", "table"]
Time = Literal["day", "dusk", "night"]
Shape = Literal["box", "ball"]

FPS: Final = 24
HELD_OUT_SEED: Final = 1_000_000
"""Seeds from here on are for evaluation; training stays below."""

TIMES: Final[tuple[Time, ...]] = ("day", "dusk", "night")
WALLS: Final = ("brick", "grey")
MATERIALS: Final = ("wooden", "metal")


@attrs.frozen(kw_only=True)
class Camera:
    """Where the viewer is at time 0, and how that changes per second.

    Forward speed lasts; what goes sideways, up or round sways back and forth.
    """

    position: tuple[float, float, float]
    velocity: tuple[float, float, float]
    yaw: float
    yaw_rate: float
    pitch: float


@attrs.frozen(kw_only=True)
class Pace:
    """A swing of ``swing`` metres, ``rate`` radians per second from ``phase``."""

    swing: float
    rate: float
    phase: float


STEADY: Final = Pace(swing=0.0, rate=0.0, phase=0.0)


@attrs.frozen(kw_only=True)
class Car:
    """A car; ``z`` is metres ahead of the viewer at time 0.

    A car that goes our way swings around its place with its pace. One that
    approaches comes at ``approach`` metres per second, seen from the viewer,
    and starts again in the distance when it has passed.
    """

    x: float
    z: float
    length: float
    width: float
    height: float
    pace: Pace
    approach: float


@attrs.frozen(kw_only=True)
class Building:
    """A box beside the road, by its centre on the ground and half sizes."""

    x: float
    z: float
    half_width: float
    half_depth: float
    height: float
    shade: float


@attrs.frozen(kw_only=True)
class Street:
    """A straight road with cars of one colour between two rows of buildings."""

    colour: str
    wall: str
    half_width: float
    cars: tuple[Car, ...]
    buildings: tuple[Building, ...]


@attrs.frozen(kw_only=True)
class Arm:
    """A robot arm of two links; angles turn, lift and bend, in radians."""

    colour: str
    x: float
    z: float
    radius: float
    lengths: tuple[float, float]
    angles: tuple[float, float, float]
    swings: tuple[float, float, float]
    rates: tuple[float, float, float]
    phases: tuple[float, float, float]


@attrs.frozen(kw_only=True)
class Thing:
    """A box or ball on the table; ``size`` is half an edge or the radius.

    It slides along x with ``speed`` at time 0, and back again.
    """

    x: float
    z: float
    size: float
    yaw: float
    speed: float


@attrs.frozen(kw_only=True)
class Table:
    """A robot arm and a few things of one colour on a table before a wall."""

    material: str
    shape: Shape
    colour: str
    wall_shade: float
    wall_distance: float
    half_width: float
    back: float
    arm: Arm
    things: tuple[Thing, ...]


@attrs.frozen(kw_only=True)
class Scene:
    """Everything the renderer needs, and a prompt that fits."""

    time: Time
    camera: Camera
    place: Street | Table
    prompt: str

    @property
    def family(self) -> Family:
        """Tell a street from a table."""
        return "street" if isinstance(self.place, Street) else "table"


def sample(seed: int, family: Family | None = None) -> Scene:
    """Draw a scene; the same seed and family give the same scene.

    Without a family the seed chooses one.
    """
    rng = np.random.default_rng(seed)
    street = bool(rng.random() < 0.5) if family is None else family == "street"
    time = TIMES[int(rng.integers(len(TIMES)))]
    return _street(rng, time) if street else _table(rng, time)


def _street(rng: np.random.Generator, time: Time) -> Scene:
    half_width = _between(rng, 3.8, 4.8)
    place = Street(
        colour=_colour(rng),
        wall=WALLS[int(rng.integers(len(WALLS)))],
        half_width=half_width,
        cars=_cars(rng, half_width),
        buildings=_row(rng, -1, half_width) + _row(rng, 1, half_width),
    )
    camera = Camera(
        position=(_between(rng, -0.8, 2.0), _between(rng, 2.0, 2.9), 0.0),
        velocity=(_between(rng, -0.6, 0.6), 0.0, _between(rng, 3.0, 14.0)),
        yaw=_between(rng, -0.10, 0.10),
        yaw_rate=_between(rng, -0.12, 0.12),
        pitch=_between(rng, 0.10, 0.19),
    )
    prompt = describe_street(rng, place.colour, len(place.cars), place.wall, time)
    return Scene(time=time, camera=camera, place=place, prompt=prompt)


def _cars(rng: np.random.Generator, half_width: float) -> tuple[Car, ...]:
    lane = half_width / 2
    # Two ahead in our lane and one coming: never two in one place.
    places = [(lane, 5.6, 7.4, 0.0), (-lane, 7.0, 11.0, 1.0), (lane, 12.0, 13.2, 0.0)]
    weights = np.array([0.5, 0.4, 0.1])
    chosen = rng.choice(3, size=int(rng.integers(1, 4)), replace=False, p=weights)
    # Cars of one lane swing together, so that they never meet.
    pace = Pace(
        swing=_between(rng, 0.3, 0.9),
        rate=_between(rng, 2.0, 5.0),
        phase=_between(rng, 0.0, 2 * math.pi),
    )
    return tuple(_car(rng, pace, *places[int(i)]) for i in sorted(chosen))


def _car(
    rng: np.random.Generator,
    pace: Pace,
    x: float,
    near: float,
    far: float,
    comes: float,
) -> Car:
    return Car(
        x=x + _between(rng, -0.35, 0.35),
        z=_between(rng, near, far),
        length=_between(rng, 3.6, 4.4),
        width=_between(rng, 1.9, 2.2),
        height=_between(rng, 1.45, 1.75),
        pace=STEADY if comes else pace,
        approach=comes * _between(rng, 2.0, 12.0),
    )


def _row(
    rng: np.random.Generator, side: int, half_width: float
) -> tuple[Building, ...]:
    setback = half_width + _between(rng, 1.6, 3.2)
    buildings = []
    z = _between(rng, -4.0, 4.0)
    while z < 75.0:
        half_depth = _between(rng, 3.0, 6.5)
        buildings.append(
            Building(
                x=side * (setback + 4.0),
                z=z + half_depth,
                half_width=4.0,
                half_depth=half_depth,
                height=_between(rng, 4.0, 12.0),
                shade=_between(rng, 0.8, 1.15),
            )
        )
        z += 2 * half_depth + _between(rng, 0.5, 6.0)
    return tuple(buildings)


def _table(rng: np.random.Generator, time: Time) -> Scene:
    shape: Shape = "box" if rng.random() < 0.5 else "ball"
    arm = _arm(rng)
    place = Table(
        material=MATERIALS[int(rng.integers(len(MATERIALS)))],
        shape=shape,
        colour=_colour(rng),
        wall_shade=_between(rng, 0.8, 1.1),
        wall_distance=_between(rng, 5.2, 6.2),
        half_width=_between(rng, 1.7, 2.3),
        back=_between(rng, 3.6, 4.2),
        arm=arm,
        things=_things(rng, arm),
    )
    x = _between(rng, -0.5, 0.5)
    camera = Camera(
        position=(x, _between(rng, 1.35, 1.8), _between(rng, -0.5, 0.0)),
        velocity=(_between(rng, -0.7, 0.7), _between(rng, -0.2, 0.2), 0.0),
        yaw=-0.25 * x + _between(rng, -0.05, 0.05),
        yaw_rate=_between(rng, -0.12, 0.12),
        pitch=_between(rng, 0.24, 0.32),
    )
    prompt = describe_table(
        rng, arm.colour, place.colour, shape, len(place.things), place.material, time
    )
    return Scene(time=time, camera=camera, place=place, prompt=prompt)


def _arm(rng: np.random.Generator) -> Arm:
    # The arm leans to one side and bends on over it: seen from the front its
    # two links never hide behind one another.
    side = float(rng.choice([-1.0, 1.0]))
    return Arm(
        colour=_colour(rng),
        x=-side * _between(rng, 0.2, 0.7),
        z=_between(rng, 2.7, 3.2),
        radius=_between(rng, 0.13, 0.16),
        lengths=(_between(rng, 0.85, 1.05), _between(rng, 0.75, 0.95)),
        angles=(
            _between(rng, -0.6, 0.4),
            side * _between(rng, 0.0, 0.6),
            side * _between(rng, 1.0, 1.6),
        ),
        swings=(
            _between(rng, 0.1, 0.4),
            _between(rng, 0.15, 0.35),
            _between(rng, 0.2, 0.5),
        ),
        rates=(
            _between(rng, 2.0, 5.0),
            _between(rng, 3.0, 6.0),
            _between(rng, 3.0, 6.0),
        ),
        phases=(
            _between(rng, 0.0, 2 * math.pi),
            _between(rng, 0.0, 2 * math.pi),
            _between(rng, 0.0, 2 * math.pi),
        ),
    )


def _things(rng: np.random.Generator, arm: Arm) -> tuple[Thing, ...]:
    # Slots beside and before the arm's foot keep things apart from it and
    # from each other.
    away = -1.0 if arm.x > 0 else 1.0
    slots = [(away * 0.95, 2.5), (-away * 1.25, 2.3), (away * 0.15, 1.9)]
    chosen = rng.permutation(3)[: int(rng.integers(1, 4))]
    return tuple(
        Thing(
            x=slots[int(i)][0] + _between(rng, -0.12, 0.12),
            z=slots[int(i)][1] + _between(rng, -0.15, 0.15),
            size=_between(rng, 0.2, 0.3),
            yaw=_between(rng, 0.15, 1.4),
            speed=_between(rng, -0.5, 0.5),
        )
        for i in sorted(chosen)
    )


def _colour(rng: np.random.Generator) -> str:
    names = tuple(OBJECT_COLOURS)
    return names[int(rng.integers(len(names)))]


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))
