"""Look at the maps of a request before any picture is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from worldweave.checkpoints.map_file import modalities_of
from worldweave.loading import map_file
from worldweave.request.check import Prepared
from worldweave.request.maps.check import map_problems
from worldweave.request.maps.schedule import schedule_problems
from worldweave.request.maps.sight import BY_RULE, FROM_LABELS
from worldweave.request.sources import Learned, MapValue, Objects, Prompt, Salient
from worldweave.request.spec import Request
from worldweave.request.walk import maps_in
from worldweave_registry import (
    Base,
    Catalog,
    Hooks,
    LicenseError,
    State,
    WeightsError,
)


def problems_of_maps(
    request: Request, prepared: Mapping[str, Prepared], base: Base | None, hook: Hooks
) -> list[str]:
    """Return what is wrong with the maps as they stand; no picture is read."""
    problems: list[str] = []
    for name, control in request.controls.items():
        value = prepared[name].map if name in prepared else control.map
        if value is not None:
            problems += map_problems(name, value)
        problems += schedule_problems(name, control.schedule)
        if isinstance(value, Learned):
            problems += _learned_problems(name, value, request, base, hook)
    return problems


def blind(
    request: Request, prepared: Mapping[str, Prepared], catalog: Catalog
) -> dict[str, str]:
    """Return the modalities whose map needs to see what the request does not give, or
    what licences forbid to look with, and what that is."""
    found = {}
    objects = request.objects or Objects()
    for name, each in prepared.items():
        sources = list(maps_in(each.map))
        is_salient = any(isinstance(source, Salient) for source in sources)
        is_prompt = any(isinstance(source, Prompt) for source in sources)
        if is_salient and not objects.masks.strip():
            found[name] = (
                f"objects.masks is {objects.masks!r}; give {FROM_LABELS!r}, or what to "
                'look for: "a car. a person."'
            )
        elif is_salient and objects.masks == FROM_LABELS and request.labels is None:
            found[name] = (
                f"map of {name!r} needs to know the objects; give labels, or what to "
                'look for: objects: {"masks": "a car. a person."}'
            )
        elif is_salient and not _is_known(objects.classifier, catalog):
            found[name] = (
                f"no plugin knows a classifier {objects.classifier!r}; give {BY_RULE!r}"
                ", or install a plugin that implements worldweave_foreground"
            )
        looks = is_prompt or (is_salient and _looks(objects))
        if looks and request.video is None:
            found[name] = f"map of {name!r} needs a source video to look at; give one"
        elif name not in found and (refusals := _refused(sources, objects, catalog)):
            found[name] = f"map of {name!r}: {'; '.join(refusals)}"
    return found


def _refused(
    sources: Iterable[MapValue], objects: Objects, catalog: Catalog
) -> list[str]:
    """Return why licences leave no plugin that could see what a map asks for."""
    tasks: dict[str, str] = {}
    for source in sources:
        if isinstance(source, Prompt):
            tasks["map"] = "worldweave_map"
        if isinstance(source, Salient) and objects.masks != FROM_LABELS:
            tasks["objects"] = "worldweave_objects"
        if isinstance(source, Salient) and objects.classifier != BY_RULE:
            tasks[f"foreground:{objects.classifier}"] = "worldweave_foreground"
    refusals = (catalog.hook.refusal(hook, task) for task, hook in tasks.items())
    return [refusal for refusal in refusals if refusal]


def _is_known(classifier: str, catalog: Catalog) -> bool:
    """Tell whether a plugin may know *classifier*: says so, or does not say."""
    if classifier == BY_RULE:
        return True
    silent = any(
        plugin.state is State.READY
        and "worldweave_foreground" in plugin.hooks
        and "worldweave_models" not in plugin.hooks
        for plugin in catalog.plugins
    )
    try:
        models = catalog.hook.worldweave_models(task=f"foreground:{classifier}")
    except LicenseError:
        return True  # or not: who may not be used is told by `_refused`
    return silent or models is not None


def _looks(objects: Objects) -> bool:
    return objects.masks != FROM_LABELS or objects.classifier != BY_RULE


def _learned_problems(
    name: str, value: Learned, request: Request, base: Base | None, hook: Hooks
) -> list[str]:
    if request.compat is not None:
        return [
            f"map of {name!r} is learned, which compat {request.compat!r} does not "
            "know; leave one of them out"
        ]
    if base is None or value.scale == 0 or map_problems(name, value):
        return []
    try:
        known = modalities_of(map_file(base, value.learned, hook), base=base.name)
    except LicenseError:
        return []  # `examine` says so
    except WeightsError as error:
        return [f"map of {name!r}: {error}"]
    if name in known:
        return []
    return [
        f"map of {name!r} is learned, but the network knows {', '.join(known)}; give "
        f"it another map, or train one: worldweave train maps --base {base.name}"
    ]
