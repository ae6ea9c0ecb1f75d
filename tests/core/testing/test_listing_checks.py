"""What the checks of a description say beyond what the wrong plugins show."""

import attrs
import pytest

from worldweave.io.files import sha256
from worldweave.testing.checks.listing import CHECKS
from worldweave.testing.kit import Examination, Outcome
from worldweave_registry import Plugin, Recipe, State, Weights


@attrs.frozen(kw_only=True)
class Needy:
    level: int

    def __call__(self, frames):
        return frames


class Silent:
    pass


class Metric:
    higher_is_better = "yes"

    def __call__(self, video, reference):
        return 1.0


class Exits:
    def __init__(self):
        raise SystemExit("no licence key")


def invert(frames):
    return 255 - frames


NUMBER = 3
SETTINGS = {"steps": 100}
NO_DATA = Recipe(steps=1, learning_rate=1, dataset=f"{__name__}:NUMBER")
LOST_DATA = Recipe(steps=1, learning_rate=1, dataset=f"{__name__}:Nowhere")


def verdict_on(name, subject):
    return Examination(subject, CHECKS).verdict(name)


def parts(subject):
    return verdict_on("parts_can_be_imported", subject)


def test_every_wrong_part_is_named_in_one_verdict(subject_of):
    found = parts(
        subject_of(
            preprocessor="no_such_package:Canny",
            branch=f"{__name__}:Silent",
            recipe=f"{__name__}:SETTINGS",
            metric=f"{__name__}:Metric",
        )
    )
    assert found.outcome is Outcome.FAILED
    assert found.says.count("; ") >= 3
    assert "cannot load 'no_such_package:Canny'" in found.says
    assert "Silent'>, expected a class on top of worldweave.ControlBranch" in found.says
    assert "is {'steps': 100}, expected a worldweave.Recipe" in found.says
    assert "has higher_is_better 'yes'" in found.says


@pytest.mark.parametrize(
    ("field", "part", "says", "mend"),
    [
        ("preprocessor", "Needy", "cannot be built", "give every option a default"),
        ("preprocessor", "invert", "cannot be built", "name a class whose instances"),
        ("preprocessor", "NUMBER", "is 3, expected a class", "name a class"),
        ("preprocessor", "Silent", "cannot be called with frames", "give the class a"),
        ("preprocessor", "Exits", "SystemExit: no licence key", "give every option"),
        ("branch", "NUMBER", "expected a class on top of", "derive the class"),
        ("recipe", "SETTINGS", "expected a worldweave.Recipe", "Recipe(steps="),
        ("recipe", "NO_DATA", "which cannot be called", "(seed, count)"),
        ("recipe", "LOST_DATA", "has no 'Nowhere'", "mend the import path"),
        ("metric", "Silent", "cannot be called with two videos", "give the class a"),
        ("metric", "Needy", "cannot be built", "give every option a default"),
        (
            "metric",
            "Metric",
            "has higher_is_better 'yes'",
            "higher_is_better: ClassVar",
        ),
    ],
)
def test_a_part_of_the_wrong_kind_is_named_with_what_to_do(
    subject_of, field, part, says, mend
):
    found = parts(subject_of(**{field: f"{__name__}:{part}"}))
    assert found.outcome is Outcome.FAILED
    assert f"{__name__}:{part}" in found.says or part == "LOST_DATA"
    assert says in found.says
    assert mend in found.mend


@pytest.mark.parametrize(
    ("source", "mend"),
    [
        ("import no_such_package", "name what provides 'no_such_package' among the"),
        ("1 / 0", "mend the module: it fails where it is imported"),
        (None, "mend the import path, 'package.module:Name', or ship the module"),
    ],
)
def test_a_part_that_cannot_be_imported_is_told_why(
    subject_of, tmp_path, monkeypatch, source, mend
):
    monkeypatch.syspath_prepend(tmp_path)
    if source is not None:
        (tmp_path / "odd_part.py").write_text(source)
    found = parts(subject_of(metric="odd_part:Score"))
    assert found.outcome is Outcome.FAILED
    assert found.mend.startswith(mend)


LISTED = """
import atexit, os, time
import worldweave
os.write(1, b"torch")
atexit.register(os.write, 1, b"cv2")
time.sleep({seconds})
@worldweave.hookimpl
def worldweave_modalities():
    return []
"""


