"""What a description promises: a quick listing, parts, licences and files."""

from __future__ import annotations

import json
import os
import re
import reprlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from packaging.licenses import (
    InvalidLicenseExpression,
    canonicalize_license_expression,
)

from worldweave.io.files import sha256
from worldweave.model.branch import ControlBranch
from worldweave.testing.kit import check, each_once, fail
from worldweave.testing.subject import NotApplicable, Subject
from worldweave_registry import (
    Lazy,
    Modality,
    Recipe,
    Weights,
    WeightsError,
    WorldweaveError,
    did_you_mean,
    let_interrupts_pass,
    one_line,
    resolve,
)
from worldweave_registry.discovery import SLOW
from worldweave_registry.fetch import is_local

#: Run in a fresh process: tell in a file, as a plugin may print whenever it likes.
_CODE = """
import json, sys
from worldweave_registry import discover
from worldweave_registry.discovery import HEAVY
seconds = max((each.seconds for each in discover().plugins), default=0)
told = [name for name in HEAVY if name in sys.modules], seconds
with open(sys.argv[1], "w") as file:
    json.dump(told, file)
"""
#: What people mean by "Apache 2" or "BSD".
_FREQUENT = (
    "Apache-2.0",
    "BSD-3-Clause",
    "CC-BY-4.0",
    "CC-BY-NC-4.0",
    "GPL-3.0-only",
    "MIT",
)


@check("listing the plugin is quick and imports nothing heavy")
def listing_imports_nothing_heavy(subject: Subject) -> None:
    """Discover the plugin alone in a fresh process, and see what that takes.

    One that is slow is listed once more: files are read and compiled the first time.
    """
    heavy, seconds = _listed_alone(subject)
    if not heavy and seconds > SLOW:
        seconds = min(seconds, _listed_alone(subject)[1])
    if heavy:
        fail(
            f"importing {subject.plugin.name!r} to list it also imports "
            f"{', '.join(heavy)}",
            "import them where they are used, and name the parts that use them by "
            "import path, 'package.module:Name'",
        )
    if seconds > SLOW:
        fail(
            f"listing {subject.plugin.name!r} takes {seconds:.1f} s, and every command "
            f"waits for it; {SLOW:g} s is allowed",
            "do nothing at the top of the module but describe: whatever reads, "
            "computes or asks goes to the parts, which are named by import path",
        )


