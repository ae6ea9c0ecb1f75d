"""The thresholds the released system draws, known from running it."""

import pytest

from worldweave_plugins.edge.preprocess import Canny


@pytest.mark.parametrize(
    ("seed", "low", "high"), [(0, 64, 161), (1, 57, 119), (2, 60, 125)]
)
def test_the_released_thresholds_come_from_the_seed(seed, low, high):
    assert Canny.released(seed) == Canny(low=low, high=high)
