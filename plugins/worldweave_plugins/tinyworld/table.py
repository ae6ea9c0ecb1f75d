"""Build a table: wall, table top, robot arm, boxes and balls."""

# F frames

from __future__ import annotations

from typing import Final

import numpy as np

from worldweave_plugins.tinyworld.labels import OBJECT_COLOURS
from worldweave_plugins.tinyworld.scene import Arm, Table, Thing
from worldweave_plugins.tinyworld.solids import (
    FLAT,
    SHADOWS,
    Coat,
    Draft,
    Floats,
    along,
    disc,
    flat,
    shade,
    upright,
)

WALL: Final = (206, 196, 176)
FLOOR: Final = (120, 112, 104)
MATERIAL_COLOURS: Final = {"wooden": (156, 116, 76), "metal": (134, 146, 160)}
STEEL: Final = Coat(colour=(50, 52, 60), kind="arm", instance=1)

FLOOR_HEIGHT: Final = -0.9
FRONT: Final = 0.6  # the edge of the table that the picture leaves out


def add_table(draft: Draft, table: Table) -> None:
    """Add a table and all on it to the draft."""
    here = np.zeros(len(draft.times))
    _add_room(draft, table, here)
    material = MATERIAL_COLOURS[table.material]
    centre = along(0.0, -0.08, here + (table.back + FRONT) / 2)
    half = (table.half_width, 0.08, (table.back - FRONT) / 2)
    draft.add_box(centre, half, Coat(colour=material, kind="table", layer=FLAT))
    shadow = Coat(colour=shade(material, 0.62), kind="table", layer=SHADOWS)
    draft.add(disc(here + table.arm.x, here + table.arm.z, 0.42), shadow)
    for thing in table.things:
        spot = disc(thing_x(thing, draft.times), here + thing.z, 1.35 * thing.size)
        draft.add(spot, shadow)
    _add_arm(draft, table.arm)
    for number, thing in enumerate(table.things, start=2):
        _add_thing(draft, thing, table, number)


def arm_joints(arm: Arm, times: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return shoulder, elbow, wrist and the direction of the fingers, (F, 3)."""
    turn, lift, bend = (
        angle + swing * np.sin(rate * times + phase)
        for angle, swing, rate, phase in zip(
            arm.angles, arm.swings, arm.rates, arm.phases, strict=True
        )
    )

    def direction(angle: Floats) -> Floats:
        level = np.sin(angle)
        parts = (level * np.cos(turn), np.cos(angle), -level * np.sin(turn))
        return np.stack(parts, axis=-1)

    shoulder = along(arm.x, 0.34, np.full(len(times), arm.z))
    elbow = shoulder + arm.lengths[0] * direction(lift)
    wrist = elbow + arm.lengths[1] * direction(lift + bend)
    wrist[:, 1] = np.maximum(wrist[:, 1], 0.34)  # fingers stay above the table
    grip = np.array([0.0, -1.0, 0.0]) + 0.4 * direction(lift + bend)
    grip /= np.linalg.norm(grip, axis=-1, keepdims=True)
    return shoulder, elbow, wrist, grip


def thing_x(thing: Thing, times: Floats) -> Floats:
    """Return where a thing has slid to, metres (F,)."""
    farthest = 0.2
    slide: Floats = farthest * np.sin(thing.speed / farthest * times)
    return thing.x + slide


def _add_room(draft: Draft, table: Table, here: Floats) -> None:
    light, back = table.wall_shade, here + table.wall_distance
    floor = Coat(colour=shade(FLOOR, light), kind="ground", layer=FLAT)
    draft.add(flat(-40.0, 40.0, here - 5.0, back, FLOOR_HEIGHT), floor)
    wall = Coat(colour=shade(WALL, light), kind="wall", layer=FLAT)
    draft.add(upright(0.0, FLOOR_HEIGHT + 20.0, back, 40.0, 20.0), wall)


def _add_arm(draft: Draft, arm: Arm) -> None:
    shoulder, elbow, wrist, grip = arm_joints(arm, draft.times)
    paint = Coat(colour=OBJECT_COLOURS[arm.colour], kind="arm", instance=1)
    foot = along(arm.x, 0.14, np.full(len(draft.times), arm.z))
    draft.add_box(foot, (0.27, 0.14, 0.27), STEEL)
    draft.add_bar(shoulder, elbow, arm.radius, paint)
    draft.add_bar(elbow, wrist, 0.85 * arm.radius, paint)
    nearer = np.array([0.0, 0.0, -1.01 * arm.radius])
    for joint in (elbow + nearer, shoulder + nearer):
        draft.add_bar(joint, joint, 0.6 * arm.radius, STEEL)
    across = np.cross(grip, [0.0, 0.0, 1.0])
    draft.add_bar(wrist - 0.13 * across, wrist + 0.13 * across, 0.07, STEEL)
    for side in (-0.15, 0.15):
        knuckle = wrist + side * across
        draft.add_bar(knuckle, knuckle + 0.24 * grip, 0.055, STEEL)


def _add_thing(draft: Draft, thing: Thing, table: Table, number: int) -> None:
    size = thing.size
    coat = Coat(colour=OBJECT_COLOURS[table.colour], kind="object", instance=number)
    centre = along(0.0, size, np.full(len(draft.times), thing.z))
    centre[:, 0] = thing_x(thing, draft.times)
    if table.shape == "ball":
        draft.add_bar(centre, centre, size, coat)
    else:
        draft.add_box(centre, (size, size, size), coat, yaw=thing.yaw)
