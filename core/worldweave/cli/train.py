"""worldweave train: a branch for a frozen base, or a small base itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train(
    name: Annotated[
        str, typer.Argument(help="A modality, or 'base' for the base itself.")
    ],
    base: Annotated[str, typer.Option(help="The base.")] = "tiny-world",
    out: Annotated[
        Path | None, typer.Option(help="Folder of states and results [runs/NAME].")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps [the recipe's].")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Clips per step [the recipe's].")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak learning rate [the recipe's].")
    ] = None,
    clips: Annotated[
        int, typer.Option(min=1, help="Training clips, rendered in memory.")
    ] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of clips and noise.")] = 0,
    until: Annotated[
        int | None, typer.Option(min=1, help="Stop at this step; go on later.")
    ] = None,
    compile: Annotated[
        bool, typer.Option("--compile", help="torch.compile; needs a C++ compiler.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads [all cores].")
    ] = None,
) -> None:
    """Train NAME; started again, it goes on from the last saved state.

    The base is frozen: only the branch has gradients.
    """
    import torch

    from worldweave.train.session import Session

    if threads is not None:
        torch.set_num_threads(threads)
    session = Session.open(
        name,
        base,
        Path("runs") / name if out is None else out,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        clips=clips,
        seed=seed,
        compile=compile,
    )
    print(session.opening())
    from worldweave.cli.progress import bar
    from worldweave.train.loop import Progress

    with bar(f"training {name}") as update:

        def report(now: Progress) -> None:
            update(now.step, now.steps, f"loss {now.loss:.4f}")

        session.trainer.run(report, until=until)
    for line in session.finish():
        print(line)
