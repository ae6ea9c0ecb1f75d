"""Look at all a request names, before any model is loaded or run."""

# T H W video frames, rows, columns

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import attrs

from worldweave.diffusion.sampler import noise_levels
from worldweave.loading import config_of
from worldweave.request.check import Prepared, examine, raise_all
from worldweave.request.check_maps import blind, problems_of_maps
from worldweave.request.controls import Footage, read_footage
from worldweave.request.labels.video import LabelVideo, read_labels
from worldweave.request.maps.draw import Scene, draw, map_problems, needs_model
from worldweave.request.maps.schedule import factor, told
from worldweave.request.maps.shapes import Canvas
from worldweave.request.maps.sight import Sight
from worldweave.request.maps.tokens import TokenGrid, grid_of, is_dead, shrunk
from worldweave.request.regions import regions
from worldweave.request.sources import (
    Feather,
    Learned,
    MapArray,
    MapValue,
    Maximum,
    Objects,
    Product,
    Rule,
    Salient,
)
from worldweave.request.spec import Request, type_problems
from worldweave.request.walk import maps_in
from worldweave_registry import (
    Base,
    Catalog,
    Problems,
    WorldweaveError,
)

#: Says why modality *name* cannot run on this base: nothing, or lines.
Available = Callable[[str, Prepared, Base], list[str]]


@attrs.frozen(kw_only=True, eq=False)
class Survey:
    """A request that can be done, its videos and labels in memory; no model has run.

    prepared: the modalities that will run, or may, sorted by name. maps: float32
    (T or 1, h, w) in 0..1 of those that need no model: on the rows and columns of
    the tokens, or as drawn with compat. pending: whose maps a plugin's model must
    draw first. learned: whose maps a network predicts chunk by chunk. left_out: why
    the others do not run.
    """

    request: Request
    base: Base
    prepared: dict[str, Prepared]
    footage: Footage
    grid: TokenGrid
    scene: Scene
    sight: Sight
    maps: dict[str, MapArray]
    pending: tuple[str, ...]
    learned: dict[str, Learned]
    left_out: dict[str, str]

    def draw(self, name: str) -> MapArray:
        """Draw the map of modality *name*, whatever that takes."""
        values = draw(name, self.prepared[name].map, self.scene)
        if self.request.compat is not None:
            return values
        return shrunk(values, self.grid.rows, self.grid.columns)

    def regions(self, *, may_look: bool = False) -> dict[str, MapArray]:
        """Return the parts of the picture the maps speak of: see `regions`.

        may_look: plugins' models may run, or have.
        """
        labels, sight = self.scene.labels, self.sight
        return regions(self.prepared, labels, sight, self.grid, may_look=may_look)


def survey(
    request: Request,
    catalog: Catalog,
    available: Available,
    *,
    also: Iterable[str] = (),
) -> Survey:
    """Read the videos, labels and maps that *request* names.

    A modality whose map is zero everywhere is left out. Raise Problems naming
    everything that is wrong, *also* included.
    """
    if wrong_types := type_problems(request):
        raise_all([*also, *wrong_types])
    base, prepared, problems = examine(request, catalog)
    footage, found = read_footage(request, base, prepared)
    problems = [*also, *problems, *found]
    labels, found = _read_labels(request, footage)
    problems += found
    problems += problems_of_maps(request, prepared, base, catalog.hook)
    cannot_see = blind(request, prepared, catalog)
    problems += cannot_see.values()
    if base is None or footage is None:
        if base is not None:
            problems += _unavailable(prepared, base, available)
        raise_all(problems)
        raise Problems(["no base or no video; give both"])
    sight = Sight(
        objects=request.objects or Objects(),
        source=footage.source,
        labels=labels,
        hook=catalog.hook,
    )
    looked = Survey(
        request=request,
        base=base,
        prepared={name: prepared[name] for name in sorted(prepared)},
        footage=footage,
        grid=grid_of(base, config_of(base), footage.size),
        scene=_scene(footage, labels, sight, _whole(request, footage)),
        sight=sight,
        maps={},
        pending=tuple(n for n in sorted(prepared) if _is_pending(prepared[n], sight)),
        learned={
            name: each.map
            for name, each in sorted(prepared.items())
            if isinstance(each.map, Learned)
        },
        left_out={n: "its map is 0" for n in request.controls if n not in prepared},
    )
    if not problems:
        looked = _without_idle(looked, request.steps or base.steps)
    ready = [
        name
        for name in looked.prepared
        if name not in looked.pending
        and name not in looked.learned
        and name not in cannot_see
    ]
    if request.labels is not None and labels is None:
        # Why is told already; a map cannot know and would say that there are none.
        ready = [n for n in ready if not _is_from_labels(prepared[n])]
    # What is wrong by itself is told once; to draw it would tell it again.
    maps, found = draw_all(looked, ready if not problems else _sound(looked, ready))
    done = with_maps(looked, maps)
    raise_all([*problems, *found, *_unavailable(done.prepared, base, available)])
    return done


