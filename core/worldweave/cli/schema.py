"""worldweave schema: what a request may be, for editors and other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def schema(
    out: Annotated[
        Path | None, typer.Option(help="File to write [default: standard output].")
    ] = None,
) -> None:
    """Print the JSON Schema of a request, in JSON or YAML."""
    from worldweave.io.files import atomic_path
    from worldweave.request.schema import json_schema

    text = json.dumps(json_schema(), indent=2) + "\n"
    if out is None:
        print(text, end="")
        return
    with atomic_path(out) as temporary:
        temporary.write_text(text, "utf-8")
    print(f"{out}: written")
