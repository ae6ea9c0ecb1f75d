"""From label pictures to classes: exactly, or by the nearest colour after H.264."""

# H W rows, columns; N pixels; C colours of the table

from __future__ import annotations

from collections import Counter
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from worldweave.request.labels.files import Picture, Source
from worldweave.request.labels.table import Table
from worldweave_registry import WorldweaveError

Ids: TypeAlias = "npt.NDArray[np.uint8] | npt.NDArray[np.uint16]"
Mask: TypeAlias = "npt.NDArray[np.bool_]"
_Found: TypeAlias = "tuple[npt.NDArray[np.intp], npt.NDArray[np.int64], Mask]"

# All measured on label videos of the tiny world (64 x 96) and of shapes in the 29
# CARLA colours (96 x 160 and 240 x 320), written by ourselves with crf 14, 23, 30.
#: Distances in RGB, 0..255 a channel. Up to SURE a pixel has a colour of the table:
#: at 24 CARLA's have up to 70 % more wrong pixels, the tiny world's 20 % fewer. Beyond
#: TOLERANCE it has none.
SURE = 16.0
TOLERANCE = 48.0
#: How far compression mixes colours, in pixels to each side.
_REACH = 3
#: What a mixture may lie outside the range of its colours, per axis of YCbCr.
_SLACK = 24.0
#: Brightness is stored for every pixel, colour for four. CARLA's at 240 x 320 have
#: 0.45 % wrong pixels; 0.57 % with 1 here, 1.6 % by the nearest colour alone.
_BRIGHTNESS_COUNTS = 3.0
#: The share of unlisted pixels that a lossy video may have; edges leave up to 0.0007.
FORGIVEN = 0.002

_TO_YCBCR = np.array(
    [[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], np.float32
)


def to_classes(source: Source, table: Table, what: str) -> Ids:
    """Return for each pixel the index of its class, (T, H, W); *what* for messages.

    An exact source must match the table exactly. In a lossy one a pixel takes the
    nearest colour where that is near (SURE), and elsewhere the nearest of the colours
    seen around it: edges are mixtures, and a mixture must not become a third class.
    A pixel is unlisted if it is beyond TOLERANCE of all colours and not between those
    around it, in an area of at least 3 x 3; up to FORGIVEN of all pixels may be.

    Unlisted pixels get the class "*" of the table. Where it has none they are an
    error that says how many they are, in how many frames, and which.
    """
    if table.numbers and not source.is_exact:
        raise WorldweaveError(
            f"{what} are numbers in a file that compression changes; save them as "
            "png or npy"
        )
    match = _Exact(table) if source.is_exact else _Nearest(table)
    kind = "number" if table.numbers else "colour"
    unlisted = _Unlisted(kind, max(map(len, table.colours), default=0))
    small = len(table.names) <= 256
    found: list[Any] = []
    for number, picture in enumerate(source.pictures):
        _refuse_other_size(picture, found, number, what)
        classes, codes, strange = match(picture, what)
        unlisted.add(number, codes, strange)
        if table.rest is not None:
            classes = np.where(strange, table.rest, classes)
        found.append(classes.astype(np.uint8 if small else np.uint16))
    ids = np.stack(found)
    allowed = 0.0 if source.is_exact else FORGIVEN
    if table.rest is None and unlisted.pixels > allowed * ids.size:
        raise WorldweaveError(unlisted.message(len(ids), what))
    return ids


class _Exact:
    """Looks colours or numbers up in the table."""

    def __init__(self, table: Table) -> None:
        self._is_number = bool(table.numbers)
        self._has_alpha = any(len(colour) == 4 for colour in table.colours)
        codes = {_code(colour): name for colour, name in table.colours.items()}
        listed = sorted((table.numbers or codes).items())
        self._codes = np.array([code for code, _ in listed], np.int64)
        self._classes = np.array([name for _, name in listed], np.intp)

    def __call__(self, picture: Picture, what: str) -> _Found:
        if self._is_number:
            codes = numbers_of(picture, what).astype(np.int64)
        else:
            codes = codes_of(picture, self._has_alpha)
        at = np.searchsorted(self._codes, codes).clip(max=len(self._codes) - 1)
        return self._classes[at], codes, self._codes[at] != codes


class _Nearest:
    """Finds the nearest colour, remembering each colour it has met."""

    def __init__(self, table: Table) -> None:
        self._colours = np.array([c[:3] for c in table.colours], np.float32)
        self._classes = np.array(list(table.colours.values()), np.intp)
        self._ycbcr = self._colours @ _TO_YCBCR.T
        # By colour code; zeros take no memory until they are written.
        self._nearest = np.zeros(1 << 24, np.uint16)  # 1 + index, 0: not met yet
        self._distance = np.zeros(1 << 24, np.uint8)

    def __call__(self, picture: Picture, what: str) -> _Found:
        codes = codes_of(picture, False)
        nearest, distance = self._look_up(codes)
        unsure = distance > SURE
        own, is_between = self._by_neighbours(picture, nearest, unsure)
        strange = unsure & (distance > TOLERANCE)
        strange[unsure] &= ~is_between
        nearest[unsure] = own
        return self._classes[nearest], codes, _solid(strange)

    def _look_up(
        self, codes: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint8]]:
        new = np.unique(codes[self._nearest[codes] == 0])
        for start in range(0, len(new), 1 << 14):
            some = new[start : start + (1 << 14)]
            colours = np.stack([some >> 16, (some >> 8) & 255, some & 255], axis=-1)
            apart = np.linalg.norm(colours[:, None] - self._colours, axis=-1)
            self._nearest[some] = apart.argmin(axis=1) + 1
            self._distance[some] = np.ceil(apart.min(axis=1)).clip(max=255)
        return self._nearest[codes].astype(np.intp) - 1, self._distance[codes]

    def _by_neighbours(
        self, picture: Picture, nearest: npt.NDArray[np.intp], unsure: Mask
    ) -> tuple[npt.NDArray[np.intp], Mask]:
        """Return for the N *unsure* pixels a colour, and whether it is a mixture."""
        at = np.flatnonzero(unsure)
        pixels = picture.reshape(-1, 3)[at].astype(np.float32) @ _TO_YCBCR.T
        own = nearest.ravel()[at]
        best = np.full(len(pixels), np.inf, np.float32)
        low, high = np.full_like(pixels, np.inf), np.full_like(pixels, -np.inf)
        weights = np.array([_BRIGHTNESS_COUNTS, 1.0, 1.0], np.float32)
        window = np.ones((2 * _REACH + 1, 2 * _REACH + 1), np.uint8)
        sure = np.where(unsure, -1, nearest).astype(np.int32)
        for index in np.flatnonzero(np.bincount(nearest[~unsure])):
            seen = cv2.dilate((sure == index).view(np.uint8), window)
            around = np.flatnonzero(seen.ravel()[at])
            colour = self._ycbcr[index]
            apart = np.linalg.norm((pixels[around] - colour) * weights, axis=-1)
            is_better = apart < best[around]
            better = around[is_better]
            best[better], own[better] = apart[is_better], index
            low[around] = np.minimum(low[around], colour)
            high[around] = np.maximum(high[around], colour)
        inside = (pixels >= low - _SLACK) & (pixels <= high + _SLACK)
        return own, np.asarray(inside.all(axis=-1), np.bool_)


