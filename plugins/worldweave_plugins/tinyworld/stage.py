"""Turn a scene into solids, for whatever sensor looks at it."""

# F frames

from __future__ import annotations

import attrs

from worldweave_plugins.tinyworld.camera import camera_poses
from worldweave_plugins.tinyworld.scene import Scene, Street, Time
from worldweave_plugins.tinyworld.scene_check import check
from worldweave_plugins.tinyworld.solids import Coats, Floats, Solids
from worldweave_plugins.tinyworld.street import build_street
from worldweave_plugins.tinyworld.table import build_table


@attrs.frozen(kw_only=True, eq=False)
class Stage:
    """A scene at some times: its solids, their coats, the camera.

    ``poses`` (F, 4, 4), world-from-camera.
    """

    time: Time
    solids: Solids
    coats: Coats
    poses: Floats


def set_stage(scene: Scene, times: Floats) -> Stage:
    """Set up a scene as it is at times (F,), seconds.

    Raises Problems where the scene cannot be.
    """
    check(scene)
    if isinstance(scene.place, Street):
        travelled = scene.camera.velocity[2] * times
        solids, coats = build_street(scene.place, times, travelled)
    else:
        solids, coats = build_table(scene.place, times)
    poses = camera_poses(scene.camera, times)
    return Stage(time=scene.time, solids=solids, coats=coats, poses=poses)
