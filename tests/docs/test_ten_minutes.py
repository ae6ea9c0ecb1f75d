"""The page "A modality in ten minutes" is walked: every command runs, in a fresh place.

That is also the round trip of a plugin: written by `worldweave new`, built into a
wheel, installed beside the framework's wheel, checked, trained, used.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.machinery import PathFinder
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "plugins" / "1-ten-minutes.md"
#: What the fresh environment borrows from the running one, and who brings it.
# Looked for on the path alone: to ask all finders for pip makes setuptools let go of
# distutils, for this whole process.
BORROWED = ("torch", "pip", "pytest", "hatchling", "editables")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
#: What a terminal writes over, and what is another every time.
_PROGRESS = re.compile(r"^\w+( \w+)? \d+/\d+, \d.* left.*$")
_TIME = re.compile(r"\b\d+\.\d+ ?s\b( \(\d+:\d\d:\d\d\))?")


def why_not() -> str:
    """Why the page cannot be walked here, or ""."""
    if not (PAGE.exists() and (ROOT / "core" / "worldweave").is_dir()):
        return "the sources and docs are not part of the wheel"
    missing = [name for name in BORROWED if PathFinder.find_spec(name) is None]
    return f"{', '.join(missing)} must be installed to build wheels" if missing else ""


pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


@attrs.frozen
class Desk:
    """An empty folder, and an environment that knows no checkout."""

    folder: Path
    environ: dict[str, str]

    def run(self, command: str) -> tuple[int, str]:
        """Return the exit code and all that a terminal would show."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=900,
        )
        return done.returncode, done.stdout

    def where(self, package: str) -> Path:
        """The folder from which *package* is imported."""
        code, said = self.run(
            f"python -I -c 'import {package} as p; print(p.__file__)'"
        )
        assert code == 0, said
        return Path(said.strip()).parent


def fresh_environment(place: Path) -> Path:
    """Make a venv that borrows third-party libraries, but no worldweave."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place], check=True)
    (site,) = place.glob("lib/python3*/site-packages")
    found = [PathFinder.find_spec(name) for name in BORROWED]
    # What .pth files there say is not followed, so no editable install comes along.
    lent = {str(Path(spec.origin).parents[1]) for spec in found}
    (site / "borrowed.pth").write_text("".join(f"{path}\n" for path in sorted(lent)))
    pip = place / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec "{place}/bin/python" -m pip "$@"\n')
    pip.chmod(0o755)
    return site


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Desk:
    """The framework's wheel in a fresh environment, and an empty folder."""
    room = tmp_path_factory.mktemp("ten-minutes")
    site = fresh_environment(room / "venv")
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "PYTEST", "WORLDWEAVE", "PIP_"))
    }
    environ |= {
        "PATH": f"{room / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip means: no isolation
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_COMPILE": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "WORLDWEAVE_PLUGINS": "worldweave,worldweave-thermal",  # no neighbour's
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
        "NO_COLOR": "1",
    }
    (room / "desk").mkdir()
    desk = Desk(room / "desk", environ)
    code, said = desk.run(
        f"pip wheel --quiet --no-deps --wheel-dir ../wheels '{ROOT}' && "
        "pip install --quiet --no-deps --ignore-installed ../wheels/worldweave-*.whl"
    )
    assert code == 0, said
    assert desk.where("worldweave") == site / "worldweave"
    return desk


@attrs.frozen
class Step:
    """One thing the page says, and what was found when it was done."""

    what: str
    told: str
    found: str
    is_refusal: bool = False
    code: int = 0


def blocks() -> list[tuple[str, str]]:
    return _BLOCK.findall(PAGE.read_text("utf-8"))


@pytest.fixture(scope="module")
def walk(desk: Desk) -> dict[str, Step]:
    """Do all that the page says, in order; return what came of each step."""
    steps = [step for kind, text in blocks() for step in take(desk, kind, text)]
    assert len({step.what for step in steps}) == len(steps), "a step is told twice"
    return {step.what: step for step in steps}