def _solid(mask: Mask) -> Mask:
    """Keep what is at least 3 x 3: an edge is thin, a class is not."""
    window = np.ones((3, 3), np.uint8)
    # Outside the picture there is nothing, or two rows at its edge would be solid.
    thinner = cv2.erode(mask.astype(np.uint8), window, None, (-1, -1), 1, 0, 0)
    return cv2.dilate(thinner, window) > 0


def codes_of(picture: Picture, has_alpha: bool) -> npt.NDArray[np.int64]:
    """Return one number for each colour, (H, W); grey is a colour, opaque alpha 255."""
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=-1)
    wide = picture.astype(np.int64)
    codes: npt.NDArray[np.int64] = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    if not has_alpha:
        return codes
    alpha = wide[..., 3] if picture.shape[2] == 4 else np.full_like(codes, 255)
    return codes | alpha << 24


def numbers_of(picture: Picture, what: str) -> Picture:
    """Return a picture of numbers (H, W), also from three equal channels."""
    if picture.ndim == 2:
        return picture
    if (picture[..., 0] == picture[..., 1]).all() and (
        picture[..., 0] == picture[..., 2]
    ).all():
        return picture[..., 0]
    raise WorldweaveError(
        f"{what} are coloured but the table lists numbers; list colours, as in "
        '{"car": [0, 0, 142]}'
    )


def _code(colour: tuple[int, ...]) -> int:
    red, green, blue = colour[:3]
    alpha = colour[3] << 24 if len(colour) == 4 else 0
    return red << 16 | green << 8 | blue | alpha


def _refuse_other_size(
    picture: Picture, found: list[Any], number: int, what: str
) -> None:
    if found and picture.shape[:2] != found[0].shape:
        (height, width), (new_height, new_width) = found[0].shape, picture.shape[:2]
        raise WorldweaveError(
            f"{what} change from {width}x{height} to {new_width}x{new_height} at frame "
            f"{number}; give frames of one size"
        )


class _Unlisted:
    """Counts the pixels whose colour or number is not in the table."""

    def __init__(self, kind: str, channels: int) -> None:
        self.pixels = 0
        self._kind = kind
        self._channels = channels
        self._frames = 0
        self._first = (0, 0, 0)
        self._codes: Counter[int] = Counter()

    def add(self, frame: int, codes: npt.NDArray[np.int64], strange: Mask) -> None:
        count = int(strange.sum())
        if not count:
            return
        if not self.pixels:
            row, column = np.argwhere(strange)[0]
            self._first = (frame, int(row), int(column))
        self.pixels += count
        self._frames += 1
        # A photo has a colour for every pixel; the rare ones need no counting.
        found, counts = np.unique(codes[strange], return_counts=True)
        for at in np.argsort(counts)[-256:]:
            self._codes[int(found[at])] += int(counts[at])

    def message(self, frames: int, what: str) -> str:
        """Say how many there are, in how many of *frames*, which and where."""
        frequent = ", ".join(
            str(self._shown(code)) for code, _ in self._codes.most_common(3)
        )
        frame, row, column = self._first
        return (
            f"{what}: {self.pixels} pixels in {self._frames} of {frames} frames have "
            f"{self._kind}s that are not in the table, the most frequent {frequent}, "
            f"the first at frame {frame}, row {row}, column {column}; add them to "
            'classes, or name the class of all others: "*": "unlabelled"'
        )

    def _shown(self, code: int) -> tuple[int, ...] | int:
        if self._kind == "number":
            return code
        red, green, blue, alpha = (code >> shift & 255 for shift in (16, 8, 0, 24))
        return (red, green, blue, alpha)[: self._channels]
