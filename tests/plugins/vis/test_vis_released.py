"""The factor the released system draws, known from running it."""

import numpy as np
import pytest

from worldweave import WorldweaveError
from worldweave_plugins.vis.preprocess import Blur


def test_the_released_factor_comes_from_the_seed():
    assert Blur.released(1) == Blur(factor=6)


def test_the_factor_replaces_the_strengths_own():
    frames = np.random.default_rng(0).integers(0, 256, (1, 40, 40, 3), np.uint8)
    # "low" has factor 4, so naming it changes nothing; another one does.
    low = Blur(strength="low")(frames)
    assert (Blur(strength="low", factor=4)(frames) == low).all()
    assert (Blur(strength="low", factor=8)(frames) != low).any()


@pytest.mark.parametrize("factor", [0, -1, 1.5, True, "4"])
def test_a_factor_that_is_none_is_refused(factor):
    with pytest.raises(WorldweaveError, match="whole number above 0"):
        Blur(factor=factor)
