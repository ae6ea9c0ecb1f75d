"""worldweave generate: make a controlled video."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worldweave.cli import flags
from worldweave.cli.arguments import found, make_request
from worldweave.cli.job import Job, job_of, progress, whole_or_absent

if TYPE_CHECKING:
    from worldweave.generate.generation import Generation
    from worldweave.request.spec import Request


def generate(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Video to write, .mp4 or .mov.")],
    video: flags.Video = None,
    prompt: flags.Prompt = None,
    control: flags.Controls = None,
    control_video: flags.ControlVideos = None,
    option: flags.Options = None,
    weights: flags.BranchWeights = None,
    spec: flags.Spec = None,
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
    report: Annotated[
        bool, typer.Option(help="Write a page that shows the run beside OUT.")
    ] = True,
    licenses: flags.Licenses = None,
    device: flags.Device = None,
    threads: flags.Threads = None,
    gpus: flags.Gpus = None,
    layout: flags.Layout = None,
) -> None:
    """Make a video that follows a source as far as the controls say.

    Beside OUT lie the control videos, a report to open in a browser, and a manifest
    for worldweave replay. On many machines at once: torchrun -m worldweave generate,
    with the same arguments everywhere.
    """
    wish = partial(
        make_request,
        spec,
        flags.fields(locals()),
        maps=control or (),
        videos=control_video or (),
        options=option or (),
        weights=weights or (),
        licenses=licenses,
    )
    with job_of(
        context, gpus, device, layout, check=lambda: _refuse_target(out, wish())
    ) as job:
        made = _made(job, wish(), out, licenses, threads)
    if job.is_first:
        with whole_or_absent():
            made.save(out, report=report)
        _say(made, out, report)


def _refuse_target(out: Path, request: Request) -> None:
    from worldweave.generate.manifest import target_problems
    from worldweave.request.check import raise_all

    raise_all(target_problems(out, request))


def _made(
    job: Job, request: Request, out: Path, licenses: str | None, threads: int | None
) -> Generation:
    # torch takes seconds to import; --help and the checks above do not wait for it.
    import torch

    from worldweave.generate.manifest import target_problems
    from worldweave.request.check import base_problems, weights_problems
    from worldweave.request.plan import Plan, make_plan

    if threads is not None:
        torch.set_num_threads(threads)
    catalog = found(licenses)

    def make() -> Plan:
        missing = base_problems(request.base, catalog)
        also = [*target_problems(out, request), *missing]
        return make_plan(request, catalog, weights_problems, also=also)

    plan = job.plan(request, catalog, make)
    pipeline = job.pipeline(plan, catalog)
    with progress(job) as tick:
        return pipeline.follow(plan, progress=tick)


def _say(made: Generation, out: Path, report: bool) -> None:
    """Say where everything is."""
    from worldweave.generate import manifest as manifests

    height, width = made.frames.shape[1:3]
    print(
        f"{out}: {len(made.frames)} frames of {width}x{height}, {float(made.fps):g} fps"
    )
    if made.seen_size != (height, width):
        print(
            f"the source is {made.seen_size[1]}x{made.seen_size[0]}; "
            f"{made.request.base} makes {width}x{height}"
        )
    for name in made.controls:
        print(f"{manifests.control_path(out, name)}: control {name}")
    for name, why in made.plan.left_out.items():
        print(f"{name} did not run: {why}")
    if report:
        print(f"{manifests.report_path(out)}: report, for any browser")
    print(f"{manifests.manifest_path(out)}: manifest, for worldweave replay")
