"""See classes, depth, paint and time of day in frames: a small network, no oracle."""

# B frames, C classes, P paints, H W pixels

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from worldweave import WorldweaveError
from worldweave.checkpoints import store
from worldweave_plugins.tinyworld.facts import PAINTS, TIMES_OF_DAY
from worldweave_plugins.tinyworld.labels import CLASSES, class_index

if TYPE_CHECKING:
    from worldweave.base import Frames

WIDTHS: Final = (16, 32, 64, 112)
STRIDE: Final = 2 ** (len(WIDTHS) - 1)
NEAREST: Final = 0.3
FARTHEST: Final = 80.0
"""Metres: what is nearer or farther is told as this."""
PAINTED: Final = ("car", "arm", "object")
FEWEST_PIXELS: Final = 32
"""In a whole video; a class with fewer is not there."""


@attrs.frozen(kw_only=True, eq=False)
class Seen:
    """What the annotator sees in a video.

    ``classes`` uint8 (T, H, W), an index into ``CLASSES``; ``depth`` float32
    (T, H, W), metres along the view axis within NEAREST..FARTHEST; ``time`` one of
    ``TIMES_OF_DAY``; ``paints`` of each class that is seen, one of ``PAINTS``.
    """

    classes: NDArray[np.uint8]
    depth: NDArray[np.float32]
    time: str
    paints: Mapping[str, str]


@attrs.frozen(kw_only=True, eq=False)
class Annotation:
    """The network's own output: logits of the classes (B, C, H, W), of the paints
    (B, P, H, W) and of the times (B, 3); shown depth (B, H, W), not negative."""

    classes: Tensor
    paints: Tensor
    times: Tensor
    shown: Tensor


class Annotator(nn.Module):
    """A fully convolutional U-Net.

    Shown depth is the root of the inverse depth in metres, 0 in the sky: errors
    near the viewer count more than far away. The mean over the picture joins the
    coarsest level, so that every pixel knows a street from a table.
    """

    def __init__(self, *, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            [_convolutions(few, many) for few, many in pairwise((3, *widths))]
        )
        self.context = nn.Linear(widths[-1], widths[-1])
        self.up = nn.ModuleList(
            [
                _convolutions(coarse + fine, fine)
                for fine, coarse in reversed(list(pairwise(widths)))
            ]
        )
        self.time = nn.Linear(widths[-1], len(TIMES_OF_DAY))
        self.leave = nn.Conv2d(widths[0], len(CLASSES) + len(PAINTS) + 1, 1)

    def forward(self, frames: Tensor) -> Annotation:
        """Annotate frames (B, 3, H, W) in -1..1; H and W are multiples of STRIDE."""
        kept: list[Tensor] = []
        hidden = frames
        for level, stage in enumerate(self.down):
            hidden = stage(F.avg_pool2d(hidden, 2) if level else hidden)
            kept.append(hidden)
        whole = kept.pop().mean((2, 3))
        hidden = hidden + self.context(whole)[:, :, None, None]
        for stage in self.up:
            finer = F.interpolate(hidden, scale_factor=2.0, mode="nearest")
            hidden = stage(torch.cat([finer, kept.pop()], dim=1))
        classes, paints, shown = self.leave(hidden).split(
            [len(CLASSES), len(PAINTS), 1], dim=1
        )
        return Annotation(
            classes=classes,
            paints=paints,
            times=self.time(whole),
            shown=F.softplus(shown[:, 0]),
        )

    @torch.inference_mode()
    def look(self, video: Frames) -> Seen:
        """Annotate uint8 frames (T, H, W, 3), on whatever device this is.

        Raise WorldweaveError for a size that is no multiple of STRIDE.
        """
        frames, height, width, channels = video.shape
        if height % STRIDE or width % STRIDE or channels != 3 or not frames:
            raise WorldweaveError(
                f"the video is {video.shape}; the annotator of tiny-world takes "
                f"(T, H, W, 3) with H and W multiples of {STRIDE}; resize it"
            )
        parameter = self.leave.weight
        pixels = torch.from_numpy(np.ascontiguousarray(video)).to(parameter.device)
        pixels = pixels.permute(0, 3, 1, 2).to(parameter.dtype) / 127.5 - 1
        annotation = self(pixels)
        classes = annotation.classes.argmax(1)
        return Seen(
            classes=classes.to(torch.uint8).cpu().numpy(),
            depth=depth_of(annotation.shown.float()).cpu().numpy(),
            time=TIMES_OF_DAY[int(annotation.times.softmax(1).mean(0).argmax())],
            paints=_paints(annotation.paints, classes),
        )


def show_depth(depth: Tensor) -> Tensor:
    """Return the root of the inverse of metres; 0 for infinity."""
    return depth.clamp_min(NEAREST).rsqrt()


def depth_of(shown: Tensor) -> Tensor:
    """Undo ``show_depth``, within NEAREST..FARTHEST."""
    return shown.clamp(FARTHEST**-0.5, NEAREST**-0.5) ** -2


def load(path: Path, *, device: torch.device | str = "cpu") -> Annotator:
    """Read an annotator; raise WeightsError where the file does not fit exactly."""
    with torch.device("meta"):
        model = Annotator()
    what = "the annotator of tiny-world"
    store.load(model, path, device=device, dtype=torch.float32, what=what)
    return model.eval().requires_grad_(False)


def _paints(logits: Tensor, classes: Tensor) -> dict[str, str]:
    """Return the paint that most pixels of each painted class vote for."""
    votes = F.one_hot(logits.argmax(1), len(PAINTS))
    found = {}
    for name in PAINTED:
        of_class = votes[classes == class_index(name)]
        if len(of_class) >= FEWEST_PIXELS:
            found[name] = PAINTS[int(of_class.sum(0).argmax())]
    return found


def _convolutions(few: int, many: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (few, many):
        layers += [
            nn.Conv2d(channels, many, 3, padding=1, bias=False),
            nn.GroupNorm(many // 8, many),
            nn.SiLU(),
        ]
    return nn.Sequential(*layers)
