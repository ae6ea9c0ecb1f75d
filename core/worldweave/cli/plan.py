"""worldweave plan: what a request will do and take, before anything is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worldweave.cli import flags
from worldweave.cli.arguments import found, make_request

if TYPE_CHECKING:
    from worldweave.generate.outlook import Outlook

MISSING = 1
WILL_NOT_FIT = 3


def plan(
    request: Annotated[
        Path | None, typer.Argument(help="A request in JSON or YAML.")
    ] = None,
    video: flags.Video = None,
    prompt: flags.Prompt = None,
    control: flags.Controls = None,
    control_video: flags.ControlVideos = None,
    option: flags.Options = None,
    weights: flags.BranchWeights = None,
    base: flags.Base = None,
    negative_prompt: flags.NegativePrompt = None,
    steps: flags.Steps = None,
    guidance: flags.Guidance = None,
    seed: flags.Seed = None,
    sigma_max: flags.SigmaMax = None,
    fps: flags.Fps = None,
    overlap: flags.Overlap = None,
    max_frames: flags.MaxFrames = None,
    compat: flags.Compat = None,
    memory: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            help="GB to fit into on the device that computes [what is free here].",
        ),
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Plan for N GPUs that share the work, or with --device cpu processes "
            "[default: for one; of GPUs, with what each of up to 64 would hold].",
            metavar="N",
        ),
    ] = None,
    licenses: flags.Licenses = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON.")
    ] = False,
    device: flags.Device = None,
) -> None:
    """Say what will run where, what it needs, and whether it fits. Loads no weights.

    Exit code 3 where the memory is too small, 1 where files are missing.
    """
    asked = make_request(
        request,
        flags.fields(locals()),
        maps=control or (),
        videos=control_video or (),
        options=option or (),
        weights=weights or (),
        licenses=licenses,
    )
    from worldweave.generate.outlook import look_ahead

    ahead = look_ahead(
        asked,
        found(licenses),
        device=device,
        memory=None if memory is None else int(memory * 1e9),
        gpus=gpus,
    )
    if as_json:
        print(json.dumps(ahead.to_plain(), indent=2))
    else:
        _show(ahead)
    if not ahead.forecast.fits:
        raise typer.Exit(WILL_NOT_FIT)
    if ahead.missing:
        raise typer.Exit(MISSING)


def _show(ahead: Outlook) -> None:
    from worldweave.cli.plan_tables import show

    show(ahead)