def take(desk: Desk, kind: str, text: str) -> list[Step]:
    """Do what one block says: run it, show a file, or change one."""
    if kind == "console":
        return [run(desk, command, told) for command, told in commands(text)]
    if kind == "diff":
        return [change(desk, text)]
    name, _, told = text.removeprefix("# ").partition("\n")
    return [Step(name, told.strip("\n"), (desk.folder / name).read_text("utf-8"))]


def commands(text: str) -> list[tuple[str, str]]:
    """Split a block into commands, which may go on in the next line, and outputs."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    found = [re.match(r"((?:.*\\\n)*.*)\n?((?s:.*))", part) for part in parts]
    return [(match[1], match[2]) for match in found]


def run(desk: Desk, command: str, told: str) -> Step:
    code, said = desk.run(command)
    is_refusal = bool(re.search("^FAILED ", told, re.MULTILINE))
    return Step(command, told, said, is_refusal, code)


def change(desk: Desk, text: str) -> Step:
    """Apply a diff without line numbers; its first line names the file."""
    header, *lines = text.splitlines()
    path = desk.folder / header.removeprefix("+++ ")
    old = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
    new = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
    source = path.read_text("utf-8")
    assert source.count(old) == 1, f"{path.name} does not have, once:\n{old}"
    path.write_text(source.replace(old, new), "utf-8")
    return Step(text, "", "")


def plain(text: str) -> str:
    """Leave out progress, seconds, and how wide the columns of a table are."""
    lines = [re.sub("  +", "  ", line.rstrip()) for line in text.splitlines()]
    return "\n".join(
        _TIME.sub("# s", line) for line in lines if not _PROGRESS.match(line)
    ).strip()


def agrees(told: str, found: str) -> bool:
    """Whether *found* is what is told; a line of three dots stands for any lines."""
    lines = [
        r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n"
        for line in plain(told).splitlines()
    ]
    return bool(re.fullmatch("".join(lines), f"{plain(found)}\n".lstrip("\n")))


def told_by_the_page() -> list[str]:
    """The commands and files of the page, without doing anything."""
    names = []
    for kind, text in blocks() if PAGE.exists() else []:
        if kind == "console":
            names += [command for command, _ in commands(text)]
        elif kind != "diff":
            names.append(text.removeprefix("# ").partition("\n")[0])
    return names


@pytest.mark.parametrize("what", told_by_the_page())
def test_the_page_shows_what_is_there(walk: dict[str, Step], what: str):
    step = walk[what]
    assert (step.code != 0) == step.is_refusal, step.found
    assert agrees(step.told, step.found), f"it is now:\n{plain(step.found)}"


def test_the_page_shows_every_python_file_of_the_package(
    walk: dict[str, Step], desk: Desk
):
    package = desk.folder / "worldweave-thermal"
    written = {path.relative_to(desk.folder) for path in package.rglob("*.py")}
    assert len(written) == 5
    assert set(map(str, written)) <= walk.keys()


def test_a_line_of_dots_stands_for_any_lines_and_nothing_else_does():
    assert agrees("a\n...\nd in 1.5s", "a\nb\nc\nd in 95.25s (0:01:35)")
    assert agrees("a\n...\nd", "a\nd")
    assert agrees("a  b", "\ntraining edge 2/2, 0:00 left, loss 0.2\na      b\n")
    assert not agrees("a\nd", "a\nb\nd")
    assert not agrees("a\n...", "b\na")
    assert not agrees("a.c", "abc")


@pytest.mark.usefixtures("walk")
def test_a_package_from_its_wheel_makes_a_video_with_manifest_and_report(desk: Desk):
    (site,) = (desk.folder.parent / "venv").glob("lib/python3*/site-packages")
    assert desk.where("worldweave_thermal") == site / "worldweave_thermal"
    assert desk.where("worldweave") == site / "worldweave"
    for name in ("out.mp4", "out.thermal.mp4", "out.manifest.json", "out.report.html"):
        assert (desk.folder / name).stat().st_size > 0


@pytest.mark.usefixtures("walk")
def test_a_package_from_its_wheel_is_found_by_the_check(desk: Desk):
    wanted = "listing_imports_nothing_heavy,parts_can_be_imported"
    code, said = desk.run(f"worldweave check thermal --only {wanted}")
    assert code == 0, said
    assert "2 passed" in said