def _without_idle(looked: Survey, steps: int) -> Survey:
    """Leave out what no drawing is needed for to know that it does nothing."""
    levels = noise_levels(steps, sigma_max=looked.request.sigma_max)
    idle = {}
    for name, each in looked.prepared.items():
        schedule = each.control.schedule
        if _is_zero(each.map):
            idle[name] = "its map is 0"
        elif schedule is not None and not any(
            factor(schedule, at, levels) for at in range(len(levels))
        ):
            idle[name] = f"its schedule is 0 at every step ({told(schedule)})"
    return attrs.evolve(
        looked,
        prepared={n: p for n, p in looked.prepared.items() if n not in idle},
        pending=tuple(name for name in looked.pending if name not in idle),
        learned={n: s for n, s in looked.learned.items() if n not in idle},
        left_out=looked.left_out | idle,
    )


def _is_zero(value: MapValue) -> bool:
    """Tell whether a map is zero whatever is in the picture."""
    if isinstance(value, (int, float)):
        return value == 0
    if isinstance(value, Learned):
        return value.scale == 0
    if isinstance(value, Salient):
        return value.foreground == value.background == 0
    if isinstance(value, Product):
        return any(map(_is_zero, value.product))
    if isinstance(value, Maximum):
        return all(map(_is_zero, value.max))
    return isinstance(value, Feather) and _is_zero(value.feather)


def _unavailable(
    prepared: Mapping[str, Prepared], base: Base, available: Available
) -> list[str]:
    return [
        line for name, each in prepared.items() for line in available(name, each, base)
    ]


def draw_all(
    looked: Survey, names: Iterable[str]
) -> tuple[dict[str, MapArray], list[str]]:
    """Draw the maps of modalities *names*, and say why some cannot be."""
    maps: dict[str, MapArray] = {}
    problems: list[str] = []
    for name in names:
        try:
            maps[name] = looked.draw(name)
        except WorldweaveError as error:
            found = error.problems if isinstance(error, Problems) else [str(error)]
            problems += [_of_map(name, problem) for problem in found]
    return maps, problems


def _of_map(name: str, problem: str) -> str:
    """Say whose map *problem* is about, where it does not itself."""
    whose = f"map of {name!r}"
    return problem if whose in problem else f"{whose}: {problem}"


def with_maps(looked: Survey, maps: Mapping[str, MapArray]) -> Survey:
    """Return *looked* with *maps* drawn; what is zero everywhere is left out."""
    dead = {name for name, values in maps.items() if is_dead(values)}
    drawn = looked.maps | {n: maps[n] for n in maps if n not in dead}
    return attrs.evolve(
        looked,
        prepared={n: p for n, p in looked.prepared.items() if n not in dead},
        maps={name: drawn[name] for name in sorted(drawn)},
        pending=tuple(name for name in looked.pending if name not in maps),
        left_out=looked.left_out | dict.fromkeys(dead, "its map is 0 everywhere"),
    )


def _scene(
    footage: Footage, labels: LabelVideo | None, sight: Sight, whole: int | None
) -> Scene:
    return Scene(
        canvas=Canvas(
            frames=footage.frames,
            size=footage.size,
            fps=footage.fps,
            whole=whole,
        ),
        source=footage.source,
        labels=labels,
        foreground=sight.foreground,
        see=sight.see,
    )


def _whole(request: Request, footage: Footage) -> int | None:
    """Return how many frames the video has; None where max_frames may have cut it."""
    return None if request.max_frames == footage.frames else footage.frames


def _is_pending(each: Prepared, sight: Sight) -> bool:
    value = each.map
    is_salient = any(isinstance(source, Salient) for source in maps_in(value))
    return needs_model(value) or (is_salient and sight.needs_model)


def _is_from_labels(each: Prepared) -> bool:
    return any(isinstance(source, (Rule, Salient)) for source in maps_in(each.map))


def _read_labels(
    request: Request, footage: Footage | None
) -> tuple[LabelVideo | None, list[str]]:
    if request.labels is None or footage is None:
        return None, []
    try:
        found = read_labels(
            request.labels,
            frames=footage.frames,
            fps=footage.fps,
            whole=_whole(request, footage),
        )
    except Problems as error:
        return None, list(error.problems)
    except WorldweaveError as error:
        return None, [str(error)]
    return found, []


def _sound(looked: Survey, names: Iterable[str]) -> list[str]:
    """Return those of *names* whose maps have nothing wrong by themselves."""
    return [name for name in names if not map_problems(name, looked.prepared[name].map)]
