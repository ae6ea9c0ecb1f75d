"""worldweave demo: what controls and maps do, on one web page, in a minute."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from worldweave.cli import flags
from worldweave.cli.arguments import found


def demo(
    video: Annotated[
        Path | None, typer.Argument(help="Your own video [clips the base makes].")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="What to see [what the clip shows].")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo"),
    base: Annotated[str, typer.Option(help="The base.")] = "tiny-world",
    clip: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Number of a held-out clip; may be repeated."),
    ] = None,
    frames: Annotated[
        int, typer.Option(min=1, help="Frames of your video to use at most.")
    ] = 17,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
    licenses: flags.Licenses = None,
) -> None:
    """Show the prompt alone, each control, all of them, and maps that share.

    Writes index.html, which any browser opens, and beside it every clip with its
    manifest. Each clip is scored against its source.
    """
    begun = time.perf_counter()
    from worldweave.cli.progress import bar
    from worldweave.evaluate.demo.perform import perform, what_next
    from worldweave.evaluate.demo.prepare import prepare

    shown = prepare(
        base,
        video,
        prompt,
        out,
        frames=frames,
        seed=seed,
        clips=clip or (),
        catalog=found(licenses),
    )
    for line in shown.unshown():
        print(f"worldweave: {line}", file=sys.stderr)
    command = "worldweave"
    if shutil.which(command) is None:
        beside = Path(sys.executable).with_name(command)
        command = min(str(beside), os.path.relpath(beside), key=len)
    with bar("generating") as update:
        filmed, cost = perform(shown, update, command=command, begun=begun)
    for each in filmed:
        print(f"{each.subject.name}: {each.subject.prompt!r}")
        for line in each.scores.lines():
            print(f"  {line}")
    print("try next:")
    for what, arguments in what_next(shown):
        print(f"  {what}:\n    {command} {arguments}")
    print(f"{cost}")
    print(f"open {out / 'index.html'} in a browser")
