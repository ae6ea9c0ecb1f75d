"""Starting is quick: nothing heavy is imported before it is needed."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

import worldweave

HEAVY = ("torch", "numpy", "cv2", "av", "safetensors", "rich", "pydantic", "click")
COMMAND = Path(sys.executable).with_name("worldweave")


def imported_by(code):
    listing = f"{code}\nimport sys\nprint(*sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in printed.stdout.split()}


def test_importing_worldweave_imports_nothing_heavy():
    assert not imported_by("import worldweave").intersection(HEAVY)


def test_importing_the_command_imports_nothing_heavy():
    assert not imported_by("import worldweave.cli").intersection(HEAVY)


def test_finding_the_plugins_imports_nothing_heavy():
    found = imported_by("import worldweave; assert worldweave.discover().modalities")
    assert not found.intersection(HEAVY)
    assert "worldweave_plugins" in found


def seconds(*command):
    """Return the processor time of *command*, the best of five."""
    taken = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(
            after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        )
    return min(taken)


@pytest.mark.parametrize("argument", ["--help", "plugins"])
def test_a_command_that_computes_nothing_starts_in_a_few_times_what_typer_takes(
    argument,
):
    # Twice when this was written, fifteen times with torch; a ratio, because a busy
    # machine is slow at both.
    typer = seconds(sys.executable, "-c", "import typer.main, attrs, pluggy")
    assert seconds(COMMAND, argument) < 5 * typer


def test_python_m_worldweave_is_the_command():
    made = [
        subprocess.run([*start, "--help"], capture_output=True, text=True, check=True)
        for start in ([COMMAND], [sys.executable, "-m", "worldweave"])
    ]
    assert made[0].stdout == made[1].stdout
    for name in ("generate", "replay", "train", "evaluate", "plugins", "convert"):
        assert name in made[0].stdout


def test_no_arguments_show_the_help(run):
    assert run().stdout == run("--help").stdout
    assert run().code == 0


def test_every_public_name_loads():
    for name in worldweave.__all__:
        assert getattr(worldweave, name) is not None
    assert dir(worldweave) == sorted(worldweave.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'worldweave' has no attribute 'lod'"):
        worldweave.lod  # noqa: B018
