"""worldweave new: a complete package for a modality of one's own."""

from __future__ import annotations

import keyword
import os
import re
import shlex
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from worldweave.testing.scaffold import Package
    from worldweave_registry import Catalog

#: What the files are for.
ABOUT = {
    "__init__.py": "what it is called, and where its parts are",
    "preprocess.py": "frames to control, with its options",
    "recipe.py": "how its branch is trained",
    "metric.py": "how well a video obeys it",
    "test_conforms.py": "that it does what every modality must",
    "pyproject.toml": "what pip installs; fill in your addresses",
    "test.yml": "check and test after every push",
    "README.md": "for those who use it",
    "LICENSE": "MIT; another one with --license",
}


def new(
    name: Annotated[
        str, typer.Argument(help="What users will call the modality, such as thermal.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write, new or empty [worldweave-NAME]."),
    ] = None,
    license: Annotated[
        str, typer.Option(help="Of your code, as an SPDX id such as Apache-2.0.")
    ] = "MIT",
    author: Annotated[
        str | None, typer.Option(metavar="'NAME <MAIL>'", help="Who you are.")
    ] = None,
    summary: Annotated[
        str | None, typer.Option(help="What the control shows, in one short line.")
    ] = None,
) -> None:
    """Write a package for a modality NAME that works at once, for you to change.

    It has a preprocessor, a recipe, a metric, a test and a workflow for CI.
    """
    from worldweave.testing import scaffold

    package, folder = _read(name, out, license, author, summary)
    files = package.files()
    scaffold.write(files, folder)
    print("\n".join(_told(package, folder, list(files))))


def _read(
    name: str, out: Path | None, license: str, author: str | None, summary: str | None
) -> tuple[Package, Path]:
    """Return what to write, and where. Raise Problems that name all that is wrong."""
    from worldweave.testing.scaffold import SUMMARY, Package
    from worldweave_registry import Problems, discover

    problems = _name_problems(name, discover())
    is_name = not problems
    license = _license(license, problems)
    who, mail = ("", "") if author is None else _who(author, problems)
    if summary is not None:
        problems += _summary_problems(summary)
    package = Package(
        name=name,
        summary=SUMMARY if summary is None else summary.strip(),
        license=license,
        author=who,
        email=mail,
    )
    folder = Path(package.distribution) if out is None else out
    if out is not None or is_name:
        problems += _folder_problems(folder)
    if problems:
        raise Problems(problems)
    return package, folder


def _name_problems(name: str, catalog: Catalog) -> list[str]:
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        near = _suggestion(name)
        return [
            f"no modality can be called {name!r}: a name is lower-case letters, digits "
            f"and _, a letter first{near and f'; try {near!r}'}"
        ]
    problems = [*_taken(name, catalog)]
    if keyword.iskeyword(name) or keyword.iskeyword(name.capitalize()):
        problems.append(
            f"{name!r} is a word of Python, which cannot be a name in code; choose "
            f"another, such as 'my_{name}'"
        )
    if (length := _too_long(name)) is not None:
        problems.append(
            f"{name!r} has {len(name)} characters, and users must type it; choose a "
            f"name of {length} or less"
        )
    return problems


