"""docs/commands.md says every command and flag that there is, and no other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer

from worldweave.cli import app
from worldweave.cli.reference import commands_of, page, parameters

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"
in_a_checkout = pytest.mark.skipif(
    not PAGE.exists(), reason="the docs are not part of the wheel"
)


@in_a_checkout
def test_the_page_is_what_would_be_written_now():
    command = "python -m worldweave.cli.reference > docs/commands.md"
    assert PAGE.read_text() == page(app), f"run: {command}"


@in_a_checkout
def test_the_page_does_not_depend_on_the_terminal_and_needs_no_torch():
    code = (
        "import runpy, sys; runpy.run_module('worldweave.cli.reference', "
        "run_name='__main__'); assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "COLUMNS": "30", "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == page(app)


def leaves(command, name):
    """Yield every command that typer makes, with all its words."""
    if not hasattr(command, "commands") or command.invoke_without_command:
        yield name, command
    for word, inner in getattr(command, "commands", {}).items():
        yield from leaves(inner, f"{name} {word}")


def test_the_reference_has_the_flags_that_the_command_line_takes():
    told = {
        name: {
            flag
            for each in parameters(function)
            if each.is_flag
            for flag in re.findall(r"--?[a-z][a-z-]*", each.written.split("/--no-")[0])
        }
        for name, function in commands_of(app, "worldweave")
    }
    root = typer.main.get_command(app)
    taken = {
        name: {
            flag
            for each in command.params
            if each.param_type_name == "option"
            for flag in each.opts  # older typers give every switch a --no- as well
        }
        - {"--help"}
        for name, command in leaves(root, "worldweave")
    }
    assert told == taken


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def paint(
    wall: Annotated[str, typer.Argument(help="What | to paint.")],
    brush: Annotated[Path | None, typer.Argument(metavar="FILE.brush")] = None,
    colour: Annotated[Colour, typer.Option(help="Which.")] = Colour.RED,
    coats: Annotated[int, typer.Option(min=1, max=9, help="How many.")] = 2,
    at: Annotated[list[float] | None, typer.Option(help="Where.")] = None,
    mode: Annotated[Literal["wet", "dry"] | None, typer.Option()] = None,
    as_json: Annotated[bool, typer.Option("--json", "-j", help="Records.")] = False,
    varnish: Annotated[bool, typer.Option(help="Shine [as it was].")] = True,
    thick_paint: Annotated[bool, typer.Option(help="Thick.")] = False,
    tone: Annotated[str, typer.Option("--hue", metavar="TONE", help="Tone.")] = "",
) -> None:
    """Paint a
    wall.

    Twice, if need be.
    """


def strip(wall: Annotated[str, typer.Option(help="Which.")]) -> None:
    """Strip it."""


def secret() -> None:
    """Nobody knows."""


@pytest.fixture
def house() -> typer.Typer:
    made, walls = typer.Typer(), typer.Typer()
    made.command()(paint)
    made.command(hidden=True)(secret)
    made.add_typer(walls, name="walls")
    walls.callback(invoke_without_command=True)(secret)
    walls.command("strip-off")(strip)
    return made


def test_every_kind_of_parameter_is_told(house):
    text = page(house)
    section = text.split("## worldweave paint\n")[1].split("\n## ")[0]
    assert section.splitlines() == [
        "",
        "```",
        "worldweave paint WALL [FILE.brush] [OPTIONS]",
        "```",
        "",
        "Paint a wall.",
        "",
        "Twice, if need be.",
        "",
        "| argument or flag | |",
        "|---|---|",
        "| `WALL` | What \\| to paint. Required. |",
        "| `FILE.brush` |  |",
        "| `--colour CHOICE` | Which. One of `red`, `blue`. [default: red] |",
        "| `--coats INTEGER` | How many. At least 1. At most 9. [default: 2] |",
        "| `--at NUMBER` | Where. May be repeated. |",
        "| `--mode CHOICE` | One of `wet`, `dry`. |",
        "| `--json, -j` | Records. |",
        "| `--varnish/--no-varnish` | Shine [as it was]. |",
        "| `--thick-paint` | Thick. |",
        "| `--hue TONE` | Tone. |",
    ]


def test_groups_and_their_commands_are_told_and_hidden_ones_are_not(house):
    assert [name for name, _ in commands_of(house, "w")] == [
        "w paint",
        "w walls",
        "w walls strip-off",
    ]
    text = page(house)
    assert "| [`worldweave walls strip-off`](#worldweave-walls-strip-off) |" in text
    assert "\nworldweave walls strip-off --wall TEXT [OPTIONS]\n" in text
