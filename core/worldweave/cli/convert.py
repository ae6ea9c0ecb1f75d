"""worldweave convert: official Cosmos-Transfer1 weights into ours."""

from __future__ import annotations

import enum
import sys
from pathlib import Path
from typing import Annotated

import typer


class Precision(str, enum.Enum):
    """Number formats to store weights in."""

    bf16 = "bf16"
    fp32 = "fp32"


def convert(
    source: Annotated[
        Path,
        typer.Argument(metavar="OFFICIAL.pt", help="File as NVIDIA publishes it."),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT.safetensors",
            help="File to write. A distilled source gives OUT.dit.safetensors and "
            "OUT.branch.safetensors.",
        ),
    ],
    dtype: Annotated[
        Precision | None,
        typer.Option(help="Number format of the weights; as in the source by default."),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace OUT.safetensors if it exists.")
    ] = False,
) -> None:
    """Convert an official .pt checkpoint, strictly and without holding it in memory."""
    # torch takes seconds to import; asking for help should not.
    import torch
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from worldweave.checkpoints.convert import convert as convert_file
    from worldweave.io.files import readable_size

    chosen = {None: None, "bf16": torch.bfloat16, "fp32": torch.float32}
    named = TextColumn("{task.description}", markup=False)
    columns = (named, BarColumn(), DownloadColumn())
    with Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as bar:
        task = bar.add_task(source.name, total=None)
        report = convert_file(
            source,
            out,
            chosen[dtype.value if dtype else None],
            overwrite=force,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    for network in report.written:
        typer.echo(
            f"{network.path}: {network.kind}, {network.parameters:,} parameters, "
            f"{'+'.join(network.dtypes)}, {readable_size(network.nbytes)}"
        )
    if report.ignored:
        typer.echo(f"keys ignored as they carry no weights: {len(report.ignored)}")
    typer.echo(f"{report.seconds:.1f} s")
