"""What a description promises: a quick listing, parts, licences and files."""

from __future__ import annotations

import os
import re
import reprlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from packaging.licenses import (
    InvalidLicenseExpression,
    canonicalize_license_expression,
)

from worldweave.io.files import sha256
from worldweave.model.branch import ControlBranch
from worldweave.testing.kit import check, fail
from worldweave.testing.subject import NotApplicable, Subject
from worldweave_registry import (
    Lazy,
    Modality,
    Recipe,
    Weights,
    WeightsError,
    WorldweaveError,
    did_you_mean,
    one_line,
    resolve,
)

#: What takes seconds to import, and nobody needs for a listing.
HEAVY = ("torch", "cv2", "numpy", "scipy", "transformers", "triton", "diffusers")
_CODE = (
    "import sys, worldweave_registry; worldweave_registry.discover(); "
    f"print(','.join(n for n in {HEAVY!r} if n in sys.modules))"
)
#: What people mean by "Apache 2" or "BSD".
_FREQUENT = (
    "Apache-2.0",
    "BSD-3-Clause",
    "CC-BY-4.0",
    "CC-BY-NC-4.0",
    "GPL-3.0-only",
    "MIT",
)
# Two letters at least, as for `resolve`: one is a Windows drive.
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")


@check("listing the plugin imports nothing heavy")
def listing_imports_nothing_heavy(subject: Subject) -> None:
    """Discover the plugin alone in a fresh process, and see what was imported."""
    environ = {
        **os.environ,
        "WORLDWEAVE_PLUGINS": subject.plugin.id,  # not its neighbours
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    done = subprocess.run(
        [sys.executable, "-c", _CODE],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        fail(
            f"listing {subject.plugin.id} alone ended with code {done.returncode}: "
            f"{done.stderr.strip().splitlines()[-1:]}",
            "run: worldweave plugins",
        )
    if heavy := done.stdout.strip():
        fail(
            f"importing {subject.plugin.name!r} to list it also imports {heavy}",
            "import them where they are used, and name the parts that use them by "
            "import path, 'package.module:Name'",
        )


@check("every part it names can be imported and is of the right kind")
def parts_can_be_imported(subject: Subject) -> None:
    """Load each import path; build what is built without arguments."""
    wrong = list(_wrong_parts(subject.modality))
    if wrong:
        fail("; ".join(wrong), "mend the import paths or what they name")


def _wrong_parts(modality: Modality) -> Iterator[str]:
    kinds = {
        "preprocessor": _wrong_preprocessor,
        "branch": _wrong_branch,
        "recipe": _wrong_recipe,
        "metric": _wrong_metric,
    }
    for field, wrong in kinds.items():
        path: Lazy | None = getattr(modality, field)
        if path is None:
            continue
        try:
            problem = wrong(path.load())
        except WorldweaveError as error:
            yield one_line(error)
            continue
        if problem:
            yield f"{field} {str(path)!r} {problem}"


def _wrong_preprocessor(kind: Any) -> str:
    made, problem = _built(kind)
    if problem or callable(made):
        return problem
    return f"makes {made!r}, which cannot be called with frames"


def _wrong_branch(kind: Any) -> str:
    # A function that makes branches will do: other checks look at what it makes.
    if issubclass(kind, ControlBranch) if isinstance(kind, type) else callable(kind):
        return ""
    return (
        f"is {reprlib.repr(kind)}, expected a class on top of worldweave.ControlBranch"
    )


def _wrong_recipe(recipe: Any) -> str:
    if not isinstance(recipe, Recipe):
        return f"is {reprlib.repr(recipe)}, expected a worldweave.Recipe"
    if recipe.dataset is None or callable(recipe.dataset.load()):
        return ""
    return f"names the dataset {str(recipe.dataset)!r}, which cannot be called"


def _wrong_metric(kind: Any) -> str:
    made, problem = _built(kind)
    if problem:
        return problem
    if not callable(made):
        return f"makes {made!r}, which cannot be called with two videos"
    better = getattr(made, "higher_is_better", None)
    if isinstance(better, bool):
        return ""
    return f"has higher_is_better {better!r}, expected a class attribute True or False"


def _built(kind: Any) -> tuple[Any, str]:
    """Return what *kind* makes without arguments, or else why it does not."""
    if not callable(kind):
        return None, f"is {reprlib.repr(kind)}, expected a class"
    try:
        return kind(), ""
    except (Exception, SystemExit) as error:
        is_class = isinstance(kind, type)
        return None, f"cannot be built without arguments: {one_line(error)} (" + (
            "give every option a default)"
            if is_class
            else "name a class whose instances are called with the video)"
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
    shipped = [each for each in subject.modality.weights if _is_local(each)]
    if not shipped:
        raise NotApplicable("it ships no weights")
    wrong = [problem for each in shipped if (problem := _wrong_file(each))]
    if wrong:
        fail(
            "; ".join(wrong),
            "ship the file inside the package, name it package:import_package/path, "
            "and write down its SHA-256 anew whenever it changes",
        )


def _is_local(weights: Weights) -> bool:
    scheme = _SCHEME.match(weights.uri)
    return scheme is None or scheme[1].lower() in ("package", "file")


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
