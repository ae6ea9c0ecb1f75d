"""The page about testing is done, line by line, and its table has every check.

Run as a script, it writes what is found now into the page.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import worldweave.testing
from worldweave.cli import main
from worldweave.testing import CHECKS, only_plugins, scaffold

PAGE = Path(__file__).parents[2] / "docs" / "plugins" / "4-testing.md"
pytestmark = pytest.mark.skipif(
    not PAGE.exists(), reason="the docs are not part of the wheel"
)
TABLE = "## All checks\n"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_ROW = re.compile(r"^\| `(\w+)` \| (.*) \| (.*) \|$", re.MULTILINE)
#: What is another every time: seconds and addresses.
_CHANGES = re.compile(r'\b\d+\.\d+ ?s\b|(?<="seconds": )[\d.]+|\b0x[0-9a-f]+')
#: Variables of the one who runs this that change what is printed.
_STRAY = (
    *("WORLDWEAVE_DISABLE", "WORLDWEAVE_TRACE", "FORCE_COLOR", "PY_COLORS"),
    *("PYTEST_ADDOPTS", "CI", "BUILD_NUMBER"),
)


class Desk:
    """The package of the page, installed for as long as the page is done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path, text in scaffold.Package(name="thermal").files().items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        info = folder / "worldweave_thermal-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: worldweave-thermal\nVersion: 0.1.0\n"
        )
        (info / "entry_points.txt").write_text(
            "[worldweave.v1]\nthermal = worldweave_thermal\n"
        )

    def take(self, kind: str, text: str) -> str:
        """Do what a block says; return what it should say."""
        if kind == "diff":
            self._change(text)
        elif kind == "console":
            command = text.splitlines()[0].removeprefix("$ ")
            return f"$ {command}\n{self._run(command)}"
        elif text.startswith("# tests/"):
            first, rest = text.split("\n", 1)
            (self.folder / first.removeprefix("# ")).write_text(rest)
        return text

    def _change(self, text: str) -> None:
        name, old, new = text.splitlines()
        file = self.folder / name.removeprefix("+++ ")
        whole = file.read_text()
        assert f"\n{old[1:]}\n" in whole, old
        file.write_text(whole.replace(f"\n{old[1:]}\n", f"\n{new[1:]}\n"))

    def _run(self, command: str) -> str:
        words = shlex.split(command)
        given = dict(w.split("=", 1) for w in words if re.match("[A-Z_]+=", w))
        program, *arguments = words[len(given) :]
        self._forget()
        if program == "python":
            return self._python(arguments)
        assert program == "worldweave"
        output = io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            contextlib.redirect_stderr(output),
            contextlib.redirect_stdout(output),
        ):
            for name, value in given.items():
                patch.setenv(name, value)
            main(arguments)
        return output.getvalue()

    def _python(self, arguments: list[str]) -> str:
        path = os.pathsep.join([str(self.folder), *filter(None, sys.path)])
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "80"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout

    def _forget(self) -> None:
        for name in [n for n in sys.modules if n.startswith("worldweave_thermal")]:
            del sys.modules[name]
        importlib.invalidate_caches()


@contextlib.contextmanager
def desk() -> Iterator[Desk]:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        for name in _STRAY:
            patch.delenv(name, raising=False)
        with only_plugins("worldweave", "worldweave-thermal"):
            made = Desk(Path(folder))
            yield made
            made._forget()


def done(page: str) -> str:
    """Return the page as it should be: outputs and checks of now."""
    with desk() as made:
        page = _BLOCK.sub(lambda b: f"```{b[1]}\n{made.take(b[1], b[2])}```", page)
    told, table = page.split(TABLE)
    wrong = {name: why for name, _, why in _ROW.findall(table)}
    head = table[: table.index("|---|---|---|\n")] + "|---|---|---|\n"
    rows = [f"| `{c.name}` | {c.claim} | {wrong.get(c.name, '')} |\n" for c in CHECKS]
    return told + TABLE + head + "".join(rows)


def unchanging(text: str) -> str:
    return _CHANGES.sub("~", text)


def test_the_page_says_what_happens():
    page = PAGE.read_text()
    assert unchanging(done(page)) == unchanging(page)


def test_the_table_has_every_check_its_claim_and_what_goes_wrong():
    table = PAGE.read_text().split(TABLE)[1]
    rows = _ROW.findall(table)
    assert [row[:2] for row in rows] == [(each.name, each.claim) for each in CHECKS]
    assert all(wrong.strip() for *_, wrong in rows)


@pytest.mark.parametrize("name", worldweave.testing.__all__)
def test_every_public_name_of_the_kit_stands_in_the_page(name):
    assert re.search(rf"`{name}\b", PAGE.read_text())


if __name__ == "__main__":
    PAGE.write_text(done(PAGE.read_text()))
