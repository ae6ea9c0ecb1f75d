"""Draw how much each modality decides over time, as shares stacked on each other."""

# T frames, h w rows and columns of the token grid, H W rows and columns

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from html import escape

import attrs
import cv2
import numpy as np
import numpy.typing as npt

from worldweave.report import colours
from worldweave.report.run import Region, Values

#: Means over a part of the picture, one per frame; NaN where it has no pixels.
Means = npt.NDArray[np.float64]

#: More chunks than this are marked but not numbered.
_MOST_NUMBERED = 6
_CURSOR = '<path class="cursor" d="M0.5 0V1"/>'


@attrs.frozen(kw_only=True, eq=False)
class Panel:
    """The means of every modality in one part of the picture."""

    title: str
    means: Mapping[str, Means]


def panels(
    effective: Mapping[str, Values], regions: Mapping[str, Region]
) -> list[Panel]:
    """Return the whole picture, then each of *regions*."""
    whole = {n: v.mean(axis=(1, 2), dtype=np.float64) for n, v in effective.items()}
    found = [Panel(title="whole picture", means=whole)]
    if not effective:
        return found
    grid = next(iter(effective.values())).shape[1:]
    for title, region in regions.items():
        shares = _on_grid(region, (grid[0], grid[1]))
        means = {name: _means_in(values, shares) for name, values in effective.items()}
        found.append(Panel(title=title, means=means))
    return found


def _on_grid(region: Region, grid: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Return the share of each token that lies in *region*, (T or 1, h, w)."""
    shares = np.empty((len(region), *grid), np.float64)
    for share, frame in zip(shares, region, strict=True):
        picture = frame.astype(np.float32)
        share[...] = cv2.resize(picture, grid[::-1], interpolation=cv2.INTER_AREA)
    return shares


def _means_in(values: Values, shares: npt.NDArray[np.float64]) -> Means:
    area = np.broadcast_to(shares.sum(axis=(1, 2)), (len(values),))
    total = (values * shares).sum(axis=(1, 2))
    means = np.full(len(values), np.nan)
    np.divide(total, area, out=means, where=area > 0)
    return means


def mean(means: Means) -> float:
    """Return the mean over the frames that have one, NaN where none has."""
    known = means[~np.isnan(means)]
    return float(known.mean()) if len(known) else math.nan


def shown(value: float) -> str:
    """Return a value in two decimals, a dash for what is no number."""
    return "\u2013" if math.isnan(value) else f"{value:.2f}"


def figure(panel: Panel, chunk_starts: Sequence[int], fps: Fraction) -> str:
    """Return *panel* as HTML: a line per modality, its area, and what it is now.

    One unit across is one frame, one unit down is the value 1.
    """
    length = len(next(iter(panel.means.values())))
    title = escape(panel.title, quote=True)
    return (
        f'<figure class="chart"><figcaption><h3>{escape(panel.title)}</h3>'
        f'<ul class="names">{_names(panel)}</ul></figcaption>'
        f'<div class="plot"><svg viewBox="0 0 {length} 1" preserveAspectRatio="none" '
        f'role="img" aria-label="Means over time: {title}">'
        f"{_areas(panel)}{_rules(chunk_starts)}"
        f"{_CURSOR * (length > 1)}</svg>"
        '<span class="y" style="top: 0">1</span><span class="y" style="top: 50%">½'
        '</span><span class="y" style="top: 100%">0</span></div>'
        f'<p class="x">{_axis(chunk_starts, length, fps)}</p></figure>'
    )


def _names(panel: Panel) -> str:
    left = 1 - np.sum(list(panel.means.values()), axis=0)
    rest = {"prompt alone": np.maximum(left, 0)}
    hues = [colours.hue(at) for at in range(len(panel.means))]
    return "".join(
        f'<li><i style="background: {colours.in_css(hue)}"></i>{escape(name)} '
        f'<output data-means="{escape(_plain(means), quote=True)}">'
        f"{shown(mean(means))}</output></li>"
        for hue, (name, means) in zip(
            [*hues, colours.GREY], {**panel.means, **rest}.items(), strict=True
        )
    )


def _plain(means: Means) -> str:
    values = [None if math.isnan(value) else round(value, 3) for value in means]
    return json.dumps(values, separators=(",", ":"))


def _areas(panel: Panel) -> str:
    """Return the areas from the bottom upwards, each with a line along its top."""
    drawn = []
    floor = np.zeros(len(next(iter(panel.means.values()))))
    for at, (name, means) in enumerate(panel.means.items()):
        top = floor + np.nan_to_num(means)
        colour = colours.in_css(colours.hue(at))
        outline = _steps(top) + _steps(floor, back=True)
        drawn.append(
            f'<path class="area" data-name="{escape(name, quote=True)}" '
            f'fill="{colour}" d="M{outline}Z"/>'
        )
        drawn.append(f'<path class="line" stroke="{colour}" d="M{_steps(top)}"/>')
        floor = top
    unknown = np.isnan(next(iter(panel.means.values())))
    drawn += [
        f'<rect class="absent" x="{at}" width="1" height="1"/>'
        for at in np.flatnonzero(unknown)
    ]
    return "".join(drawn)


def _steps(heights: Means, *, back: bool = False) -> str:
    """Return "x,y x,y ..." of a line that is level over each frame."""
    points = [
        f"{x},{1 - height:.5g}"
        for at, height in enumerate(heights.clip(0, 1))
        for x in (at, at + 1)
    ]
    return " ".join(reversed(points) if back else points) + " "


def _rules(chunk_starts: Sequence[int]) -> str:
    return "".join(
        f'<path class="rule" d="M{start} 0V1"/>' for start in chunk_starts if start > 0
    )


def _axis(chunk_starts: Sequence[int], length: int, fps: Fraction) -> str:
    """Return the chunks by number and second, or the seconds alone."""
    if not 1 < len(chunk_starts) <= _MOST_NUMBERED:
        return f'<span>0 s</span><span class="end">{_seconds(length, fps)}</span>'
    ends = (*chunk_starts[1:], length)
    return "".join(
        f'<span style="width: {100 * (end - start) / length:.2f}%">chunk {at + 1}'
        f"<em> · {_seconds(start, fps)}</em></span>"
        for at, (start, end) in enumerate(zip(chunk_starts, ends, strict=True))
    )


def _seconds(frame: int, fps: Fraction) -> str:
    return f"{float(frame / fps):.2f} s"
