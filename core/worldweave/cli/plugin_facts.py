"""What can be known of a plugin and of what it supplies, as records for programs.

Of what a description names by import path, only what there is something to tell of
is imported: options, recipe, metric and configuration; nothing where its licence is
refused. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import attrs

from worldweave.cli.options_in_words import first_words, options_of
from worldweave_registry import (
    Base,
    Catalog,
    Hooks,
    Lazy,
    Modality,
    Plugin,
    PluginError,
    State,
    Weights,
    WorldweaveError,
    is_local,
    let_interrupts_pass,
    locate,
    one_line,
)
from worldweave_registry.fetch import absence

Record = dict[str, Any]
#: Why weights are not looked for: what a plugin would do for it is its own affair.
TO_FETCH = "has to be fetched; nothing is downloaded here"
_NOT_IMPORTED = "not imported, for its licence is refused"
_NOT_SOUGHT = "not looked for, for the licence of its plugin is refused"


def of_plugin(plugin: Plugin, catalog: Catalog) -> Record:
    """Return what is known of a plugin; keys may be added, never renamed."""
    return {
        "plugin": plugin.id,
        "version": plugin.version,
        "state": plugin.state.value,
        "problem": plugin.problem,
        "modalities": [modality.name for modality in plugin.modalities],
        "bases": [base.name for base in plugin.bases],
        "hooks": list(plugin.hooks),
        "remark": plugin.remark,
        "seconds": round(plugin.seconds, 3),
        "license": plugin.license,
        "home": plugin.home,
        "tracker": plugin.tracker,
        "entry": plugin.entry,
        "folder": plugin.where,
        "refused": refusals(plugin, catalog),
    }


def refusals(plugin: Plugin, catalog: Catalog) -> list[str]:
    """Return what of a plugin stands under a licence that is not allowed, and why."""
    if not plugin.supplied:
        is_ready = plugin.state is State.READY
        lines = [catalog.refusal(plugin)] if is_ready else []
    else:
        lines = [
            catalog.refusal(part)
            for description in plugin.supplied
            for part in (description, *description.weights)
        ]
    return list(dict.fromkeys(filter(None, lines)))


def of_modality(modality: Modality, plugin: Plugin, catalog: Catalog) -> Record:
    """Return all fields of a modality, and what the parts they name can tell."""
    record = _described("modality", modality, plugin, catalog)
    refused = bool(record["refused"])
    if modality.preprocessor is not None:
        path = modality.preprocessor
        record["preprocessor"] = _part(path, _of_preprocessor, refused)
    if modality.metric is not None:
        record["metric"] = _part(modality.metric, _of_metric, refused)
    return record


def of_base(base: Base, plugin: Plugin, catalog: Catalog) -> Record:
    """Return all fields of a base, and what the parts they name can tell."""
    record = _described("base", base, plugin, catalog)
    record["config"] = _part(base.config, _of_config, bool(record["refused"]))
    record["modalities"] = trained_for(base, catalog)
    return record


def trained_for(base: Base, catalog: Catalog) -> list[str]:
    """Return the modalities that have weights of a branch for *base*."""
    return [
        name
        for name, modality in catalog.modalities.items()
        if any(w.base == base.name and w.part == "branch" for w in modality.weights)
    ]


def of_weights(weights: Weights, catalog: Catalog, is_refused: bool = False) -> Record:
    """Return what is known of a checkpoint, and whether it is on this machine.

    Its size is that of the file if it is there, else what the plugin says. The
    checksum is not compared: that would read all of it. is_refused: its plugin is,
    and must not be imported to find a file in it.
    """
    path, problem = None, ""
    try:
        if is_refused and weights.uri.lower().startswith("package:"):
            problem = f"{weights.uri!r}: {_NOT_SOUGHT}"
        elif is_local(weights.uri):
            path = locate(weights)
        else:
            path = _that_only_looks(catalog).worldweave_fetch(uri=weights.uri)
            problem = "" if path else f"{weights.uri!r} {TO_FETCH}"
        if path is not None:
            problem = absence(weights, path)
    except WorldweaveError as error:
        problem = one_line(error)
    size = None if problem or path is None else _size(path)
    return {
        "base": weights.base,
        "part": weights.part,
        "uri": weights.uri,
        "license": weights.license,
        "bytes": weights.bytes if size is None else size,
        "sha256": weights.sha256,
        "path": None if path is None else str(path),
        "is_present": not problem,
        "problem": problem,
        "refused": catalog.refusal(weights),
    }


def _that_only_looks(catalog: Catalog) -> Hooks:
    """Return the hooks of the plugins we ship, which look for files and fetch none.

    Where a file lies does not depend on who may use it.
    """
    hook = catalog.allowing(None).hook
    ours = {p.id for p in catalog.plugins if p.distribution == "worldweave"}
    relays = {name: relay for name, relay in hook.relays.items() if name in ours}
    return attrs.evolve(hook, relays=relays)


def _size(path: Path) -> int | None:
    """Return the bytes of a file or of all files in a folder, if it can be read."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    try:
        return sum(file.stat().st_size for file in files)
    except OSError:
        return None


