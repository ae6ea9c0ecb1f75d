"""From a request to all that denoising needs but the weights."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import attrs

from worldweave.base import Frames
from worldweave.request.check import Prepared, raise_all
from worldweave.request.controls import make_controls
from worldweave.request.maps.tokens import TokenGrid
from worldweave.request.sources import Learned, MapArray, Schedule
from worldweave.request.spec import Request
from worldweave.request.survey import (
    Available,
    Survey,
    draw_all,
    survey,
    with_maps,
)
from worldweave_registry import Base, Catalog


@attrs.frozen(kw_only=True, eq=False)
class Plan:
    """A request that can be done: its controls and maps in memory.

    prepared and controls have the same keys, sorted, so that the order in which
    controls are given changes no bit; each is in maps or in learned. Frames are uint8
    (T, H, W, 3) at *size* (H, W), a size of the base; maps are float32 (T or 1, h, w)
    in 0..1, on the rows and columns of the tokens (with compat as drawn). seen_size is
    the (H, W) of the file that leads. regions: the shares of the tokens (T or 1, h, w)
    that belong to parts of the picture, for reports.
    """

    request: Request
    base: Base
    prepared: dict[str, Prepared]
    source: Frames | None
    controls: dict[str, Frames]
    maps: dict[str, MapArray]
    learned: dict[str, Learned]
    schedules: dict[str, Schedule]
    left_out: dict[str, str]
    regions: dict[str, MapArray]
    grid: TokenGrid
    frames: int
    size: tuple[int, int]
    seen_size: tuple[int, int]
    fps: Fraction


def make_plan(
    request: Request,
    catalog: Catalog,
    available: Available,
    *,
    also: Iterable[str] = (),
) -> Plan:
    """Read everything *request* names, draw its maps and make its controls.

    Raise Problems naming everything that is wrong, *also* included, before any model
    of a plugin or preprocessor runs.
    """
    return complete(survey(request, catalog, available, also=also))


def complete(looked: Survey) -> Plan:
    """Draw the maps that need a model, and make the controls of those that will run."""
    maps, problems = draw_all(looked, looked.pending)
    raise_all(problems)
    done = with_maps(looked, maps)
    footage = done.footage
    return Plan(
        request=done.request,
        base=done.base,
        prepared=done.prepared,
        source=footage.source,
        controls=make_controls(footage, done.prepared),
        maps=done.maps,
        learned=done.learned,
        schedules={
            name: each.control.schedule
            for name, each in done.prepared.items()
            if each.control.schedule is not None
        },
        left_out=done.left_out,
        regions=done.regions(may_look=True),
        grid=done.grid,
        frames=footage.frames,
        size=footage.size,
        seen_size=footage.seen_size,
        fps=footage.fps,
    )
