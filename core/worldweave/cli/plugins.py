"""List the installed plugins, and why some of them are not ready."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from json import dumps
from typing import Annotated

import typer

from worldweave_registry import Catalog, Plugin, discover


def plugins(
    json: Annotated[bool, typer.Option("--json", help="Print records.")] = False,
) -> None:
    """List the installed plugins, what they supply, and what is wrong with them."""
    with _standard_output_aside():
        catalog = discover()
    print(as_json(catalog) if json else as_table(catalog))


def as_table(catalog: Catalog) -> str:
    """Return one aligned line for each modality, each base and each other plugin."""
    rows = [row for plugin in catalog.plugins for row in _rows(plugin)]
    if not rows:
        hidden = catalog.considered is not None
        return "no plugins found" + ("; WORLDWEAVE_PLUGINS hides all" if hidden else "")
    table = [("NAME", "KIND", "STATE", "PLUGIN", "ABOUT"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    return "\n".join(
        "  ".join(
            [*(cell.ljust(n) for cell, n in zip(row, widths, strict=False)), row[4]]
        )
        for row in table
    )


def as_json(catalog: Catalog) -> str:
    """Return one record for each plugin; keys may be added, never renamed."""
    return dumps(
        [
            {
                "plugin": plugin.id,
                "version": plugin.version,
                "state": plugin.state.value,
                "problem": plugin.problem,
                "modalities": [modality.name for modality in plugin.modalities],
                "bases": [base.name for base in plugin.bases],
            }
            for plugin in catalog.plugins
        ],
        indent=2,
    )


def _rows(plugin: Plugin) -> list[tuple[str, str, str, str, str]]:
    state = plugin.state.value
    supplied = [
        (description.name, kind, state, str(plugin), description.summary)
        for kind, descriptions in (
            ("modality", plugin.modalities),
            ("base", plugin.bases),
        )
        for description in descriptions
    ]
    about = plugin.problem or f"implements {', '.join(plugin.hooks)}"
    return supplied or [(plugin.name, "plugin", state, str(plugin), about)]


@contextlib.contextmanager
def _standard_output_aside() -> Iterator[None]:
    """Send standard output to standard error, whoever writes to it.

    `discover` turns aside what plugins print; this also catches C code and
    subprocesses, so that the listing is all there is on standard output.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
