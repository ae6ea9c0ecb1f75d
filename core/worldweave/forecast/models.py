"""The models of plugins that a request needs before its maps are known."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from worldweave.forecast.files import FileEntry
from worldweave_registry import Catalog, Model, State, WorldweaveError, one_line

NOT_TOLD = "a plugin's model; its files are not told"


@attrs.frozen(kw_only=True)
class Task:
    """Something a plugin's model must do.

    name: as `worldweave_models` is asked. what: whom it is for, to be shown. hook: the
    one that does it. otherwise: what to do where no plugin can.
    """

    name: str
    what: str
    hook: str
    otherwise: str


def list_models(tasks: Iterable[Task], catalog: Catalog) -> tuple[FileEntry, ...]:
    """Return the models that *tasks* read, each once; nothing is loaded.

    Where no plugin tells them they are an entry of their own: not known where a plugin
    may still have some, else a problem.
    """
    found: dict[FileEntry, None] = {}
    for task in tasks:
        found |= dict.fromkeys(_of_task(task, catalog))
    return tuple(found)


def _of_task(task: Task, catalog: Catalog) -> list[FileEntry]:
    try:
        models = catalog.hook.worldweave_models(task=task.name)
    except WorldweaveError as error:
        return [_told(task, is_present=False, problem=one_line(error))]
    entries = [_entry(model) for model in models or ()]
    is_sound = models is not None and all(entry.is_present for entry in entries)
    if not is_sound and _others(task.hook, catalog):
        # One of these may answer first, or instead.
        return [_told(task, is_present=None, uri=NOT_TOLD)]
    if models is None:
        return [_told(task, is_present=False, problem=task.otherwise)]
    return entries


def _others(hook: str, catalog: Catalog) -> list[str]:
    """Return the plugins that implement *hook* and do not tell what they read.

    Not those that licences forbid to ask.
    """
    return [
        plugin.name
        for plugin in catalog.plugins
        if plugin.state is State.READY
        and not catalog.refusal(plugin)
        and hook in plugin.hooks
        and "worldweave_models" not in plugin.hooks
    ]


def _entry(model: Model) -> FileEntry:
    return FileEntry(
        what=f"model {model.name}",
        uri="" if model.path is None else str(model.path),
        path=model.path,
        bytes=model.bytes,
        license=model.license,
        is_present=model.problem is None,
        problem=model.problem,
    )


def _told(
    task: Task, *, is_present: bool | None, uri: str = "", problem: str | None = None
) -> FileEntry:
    return FileEntry(
        what=task.what,
        uri=uri,
        path=None,
        bytes=None,
        license="",
        is_present=is_present,
        problem=problem,
    )
