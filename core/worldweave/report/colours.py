"""Colours that say numbers: one ramp for all maps, one hue for each modality."""

# H W rows and columns, h w rows and columns of the token grid

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from worldweave.base import Frames

#: The share of a map's picture that is colour; the rest is the picture in grey.
COLOUR_SHARE = 0.72
#: Where no modality has a say.
GREY = np.array([150, 150, 152], np.uint8)
#: Told apart by lightness and hue, also by those who see no red or green; a line
#: in each is seen on white and on black.
HUES = np.array(
    [
        [47, 111, 208],  # blue
        [232, 131, 12],  # orange
        [22, 150, 108],  # green
        [204, 70, 150],  # magenta
        [176, 148, 0],  # ochre
        [30, 160, 200],  # cyan
        [205, 62, 52],  # red
        [124, 98, 214],  # violet
    ],
    np.uint8,
)
#: OKLab of the ramp from 0 to 1: lightness rises evenly, indigo over teal to yellow.
_STOPS = np.array(
    [
        [0.28, 0.025, -0.095],
        [0.44, -0.025, -0.085],
        [0.60, -0.085, -0.025],
        [0.76, -0.110, 0.070],
        [0.92, -0.030, 0.165],
    ]
)


def _ramp() -> npt.NDArray[np.uint8]:
    """Return the 256 colours (256, 3) of the ramp."""
    at = np.linspace(0, len(_STOPS) - 1, 256)
    lab = np.stack([np.interp(at, range(len(_STOPS)), axis) for axis in _STOPS.T], 1)
    return _srgb(lab)


def _srgb(lab: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Turn OKLab (N, 3) into sRGB (N, 3); constants by B. Ottosson, 2020."""
    to_cone = np.array(
        [
            [1, 0.3963377774, 0.2158037573],
            [1, -0.1055613458, -0.0638541728],
            [1, -0.0894841775, -1.2914855480],
        ]
    )
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = ((lab @ to_cone.T) ** 3 @ to_linear.T).clip(0, 1)
    curved = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )
    return np.asarray((255 * curved).round(), np.uint8)


RAMP = _ramp()


def hue(at: int) -> npt.NDArray[np.uint8]:
    """Return the colour (3,) of modality number *at*."""
    return np.asarray(HUES[at % len(HUES)], np.uint8)


def in_css(colour: npt.NDArray[np.uint8]) -> str:
    """Return a colour as CSS writes it."""
    return "#" + bytes(colour.tolist()).hex()


def of_values(values: npt.NDArray[np.float32]) -> Frames:
    """Return the ramp's colour (H, W, 3) of each of *values* (H, W) in 0..1."""
    level = (values.clip(0, 1) * 255).round().astype(np.uint8)
    return np.asarray(RAMP[level], np.uint8)


def of_shares(shares: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Mix the hues by the share (H, W) of each modality; grey is what is left."""
    hues = [hue(at) for at in range(len(shares))]
    left = np.maximum(1 - sum(shares, start=np.float32(0)), 0)
    mixed = np.zeros((*shares[0].shape, 3), np.float32)
    for share, colour in zip([*shares, left], [*hues, GREY], strict=True):
        mixed += share[..., None] * colour
    return mixed


def over_grey(colour: npt.NDArray[np.generic], picture: Frames) -> Frames:
    """Lay *colour* (H, W, 3) over *picture* (H, W, 3), which is shown in grey."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]
    mixed = COLOUR_SHARE * colour.astype(np.float32) + (1 - COLOUR_SHARE) * grey
    return np.asarray(mixed.round().clip(0, 255), np.uint8)
