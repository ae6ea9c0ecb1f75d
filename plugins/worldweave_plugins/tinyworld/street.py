"""Build a street: ground, road, buildings and cars."""

# F frames

from __future__ import annotations

import math
from typing import Final

import attrs
import numpy as np

from worldweave_plugins.tinyworld.labels import OBJECT_COLOURS
from worldweave_plugins.tinyworld.scene import Building, Car, Street
from worldweave_plugins.tinyworld.solids import (
    BUILDINGS,
    FLAT,
    SHADOWS,
    Coat,
    Draft,
    Floats,
    along,
    flat,
    shade,
    upright,
)

GRASS: Final = Coat(colour=(112, 160, 84), kind="ground", layer=FLAT)
PAVEMENT: Final = Coat(colour=(176, 172, 164), kind="ground", layer=FLAT)
ASPHALT: Final = Coat(colour=(84, 86, 92), kind="road", layer=FLAT)
SHADOW: Final = Coat(colour=shade(ASPHALT.colour, 0.5), kind="road", layer=SHADOWS)
PAINT: Final = Coat(colour=(244, 244, 236), kind="line", layer=FLAT)
WALL_COLOURS: Final = {"brick": (168, 92, 70), "grey": (150, 154, 160)}
GLASS: Final = (40, 50, 66)
RUBBER: Final = (24, 24, 28)
TAIL_LIGHT: Final = (255, 60, 48)
HEAD_LIGHT: Final = (255, 246, 190)

HORIZON: Final = 400.0
DASH_PERIOD: Final = 6.0
ROW_PERIOD: Final = 96.0  # longer than a row of buildings, which then repeats
BEHIND: Final = 16.0  # a building has passed for good


def add_street(draft: Draft, street: Street, travelled: Floats) -> None:
    """Add a street to the draft; the viewer has travelled (F,) metres along it."""
    _add_ground(draft, street.half_width, travelled)
    for building in street.buildings:
        _add_building(draft, building, street.wall, travelled)
    for number, car in enumerate(street.cars, start=1):
        z = travelled + car_distance(car, draft.times)
        coat = Coat(
            colour=OBJECT_COLOURS[street.colour],
            kind="car",
            instance=number,
            anchor=along(car.x, 0.5, z),
        )
        _add_car(draft, car, z, coat)


def car_distance(car: Car, times: Floats) -> Floats:
    """Return how far ahead of the viewer the car's centre is, metres (F,)."""
    nearest, span = 2.0, 30.0
    place = nearest + (car.z - nearest - car.approach * times) % span
    pace = car.pace
    swing = np.sin(pace.rate * times + pace.phase) - math.sin(pace.phase)
    distance: Floats = place + pace.swing * swing
    return distance


def _add_ground(draft: Draft, edge: float, travelled: Floats) -> None:
    strips = (
        (-60.0, 60.0, GRASS),
        (-edge - 3.4, edge + 3.4, PAVEMENT),
        (-edge, edge, ASPHALT),
        (0.25 - edge, 0.45 - edge, PAINT),
        (edge - 0.45, edge - 0.25, PAINT),
    )
    for left, right, coat in strips:
        strip = flat(left, right, travelled - 8.0, travelled + HORIZON, 0.0)
        draft.add(strip, coat)
    start = np.floor(travelled / DASH_PERIOD) * DASH_PERIOD
    for i in range(-1, 10):
        near = start + i * DASH_PERIOD
        draft.add(flat(-0.12, 0.12, near, near + 0.5 * DASH_PERIOD, 0.0), PAINT)


def _add_building(
    draft: Draft, building: Building, wall: str, travelled: Floats
) -> None:
    ahead = (building.z - travelled + BEHIND) % ROW_PERIOD - BEHIND
    centre = along(building.x, building.height / 2, travelled + ahead)
    half = (building.half_width, building.height / 2, building.half_depth)
    colour = shade(WALL_COLOURS[wall], building.shade)
    draft.add_box(centre, half, Coat(colour=colour, kind="building", layer=BUILDINGS))


def _add_car(draft: Draft, car: Car, z: Floats, coat: Coat) -> None:
    """Add a car from the wheels up: what comes later is painted over it."""
    clearance, waist = 0.3, 0.56 * car.height
    half_width, half_length = car.width / 2, car.length / 2
    reach = half_length + 0.15
    left, right = car.x - half_width - 0.12, car.x + half_width + 0.12
    draft.add(flat(left, right, z - reach, z + reach, 0.0), SHADOW)
    _add_tyres(draft, car, z, coat)
    middle = along(car.x, (clearance + waist) / 2, z)
    draft.add_box(middle, (half_width, (waist - clearance) / 2, half_length), coat)
    _add_wheels(draft, car, z, coat)
    light = HEAD_LIGHT if car.approach else TAIL_LIGHT
    lamp = attrs.evolve(coat, colour=light, hides_back=True, glows=True)
    for x in (car.x - half_width + 0.26, car.x + half_width - 0.26):
        draft.add(upright(x, 0.7 * waist, z - half_length, 0.2, 0.11), lamp)
    cabin = (car.height - waist) / 2
    draft.add_box(
        along(car.x, waist + cabin, z),
        (0.46 * car.width, cabin, 0.27 * car.length),
        attrs.evolve(coat, colour=GLASS),
        taper=0.78,
        top=coat.colour,
    )


def _add_tyres(draft: Draft, car: Car, z: Floats, coat: Coat) -> None:
    """Add what shows of the wheels from before and behind, under the body."""
    rubber = attrs.evolve(coat, colour=RUBBER)
    for x in (car.x - car.width / 2 + 0.2, car.x + car.width / 2 - 0.2):
        for dz in (0.31 * car.length, -0.31 * car.length):
            draft.add_box(along(x, 0.33, z + dz), (0.2, 0.33, 0.36), rubber)


def _add_wheels(draft: Draft, car: Car, z: Floats, coat: Coat) -> None:
    """Add what shows of the wheels from the side, on the body."""
    rubber = attrs.evolve(coat, colour=RUBBER, hides_back=True)
    angles = np.arange(8) * (math.pi / 4) + math.pi / 8
    for side in (-1.0, 1.0):
        for dz in (0.31 * car.length, -0.31 * car.length):
            rim = np.empty((len(z), 8, 3))
            rim[..., 0] = car.x + side * (car.width / 2 + 0.01)
            rim[..., 1] = 0.36 + 0.36 * np.cos(side * angles)
            rim[..., 2] = (z + dz)[:, None] + 0.36 * np.sin(side * angles)
            draft.add(rim, rubber)
