"""What sensors other than the camera know of a scene, and the controls of it."""

from worldweave_plugins.tinyworld.boxes import Box3D, boxes
from worldweave_plugins.tinyworld.lanes import LaneLine, lanes
from worldweave_plugins.tinyworld.lidar import LidarSweep, lidar, lidar_batch
from worldweave_plugins.tinyworld.lidar_map import lidar_control, lidar_truth
from worldweave_plugins.tinyworld.road_map import hdmap_control

__all__ = [
    "Box3D",
    "LaneLine",
    "LidarSweep",
    "boxes",
    "hdmap_control",
    "lanes",
    "lidar",
    "lidar_batch",
    "lidar_control",
    "lidar_truth",
]
