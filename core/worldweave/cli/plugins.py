"""worldweave plugins: what is installed, what it supplies, what is wrong with it."""

from __future__ import annotations

import contextlib
from json import dumps
from typing import Annotated

import typer

from worldweave.cli import flags
from worldweave.cli.arguments import found
from worldweave.cli.aside import standard_output_aside
from worldweave.cli.plugin_facts import Record, of_base, of_modality, of_plugin
from worldweave.cli.plugin_pages import columns, page, say, table
from worldweave_registry import (
    Catalog,
    Modality,
    Plugin,
    State,
    UnavailableBaseError,
    UnavailableModalityError,
    UnknownBaseError,
    UnknownModalityError,
    WorldweaveError,
    did_you_mean,
)
from worldweave_registry.catalog import canonical

Json = Annotated[bool, typer.Option("--json", help="Print records.")]
#: The hooks whose plugins supply something.
_DESCRIBING = frozenset({"worldweave_modalities", "worldweave_bases"})
app = typer.Typer()


@app.callback(invoke_without_command=True)
def plugins(
    context: typer.Context, json: Json = False, licenses: flags.Licenses = None
) -> None:
    """List the installed plugins, what they supply, and what is wrong with them."""
    if context.invoked_subcommand is not None:
        context.obj = (json, licenses)
        return
    catalog = installed(licenses)
    say(as_json(catalog) if json else as_table(catalog, columns()))


@app.command()
def show(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help="A modality, a base, a plugin or a distribution, also "
            "NAME@DISTRIBUTION."
        ),
    ],
    json: Json = False,
    licenses: flags.Licenses = None,
) -> None:
    """Tell all there is to know of NAME: fields, options, weights, where it is from."""
    listed_json, listed_licenses = context.obj or (False, None)
    catalog = installed(listed_licenses if licenses is None else licenses)
    with standard_output_aside():
        record = shown(catalog, name)
    say(dumps(record, indent=2) if json or listed_json else page(record, columns()))


def installed(licenses: str | None = None) -> Catalog:
    """Return all plugins; what stands under a licence that is not listed is refused."""
    with standard_output_aside():
        return found(licenses)


def as_table(catalog: Catalog, width: int | None = None) -> str:
    """Return one aligned row for each modality, each base and each other plugin.

    The last column is wrapped into *width*, if there is one.
    """
    rows = [row for plugin in catalog.plugins for row in _rows(plugin, catalog)]
    if not rows:
        hidden = catalog.considered is not None
        return "no plugins found" + ("; WORLDWEAVE_PLUGINS hides all" if hidden else "")
    return table([("NAME", "KIND", "STATE", "PLUGIN", "ABOUT"), *rows], width)


def as_json(catalog: Catalog) -> str:
    """Return one record for each plugin; keys may be added, never renamed."""
    return dumps([of_plugin(plugin, catalog) for plugin in catalog.plugins], indent=2)


def _rows(plugin: Plugin, catalog: Catalog) -> list[tuple[str, str, str, str, str]]:
    remark = [plugin.remark] if plugin.remark else []
    state = plugin.state.value
    rows = []
    for each in plugin.supplied:
        kind = "modality" if isinstance(each, Modality) else "base"
        is_refused = bool(catalog.refusal(each))
        about = f"licence {each.license} is not allowed" if is_refused else each.summary
        refused = [
            f"weights for {weights.base} refused: licence {weights.license}"
            for weights in each.weights
            if catalog.refusal(weights) and not is_refused
        ]
        now = "refused" if is_refused else state
        told = "; ".join([about, *refused, *remark])
        rows.append((catalog.name_of(each), kind, now, str(plugin), told))
    if rows:
        return rows
    about = plugin.problem or f"implements {', '.join(plugin.hooks)}"
    if _DESCRIBING.intersection(plugin.hooks):
        about += "; it supplies nothing now"
    if plugin.state is State.READY and catalog.refusal(plugin):
        state, about = "refused", f"licence {plugin.license or 'none'} is not allowed"
    told = "; ".join([about, *remark])
    return [(plugin.name, "plugin", state, str(plugin), told)]


def shown(catalog: Catalog, name: str) -> Record:
    """Return all that is known of the modality, base, plugin or distribution *name*.

    Raise AmbiguousModalityError or AmbiguousBaseError where two plugins supply it,
    and WorldweaveError with a suggestion where nothing is called so.
    """
    short = name.partition("@")[0]
    with contextlib.suppress(UnknownModalityError, UnavailableModalityError):
        plugin = catalog.plugin_of(name)
        (modality,) = (each for each in plugin.modalities if each.name == short)
        return of_modality(modality, plugin, catalog)
    with contextlib.suppress(UnknownBaseError, UnavailableBaseError):
        plugin = catalog.plugin_of_base(name)
        (base,) = (each for each in plugin.bases if each.name == short)
        return of_base(base, plugin, catalog)
    called = [plugin for plugin in catalog.plugins if _is_called(plugin, name)]
    records = [of_plugin(plugin, catalog) for plugin in called]
    if len(records) == 1:
        return {"kind": "plugin", **records[0]}
    if records:
        return {"kind": "distribution", "name": name, "plugins": records}
    raise WorldweaveError(f"nothing installed is called {name!r}{_hint(catalog, name)}")


def _is_called(plugin: Plugin, name: str) -> bool:
    names = (plugin.name, plugin.distribution, plugin.id)
    return canonical(name) in map(canonical, names)


def _hint(catalog: Catalog, name: str) -> str:
    names = {*catalog.modalities, *catalog.bases}
    for plugin in catalog.plugins:
        names |= {plugin.name, plugin.distribution}
        if "@" in name:
            names.add(plugin.id)
    hidden = ""
    if catalog.considered is not None:
        listed = ",".join(catalog.considered)
        hidden = f"; WORLDWEAVE_PLUGINS hides all plugins but {listed!r}"
    return (did_you_mean(name, names) or "; see: worldweave plugins") + hidden
