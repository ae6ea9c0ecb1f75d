"""Score how well a video keeps the edges of its source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import attrs
import cv2
import numpy as np
import numpy.typing as npt

from worldweave import WorldweaveError
from worldweave_plugins.edge.preprocess import Canny

if TYPE_CHECKING:
    from worldweave.base import Frames


def _is_distance(metric: EdgeF1, attribute: attrs.Attribute[Any], value: Any) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or value < 0:
        raise WorldweaveError(f"tolerance is {value!r}; give 0 or more pixels")


@attrs.frozen(kw_only=True)
class EdgeF1:
    """F1 of the Canny edges of a video against those of its reference, 0..1.

    Precision is the share of the video's edge pixels that lie within *tolerance*
    pixels (by rows and columns, diagonals count as one) of an edge of the
    reference; recall the same the other way round. The pixels of all frames
    count together. No edges in both is a perfect match, in one alone a miss.
    low, high: the thresholds of both Canny filters.
    """

    higher_is_better: ClassVar[bool] = True
    best: ClassVar[float] = 1.0
    tolerance: int = attrs.field(default=1, validator=_is_distance)
    low: int = 60
    high: int = 140

    def __attrs_post_init__(self) -> None:
        Canny(low=self.low, high=self.high)  # so that wrong ones are refused at once

    def __call__(self, video: Frames, reference: Frames) -> float:
        """Compare two videos uint8 (T, H, W, 3) of one shape."""
        if video.shape != reference.shape:
            raise WorldweaveError(
                f"the video is {video.shape} but its reference is {reference.shape}; "
                "bring both to one size and length"
            )
        canny = Canny(low=self.low, high=self.high)
        drawn, wanted = canny(video)[..., 0], canny(reference)[..., 0]
        if not drawn.any() or not wanted.any():
            return float(drawn.any() == wanted.any())
        precision = self._share_near(drawn, wanted)
        recall = self._share_near(wanted, drawn)
        if precision + recall == 0:
            return 0.0
        return 2 * precision * recall / (precision + recall)

    def _share_near(
        self, edges: npt.NDArray[np.uint8], others: npt.NDArray[np.uint8]
    ) -> float:
        """Return the share of *edges* (T, H, W) that have one of *others* nearby."""
        square = np.ones((2 * self.tolerance + 1,) * 2, np.uint8)
        near = sum(
            np.count_nonzero(edge & cv2.dilate(other, square))
            for edge, other in zip(edges, others, strict=True)
        )
        return near / np.count_nonzero(edges)
