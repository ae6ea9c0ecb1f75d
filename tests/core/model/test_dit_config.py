"""Sizes that cannot be are refused; what follows from them is right."""

import pytest

from worldweave.model.config import DiTConfig


@pytest.mark.parametrize("heads", [0, 5, 24])
def test_heads_must_divide_the_hidden_width_into_even_parts(heads):
    with pytest.raises(ValueError, match="even number of channels per head"):
        DiTConfig(hidden=24, heads=heads)


@pytest.mark.parametrize(
    "none",
    [
        {"latent_channels": 0},
        {"blocks": 0},
        {"text_channels": 0},
        {"adaln_rank": 0},
        {"control_blocks": 0},
        {"time_scale": 0.0},
    ],
    ids=str,
)
def test_nothing_may_be_zero(none):
    with pytest.raises(ValueError, match=next(iter(none))):
        DiTConfig(**none)


def test_the_masks_are_input_channels():
    assert DiTConfig().input_channels == 18
    assert DiTConfig(condition_mask=False).input_channels == 17
    assert DiTConfig().patch_size == 4
    assert DiTConfig().head_width == 128
