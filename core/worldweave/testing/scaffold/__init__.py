"""Write a package for a new modality: small, complete, conforming from the start."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata, resources
from pathlib import Path
from string import Template

import attrs

from worldweave_registry import API, WorldweaveError

#: What is said of a package until somebody says more.
SUMMARY = "A first version: brightness as heat"
#: How many columns a line of the package may have.
WIDTH = 88
#: File of the package -> its template, in the order in which they are told.
TEMPLATES = {
    "pyproject.toml": "pyproject.toml.in",
    "$package/__init__.py": "package/__init__.py.in",
    "$package/preprocess.py": "package/preprocess.py.in",
    "$package/recipe.py": "package/recipe.py.in",
    "$package/metric.py": "package/metric.py.in",
    "tests/test_conforms.py": "tests/test_conforms.py.in",
    ".github/workflows/test.yml": "workflows/test.yml.in",
    "README.md": "README.md.in",
    "LICENSE": "LICENSE.in",
    ".gitignore": "gitignore.in",
}


@attrs.frozen(kw_only=True)
class Package:
    """What is asked of a package, and by which names its parts go.

    Nothing is checked here: see `worldweave.cli.new`.
    """

    name: str
    """The modality's."""
    summary: str = SUMMARY
    license: str = "MIT"
    author: str = ""
    email: str = ""

    @property
    def package(self) -> str:
        """What is imported."""
        return f"worldweave_{self.name}"

    @property
    def distribution(self) -> str:
        """What is installed. An index takes no - at the end, and one for many."""
        return "worldweave-" + re.sub("_+", "-", self.name).strip("-")

    @property
    def class_name(self) -> str:
        """The name of its preprocessor."""
        joined = "".join(part.capitalize() for part in self.name.split("_"))
        # One letter alone says too little, and I and O are taken for digits.
        return joined if len(joined) > 1 else f"{joined}Control"

    def files(self) -> dict[str, str]:
        """Return the text of every file, by its path in the package's folder.

        The text of no licence but MIT is at hand: with another one there is no
        file LICENSE.
        """
        words = self._words()
        folder = resources.files(__name__) / "template"
        return {
            Template(path).substitute(words): Template(
                folder.joinpath(*template.split("/")).read_text("utf-8")
            ).substitute(words)
            for path, template in TEMPLATES.items()
            if path != "LICENSE" or self.license.upper() == "MIT"
        }

    def longest_line(self) -> int:
        """Return the columns of the longest line of Python in the package."""
        return max(
            columns(line)
            for path, text in self.files().items()
            if path.endswith(".py")
            for line in text.splitlines()
        )

    def _words(self) -> Mapping[str, str]:
        major, minor = metadata.version("worldweave").split(".")[:2]
        return {
            "name": self.name,
            "package": self.package,
            "distribution": self.distribution,
            "class_name": self.class_name,
            "summary": self.summary.rstrip("."),
            "summary_in_toml": in_toml(self.summary),
            "summary_in_python": in_python(self.summary),
            "license": self.license,
            "license_in_toml": in_toml(self.license),
            "license_in_python": in_python(self.license),
            "authors": self._authors(),
            "holder": self.author or f"the authors of {self.distribution}",
            "version": f"{major}.{minor}",
            "next_major": str(int(major) + 1),
            "api": str(API),
        }

    def _authors(self) -> str:
        known = (("name", self.author), ("email", self.email))
        given = ", ".join(f"{key} = {in_toml(text)}" for key, text in known if text)
        return f"authors = [{{ {given} }}]\n" if given else ""


def in_toml(text: str) -> str:
    """Return *text*, one printable line, as a string of TOML."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def in_python(text: str) -> str:
    """Return *text*, one printable line, as a formatter would write it in Python."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    escaped = text.replace("\\", "\\\\").replace(quote, f"\\{quote}")
    return f"{quote}{escaped}{quote}"


def columns(line: str) -> int:
    """Return how many columns a line takes: some characters are two wide."""
    return sum(1 + (unicodedata.east_asian_width(each) in "WF") for each in line)


def lines_of_python(folder: Path) -> dict[str, int]:
    """Return the non-blank lines of every Python file below *folder*, by path."""
    return {
        path.relative_to(folder).as_posix(): sum(
            bool(line.strip()) for line in path.read_text("utf-8").splitlines()
        )
        for path in sorted(folder.rglob("*.py"))
    }


def write(files: Mapping[str, str], folder: Path) -> None:
    """Write *files*, text by path, to *folder*: all of them or none.

    The folder may exist if it is empty; the one it lies in must exist. Raises
    WorldweaveError where something lies there or it cannot be written.
    """
    try:
        with _built_beside(folder) as built:
            for path, text in files.items():
                file = built / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, "utf-8", newline="\n")
            if not folder.exists():
                built.rename(folder)
                return
            # Somebody may stand in it, so it stays the folder that it is.
            if any(folder.iterdir()):
                raise WorldweaveError(
                    f"{folder} is not empty; choose another with --out"
                )
            for part in built.iterdir():
                part.rename(folder / part.name)
    except OSError as error:
        raise WorldweaveError(
            f"cannot write {folder}: {error.strerror or error}; "
            "choose another folder with --out"
        ) from error


@contextmanager
def _built_beside(folder: Path) -> Iterator[Path]:
    """Lend an empty folder on the same disk; whatever is left of it is removed."""
    beside = Path(os.path.realpath(folder)).parent
    built = beside / f".worldweave-{secrets.token_hex(6)}"
    built.mkdir()
    try:
        yield built
    finally:
        shutil.rmtree(built, ignore_errors=True)
