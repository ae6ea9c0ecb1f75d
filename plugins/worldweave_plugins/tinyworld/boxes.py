"""Put 3-D boxes around everything that can be counted, and the table."""

# F frames

from __future__ import annotations

import math
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from worldweave_plugins.tinyworld.projection import move
from worldweave_plugins.tinyworld.scene import Arm, Car, Scene, Street, Table, Thing
from worldweave_plugins.tinyworld.solids import Floats, turn_about_y
from worldweave_plugins.tinyworld.street import car_distance
from worldweave_plugins.tinyworld.table import (
    FOOT,
    FRONT,
    THICKNESS,
    arm_joints,
    thing_x,
)

# As ``build_street`` and ``build_table`` make them, metres; tests compare.
WHEEL: Final = 0.35  # its radius
AXLE: Final = 0.31  # of a car's length, from its middle
WHEEL_BULGE: Final = 0.05  # on each side of a car's body
LAMP_BULGE: Final = 0.03  # before it
FOOT_HEIGHT: Final = 0.28
JOINT: Final = 1.3  # how far a joint reaches, in radii of its link
HAND: Final = (0.49, 0.17, 0.42)
KNUCKLE: Final = 0.085  # metres of the hand that lie behind the wrist


@attrs.frozen(kw_only=True, eq=False)
class Box3D:
    """A box around one rigid part of the world, and how it moves.

    ``instance`` is the number in the instance map, 0 for a table; an arm is one
    instance of several boxes. ``name`` is one of ``CLASSES``. ``size`` float32
    (3,), metres along the box's own axes: x right, y up, z ahead, which is where
    a car drives and where the next link of an arm lies. ``poses`` float32
    (F, 4, 4), world-from-box; a box's origin is its centre.
    """

    instance: int
    name: str
    size: NDArray[np.float32]
    poses: NDArray[np.float32]


def boxes(scene: Scene, times: Floats) -> tuple[Box3D, ...]:
    """Return the boxes of a scene at ``times``, seconds (F,)."""
    if isinstance(scene.place, Street):
        travelled = scene.camera.velocity[2] * times
        return tuple(
            _car_box(number, car, travelled + car_distance(car, times))
            for number, car in enumerate(scene.place.cars, start=1)
        )
    table = scene.place
    things = [
        _thing_box(number, thing, table, times)
        for number, thing in enumerate(table.things, start=2)
    ]
    return (_table_box(table, times), *_arm_boxes(table.arm, times), *things)


def corners(box: Box3D) -> NDArray[np.float32]:
    """Return the corners of a box in the world, (F, 8, 3).

    Corner i lies at +x if bit 0 of i is set, +y if bit 1, +z if bit 2.
    """
    signs = np.array([[i & 1, i >> 1 & 1, i >> 2] for i in range(8)]) - 0.5
    return move(box.poses, (signs * box.size).astype(np.float32))


def _car_box(number: int, car: Car, z: Floats) -> Box3D:
    centre = _at(car.x, car.height / 2, z)
    # The wheels of a very short car are longer than its body.
    length = max(car.length + 2 * LAMP_BULGE, 2 * (AXLE * car.length + WHEEL))
    size = (car.width + 2 * WHEEL_BULGE, car.height, length)
    yaw = math.pi if car.approach else 0.0
    return _box(number, "car", size, centre, turn_about_y(yaw))


def _thing_box(number: int, thing: Thing, table: Table, times: Floats) -> Box3D:
    centre = _at(thing_x(thing, times), thing.size, np.full(len(times), thing.z))
    yaw = 0.0 if table.shape == "ball" else thing.yaw
    size = (2 * thing.size, 2 * thing.size, 2 * thing.size)
    return _box(number, "object", size, centre, turn_about_y(yaw))


def _table_box(table: Table, times: Floats) -> Box3D:
    depth = table.back - FRONT
    size = (2 * table.half_width, THICKNESS, depth)
    centre = _at(0.0, -THICKNESS / 2, np.full(len(times), FRONT + depth / 2))
    return _box(0, "table", size, centre, turn_about_y(0.0))


def _arm_boxes(arm: Arm, times: Floats) -> tuple[Box3D, ...]:
    """Return foot, both links and the hand."""
    shoulder, elbow, wrist, grip = arm_joints(arm, times)
    foot = _at(arm.x, FOOT_HEIGHT / 2, np.full(len(times), arm.z))
    foot_size = (2 * FOOT, FOOT_HEIGHT, 2 * FOOT)
    return (
        _box(1, "arm", foot_size, foot, turn_about_y(0.0)),
        _link_box(shoulder, elbow, arm.radius),
        _link_box(elbow, wrist, 0.85 * arm.radius),
        _hand_box(wrist, grip),
    )


def _link_box(start: Floats, end: Floats, radius: float) -> Box3D:
    # Where the hand would touch the table the link to it gets shorter.
    longest = float(np.linalg.norm(end - start, axis=-1).max())
    size = (2 * radius, 2 * JOINT * radius, longest + 2 * JOINT * radius)
    return _box(1, "arm", size, (start + end) / 2, _towards(end - start))


def _hand_box(wrist: Floats, grip: Floats) -> Box3D:
    """Return the box of a hand whose fingers point along ``grip`` (F, 3)."""
    centre = wrist + (HAND[2] / 2 - KNUCKLE) * grip
    return _box(1, "arm", HAND, centre, _towards(grip))


def _box(
    instance: int,
    name: str,
    size: tuple[float, float, float],
    centre: Floats,
    axes: Floats,
) -> Box3D:
    """Place a box: its centre (F, 3), its axes the columns of (3, 3) or (F, 3, 3)."""
    poses = np.tile(np.eye(4, dtype=np.float32), (len(centre), 1, 1))
    poses[:, :3, :3] = axes
    poses[:, :3, 3] = centre
    return Box3D(
        instance=instance, name=name, size=np.array(size, np.float32), poses=poses
    )


def _towards(direction: Floats) -> Floats:
    """Return axes (F, 3, 3), z along a direction (F, 3), x across the world's z."""
    length = np.linalg.norm(direction, axis=-1, keepdims=True)
    ahead = np.where(length < 1e-6, (0.0, 1.0, 0.0), direction)
    ahead /= np.linalg.norm(ahead, axis=-1, keepdims=True)
    is_along_z = np.abs(ahead[:, 2:]) > 0.99
    other = np.where(is_along_z, (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    aside = np.cross(ahead, other)
    aside /= np.linalg.norm(aside, axis=-1, keepdims=True)
    return np.stack([aside, np.cross(ahead, aside), ahead], axis=-1)


def _at(x: float | Floats, y: float, z: Floats) -> Floats:
    return np.stack(np.broadcast_arrays(x, y, z), axis=-1).astype(float)