def _described(
    kind: str, description: Modality | Base, plugin: Plugin, catalog: Catalog
) -> Record:
    """Return every field of a description, those of later versions included."""
    record: Record = {"kind": kind, "plugin": of_plugin(plugin, catalog)}
    record["refused"] = catalog.refusal(description)
    refused = bool(record["refused"])
    for field in attrs.fields(type(description)):
        value = getattr(description, field.name)
        if field.name == "weights":
            listed = [of_weights(weights, catalog, refused) for weights in value]
            record["weights"] = listed
        elif field.name == "recipe" and value is not None:
            record["recipe"] = _part(value, _of_recipe, refused)
        else:
            record[field.name] = _plain(value, refused)
    return record


def _plain(value: Any, refused: bool = False) -> Any:
    """Return *value* as JSON has it; an import path becomes a record."""
    if isinstance(value, Lazy):
        problem = _NOT_IMPORTED if refused else _missing(value)
        return {"path": value.path, "problem": problem}
    if isinstance(value, Mapping):
        return {str(name): _plain(each, refused) for name, each in value.items()}
    if isinstance(value, (tuple, list, range)):
        return [_plain(each, refused) for each in value]
    is_plain = value is None or isinstance(value, (bool, int, float, str))
    return value if is_plain else str(value)


def _missing(path: Lazy) -> str:
    """Return why the module of *path* cannot be found, without importing it.

    The packages it lies in are imported.
    """
    module = path.path.partition(":")[0]
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        found = None
    except BaseException as error:
        let_interrupts_pass(error)
        return f"cannot load {path.path!r}: {one_line(error)}"
    return "" if found else f"cannot load {path.path!r}: there is no module {module!r}"


def _part(path: Lazy, facts: Any, refused: bool) -> Record:
    """Import what *path* names and add what *facts* tells of it, or why it cannot."""
    record: Record = {"path": path.path, "problem": _NOT_IMPORTED if refused else ""}
    if refused:
        return record
    try:
        record.update(facts(path.load()))
    except BaseException as error:
        let_interrupts_pass(error)
        # Whatever a plugin raises costs one line of the page.
        record["problem"] = one_line(error)
    return record


def _of_preprocessor(kind: Any) -> Record:
    return {
        "about": first_words(kind),
        "per_frame": bool(getattr(kind, "per_frame", False)),
        "options": [
            {**option, "default": _plain(option["default"])}
            for option in options_of(kind)
        ],
    }


def _of_metric(kind: Any) -> Record:
    return {
        "about": first_words(kind),
        "higher_is_better": bool(getattr(kind, "higher_is_better", True)),
        "best": _plain(getattr(kind, "best", None)),
    }


def _of_recipe(recipe: Any) -> Record:
    from worldweave_registry import Recipe

    if not isinstance(recipe, Recipe):
        raise PluginError(f"it is a {type(recipe).__name__}, not a worldweave.Recipe")
    fields = attrs.fields(Recipe)
    return {field.name: _plain(getattr(recipe, field.name)) for field in fields}


def _of_config(made: Any) -> Record:
    config = made() if callable(made) else made
    return {"values": _plain(attrs.asdict(config))}
