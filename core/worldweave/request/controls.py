"""The videos of a request: the source, the ready controls, those made from it."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import attrs
import numpy as np

from worldweave.base import Frames
from worldweave.blame import blamed
from worldweave.io import sizes
from worldweave.io import video as video_io
from worldweave.request.check import Prepared, Preprocessor
from worldweave.request.spec import Request, VideoValue
from worldweave_registry import (
    Base,
    Modality,
    PluginError,
    WorldweaveError,
)


@attrs.frozen(kw_only=True, eq=False)
class Footage:
    """What a request's videos show: uint8 (T, H, W, 3), all of one length and size.

    source is None where only ready controls were given. seen_size is the (H, W) of
    the leading file before it was brought to the base's.
    """

    source: Frames | None
    ready: dict[str, Frames]
    frames: int
    size: tuple[int, int]
    seen_size: tuple[int, int]
    fps: Fraction


def read_footage(
    request: Request, base: Base | None, prepared: Mapping[str, Prepared]
) -> tuple[Footage | None, list[str]]:
    """Read the source and the ready controls, and name all that is wrong with them.

    The source leads; without one, the first ready control: the others must have
    its length. Footage is None where the leading video cannot be read. Without a
    base it keeps its size: the problems still come to light.
    """
    ready = {
        f"control video of {name!r}": control.video
        for name, control in request.controls.items()
        if control.video is not None
    }
    given = ready if request.video is None else {"source video": request.video}
    if not given:
        return None, []
    leading = next(iter(given))
    problems: list[str] = []
    reader = _Reader(request=request, base=base, problems=problems)
    lead_kind = "video" if request.video is not None else _kind_of(leading, prepared)
    first = reader.read(leading, given[leading], lead_kind)
    length = None if first is None else len(first.frames)
    controls = {}
    for name in prepared:
        what = f"control video of {name!r}"
        if what not in ready:
            continue
        video = first
        if what != leading:
            video = reader.read(what, ready[what], _kind_of(what, prepared))
        if video is not None:
            problems += _length_problem(what, len(video.frames), length)
            controls[name] = video.frames
    if first is None or reader.seen_size is None:
        return None, problems
    footage = Footage(
        source=None if request.video is None else first.frames,
        ready=controls,
        frames=len(first.frames),
        size=first.frames.shape[1:3],
        seen_size=reader.seen_size,
        fps=first.fps,
    )
    return footage, problems


def make_controls(
    footage: Footage, prepared: Mapping[str, Prepared]
) -> dict[str, Frames]:
    """Return the control of each modality: the ready one, or made from the source.

    Preprocessors see the source at the base's size, as in training: Canny edges of
    a 4K video, scaled down to 96 pixels, would be mush.
    """
    controls = {}
    for name, each in prepared.items():
        if name in footage.ready:
            controls[name] = footage.ready[name]
        elif each.preprocessor is not None and footage.source is not None:
            controls[name] = run_preprocessor(
                name,
                each.preprocessor,
                footage.source,
                report=report_of(each.modality),
            )
    return controls


def _kind_of(what: str, prepared: Mapping[str, Prepared]) -> sizes.Kind:
    """Return how the ready control called *what* may be scaled."""
    for name, each in prepared.items():
        if what == f"control video of {name!r}" and each.modality.is_label_video:
            return "labels"
    return "control"


@attrs.define(kw_only=True)
class _Reader:
    """Reads the videos of a request, each frame brought to one size at once.

    The first video that can be read decides the size: the base's nearest.
    """

    request: Request
    base: Base | None
    problems: list[str]
    seen_size: tuple[int, int] | None = None

    def read(
        self, what: str, value: VideoValue, kind: sizes.Kind
    ) -> video_io.Video | None:
        """Read one video, or add to the problems why that cannot be."""

        def fit(frames: Frames) -> Frames:
            return sizes.resize(frames, self._size_for(frames.shape[1:3]), kind)

        most = _at_most(self.request)
        if isinstance(value, str):
            try:
                return video_io.read(value, max_frames=most, fit=fit)
            except WorldweaveError as error:
                self.problems.append(str(error))
                return None
        if value.ndim != 4 or value.shape[-1] != 3 or value.dtype != np.uint8:
            self.problems.append(
                f"{what} is an array of {value.dtype} {value.shape}; "
                "give uint8 frames (T, H, W, 3)"
            )
            return None
        if 0 in value.shape:
            self.problems.append(
                f"{what} is {value.shape}, without pixels; give some frames"
            )
            return None
        fps = video_io.DEFAULT_FPS
        if self.base is not None:
            fps = Fraction(self.base.fps).limit_denominator(1001)
        return video_io.Video(frames=fit(value[:most]), fps=fps)

    def _size_for(self, size: tuple[int, int]) -> tuple[int, int]:
        if self.seen_size is None:
            self.seen_size = size
        if self.base is None:
            return self.seen_size
        return sizes.bucket(self.seen_size, self.base.sizes)


def _at_most(request: Request) -> int | None:
    """Return max_frames, unless it is itself one of the problems."""
    most = request.max_frames
    return None if most is None or most < 1 else most


def _length_problem(what: str, length: int, frames: int | None) -> list[str]:
    if frames is None or length == frames:
        return []
    if length < frames:
        return [
            f"{what} has {length} frames but the video has {frames}; give a control "
            f"for every frame, or set max_frames to {length}"
        ]
    return [
        f"{what} has {length} frames but the video only {frames}; "
        f"cut it, or set max_frames to {frames}"
    ]


def run_preprocessor(
    name: str,
    preprocess: Preprocessor,
    source: Frames,
    *,
    report: str = "report it to the plugin's author",
) -> Frames:
    """Return the control that the preprocessor of modality *name* makes of *source*.

    Raise PluginError, ending in *report*, where it fails or gives anything but frames
    like the source's.
    """
    seen = source.copy()
    with blamed(f"the preprocessor of {name!r}", report):
        made = preprocess(seen)
    is_array = isinstance(made, np.ndarray)
    if not is_array or made.shape != source.shape or made.dtype != source.dtype:
        got = f"{made.dtype} {made.shape}" if is_array else type(made).__name__
        raise PluginError(
            f"the preprocessor of {name!r} gave {got}, expected "
            f"{source.dtype} {source.shape}; {report}"
        )
    return made


def report_of(modality: Modality) -> str:
    """Return whom to tell where the preprocessor of *modality* fails."""
    part = modality.preprocessor or modality.branch
    return part.report
