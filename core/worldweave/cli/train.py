"""worldweave train: a branch or maps for a frozen base, or a small base itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from worldweave.cli import flags
from worldweave.cli.arguments import found

if TYPE_CHECKING:
    from worldweave.train.session import Session
    from worldweave.train.stopping import Stop

INTERRUPTED = 130


def train(
    name: Annotated[
        str,
        typer.Argument(
            help="A modality, 'maps', 'base' for the base itself, or what else it "
            "trains."
        ),
    ],
    base: Annotated[
        str | None, typer.Option(help="The base [the recipe's, or tiny-world].")
    ] = None,
    data_folder: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Train a modality from this folder of videos/, captions/ and NAME/ "
            "[from rendered clips].",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of states and results [runs/NAME].")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps [the recipe's].")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Clips per step, over all processes [the recipe's]."),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak learning rate [the recipe's].")
    ] = None,
    clips: Annotated[
        int | None,
        typer.Option(min=1, help="Training clips, rendered in memory [2000]."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of clips and noise.")] = 0,
    modalities: Annotated[
        str | None,
        typer.Option(
            help="For maps: the modalities, such as edge,seg [all with weights]."
        ),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(help="Weights to start from: a file, or the folder of a result."),
    ] = None,
    until: Annotated[
        int | None, typer.Option(min=1, help="Stop at this step; go on later.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.0, help="Stop after this time; go on later."),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option(help="Where to compute; auto: on a GPU where there is one."),
    ] = "auto",
    compile: Annotated[
        bool, typer.Option("--compile", help="torch.compile; needs a C++ compiler.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads [all cores].")
    ] = None,
    save_every: Annotated[
        int, typer.Option(min=1, help="Steps between two saved states.")
    ] = 250,
    monitor_every: Annotated[
        int,
        typer.Option(min=0, help="Steps between two looks at the model; 0: never."),
    ] = 250,
    alarm_after: Annotated[
        int | None,
        typer.Option(min=1, help="Step by which control must show [the recipe's]."),
    ] = None,
    licenses: flags.Licenses = None,
) -> None:
    """Train NAME by its recipe; started again, it goes on from the last saved state.

    The base is frozen: only the branch has gradients, or for maps the small network
    that predicts them. Under torchrun several processes share each batch.
    """
    begun = time.monotonic()
    import torch

    from worldweave.loading import usable_device
    from worldweave.train.parallel import joined
    from worldweave.train.session import Session
    from worldweave.train.stopping import INTERRUPTED as CTRL_C
    from worldweave.train.stopping import Stop

    if threads is not None:
        torch.set_num_threads(threads)
    with joined(usable_device(None if device == "auto" else device)) as place:
        processes, where = place
        say = _print if processes.is_first else _silent
        session = Session.open(
            name,
            base,
            Path("runs") / name if out is None else out,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            clips=clips,
            data_folder=data_folder,
            seed=seed,
            modalities=_names(modalities),
            init=init,
            device=where,
            compile=compile,
            monitor_every=monitor_every,
            alarm_after=alarm_after,
            catalog=found(licenses),
            processes=processes,
            say=say,
        )
        say(session.opening())
        # One clock for all processes; the others hear of it.
        is_timed = minutes is not None and processes.is_first
        stop = Stop(begun + 60 * (minutes or 0.0) if is_timed else None)
        with stop.on_signals():
            reason = _run(session, name, until, save_every, stop)
        if processes.is_first:
            for line in session.finish(reason):
                say(line)
    if reason == CTRL_C:
        raise typer.Exit(INTERRUPTED)


def _run(
    session: Session, name: str, until: int | None, save_every: int, stop: Stop
) -> str:
    from worldweave.cli.progress import bar
    from worldweave.train.progress import Progress

    trainer = session.trainer
    if not trainer.processes.is_first:
        return trainer.run(lambda _: None, until=until, stop=stop)
    with bar(f"training {name}") as update:

        def report(now: Progress) -> None:
            update(now.step, now.steps, f"loss {now.loss:.4f}")

        return trainer.run(report, save_every=save_every, until=until, stop=stop)


def _names(listed: str | None) -> list[str]:
    return [] if listed is None else [n.strip() for n in listed.split(",")]


def _print(line: str) -> None:
    print(line, flush=True)


def _silent(_: str) -> None:
    pass
