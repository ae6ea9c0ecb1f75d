"""worldweave replay: make a video again from its manifest."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from worldweave.cli import flags
from worldweave.cli.arguments import found


def replay(
    manifest: Annotated[Path, typer.Argument(help="A .manifest.json.")],
    out: Annotated[Path, typer.Option(help="Video to write.")],
    licenses: flags.Licenses = None,
) -> None:
    """Make a video again from its manifest and compare the bytes.

    On the same machine they are the same. Refuses changed inputs; exit code 1
    where the result differs, with what is different about this machine.
    """
    import torch

    from worldweave.cli.progress import generation_bar
    from worldweave.generate import manifest as manifests
    from worldweave.generate.load import load_for
    from worldweave.io.files import sha256
    from worldweave.request.check import base_problems, raise_all, weights_problems
    from worldweave.request.plan import make_plan

    record = manifests.read(manifest, partial(found, licenses))
    request = record.request
    raise_all([*manifests.changes(record), *manifests.target_problems(out, request)])
    catalog = found(licenses)
    missing = base_problems(request.base, catalog)
    plan = make_plan(request, catalog, weights_problems, also=missing)
    torch.set_num_threads(record.threads)
    pipeline = load_for(plan, catalog, device=record.device, dtype=record.dtype)
    with generation_bar() as tick:
        made = pipeline.follow(plan, progress=tick)
    made.save(out)
    if sha256(out) == record.output:
        print(f"{out}: the same bytes as {manifest} records")
        return
    print(f"{out}: not the bytes that {manifest} records")
    for line in manifests.differences(record, made):
        print(f"  {line}")
    raise typer.Exit(1)
