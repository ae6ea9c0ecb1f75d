"""Refuse a scene that cannot be: all that is wrong with it, at once."""

from __future__ import annotations

from itertools import combinations

from worldweave_plugins.tinyworld.camera import SWAY
from worldweave_plugins.tinyworld.ranges import range_problems
from worldweave_plugins.tinyworld.scene import Camera, Scene, Street, Table
from worldweave_plugins.tinyworld.table import FOOT, FRONT, SLIDE
from worldweave_registry import Problems

LOWEST = 0.2  # metres between the viewer and the ground or the table
SLACK = 1e-6


def check(scene: Scene) -> None:
    """Raise Problems that list every impossible value of a scene."""
    problems = scene_problems(scene)
    if problems:
        raise Problems(problems)


def scene_problems(scene: Scene) -> list[str]:
    """Return what is wrong with a scene, one line each, with path and range.

    What its parts are to each other is looked at once each for itself is right.
    """
    found = range_problems(scene)
    if found:
        return found
    if isinstance(scene.place, Street):
        return [
            *_camera_problems(scene.camera),
            *_street_problems(scene.place, scene.camera),
        ]
    return [*_camera_problems(scene.camera), *_table_problems(scene.place)]


def _camera_problems(camera: Camera) -> list[str]:
    height = camera.position[1] - abs(camera.velocity[1]) / SWAY
    if height >= LOWEST:
        return []
    return [
        f"camera sinks to {height:.2f} m as it sways up and down; keep position[1] "
        f"above abs(velocity[1]) / {SWAY:g} + {LOWEST:g}"
    ]


def _street_problems(street: Street, camera: Camera) -> list[str]:
    found = []
    edge = street.half_width
    aside = abs(camera.position[0]) + abs(camera.velocity[0]) / SWAY
    if aside > edge:
        found.append(
            f"camera gets {aside:.2f} m from the middle of the road; keep "
            f"abs(position[0]) + abs(velocity[0]) / {SWAY:g} within place.half_width, "
            f"{edge:g}"
        )
    for at, car in enumerate(street.cars):
        if abs(car.x) + car.width / 2 > edge + SLACK:
            free = edge - car.width / 2
            found.append(
                f"place.cars[{at}] leaves the road; give x from {-free:.2f} to "
                f"{free:.2f} for its width, not {car.x:g}"
            )
    for (i, one), (j, other) in combinations(enumerate(street.cars), 2):
        beside = abs(one.x - other.x) >= (one.width + other.width) / 2
        if not beside and abs(one.z - other.z) < (one.length + other.length) / 2:
            found.append(
                f"place.cars[{i}] and place.cars[{j}] overlap; move their x or z apart"
            )
    for at, building in enumerate(street.buildings):
        if abs(building.x) - building.half_width < edge - SLACK:
            found.append(
                f"place.buildings[{at}] stands on the road; give abs(x) of at least "
                f"{edge + building.half_width:.2f} for its half_width, "
                f"not {abs(building.x):g}"
            )
    return found


def _table_problems(table: Table) -> list[str]:
    found = []
    if table.wall_distance < table.back:
        found.append(
            f"place.wall_distance is {table.wall_distance:g}, inside the table; "
            f"give at least place.back, {table.back:g}"
        )
    if table.back < FRONT + 2 * FOOT:
        found.append(
            f"place.back is {table.back:g}, which leaves no room for the arm; "
            f"give at least {FRONT + 2 * FOOT:g}"
        )
    spots = [("place.arm", table.arm.x, table.arm.z, FOOT, 0.0)]
    spots += [
        (f"place.things[{at}]", thing.x, thing.z, thing.size, SLIDE)
        for at, thing in enumerate(table.things)
    ]
    for name, x, z, size, slide in spots:
        reach = table.half_width - size - slide
        if abs(x) > reach + SLACK:
            found.append(
                f"{name} is not on the table; give x from {-reach:.2f} to {reach:.2f}, "
                f"not {x:g}"
            )
        near, far = FRONT + size, table.back - size
        if not near - SLACK <= z <= far + SLACK:
            found.append(
                f"{name} is not on the table; give z from {near:.2f} to {far:.2f}, "
                f"not {z:g}"
            )
    for one, other in combinations(spots, 2):
        gap = (one[1] - other[1]) ** 2 + (one[2] - other[2]) ** 2
        if gap < (one[3] + other[3]) ** 2:
            found.append(f"{one[0]} and {other[0]} overlap; move their x or z apart")
    return found
