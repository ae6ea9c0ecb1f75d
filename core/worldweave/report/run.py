"""What a report of a run is made from: plain data, checked, nothing computed."""

# T frames, H W rows and columns, h w rows and columns of the token grid

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from worldweave.base import Frames

#: Values of a map on the token grid, float32 (T, h, w) in 0..1.
Values = npt.NDArray[np.float32]
#: Where a region lies, (T or 1, H, W).
#: True, or the share of a token, where it is.
Region = npt.NDArray[np.bool_] | npt.NDArray[np.float32]

#: float32 sums of shares may exceed one by their rounding.
_SLACK = 1e-4


@attrs.frozen(kw_only=True, eq=False)
class RunReport:
    """Everything the report of one run says and shows.

    frames: the output, uint8 (T, H, W, 3). source: the input, of any size and length.
    controls: what each modality saw. effective: per modality what its map is for each
    frame, on the token grid, after normalisation. regions: parts of the picture whose
    means are told apart, such as "foreground". chunk_starts: the frames at which the
    chunks begin. request: plain JSON. facts: what it is and its value. licences: of
    what, which, where from. left_out: modality and why it did not run. schedules:
    modality and how its map depends on the denoising step, in words.

    Raise ValueError where shapes do not fit or values lie outside 0..1.
    """

    title: str
    prompt: str
    negative_prompt: str = ""
    base: str
    frames: Frames
    source: Frames | None = None
    controls: dict[str, Frames] = attrs.field(factory=dict)
    effective: dict[str, Values] = attrs.field(factory=dict)
    regions: Mapping[str, Region] = attrs.field(factory=dict)
    fps: Fraction
    chunk_starts: tuple[int, ...] = (0,)
    request: dict[str, Any] = attrs.field(factory=dict)
    facts: tuple[tuple[str, str], ...] = ()
    licences: tuple[tuple[str, str, str], ...] = ()
    left_out: dict[str, str] = attrs.field(factory=dict)
    schedules: dict[str, str] = attrs.field(factory=dict)

    def __attrs_post_init__(self) -> None:
        clips = {"output": self.frames}
        if self.source is not None:
            clips["source"] = self.source
        clips |= {f"control {name}": clip for name, clip in self.controls.items()}
        for name, clip in clips.items():
            _refuse_no_clip(name, clip)
        length = len(self.frames)
        grids = {values.shape[1:] for values in self.effective.values()}
        if len(grids) > 1:
            raise ValueError(
                f"maps lie on grids {sorted(grids)}; bring all to one token grid"
            )
        for name, values in self.effective.items():
            _refuse_bad_values(name, values, length)
        for name, region in self.regions.items():
            if region.ndim != 3 or len(region) not in (1, length):
                raise ValueError(
                    f"region {name!r} is {region.shape} but the video has {length} "
                    "frames; give (T, H, W) or (1, H, W)"
                )


def _refuse_no_clip(name: str, clip: Frames) -> None:
    if clip.dtype != np.uint8 or clip.ndim != 4 or clip.shape[3] != 3 or not clip.size:
        raise ValueError(
            f"{name} is {clip.dtype} {clip.shape}; give uint8 (T, H, W, 3)"
        )


def _refuse_bad_values(name: str, values: Values, length: int) -> None:
    if values.ndim != 3 or len(values) != length or not values.size:
        raise ValueError(
            f"the map of {name!r} is {values.shape} but the video has {length} "
            "frames; give (T, rows, columns)"
        )
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1 + _SLACK):
        raise ValueError(
            f"the map of {name!r} holds {low:g} to {high:g}; give values in 0..1"
        )
