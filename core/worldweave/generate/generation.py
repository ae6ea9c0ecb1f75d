"""What a pipeline gives back: the video, and what it was made from."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import attrs

from worldweave.base import Frames
from worldweave.executor import Alone
from worldweave.request.plan import Plan
from worldweave.request.sources import MapArray
from worldweave.request.spec import Request


@attrs.frozen(kw_only=True)
class Tick:
    """Progress of a generation: evaluation *step* of *steps* in *chunk* of *chunks*."""

    chunk: int
    chunks: int
    step: int
    steps: int


@attrs.frozen(kw_only=True, eq=False)
class Generation:
    """A finished video and what it was made from.

    request: what was asked, its file names absolute, with every branch named that is
    not its plugin's own. inputs: SHA-256 of what it read, by what it is for.
    effective: float32 (T, h, w) by modality, the values of its map on the tokens of
    each frame as they were in effect: normalised, the mean over all steps. weights:
    SHA-256 by file. seconds: what it took, videos and controls not counted. layout: how
    processes shared the work, on which the last bits depend.
    """

    plan: Plan
    request: Request
    inputs: dict[str, str]
    frames: Frames
    effective: dict[str, MapArray]
    chunk_starts: tuple[int, ...]
    weights: dict[str, str]
    device: str
    dtype: str
    steps: int
    guidance: float
    seconds: float
    layout: dict[str, int] = attrs.field(factory=lambda: Alone().layout)

    @property
    def fps(self) -> Fraction:
        """Frames a second of the video, those of its source."""
        return self.plan.fps

    @property
    def controls(self) -> dict[str, Frames]:
        """The control video of each modality that ran."""
        return self.plan.controls

    @property
    def seen_size(self) -> tuple[int, int]:
        """The (H, W) of the file that led, before it was brought to the base's."""
        return self.plan.seen_size

    def save(self, path: str | Path, *, report: bool = True) -> Path:
        """Write the video, and beside it its controls, a report and the manifest.

        out.mp4 gets out.edge.mp4 and so on, out.report.html (unless *report* is
        False) and out.manifest.json. Return *path*.
        """
        from worldweave.generate.manifest import save

        return save(self, Path(path), report=report)