def _suggestion(name: str) -> str:
    """Return the name that *name* comes close to, or "": My-Thermal is my_thermal."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    split = re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", plain)
    joined = re.sub("[^a-z0-9]+", "_", split.lower()).strip("_")
    short = joined.removeprefix("worldweave_")
    return short if re.fullmatch("[a-z][a-z0-9_]*", short) else ""


def _taken(name: str, catalog: Catalog) -> list[str]:
    """Return who has the name already: a plugin, a command, or a package."""
    from importlib.util import find_spec

    from worldweave_registry import State

    problems = []
    for plugin in catalog.plugins:
        supplied = {
            "modality": [each.name for each in plugin.modalities],
            "base": [each.name for each in plugin.bases],
            "training": [each for base in plugin.bases for each in base.trainings],
        }
        if plugin.state is not State.READY:
            # It has not told what it supplies; mostly that bears its own name.
            supplied["modality"] = [plugin.name]
        problems += [
            f"the {kind} {name!r} is supplied by {plugin}; choose another name"
            for kind, names in supplied.items()
            if name in names
        ]
    if name in ("base", "maps"):
        problems.append(
            f"'worldweave train {name}' trains something else; choose another name"
        )
    package = f"worldweave_{name}"
    if not problems and find_spec(package) is not None:
        problems.append(
            f"there is a package {package!r} already, so yours could not be imported; "
            "choose another name"
        )
    return problems


def _too_long(name: str) -> int | None:
    """Return how long a name may be, if *name* is longer: lines of code must fit."""
    from worldweave.testing.scaffold import WIDTH, Package

    if Package(name=name).longest_line() <= WIDTH:
        return None
    length = len(name)
    while length > 1 and Package(name="x" * length).longest_line() > WIDTH:
        length -= 1
    return length


def _license(license: str, problems: list[str]) -> str:
    """Return *license* as SPDX writes it; note what is wrong with it."""
    from packaging.licenses import (
        InvalidLicenseExpression,
        canonicalize_license_expression,
    )

    from worldweave_registry import WorldweaveError
    from worldweave_registry.licenses import allowed_of

    try:
        # What builders of packages accept.
        return canonicalize_license_expression(license)
    except InvalidLicenseExpression:
        pass
    hint = "(https://spdx.org/licenses), or LicenseRef- and a name of yours"
    hint = f"give an SPDX id such as MIT or Apache-2.0 {hint}"
    try:
        # This one knows what people write for the common ones.
        allowed_of([license])
    except WorldweaveError as error:
        if meant := re.search(r"did you mean '\S+'\?", str(error)):
            hint = meant[0]
    problems.append(f"--license is {license!r}, which is no SPDX id; {hint}")
    return license


def _who(author: str, problems: list[str]) -> tuple[str, str]:
    """Split "Name <mail>", the mail left out or not; note what is wrong with it."""
    from email.errors import MessageError
    from email.headerregistry import Address

    found = re.fullmatch(r"\s*([^<>]*[^<>\s])\s*(?:<([^<>\s]+)>\s*)?", author)
    if found is not None and author.isprintable():
        name, mail = found[1], found[2] or ""
        try:
            # As builders of packages read it.
            is_sound = not mail or bool(Address(name, addr_spec=mail).domain)
        except (MessageError, ValueError, IndexError):
            is_sound = False
        if is_sound:
            return name, mail
    problems.append(
        f"--author is {author!r}; write it as 'Ada Lovelace <ada@example.org>', or the "
        "name alone"
    )
    return "", ""


def _summary_problems(summary: str) -> list[str]:
    from worldweave.testing.scaffold import WIDTH, columns, in_python

    if not summary.strip() or not summary.isprintable():
        return [f"--summary is {summary!r}; give one line of text"]
    room = WIDTH - columns("        summary=,")
    needed = columns(in_python(summary.strip()))
    if needed > room:
        return [
            f"--summary is {needed - room} characters too long for a line; say it in "
            f"{room - 2}, the README has room for more"
        ]
    return []


def _folder_problems(folder: Path) -> list[str]:
    parent = Path(os.path.realpath(folder)).parent
    if not parent.is_dir():
        return [
            f"cannot write {folder}: there is no folder {parent}; create it or choose "
            "another with --out"
        ]
    if folder.is_dir() and not any(folder.iterdir()):
        parent = folder
    elif folder.exists() or folder.is_symlink():
        what = "is not empty" if folder.is_dir() else "is no folder"
        return [
            f"{folder} {what}, and nothing is overwritten; choose another with --out"
        ]
    if not os.access(parent, os.W_OK | os.X_OK):
        return [f"cannot write {folder}: no permission; choose another with --out"]
    return []


def _told(package: Package, folder: Path, files: list[str]) -> list[str]:
    """Return what was written, how much of it is Python, and what to do next."""
    from worldweave.testing.scaffold import lines_of_python

    counts = lines_of_python(folder)
    wide = max(map(len, files))
    rows = []
    for path in files:
        lines = f"{counts[path]:3} lines" if path in counts else ""
        about = ABOUT.get(path.rpartition("/")[2], "")
        rows.append(f"  {path:{wide}}  {lines:9}  {about}".rstrip())
    if "LICENSE" not in files:
        rows.append(f"  put the text of {package.license} into a file LICENSE")
    # With ./ before it, pip takes it for a folder wherever it expects one.
    where = str(folder)
    if where != "." and not folder.is_absolute():
        where = os.path.join(".", folder)
    return [
        f"{folder}: the modality {package.name!r}",
        *rows,
        f"{sum(counts.values())} lines of Python, the test included. Next:",
        f"  pip install -e {shlex.quote(where)}",
        f"  worldweave check {package.name}",
        f"  worldweave train {package.name}",
        *_what_to_change(package),
    ]


def _what_to_change(package: Package) -> list[str]:
    from worldweave.testing.scaffold import SUMMARY

    if package.summary != SUMMARY:
        return ["It shows brightness as heat: make preprocess.py do what you said."]
    return [
        "It shows brightness as heat: make preprocess.py yours, and say what it shows",
        "in the summary (pyproject.toml, __init__.py, README.md).",
    ]
