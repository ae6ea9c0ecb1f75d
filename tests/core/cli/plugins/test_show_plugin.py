"""`worldweave plugins show` tells all there is to know of what is there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from worldweave.cli import main
from worldweave.cli.plugin_pages import WORDS, page
from worldweave.cli.plugins import as_json, as_table, shown
from worldweave_registry import Base, Modality, Recipe, Weights, discover


def test_a_page_tells_everything_of_a_modality(
    told: Callable[..., str], site: Path
) -> None:
    page = told("plugins", "show", "haze")
    # Lines are not broken within a path, so their lengths differ between machines.
    assert page.replace(str(site), "SITE").split() == PAGE.split()
    assert [line for line in page.splitlines() if line and line[0] != " "] == [
        "haze: Less contrast",
        "where it comes from",
        "what the modality says",
        "preprocessor",
        "options, such as --option haze.NAME=VALUE",
        "recipe",
        "metric",
        "weights",
    ]


PAGE = """
haze: Less contrast

where it comes from
  plugin            haze@acme-haze
  version           0.3
  state             ready
  entry point       acme_haze
  folder            SITE
  licence           ISC
  home page         https://plugins.example/acme-haze
  issue tracker     https://plugins.example/acme-haze/issues

what the modality says
  licence           MIT
  branch            acme_haze.branch:HazeBranch; cannot load
                    'acme_haze.branch:HazeBranch': there is no module
                    'acme_haze.branch'
  label video       no
  default map       0.5 where a request gives none
  metadata          paper: none

preprocessor
  class             acme_haze:Dim
  what it does      Take the contrast away.
  looks at          the clip as a whole

options, such as --option haze.NAME=VALUE
  share             number; default 0.5
                    how much of it
  low               whole number; default 0
                    between these levels
  high              whole number; default 255
                    see low

recipe
  acme_haze:RECIPE: 70 steps of 5 clips for marsh (clips: acme_haze.clips:make;
  cannot load 'acme_haze.clips:make': there is no module 'acme_haze.clips');
  learning rate 0.002, 50 steps up, the last 40% down; log sigma 0 with spread
  1.5; share drawn from 0.25, 0.75

metric
  acme_haze:Sharpness: How sharp it is (lower is better, 0 is best)

weights
  marsh             there, 1.5 kB, checksum known
                    licence CC0-1.0
                    SITE/haze.safetensors
  tiny-world        to be fetched, 3.0 MB, no checksum
                    licence CC0-1.0
                    'moon://haze' has to be fetched; nothing is downloaded here
