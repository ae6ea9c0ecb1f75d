"""From a request to all that denoising needs but the weights, read once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import attrs

from worldweave.base import Frames
from worldweave.request.check import Prepared, examine, raise_all
from worldweave.request.controls import make_controls, read_footage
from worldweave.request.maps import MapArray, is_dead, read_map
from worldweave.request.spec import Control, MapValue, Request, type_problems
from worldweave_registry import Base, Catalog, Problems, WorldweaveError

#: Says why modality *name* cannot run on this base: nothing, or lines.
Available = Callable[[str, Prepared, Base], list[str]]


@attrs.frozen(kw_only=True, eq=False)
class Plan:
    """A request that can be done: its controls and maps in memory.

    prepared, controls and maps have the same keys, sorted, so that the order in
    which controls are given changes no bit. Frames are uint8 (T, H, W, 3) at
    *size* (H, W), a size of the base; maps are float32 (T or 1, H, W) in 0..1, at
    their own size. seen_size is the (H, W) of the file that leads.
    """

    request: Request
    base: Base
    prepared: dict[str, Prepared]
    source: Frames | None
    controls: dict[str, Frames]
    maps: dict[str, MapArray]
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
    """Read everything *request* names and make its controls.

    A modality whose map is zero everywhere is left out. Raise Problems naming
    everything that is wrong, *also* included, before any preprocessor runs.
    """
    if wrong_types := type_problems(request):
        raise_all([*also, *wrong_types])
    base, prepared, problems = examine(request, catalog)
    footage, found = read_footage(request, base, prepared)
    problems = [*also, *problems, *found]
    controls = request.controls | {n: p.control for n, p in prepared.items()}
    maps, found = _read_maps(controls, None if footage is None else footage.frames)
    problems += found
    dead = {name for name, values in maps.items() if is_dead(values)}
    prepared = {n: prepared[n] for n in sorted(prepared) if n not in dead}
    if base is not None:
        for name, each in prepared.items():
            problems += available(name, each, base)
    raise_all(problems)
    if base is None or footage is None:
        raise Problems(["no base or no video; give both"])
    return Plan(
        request=request,
        base=base,
        prepared=prepared,
        source=footage.source,
        controls=make_controls(footage, prepared),
        maps={name: maps[name] for name in prepared},
        frames=footage.frames,
        size=footage.size,
        seen_size=footage.seen_size,
        fps=footage.fps,
    )


def _read_maps(
    controls: Mapping[str, Control], frames: int | None
) -> tuple[dict[str, MapArray], list[str]]:
    """Return the maps that fit a video of *frames*, and why the others do not.

    Where the video is unknown, maps are not read.
    """
    maps, problems = {}, []
    for name, control in controls.items():
        value = control.map
        if value is None:
            continue
        if found := _map_problems(name, value):
            problems += found
        elif frames is not None:
            try:
                maps[name] = read_map(name, value, frames)
            except WorldweaveError as error:
                problems.append(str(error))
    return maps, problems


def _map_problems(name: str, value: MapValue) -> list[str]:
    if isinstance(value, (int, float)) and not 0 <= value <= 1:
        return [f"map of {name!r} is {value}; give a number from 0 to 1"]
    if isinstance(value, str) and not Path(value).is_file():
        return [
            f"map of {name!r} is {value!r}, which is neither a number nor a "
            "file; give a number from 0 to 1, or check the path"
        ]
    return []
