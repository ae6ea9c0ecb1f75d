"""Flow does what every modality must."""

import numpy as np
from worldweave_flow.preprocess import Flow, motion

from worldweave.testing import ModalityContract


class TestFlow(ModalityContract):
    modality_name = "flow"


def square(x):
    """A soft square, *x* pixels from the left."""
    rows, columns = np.mgrid[0:48, 0:64]
    inside = np.clip(9 - np.maximum(abs(rows - 24), abs(columns - x)), 0, 4) / 4
    texture = 128 + 60 * np.sin(rows) * np.sin((columns - x) * 0.9)
    return np.repeat((inside * texture)[..., None], 3, -1).astype(np.uint8)


def test_what_moves_to_the_right_has_flow_to_the_right():
    way = motion(np.stack([square(24 + 2 * at) for at in range(4)]))
    x, y = way[0, 18:30, 18:30].reshape(-1, 2).mean(0)
    assert 1.5 < x < 2.5
    assert abs(y) < 0.5


def test_what_stands_still_is_black():
    assert not Flow()(np.stack([square(30)] * 3)).any()
