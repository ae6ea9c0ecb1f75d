"""Write a scene of the tiny world as JSON, and render it, from a shell.

python -m worldweave_plugins.tinyworld scene 7 street.json
python -m worldweave_plugins.tinyworld render street.json street.mp4 --controls
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from worldweave.io import video
from worldweave.io.arrays import save_array
from worldweave_plugins.tinyworld.clips import film
from worldweave_plugins.tinyworld.render import render_rgb
from worldweave_plugins.tinyworld.sampling import sample
from worldweave_plugins.tinyworld.scene import FPS, Family
from worldweave_plugins.tinyworld.scene_file import read_scene, write_scene
from worldweave_registry import WorldweaveError

USER_ERROR = 2
# Typer brings a click of its own, older ones the package: the parent of both.
UsageError = cast("type[Exception]", typer.BadParameter.__bases__[0])
app = typer.Typer(
    help="Scenes of the tiny world: numbers to edit, videos to make from them.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.command()
def scene(
    seed: Annotated[int, typer.Argument(min=0, help="Draws everything in it.")],
    out: Annotated[Path, typer.Argument(help="The scene to write, .json.")],
    family: Annotated[
        Family | None, typer.Option(help="street or table [default: by seed].")
    ] = None,
) -> None:
    """Draw a scene and write it as JSON, to look at and to edit."""
    write_scene(out, sample(seed, family))


@app.command()
def render(
    scene_file: Annotated[Path, typer.Argument(help="A scene, .json.")],
    out: Annotated[Path, typer.Argument(help="The video to write, .mp4 or .mov.")],
    size: Annotated[
        str, typer.Option(metavar="HxW", help="Height and width in pixels.")
    ] = "64x96",
    frames: Annotated[int, typer.Option(help="How many frames, 24 a second.")] = 9,
    controls: Annotated[
        bool, typer.Option("--controls", help="Also its exact controls, OUT.NAME.npy.")
    ] = False,
) -> None:
    """Render a scene as a video."""
    pixels, wanted = _size_of(size), read_scene(scene_file)
    if not controls:
        video.write(out, render_rgb(wanted, size=pixels, frames=frames), FPS)
        return
    clip = film(wanted, size=pixels, frames=frames)
    video.write(out, clip.video, FPS)
    for name, control in clip.controls.items():
        save_array(out.with_suffix(f".{name}.npy"), control)
    print(f"prompt: {clip.prompt}")
    print(
        "controls: "
        + " ".join(
            "--control-video "
            + shlex.quote(f"{name}={out.with_suffix(f'.{name}.npy')}")
            for name in clip.controls
        )
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code. A mistake is a line each."""
    command = typer.main.get_command(app)
    try:
        command.main(argv, prog_name="tinyworld", standalone_mode=False)
    except WorldweaveError as error:
        return _complain(str(error).splitlines())
    except UsageError as error:
        said = cast("Any", error).format_message()
        return _complain([f"{' '.join(said.split()).rstrip('.')}; see --help"])
    except (KeyboardInterrupt, typer.Abort):
        return _complain(["stopped; no half-written file is left"])
    return 0


def _size_of(text: str) -> tuple[int, int]:
    height, cross, width = text.partition("x")
    if not (cross and height.isdecimal() and width.isdecimal()):
        raise WorldweaveError(f"size is {text!r}; give height x width, such as 64x96")
    return int(height), int(width)


def _complain(problems: list[str]) -> int:
    for problem in problems:
        print(f"tinyworld: {problem}", file=sys.stderr)
    return USER_ERROR


if __name__ == "__main__":
    sys.exit(main())
