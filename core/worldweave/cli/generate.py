"""worldweave generate: make a controlled video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from worldweave.cli.arguments import make_request


def generate(
    out: Annotated[Path, typer.Option(help="Video to write, .mp4 or .mov.")],
    video: Annotated[
        str | None, typer.Option(help="Source video the controls are made from.")
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="What to see.")] = None,
    control: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=MAP]",
            help="Switch a modality on. MAP: a number in 0..1, an image, a video, "
            ".npy. May be repeated.",
        ),
    ] = None,
    control_video: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="A ready control video."),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME.OPTION=VALUE",
            help="An option of a preprocessor, such as edge.threshold=low.",
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FILE", help="A branch other than the plugin's."),
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option(help="A request in JSON; flags given as well replace its fields."),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The base [default: tiny-world].")
    ] = None,
    negative_prompt: Annotated[
        str | None, typer.Option(help="What not to see.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Denoising steps [default: the base's].")
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(help="Strength of the prompt [default: the base's]."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of all noise [default: 0].")
    ] = None,
    sigma_max: Annotated[
        float | None,
        typer.Option(help="Below 80, start from the source at this noise level."),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(help="What the model is told; the file keeps the source's."),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(
            help="Frames shared by chunks [default: 1]. Those that fill whole "
            "latent frames guide the next chunk: 1, 5, ... for tiny-world."
        ),
    ] = None,
    max_frames: Annotated[
        int | None, typer.Option(help="Use no more frames of the videos.")
    ] = None,
    compat: Annotated[
        str | None, typer.Option(help="cosmos-transfer1: the released code's quirks.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda [default: cuda if there is one].")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads [default: all cores].")
    ] = None,
) -> None:
    """Make a video that follows a source as far as the controls say.

    Beside OUT lie the control videos and a manifest for worldweave replay.
    """
    request = make_request(
        spec,
        {
            "base": base,
            "prompt": prompt,
            "negative_prompt": negative_prompt,
            "video": video,
            "steps": steps,
            "guidance": guidance,
            "seed": seed,
            "sigma_max": sigma_max,
            "fps": fps,
            "overlap": overlap,
            "max_frames": max_frames,
            "compat": compat,
        },
        maps=control or (),
        videos=control_video or (),
        options=option or (),
        weights=weights or (),
    )
    # torch takes seconds to import; --help and the checks above do not wait for it.
    import torch

    from worldweave.cli.progress import generation_bar
    from worldweave.generate import manifest as manifests
    from worldweave.generate.load import load_for
    from worldweave.request.check import base_problems, weights_problems
    from worldweave.request.plan import make_plan
    from worldweave_registry import discover

    if threads is not None:
        torch.set_num_threads(threads)
    catalog = discover()
    plan = make_plan(
        request,
        catalog,
        weights_problems,
        also=[
            *manifests.target_problems(out, request),
            *base_problems(request.base, catalog),
        ],
    )
    pipeline = load_for(plan, catalog, device=device)
    with generation_bar() as tick:
        made = pipeline.follow(plan, progress=tick)
    made.save(out)
    height, width = made.frames.shape[1:3]
    print(
        f"{out}: {len(made.frames)} frames of {width}x{height}, {float(made.fps):g} fps"
    )
    if made.seen_size != (height, width):
        print(
            f"the source is {made.seen_size[1]}x{made.seen_size[0]}; "
            f"{request.base} makes {width}x{height}"
        )
    for name in made.controls:
        print(f"{manifests.control_path(out, name)}: control {name}")
    print(f"{manifests.manifest_path(out)}: manifest, for worldweave replay")
