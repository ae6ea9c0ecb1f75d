"""worldweave demo: what control does, on a real video, in a minute."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer


def demo(
    video: Annotated[
        Path | None, typer.Argument(help="Your own video [a shipped street drive].")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="What to see [fits the shipped video].")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("demo"),
    base: Annotated[str, typer.Option(help="The base.")] = "tiny-world",
    frames: Annotated[int, typer.Option(min=1, help="Frames to use at most.")] = 33,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise.")] = 0,
) -> None:
    """Generate a video without control, with each modality, and with all of them.

    Writes the videos and a contact sheet, and scores how well each follows the
    source.
    """
    from worldweave.cli.progress import generation_bar
    from worldweave.evaluate.demo import prepare, show, variants, what_next

    shown = prepare(base, video, prompt, out, frames=frames, seed=seed)
    print(f"source: {shown.source}, prompt: {shown.prompt!r}")
    made = {}
    for title, maps in variants(shown.pipeline).items():
        with generation_bar() as tick:
            made[title] = shown.generate(maps, tick)
        print(f"{title}: {made[title].save(out / f'{title}.mp4')}")
    for line in show(shown, made):
        print(line)
    command = "worldweave"
    if shutil.which(command) is None:
        command = os.path.relpath(Path(sys.executable).with_name(command))
    print("try next:")
    for arguments in what_next(shown):
        print(f"  {command} {arguments}")
