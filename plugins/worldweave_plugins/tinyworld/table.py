"""Build a table: wall, table top, robot arm, boxes and balls."""

# F frames

from __future__ import annotations

from typing import Final

import numpy as np

from worldweave_plugins.tinyworld.labels import OBJECT_COLOURS
from worldweave_plugins.tinyworld.scene import Arm, Table, Thing
from worldweave_plugins.tinyworld.solids import (
    Coat,
    Coats,
    Draft,
    Floats,
    Solids,
    along,
    shade,
)

WALL: Final = (206, 196, 176)
FLOOR: Final = (120, 112, 104)
SHADOW: Final = 0.62
MATERIAL_COLOURS: Final = {"wooden": (156, 116, 76), "metal": (134, 146, 160)}
STEEL: Final = Coat(colour=(50, 52, 60), kind="arm", instance=1)

FLOOR_HEIGHT: Final = -0.9
FRONT: Final = 0.6  # the edge of the table that the picture leaves out
THICKNESS: Final = 0.16
FOOT: Final = 0.28  # half the width of the arm's foot
SLIDE: Final = 0.12
"""Metres that a thing slides to either side, at most."""


def build_table(table: Table, times: Floats) -> tuple[Solids, Coats]:
    """Build a table and all that stands on it."""
    draft = Draft(times)
    here = np.zeros(len(times))
    floor = Coat(colour=shade(FLOOR, table.wall_shade), kind="ground")
    draft.add_floor(FLOOR_HEIGHT, (floor,) * 6)
    material = Coat(colour=MATERIAL_COLOURS[table.material], kind="table")
    centre = along(0.0, -THICKNESS / 2, here + (table.back + FRONT) / 2)
    half = (table.half_width, THICKNESS / 2, (table.back - FRONT) / 2)
    draft.add_box(centre, half, material)
    wall = Coat(colour=shade(WALL, table.wall_shade), kind="wall")
    draft.add_wall(table.wall_distance, wall)
    draft.add_shadow(
        along(table.arm.x, 0.0, here + table.arm.z), (0.45, 0.45), is_round=True
    )
    _add_arm(draft, table.arm)
    for number, thing in enumerate(table.things, start=2):
        _add_thing(draft, thing, table, number)
    # The floor owns six numbers, the first face of the next box is the table's top.
    return draft.finish(stripes=(0.0,) * 5, receivers=7, shadow=SHADOW)


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
    slide: Floats = SLIDE * np.sin(thing.speed / SLIDE * times)
    return thing.x + slide


def _add_arm(draft: Draft, arm: Arm) -> None:
    shoulder, elbow, wrist, grip = arm_joints(arm, draft.times)
    paint = Coat(colour=OBJECT_COLOURS[arm.colour], kind="arm", instance=1)
    foot = along(arm.x, 0.14, np.full(len(draft.times), arm.z))
    draft.add_box(foot, (FOOT, 0.14, FOOT), STEEL)
    draft.add_capsule(shoulder, elbow, arm.radius, paint)
    draft.add_capsule(elbow, wrist, 0.85 * arm.radius, paint)
    nearer = np.array([0.0, 0.0, -0.55 * arm.radius])
    for joint in (elbow + nearer, shoulder + nearer):
        draft.add_capsule(joint, joint, 0.75 * arm.radius, STEEL)
    across = np.cross(grip, [0.0, 0.0, 1.0])
    draft.add_capsule(wrist - 0.16 * across, wrist + 0.16 * across, 0.085, STEEL)
    for side in (-0.18, 0.18):
        knuckle = wrist + side * across
        draft.add_capsule(knuckle, knuckle + 0.27 * grip, 0.065, STEEL)


def _add_thing(draft: Draft, thing: Thing, table: Table, number: int) -> None:
    size = thing.size
    coat = Coat(colour=OBJECT_COLOURS[table.colour], kind="object", instance=number)
    centre = along(0.0, size, np.full(len(draft.times), thing.z))
    centre[:, 0] = thing_x(thing, draft.times)
    draft.add_shadow(centre, (1.35 * size, 1.35 * size), is_round=True)
    if table.shape == "ball":
        draft.add_capsule(centre, centre, size, coat)
    else:
        draft.add_box(centre, (size, size, size), coat, yaw=thing.yaw)