def _listed_alone(subject: Subject) -> tuple[list[str], float]:
    """Return what listing the plugin imports that is heavy, and how long it takes."""
    environ = {
        **os.environ,
        "WORLDWEAVE_PLUGINS": subject.plugin.id,  # not its neighbours
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        done = subprocess.run(
            [sys.executable, "-c", _CODE, str(answer)],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode != 0 or not answer.is_file():
            last = "".join(done.stderr.strip().splitlines()[-1:])
            fail(
                f"listing {subject.plugin.id} alone ended with code "
                f"{done.returncode}{last and f': {last}'}",
                "run: worldweave plugins",
            )
        heavy, seconds = json.loads(answer.read_text())
    return heavy, seconds


@check("every part it names can be imported and is of the right kind")
def parts_can_be_imported(subject: Subject) -> None:
    """Load each import path; build what is built without arguments."""
    wrong = list(_wrong_parts(subject.modality))
    if wrong:
        fail("; ".join(says for says, _ in wrong), each_once(mend for _, mend in wrong))


#: What is wrong with a part, behind its name, and what to do about it.
_Fault = tuple[str, str]


def _wrong_parts(modality: Modality) -> Iterator[_Fault]:
    kinds = {
        "preprocessor": _preprocessor_fault,
        "branch": _branch_fault,
        "recipe": _recipe_fault,
        "metric": _metric_fault,
    }
    for field, fault_of in kinds.items():
        path: Lazy | None = getattr(modality, field)
        if path is None:
            continue
        try:
            fault = fault_of(path.load())
        except WorldweaveError as error:
            yield one_line(error), _how_to_import(str(path), error)
            continue
        if fault is not None:
            says, mend = fault
            yield f"{field} {str(path)!r} {says}", mend


def _how_to_import(path: str, error: WorldweaveError) -> str:
    """Return what an author does about a part that cannot be loaded."""
    cause = error.__cause__
    if isinstance(cause, AttributeError):
        return "mend the import path, 'package.module:Name', or what it names"
    if isinstance(cause, ModuleNotFoundError) and cause.name is not None:
        if f"{path.partition(':')[0]}.".startswith(f"{cause.name}."):
            return "mend the import path, 'package.module:Name', or ship the module"
        return (
            f"name what provides {cause.name!r} among the dependencies in "
            "pyproject.toml, and install it"
        )
    return "mend the module: it fails where it is imported"


def _preprocessor_fault(kind: Any) -> _Fault | None:
    made, fault = _built(kind)
    if fault or callable(made):
        return fault
    return (
        f"makes {made!r}, which cannot be called with frames",
        "give the class a __call__(self, frames) that returns the control",
    )


def _branch_fault(kind: Any) -> _Fault | None:
    # A function that makes branches will do: other checks look at what it makes.
    if issubclass(kind, ControlBranch) if isinstance(kind, type) else callable(kind):
        return None
    return (
        f"is {reprlib.repr(kind)}, expected a class on top of worldweave.ControlBranch",
        "derive the class from worldweave.ControlBranch, or name the one that is",
    )


def _recipe_fault(recipe: Any) -> _Fault | None:
    if not isinstance(recipe, Recipe):
        return (
            f"is {reprlib.repr(recipe)}, expected a worldweave.Recipe",
            "make it worldweave.Recipe(steps=..., learning_rate=...)",
        )
    if recipe.dataset is None or callable(recipe.dataset.load()):
        return None
    return (
        f"names the dataset {str(recipe.dataset)!r}, which cannot be called",
        "make the dataset a function (seed, count) that yields worldweave.Clip",
    )


def _metric_fault(kind: Any) -> _Fault | None:
    made, fault = _built(kind)
    if fault:
        return fault
    if not callable(made):
        return (
            f"makes {made!r}, which cannot be called with two videos",
            "give the class a __call__(self, video, reference) that returns a number",
        )
    better = getattr(made, "higher_is_better", None)
    if isinstance(better, bool):
        return None
    return (
        f"has higher_is_better {better!r}, expected a class attribute True or False",
        "say in the class: higher_is_better: ClassVar[bool] = True, or False",
    )


def _built(kind: Any) -> tuple[Any, _Fault | None]:
    """Return what *kind* makes without arguments, or else why it does not."""
    if not callable(kind):
        return None, (
            f"is {reprlib.repr(kind)}, expected a class",
            "name a class in the import path",
        )
    try:
        return kind(), None
    except BaseException as error:
        let_interrupts_pass(error)
        return None, (
            f"cannot be built without arguments: {one_line(error)}",
            "give every option a default"
            if isinstance(kind, type)
            else "name a class whose instances are called with the video",
        )


@check("code and weights say their licence: an SPDX expression or an address")
def licence_is_stated(subject: Subject) -> None:
    """Read the licence of the modality and of each of its weights."""
    stated = {"it": subject.modality.license}
    for weights in subject.modality.weights:
        stated[f"weights {weights.uri!r}"] = weights.license
    wrong = {who: text for who, text in stated.items() if not _is_licence(text)}
    if wrong:
        text = next(iter(wrong.values()))
        fail(
            "; ".join(f"{who} has license {text!r}" for who, text in wrong.items()),
            "write an SPDX identifier such as 'Apache-2.0', an expression such as "
            "'MIT OR Apache-2.0', 'LicenseRef-' and a name of your own, or the "
            f"https address of the licence{did_you_mean(text, _FREQUENT)}",
        )


def _is_licence(text: str) -> bool:
    if re.match("https?://", text, re.IGNORECASE):
        return " " not in text and "." in (urlsplit(text).hostname or "")
    try:
        canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return False
    return True


@check("weights that are shipped are there, with the right SHA-256")
def shipped_weights_are_there(subject: Subject) -> None:
    """Look at each file on this machine; what has to be fetched is left out."""
    shipped = [each for each in subject.modality.weights if is_local(each.uri)]
    if not shipped:
        raise NotApplicable("it ships no weights")
    wrong = [problem for each in shipped if (problem := _wrong_file(each))]
    if wrong:
        fail(
            "; ".join(wrong),
            "ship the file inside the package, name it package:import_package/path, "
            "and write down its SHA-256 anew whenever it changes",
        )


def _wrong_file(weights: Weights) -> str:
    try:
        file = resolve(weights)
    except WeightsError as error:
        return one_line(error)
    if weights.sha256 is None:
        return f"{weights.uri!r} carries no SHA-256; the file there has {sha256(file)}"
    return ""


CHECKS = (
    listing_imports_nothing_heavy,
    parts_can_be_imported,
    licence_is_stated,
    shipped_weights_are_there,
)