@pytest.mark.parametrize(("seconds", "is_sound"), [(0, True), (1.1, False)])
def test_what_is_printed_while_it_is_listed_counts_for_nothing_but_time_does(
    subject_of, tmp_path, monkeypatch, seconds, is_sound
):
    (tmp_path / "acme_chatty.py").write_text(LISTED.format(seconds=seconds))
    info = tmp_path / "acme_chatty-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chatty\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[worldweave.v1]\nchatty = acme_chatty\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugin = Plugin(
        name="chatty", distribution="chatty", version="1", state=State.READY
    )
    subject = attrs.evolve(subject_of(), plugin=plugin)
    found = verdict_on("listing_imports_nothing_heavy", subject)
    assert (found.outcome is Outcome.PASSED) == is_sound, found.says
    assert is_sound or "listing 'chatty' takes 1." in found.says


def test_a_function_that_makes_branches_will_do(subject_of):
    assert parts(subject_of(branch=f"{__name__}:invert")).outcome is Outcome.PASSED


@pytest.mark.parametrize(
    "text",
    [
        "MIT",
        "apache-2.0",
        "MIT OR (Apache-2.0 AND BSD-3-Clause)",
        "GPL-2.0-only WITH Classpath-exception-2.0",
        "LicenseRef-Acme-EULA",
        "https://www.nvidia.com/open-model-license/",
        "http://acme.example/licence.txt",
    ],
)
def test_a_licence_may_be_an_spdx_expression_or_an_address(subject_of, text):
    found = verdict_on("licence_is_stated", subject_of(license=text))
    assert found.outcome is Outcome.PASSED, found.says


@pytest.mark.parametrize(
    "text",
    [
        *("TODO", "unknown", "proprietary", "None", "MIT, Apache", "MIT OR"),
        *("https://", "https://acme", "hf://acme/mit", "see https://acme.example"),
    ],
)
def test_anything_else_is_no_licence(subject_of, text):
    found = verdict_on("licence_is_stated", subject_of(license=text))
    assert found.outcome is Outcome.FAILED
    assert found.says == f"it has license {text!r}"
    assert "SPDX" in found.mend


def test_a_licence_that_is_nearly_right_gets_a_suggestion(subject_of):
    found = verdict_on("licence_is_stated", subject_of(license="Apache 2.0"))
    assert found.mend.endswith("did you mean 'Apache-2.0'?")


def test_the_licence_of_every_checkpoint_is_read_too(subject_of):
    weights = [
        Weights(base="tiny-world", uri=f"hf://acme/{text}", license=text)
        for text in ("MIT", "TODO", "?")
    ]
    found = verdict_on("licence_is_stated", subject_of(weights=weights))
    assert found.says == (
        "weights 'hf://acme/TODO' has license 'TODO'; "
        "weights 'hf://acme/?' has license '?'"
    )


@pytest.fixture
def shipped(tmp_path, subject_of):
    """Return what judges shipped weights; FILE in an address is a file that exists."""
    file = tmp_path / "branch.safetensors"
    file.write_bytes(b"values")

    def judge(*given):
        weights = [
            Weights(
                base="tiny-world",
                uri=uri.replace("FILE", str(file)),
                license="MIT",
                sha256=sha256(file) if digest == "right" else digest,
            )
            for uri, digest in given
        ]
        name = "shipped_weights_are_there"
        return verdict_on(name, subject_of(weights=weights)), sha256(file)

    return judge


@pytest.mark.parametrize("uri", ["FILE", "file://FILE"])
def test_weights_on_this_machine_with_their_checksum_are_there(shipped, uri):
    found, _ = shipped((uri, "right"), ("hf://acme/branch.safetensors", None))
    assert found.outcome is Outcome.PASSED, found.says


def test_a_shipped_file_without_a_checksum_is_told_its_checksum(shipped):
    found, digest = shipped(("FILE", None))
    assert found.outcome is Outcome.FAILED
    assert f"carries no SHA-256; the file there has {digest}" in found.says


def test_every_missing_and_every_changed_file_is_named(shipped):
    found, _ = shipped(
        ("package:worldweave_plugins.edge/weights/nothing.safetensors", "0" * 64),
        ("FILE", "0" * 64),
        ("FILE", "right"),
    )
    assert found.outcome is Outcome.FAILED
    assert "nothing.safetensors' is missing" in found.says
    assert "is damaged or another file" in found.says
    assert found.says.count("SHA") + found.says.count("sha256 is") == 1


def test_weights_that_have_to_be_fetched_are_not_looked_at(shipped):
    found, _ = shipped(("hf://acme/branch.safetensors", None))
    assert (found.outcome, found.says) == (Outcome.LEFT_OUT, "it ships no weights")
