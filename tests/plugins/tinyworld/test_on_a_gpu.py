"""A GPU renders and scans the same world as a CPU, up to rounding."""

import numpy as np
import pytest
import torch

from worldweave_plugins.tinyworld.lidar import lidar_batch
from worldweave_plugins.tinyworld.render import render_batch
from worldweave_plugins.tinyworld.sampling import sample

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]

SCENES = [sample(seed, family) for seed in range(3) for family in ("street", "table")]
# A ray along an edge may fall on either side of it.
FEW = 0.002


def test_a_gpu_renders_what_a_cpu_renders() -> None:
    pairs = [render_batch(SCENES, device=device) for device in ("cpu", "cuda")]
    for one, other in zip(*pairs, strict=True):
        np.testing.assert_array_equal(one.poses, other.poses)
        np.testing.assert_array_equal(one.intrinsics, other.intrinsics)
        assert np.mean(one.classes != other.classes) < FEW
        assert np.mean(one.instances != other.instances) < FEW
        near = np.isclose(one.depth, other.depth, rtol=1e-3)
        assert np.mean(~near) < FEW
        colours = one.rgb.astype(int) - other.rgb
        assert np.mean(np.abs(colours).max(-1) > 2) < 5 * FEW


def test_a_gpu_scans_what_a_cpu_scans() -> None:
    pairs = [lidar_batch(SCENES, device=device) for device in ("cpu", "cuda")]
    for one, other in zip(*pairs, strict=True):
        np.testing.assert_array_equal(one.poses, other.poses)
        assert np.mean(one.valid != other.valid) < FEW
        near = np.isclose(one.points, other.points, rtol=1e-3, atol=1e-3)
        both = one.valid & other.valid
        assert both.any()
        assert np.mean(~near[both]) < FEW
