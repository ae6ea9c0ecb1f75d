"""Draw the numbers of one small world from a seed."""

from __future__ import annotations

import math

import numpy as np

from worldweave_plugins.tinyworld.labels import OBJECT_COLOURS
from worldweave_plugins.tinyworld.prompts import describe_street, describe_table
from worldweave_plugins.tinyworld.scene import (
    MATERIALS,
    STEADY,
    TIMES,
    WALLS,
    Arm,
    Building,
    Camera,
    Car,
    Family,
    Pace,
    Scene,
    Shape,
    Street,
    Table,
    Thing,
    Time,
)


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
        position=(_between(rng, -0.4, 1.4), _between(rng, 2.1, 2.8), 0.0),
        velocity=(_between(rng, -0.3, 0.3), 0.0, _between(rng, 3.0, 10.0)),
        yaw=_between(rng, -0.05, 0.05),
        yaw_rate=_between(rng, -0.06, 0.06),
        pitch=_between(rng, 0.12, 0.17),
    )
    prompt = describe_street(rng, place.colour, len(place.cars), place.wall, time)
    return Scene(time=time, camera=camera, place=place, prompt=prompt)


def _cars(rng: np.random.Generator, half_width: float) -> tuple[Car, ...]:
    lane = half_width / 2
    # One in our lane, one that comes, or both: large, and never in one place.
    places = [(lane, 6.0, 7.6, 0.0), (-lane, 7.0, 9.5, 1.0)]
    chosen = ((0,), (1,), (0, 1))[int(rng.integers(3))]
    pace = Pace(
        swing=_between(rng, 0.2, 0.6),
        rate=_between(rng, 2.0, 5.0),
        phase=_between(rng, 0.0, 2 * math.pi),
    )
    return tuple(_car(rng, pace, *places[i]) for i in chosen)


def _car(
    rng: np.random.Generator,
    pace: Pace,
    x: float,
    near: float,
    far: float,
    comes: float,
) -> Car:
    return Car(
        x=x + _between(rng, -0.25, 0.25),
        z=_between(rng, near, far),
        length=_between(rng, 3.6, 4.4),
        width=_between(rng, 2.0, 2.2),
        height=_between(rng, 1.45, 1.75),
        pace=STEADY if comes else pace,
        approach=comes * _between(rng, 2.0, 7.0),
    )


def _row(
    rng: np.random.Generator, side: int, half_width: float
) -> tuple[Building, ...]:
    setback = half_width + _between(rng, 1.6, 3.2)
    buildings = []
    z = _between(rng, -4.0, 4.0)
    while z < 75.0:
        half_depth = _between(rng, 5.0, 9.0)
        buildings.append(
            Building(
                x=side * (setback + 4.0),
                z=z + half_depth,
                half_width=4.0,
                half_depth=half_depth,
                height=_between(rng, 5.0, 10.0),
                shade=_between(rng, 0.9, 1.1),
            )
        )
        z += 2 * half_depth + _between(rng, 2.0, 6.0)
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
        half_width=_between(rng, 2.0, 2.4),
        back=_between(rng, 3.7, 4.2),
        arm=arm,
        things=_things(rng, arm),
    )
    x = _between(rng, -0.35, 0.35)
    camera = Camera(
        position=(x, _between(rng, 1.4, 1.75), _between(rng, -0.7, -0.3)),
        velocity=(_between(rng, -0.35, 0.35), _between(rng, -0.1, 0.1), 0.0),
        yaw=-0.25 * x + _between(rng, -0.03, 0.03),
        yaw_rate=_between(rng, -0.06, 0.06),
        pitch=_between(rng, 0.22, 0.28),
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
        x=-side * _between(rng, 0.2, 0.5),
        z=_between(rng, 2.85, 3.2),
        radius=_between(rng, 0.17, 0.2),
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
    slots = [(away * 1.15, 2.5), (-away * 1.3, 2.15), (away * 0.15, 1.75)]
    chosen = rng.permutation(3)[: int(rng.integers(1, 4))]
    return tuple(
        Thing(
            x=slots[int(i)][0] + _between(rng, -0.08, 0.08),
            z=slots[int(i)][1] + _between(rng, -0.1, 0.1),
            size=_between(rng, 0.24, 0.32),
            yaw=_between(rng, 0.15, 1.4),
            speed=_between(rng, -0.4, 0.4),
        )
        for i in sorted(chosen)
    )


def _colour(rng: np.random.Generator) -> str:
    names = tuple(OBJECT_COLOURS)
    return names[int(rng.integers(len(names)))]


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return float(rng.uniform(low, high))
