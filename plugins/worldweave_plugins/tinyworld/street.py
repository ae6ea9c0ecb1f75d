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
    Coat,
    Coats,
    Draft,
    Floats,
    Solids,
    along,
    shade,
)

GRASS: Final = Coat(colour=(112, 160, 84), kind="ground")
PAVEMENT: Final = Coat(colour=(176, 172, 164), kind="ground")
ASPHALT: Final = Coat(colour=(84, 86, 92), kind="road")
PAINT: Final = Coat(colour=(244, 244, 236), kind="line")
SHADOW: Final = 0.5
WALL_COLOURS: Final = {"brick": (168, 92, 70), "grey": (150, 154, 160)}
GLASS: Final = (40, 50, 66)
RUBBER: Final = (24, 24, 28)
TAIL_LIGHT: Final = (255, 60, 48)
HEAD_LIGHT: Final = (255, 246, 190)

DASH_PERIOD: Final = 6.0
"""Metres from dash to dash; a dash is the first half of it."""
DASH_HALF_WIDTH: Final = 0.16
EDGE_INSET: Final = 0.375
"""Metres from the rim of the road to the middle of its edge lines."""
EDGE_HALF_WIDTH: Final = 0.125
PAVEMENT_WIDTH: Final = 3.4
ROW_PERIOD: Final = 96.0  # longer than a row of buildings, which then repeats
BEHIND: Final = 16.0  # a building has passed for good


def build_street(
    street: Street, times: Floats, travelled: Floats
) -> tuple[Solids, Coats]:
    """Build a street; the viewer has travelled (F,) metres along it."""
    draft = Draft(times)
    draft.add_floor(0.0, (PAINT, ASPHALT, PAINT, ASPHALT, PAVEMENT, GRASS))
    for building in street.buildings:
        _add_building(draft, building, street.wall, travelled)
    for number, car in enumerate(street.cars, start=1):
        z = travelled + car_distance(car, times)
        coat = Coat(colour=OBJECT_COLOURS[street.colour], kind="car", instance=number)
        _add_car(draft, car, z, coat)
    return draft.finish(stripes=stripes(street.half_width), receivers=6, shadow=SHADOW)


def stripes(half_width: float) -> tuple[float, float, float, float, float]:
    """Return the borders |x| between dashes, lane, edge line, rim, pavement, grass."""
    edge = half_width - EDGE_INSET
    return (
        DASH_HALF_WIDTH,
        edge - EDGE_HALF_WIDTH,
        edge + EDGE_HALF_WIDTH,
        half_width,
        half_width + PAVEMENT_WIDTH,
    )


def car_distance(car: Car, times: Floats) -> Floats:
    """Return how far ahead of the viewer the car's centre is, metres (F,)."""
    nearest, span = 2.0, 30.0
    place = nearest + (car.z - nearest - car.approach * times) % span
    pace = car.pace
    swing = np.sin(pace.rate * times + pace.phase) - math.sin(pace.phase)
    distance: Floats = place + pace.swing * swing
    return distance


def _add_building(
    draft: Draft, building: Building, wall: str, travelled: Floats
) -> None:
    ahead = (building.z - travelled + BEHIND) % ROW_PERIOD - BEHIND
    centre = along(building.x, building.height / 2, travelled + ahead)
    half = (building.half_width, building.height / 2, building.half_depth)
    colour = shade(WALL_COLOURS[wall], building.shade)
    draft.add_box(centre, half, Coat(colour=colour, kind="building"))


def _add_car(draft: Draft, car: Car, z: Floats, coat: Coat) -> None:
    clearance, waist = 0.3, 0.56 * car.height
    half_width, half_length = car.width / 2, car.length / 2
    shadow = (half_width + 0.12, half_length + 0.15)
    draft.add_shadow(along(car.x, 0.0, z), shadow, is_round=False)
    body = along(car.x, (clearance + waist) / 2, z)
    draft.add_box(body, (half_width, (waist - clearance) / 2, half_length), coat)
    cabin = (car.height - waist) / 2
    draft.add_box(
        along(car.x, waist + cabin, z),
        (0.46 * car.width, cabin, 0.27 * car.length),
        attrs.evolve(coat, colour=GLASS),
        taper=0.78,
        top=coat.colour,
    )
    light = HEAD_LIGHT if car.approach else TAIL_LIGHT
    lamp = attrs.evolve(coat, colour=light, glows=True)
    rubber = attrs.evolve(coat, colour=RUBBER)
    for side in (-1.0, 1.0):
        x = car.x + side * (half_width - 0.26)
        place = along(x, 0.7 * waist, z - half_length)
        draft.add_box(place, (0.2, 0.11, 0.03), lamp)
        for axle in (-0.31 * car.length, 0.31 * car.length):
            _add_wheel(draft, car, z + axle, side, rubber)


def _add_wheel(draft: Draft, car: Car, z: Floats, side: float, rubber: Coat) -> None:
    radius = 0.35
    outer = along(car.x + side * (car.width / 2 - 0.3), radius, z)
    inner = along(car.x + side * (car.width / 2 - 0.5), radius, z)
    draft.add_capsule(inner, outer, radius, rubber)
