"""The flags that say what to generate, shared by the commands that take a request."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Video = Annotated[
    str | None, typer.Option(help="Source video the controls are made from.")
]
Prompt = Annotated[str | None, typer.Option(help="What to see.")]
Controls = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME[=MAP]",
        help="Switch a modality on. MAP: a number in 0..1, a file (image, video, .npy, "
        ".npz, .safetensors, .pt), or a form such as "
        '\'{"rule": "car -> 1; else -> 0"}\'. May be repeated.',
    ),
]
ControlVideos = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=FILE", help="A ready control video."),
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME.OPTION=VALUE",
        help="An option of a preprocessor, such as edge.threshold=low.",
    ),
]
BranchWeights = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=FILE", help="A branch other than the plugin's."),
]
Spec = Annotated[
    Path | None,
    typer.Option(
        help="A request in JSON or YAML; flags given as well replace its fields."
    ),
]
Base = Annotated[str | None, typer.Option(help="The base [default: tiny-world].")]
NegativePrompt = Annotated[str | None, typer.Option(help="What not to see.")]
Steps = Annotated[
    int | None, typer.Option(help="Denoising steps [default: the base's].")
]
Guidance = Annotated[
    float | None,
    typer.Option(help="Strength of the prompt [default: the base's]."),
]
Seed = Annotated[int | None, typer.Option(help="Seed of all noise [default: 0].")]
SigmaMax = Annotated[
    float | None,
    typer.Option(help="Below 80, start from the source at this noise level."),
]
Fps = Annotated[
    float | None,
    typer.Option(help="What the model is told; the file keeps the source's."),
]
Overlap = Annotated[
    int | None,
    typer.Option(
        help="Frames shared by chunks [default: 1]. Those that fill whole "
        "latent frames guide the next chunk: 1, 5, ... for tiny-world."
    ),
]
MaxFrames = Annotated[
    int | None, typer.Option(help="Use no more frames of the videos.")
]
Compat = Annotated[
    str | None, typer.Option(help="cosmos-transfer1: the released code's quirks.")
]
Device = Annotated[
    str | None, typer.Option(help="cpu or cuda [default: cuda if there is one].")
]
Threads = Annotated[
    int | None, typer.Option(min=1, help="CPU threads [default: all cores].")
]
Gpus = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Share the work among N GPUs of this machine: starts torchrun. With "
        "--device cpu, among N processes.",
        metavar="N",
    ),
]
Layout = Annotated[
    str | None,
    typer.Option(
        help="How GPUs share the work, such as cfg=2,ring=1,ulysses=4, where the best "
        "is not wanted; switches: chunks, early_values, shared_exchange, cuda_graph."
    ),
]
Licenses = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="Refuse plugins, weights and models under any other licence. SPDX ids or "
        "addresses, separated by commas, such as Apache-2.0,MIT "
        "[default: $WORLDWEAVE_LICENSES].",
    ),
]

#: The flags that are fields of a request.
FIELDS = (
    "base",
    "prompt",
    "negative_prompt",
    "video",
    "steps",
    "guidance",
    "seed",
    "sigma_max",
    "fps",
    "overlap",
    "max_frames",
    "compat",
)


def fields(given: dict[str, Any]) -> dict[str, Any]:
    """Return those of a command's parameters that are fields of a request."""
    return {name: given[name] for name in FIELDS}
