"""Read the labels of a request: the class of each pixel of each frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import attrs
import numpy as np

from worldweave.request.labels.classes import Ids, to_classes
from worldweave.request.labels.layouts import carla, isaac, plain
from worldweave.request.maps.timing import frame_index
from worldweave.request.sources import Labels

_LAYOUTS = {"plain": plain, "isaac": isaac, "carla": carla}


@attrs.frozen(kw_only=True)
class LabelVideo:
    """Classes of pixels: ids (T, H, W), or (1, H, W) for all frames, into *names*.

    ids are uint8, or uint16 where there are more than 256 names. A name is there
    once, and may be on no pixel.
    """

    ids: Ids = attrs.field(eq=attrs.cmp_using(eq=np.array_equal), repr=False)
    names: tuple[str, ...]


def read_labels(
    labels: Labels, *, frames: int, fps: Fraction, whole: int | None
) -> LabelVideo:
    """Read labels for a video of *frames* at *fps*; a single picture stays one.

    whole: the frames there were before max_frames cut the video; None: not known.
    The layouts are `layouts.plain`, `isaac` and `carla`; how a picture becomes
    classes `classes.to_classes` says. Raise WorldweaveError for files that
    cannot be read, tables that contradict themselves, pixels that are in no table,
    and lengths that do not fit (see `timing.frame_index`).
    """
    what = f"labels {labels.file}"
    source, table = _LAYOUTS[labels.layout](Path(labels.file), labels.classes, what)
    if source.count == 1:
        return LabelVideo(ids=to_classes(source, table, what), names=table.names)
    shown = frame_index(
        have=source.count,
        have_fps=source.fps,
        frames=frames,
        fps=fps,
        match=labels.match,
        stated_fps=labels.fps,
        length=labels.length,
        what=what,
        whole=whole,
    )
    return LabelVideo(ids=to_classes(source, table, what)[shown], names=table.names)
