"""worldweave import-spec: read a spec of Cosmos-Transfer1 or 2.5 as a request."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

if TYPE_CHECKING:
    from worldweave.request.foreign import Flavour
    from worldweave.request.foreign.files import Row


def import_spec(
    file: Annotated[Path, typer.Argument(help="A spec, .json; or many, .jsonl.")],
    source: Annotated[
        str | None,
        typer.Option("--from", help="transfer1 or transfer2.5 [default: by its keys]."),
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(help="A batch of Cosmos-Transfer1, .jsonl, on top of the spec."),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Base to ask for [default: the spec's].")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Request to write [default: standard output]."),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Write what can be had, without the rest.")
    ] = False,
) -> None:
    """Turn a spec of Cosmos-Transfer1 or 2.5 into a request, or many into JSONL.

    Prints what every key became or why not; on standard error where the request
    goes to standard output. Exit code 1 where a key is refused: then nothing is
    written without --partial.
    """
    from worldweave.io.files import atomic_path
    from worldweave.request.foreign.files import Importer, as_rows, as_text
    from worldweave_registry import discover

    flavour = _flavour(source)
    _refuse_own_input(out, file, batch)
    # A plugin that prints must not print into the request.
    with redirect_stdout(sys.stderr):
        catalog = discover()
        makers = {
            name: modality.preprocessor is not None
            for name, modality in catalog.modalities.items()
        }
    if base is not None:
        catalog.find_base(base)
    importer = Importer(flavour=flavour, base=base, makers=makers)
    entries = importer.read(file) if batch is None else importer.batch(file, batch)
    folder = Path() if out is None else out.parent
    _print_table(as_rows(entries, folder), sys.stderr if out is None else sys.stdout)
    refused = sum(len(entry.made.refused) for entry in entries)
    if refused and not partial:
        keys = "a key is" if refused == 1 else f"{refused} keys are"
        print(
            f"worldweave: nothing is written, as {keys} refused; change the spec, or "
            "write the rest with --partial",
            file=sys.stderr,
        )
        raise typer.Exit(1)
    text = as_text(entries, folder)
    if out is None:
        print(text, end="")
    else:
        with atomic_path(out) as temporary:
            temporary.write_text(text, "utf-8")
        print(f"{out}: written")
    if refused:
        raise typer.Exit(1)


def _flavour(source: str | None) -> Flavour | None:
    from worldweave.request.foreign import FLAVOURS
    from worldweave_registry import WorldweaveError

    for flavour in FLAVOURS:
        if source == flavour:
            return flavour
    if source is None:
        return None
    raise WorldweaveError(f"--from is {source!r}; give {' or '.join(FLAVOURS)}")


def _refuse_own_input(out: Path | None, *given: Path | None) -> None:
    from worldweave_registry import WorldweaveError

    for path in given:
        both = out is not None and out.exists() and path is not None and path.exists()
        if both and out is not None and path is not None and out.samefile(path):
            raise WorldweaveError(
                f"writing {out} would replace what is read; choose another name"
            )


def _print_table(rows: list[Row], stream: TextIO) -> None:
    table = [("KEY", "VERDICT", "WHAT"), *rows]
    widths = [max(len(row[column]) for row in table) for column in range(2)]
    for key, verdict, what in table:
        print(f"{key:<{widths[0]}}  {verdict:<{widths[1]}}  {what}", file=stream)
