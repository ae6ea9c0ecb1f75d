"""worldweave bases: what can be steered, and whether its weights are here."""

from __future__ import annotations

from json import dumps
from typing import Annotated

import typer

from worldweave.cli import flags
from worldweave.cli.aside import standard_output_aside
from worldweave.cli.plugin_facts import TO_FETCH, Record, of_weights, trained_for
from worldweave.cli.plugin_pages import columns, say, table
from worldweave.cli.plugins import installed
from worldweave_registry import Catalog

#: What a generation reads of a base.
READ = ("dit", "autoencoder", "text_encoder")
#: Columns from which on there is room for all sizes of a base.
_WIDE = 160


def bases(
    json: Annotated[bool, typer.Option("--json", help="Print records.")] = False,
    licenses: flags.Licenses = None,
) -> None:
    """List the bases, whether their weights are here, and what can steer them."""
    catalog = installed(licenses)
    with standard_output_aside():  # packages are imported to find the weights
        found = records(catalog)
    say(dumps(found, indent=2) if json else as_table(found, columns()))


def records(catalog: Catalog) -> list[Record]:
    """Return what is known of each base; keys may be added, never renamed."""
    return [
        {
            "name": name,
            "summary": base.summary,
            "license": base.license,
            "plugin": catalog.plugin_of_base(name).id,
            "sizes": [list(size) for size in base.sizes],
            "chunk_frames": base.chunk_frames,
            "fps": base.fps,
            "weights": [
                of_weights(weights, catalog, bool(catalog.refusal(base)))
                for weights in base.weights
            ],
            "modalities": trained_for(base, catalog),
            "refused": catalog.refusal(base),
        }
        # Those that may not be used are listed, too, as what they are.
        for name, base in catalog.allowing(None).bases.items()
    ]


def as_table(found: list[Record], width: int | None = None) -> str:
    """Return a row for each base, the last column wrapped into *width*."""
    if not found:
        return "no bases found; see: worldweave plugins"
    is_short = width is not None and width < _WIDE
    rows = [
        (
            each["name"],
            _sizes(each["sizes"], is_short),
            str(each["chunk_frames"]),
            f"{each['fps']:g}",
            "refused" if each["refused"] else _weights(each["weights"]),
            ", ".join(each["modalities"]) or "none",
        )
        for each in found
    ]
    return table(
        [("BASE", "SIZES", "FRAMES", "FPS", "WEIGHTS", "MODALITIES"), *rows], width
    )


def _sizes(sizes: list[list[int]], is_short: bool) -> str:
    """List the sizes, best first; in short, the first and how many more there are."""
    listed = [f"{width}x{height}" for height, width in sizes]
    if is_short and len(listed) > 1:
        return f"{listed[0]} +{len(listed) - 1}"
    return ", ".join(listed)


def _weights(weights: list[Record]) -> str:
    """Say whether all that a generation reads is here."""
    read = [each for each in weights if each["part"] in READ]
    there = sum(each["is_present"] for each in read)
    if not read:
        return "none"
    if there == len(read):
        return "there"
    if there:
        return f"{there} of {len(read)}"
    to_fetch = all(TO_FETCH in each["problem"] for each in read)
    return "to be fetched" if to_fetch else "missing"