"""


def test_a_part_that_cannot_be_imported_costs_its_line_alone(
    told: Callable[..., str], record: Callable[..., Any]
) -> None:
    ruin = record("ruin")
    assert "install" in ruin["preprocessor"]["problem"] or (
        "spelling" in ruin["preprocessor"]["problem"]
    )
    assert "it is a type, not a worldweave.Recipe" in ruin["recipe"]["problem"]
    assert "did you mean 'Sharpness'?" in ruin["metric"]["problem"]
    assert ruin["summary"] == "Less contrast"
    page = told("plugins", "show", "ruin")
    assert "acme_haze:Shrpness; cannot load" in " ".join(page.split())


def test_a_page_tells_everything_of_a_base(
    told: Callable[..., str], record: Callable[..., Any]
) -> None:
    page = " ".join(told("plugins", "show", "marsh").split())
    for words in (
        "marsh: Fog and reed",
        "has no 'gone'",
        "frames at once 17",
        "sizes 96x64, 64x96 pixels",
        "frames a second 12.5",
        "strides 8 frames and 8 pixels a latent position",
        "other trainings reed: json:loads",
        "modalities with weights: haze",
        "recipe none: it cannot be trained here",
        "dit there, 1.5 kB, no checksum",
    ):
        assert words in page
    assert record("marsh")["modalities"] == ["haze"]


@pytest.mark.parametrize("kind", [Modality, Base])
def test_every_field_of_a_description_is_told(
    record: Callable[..., Any], kind: type
) -> None:
    shown = record("haze" if kind is Modality else "marsh")
    for field in attrs.fields(kind):
        assert field.name in shown
        assert field.name in WORDS, f"say what {field.name!r} is called on a page"


def test_every_field_of_recipes_and_weights_is_in_the_records(
    record: Callable[..., Any],
) -> None:
    shown = record("haze")
    assert {field.name for field in attrs.fields(Recipe)} < set(shown["recipe"])
    assert {field.name for field in attrs.fields(Weights)} < set(shown["weights"][0])


# Programs read them: keys may be added, none renamed or removed.
def test_the_keys_of_the_records_are_these(record: Callable[..., Any]) -> None:
    haze, marsh = record("haze"), record("marsh")
    about = ["kind", "plugin", "refused", "name", "summary", "license"]
    assert list(haze) == [
        *about,
        *("preprocessor", "branch", "recipe", "metric", "weights", "is_label_video"),
        *("default_map", "metadata"),
    ]
    assert list(marsh) == [
        *about,
        *("config", "autoencoder", "text_encoder", "weights", "chunk_frames", "sizes"),
        *("fps", "strides", "steps", "guidance", "check_prompt", "recipe", "clips"),
        *("trainings", "metrics", "cost", "foreground", "metadata", "modalities"),
    ]
    preprocessor = haze["preprocessor"]
    assert list(preprocessor) == ["path", "problem", "about", "per_frame", "options"]
    assert preprocessor["options"][0] == {
        "name": "share",
        "type": "number",
        "default": 0.5,
        "is_required": False,
        "about": "how much of it",
    }
    metric = ["path", "problem", "about", "higher_is_better", "best"]
    assert list(haze["metric"]) == metric
    assert list(haze["weights"][0]) == [
        *("base", "part", "uri", "license", "bytes", "sha256", "path", "is_present"),
        *("problem", "refused"),
    ]
    assert record("acme-grim")["kind"] == "plugin"


@pytest.mark.parametrize(
    ("name", "heading"),
    [
        ("haze@acme-haze", "haze: Less contrast"),
        ("haze@Acme_Haze", "haze: Less contrast"),
        ("marsh@acme-haze", "marsh: Fog and reed"),
        ("acme-haze", "haze@acme-haze, a plugin"),
        ("grim", "grim@acme-grim, a plugin"),
        ("Acme_Grim", "grim@acme-grim, a plugin"),
        ("grim@acme-grim", "grim@acme-grim, a plugin"),
    ],
)
def test_a_name_may_be_of_anything(
    told: Callable[..., str], name: str, heading: str
) -> None:
    assert told("plugins", "show", name).splitlines()[0] == heading


def test_a_broken_plugin_is_shown_with_its_problem(told: Callable[..., str]) -> None:
    page = told("plugins", "show", "grim")
    assert "state             broken: ZeroDivisionError: division by zero" in page
    assert "what it supplies" not in page


def test_a_disabled_plugin_is_shown_with_its_problem(
    told: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLDWEAVE_DISABLE", "acme-haze")
    page = told("plugins", "show", "haze")
    assert "state             disabled: named in WORLDWEAVE_DISABLE" in page


def test_all_plugins_of_a_distribution_are_shown(
    told: Callable[..., str], record: Callable[..., Any], site: Path
) -> None:
    with (site / "acme_haze-0.3.dist-info" / "entry_points.txt").open("a") as entries:
        entries.write("also = gone_haze\n")
    assert told("plugins", "show", "acme-haze").count("a plugin\n") == 2
    found = record("acme-haze")
    assert (found["kind"], found["name"]) == ("distribution", "acme-haze")
    assert [p["plugin"] for p in found["plugins"]] == [
        "also@acme-haze",
        "haze@acme-haze",
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "hase"], "nothing installed is called 'hase'; did you mean 'haze'?"),
        (["show", "haze@acme"], "did you mean 'haze@acme-haze'?"),
        (["show", "zzz"], "'zzz'; see: worldweave plugins; WORLDWEAVE_PLUGINS hides"),
        (["shwo"], "No such command 'shwo'. Did you mean 'show'?"),
        (["show"], "Missing argument"),
        (["--licenses", "apach"], "did you mean 'Apache-2.0'?"),
    ],
)
def test_a_mistake_is_one_line_with_a_suggestion(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plugins", *arguments]) == 2
    (line,) = (
        line
        for line in capsys.readouterr().err.splitlines()
        if line.startswith("worldweave: ")
    )
    assert says in line


def test_a_name_of_two_plugins_must_be_told_apart(
    put: Callable[..., None],
    haze: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put("acme-mist", haze, "mist")
    monkeypatch.setenv("WORLDWEAVE_PLUGINS", "acme-haze,acme-mist")
    assert main(["plugins", "show", "haze"]) == 2
    assert "ask for 'haze@acme-haze' or 'haze@acme-mist'" in capsys.readouterr().err
    sys.modules.pop("acme_mist", None)


def test_the_flags_may_stand_before_show(told: Callable[..., str]) -> None:
    assert json.loads(told("plugins", "--json", "show", "haze"))["name"] == "haze"
    refused = told("plugins", "--licenses", "ISC", "show", "haze")
    assert refused == told("plugins", "show", "haze", "--licenses", "ISC")
    assert (
        "refused           modality 'haze' of acme-haze 0.3: licence 'MIT'" in refused
    )


def test_weights_that_are_refused_are_there_all_the_same(
    told: Callable[..., str], record: Callable[..., Any]
) -> None:
    first = record("haze", "--licenses", "MIT")["weights"][0]
    assert (first["is_present"], first["bytes"]) == (True, 1500)
    assert "licence 'CC0-1.0' is not among those" in first["refused"]
    page = told("plugins", "show", "haze", "--licenses", "MIT")
    assert "there, refused, 1.5 kB" in page


@pytest.mark.parametrize("name", ["haze", "marsh"])
def test_nothing_of_a_plugin_that_is_refused_is_imported(
    told: Callable[..., str], record: Callable[..., Any], site: Path, name: str
) -> None:
    modules = ("haze_late", "haze_files")
    source = (site / "acme_haze.py").read_text()
    source = source.replace("acme_haze:", "haze_late:").replace(
        'os.environ["HAZE_FILE"]', '"package:haze_files/a"'
    )
    (site / "acme_haze.py").write_text(source)
    (site / "haze_late.py").write_text("")
    (site / "haze_files").mkdir()
    (site / "haze_files" / "__init__.py").write_text("")
    (site / "haze_files" / "a").write_text("")
    shown = record(name, "--licenses", "ISC")
    assert not set(modules) & set(sys.modules)
    assert shown["weights"][0]["problem"] == (
        "'package:haze_files/a': not looked for, for the licence of its plugin is "
        "refused"
    )
    part = shown["preprocessor" if name == "haze" else "config"]
    assert part["problem"] == "not imported, for its licence is refused"
    page = told("plugins", "show", name, "--licenses", "ISC")
    assert page.count("not imported, for its licence is refused") > 1
    assert not set(modules) & set(sys.modules)
    assert record(name, "--licenses", "MIT,CC0-1.0")["weights"][0]["is_present"]
    assert set(modules) & set(sys.modules)
    for module in modules:
        sys.modules.pop(module, None)


def test_a_file_that_is_missing_is_told_as_a_generation_tells_it(
    record: Callable[..., Any], site: Path
) -> None:
    file = site / "haze.safetensors"
    file.unlink()
    assert record("haze")["weights"][0]["problem"] == (
        f"{str(file)!r} is missing: there is no file {str(file)!r}; check the path"
    )


def test_a_plugin_that_only_fetches_is_refused_for_its_own_licence(
    put: Callable[..., None],
    told: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetches = (
        "import worldweave\n@worldweave.hookimpl\n"
        "def worldweave_fetch(uri):\n    return None\n"
    )
    put("acme-store", fetches, "store")
    monkeypatch.setenv("WORLDWEAVE_PLUGINS", "acme-store")
    row = told("plugins", "--licenses", "MIT").splitlines()[1]
    assert row == ("store  plugin  refused  acme-store 0.3  licence ISC is not allowed")
    row = told("plugins", "--licenses", "ISC").splitlines()[1]
    assert row.split()[2] == "ready"


def test_licences_that_are_not_listed_are_told_in_the_table(
    told: Callable[..., str],
) -> None:
    rows = [line.split() for line in told("plugins", "--licenses", "MIT").splitlines()]
    state = {row[0]: row[2] for row in rows}
    assert state["haze"] == state["marsh"] == "ready"
    assert "weights for marsh refused: licence CC0-1.0" in " ".join(rows[2])
    rows = [line.split() for line in told("plugins", "--licenses", "ISC").splitlines()]
    assert {row[0]: row[2] for row in rows}["haze"] == "refused"
    records = json.loads(told("plugins", "--json", "--licenses", "MIT"))
    assert len(records[1]["refused"]) == 5


def test_what_is_slow_to_list_is_told_in_table_page_and_records() -> None:
    catalog = discover()
    (haze,) = (p for p in catalog.plugins if p.name == "haze")
    slow = attrs.evolve(haze, remark="slow to list: 2.0 s")
    catalog = attrs.evolve(catalog, plugins=(slow,))
    rows = as_table(catalog).splitlines()[1:]
    assert len(rows) == 4
    assert all(row.endswith("; slow to list: 2.0 s") for row in rows)
    assert "remark            slow to list: 2.0 s" in page(shown(catalog, "haze"))
    assert json.loads(as_json(catalog))[0]["remark"] == "slow to list: 2.0 s"
