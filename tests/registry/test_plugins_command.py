"""`worldweave plugins` prints a table for people and records for programs."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import worldweave
import worldweave_registry
from worldweave.cli import main
from worldweave.cli.plugins import as_json, as_table
from worldweave_registry import Catalog

Install = Callable[..., None]
Found = Callable[..., Catalog]
Supplying = Callable[..., str]

DISABLED = "named in WORLDWEAVE_DISABLE"
OUTDATED = (
    "written for plugin API 0, this worldweave speaks 1; "
    "try: pip install --upgrade acme-old"
)
BROKEN = "SystemExit: no licence key"
FETCHES = "implements worldweave_fetch"
#: Programs read them: one may be added at the end, none renamed.
KEYS = (
    *("plugin", "version", "state", "problem", "modalities", "bases", "hooks"),
    *("remark", "seconds", "license", "home", "tracker", "entry", "folder", "refused"),
)


@pytest.fixture
def catalog(install: Install, found: Found, supplying: Supplying) -> Catalog:
    """One plugin of each state, one with two modalities, one with a base."""
    install("acme-depth", supplying("depth", "normal", about="Metric depth"))
    install("acme-off", "1 / 0", plugin="off")
    install("acme-old", None, plugin="thermal", group="worldweave.v0", version="2.11")
    install("acme-sonar", "exit('no licence key')", plugin="sonar")
    install(
        "acme-store",
        "import worldweave_registry as ww\n"
        "@ww.hookimpl\ndef worldweave_fetch(uri):\n    return None\n",
        plugin="store",
    )
    install("zoo", supplying("edge", bases=("tiny-world",), about="Small"), plugin="z")
    names = ("acme-depth", "acme-old", "acme-sonar", "acme-store", "acme-off", "zoo")
    return found(*names, WORLDWEAVE_DISABLE="acme-off")


def test_the_table_has_a_line_for_all_that_is_supplied_or_wrong(
    catalog: Catalog,
) -> None:
    rows = [
        ("NAME      ", "KIND    ", "STATE   ", "PLUGIN          ", "ABOUT"),
        ("depth     ", "modality", "ready   ", "acme-depth 0.2.0", "Metric depth"),
        ("normal    ", "modality", "ready   ", "acme-depth 0.2.0", "Metric depth"),
        ("off       ", "plugin  ", "disabled", "acme-off 0.2.0  ", DISABLED),
        ("thermal   ", "plugin  ", "outdated", "acme-old 2.11   ", OUTDATED),
        ("sonar     ", "plugin  ", "broken  ", "acme-sonar 0.2.0", BROKEN),
        ("store     ", "plugin  ", "ready   ", "acme-store 0.2.0", FETCHES),
        ("edge      ", "modality", "ready   ", "zoo 0.2.0       ", "Small"),
        ("tiny-world", "base    ", "ready   ", "zoo 0.2.0       ", "Small"),
    ]
    assert as_table(catalog) == "\n".join("  ".join(row) for row in rows)


def test_the_records_have_the_same_keys_for_every_plugin(catalog: Catalog) -> None:
    records = json.loads(as_json(catalog))
    assert {tuple(record) for record in records} == {KEYS}
    assert 0 <= records[0].pop("seconds") < 1
    assert records[0].pop("folder").endswith("site")
    assert records[0] == {
        "plugin": "depth@acme-depth",
        "version": "0.2.0",
        "state": "ready",
        "problem": "",
        "modalities": ["depth", "normal"],
        "bases": [],
        "hooks": ["worldweave_modalities"],
        "remark": "",
        "license": "",
        "home": "",
        "tracker": "",
        "entry": "acme_depth_depth",
        "refused": [],
    }
    assert records[3]["state"] == "broken"
    assert records[3]["problem"] == "SystemExit: no licence key"
    assert records[5]["bases"] == ["tiny-world"]


def test_an_empty_catalog_says_so(found: Found) -> None:
    assert as_table(found()) == "no plugins found; WORLDWEAVE_PLUGINS hides all"
    assert json.loads(as_json(found())) == []


def test_the_command_prints_the_table(
    install: Install,
    supplying: Supplying,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    install("acme-depth", supplying("depth", about="Metric depth"))
    monkeypatch.setitem(os.environ, "WORLDWEAVE_PLUGINS", "acme-depth")
    assert main(["plugins"]) == 0
    assert capfd.readouterr().out == (
        "NAME   KIND      STATE  PLUGIN            ABOUT\n"
        "depth  modality  ready  acme-depth 0.2.0  Metric depth\n"
    )


def run(site: Path, statement: str) -> subprocess.CompletedProcess[str]:
    """Run a statement in a fresh process that sees only the plugin acme-loud."""
    registry = Path(worldweave_registry.__file__).parents[1]
    core = Path(worldweave.__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-c", statement],
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (site, registry, core))),
            "WORLDWEAVE_PLUGINS": "acme-loud",
        },
    )


def test_a_talkative_plugin_does_not_spoil_the_records(
    install: Install, supplying: Supplying, site: Path
) -> None:
    install(
        "acme-loud",
        "import os, sys\n"
        "print('1 printed')\n"
        "os.write(1, b'2 written to the descriptor\\n')\n"
        "os.system('echo 3 a subprocess')\n"
        "sys.__stdout__.write('4 past the redirection\\n')\n"
        "sys.stderr.write('5 an error\\n')\n" + supplying("depth"),
    )
    done = run(site, "from worldweave.cli import main; main(['plugins', '--json'])")
    assert json.loads(done.stdout)[0]["modalities"] == ["depth"]
    assert sorted(line[0] for line in done.stderr.splitlines()) == list("12345")


@pytest.mark.parametrize("command", ["plugins", "bases"])
def test_the_command_imports_nothing_heavy(
    install: Install, supplying: Supplying, site: Path, command: str
) -> None:
    install("acme-loud", supplying("depth", bases=("tiny",)))
    done = run(
        site,
        "import sys; from worldweave.cli import main; "
        f"main([{command!r}]); print(*sys.modules)",
    )
    names = {name.partition(".")[0] for name in done.stdout.split()}
    assert "worldweave_registry" in names
    assert names.isdisjoint({"torch", "numpy", "cv2", "av", "transformers"})


def test_a_name_of_two_plugins_is_listed_as_it_must_be_asked_for(
    install: Install, found: Found, supplying: Supplying
) -> None:
    install("dist-a", supplying("sonar", bases=("sea",)))
    install("dist-b", supplying("sonar"))
    rows = as_table(found("dist-a", "dist-b")).splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["sonar@dist-a", "sea", "sonar@dist-b"]


def test_a_plugin_that_could_supply_something_and_does_not_says_so(
    install: Install, found: Found, supplying: Supplying
) -> None:
    nothing = supplying("sonar").replace("('sonar',)", "()")
    install("acme-sonar", nothing, plugin="sonar")
    (row,) = as_table(found("acme-sonar")).splitlines()[1:]
    assert row.split()[:3] == ["sonar", "plugin", "ready"]
    assert row.endswith("implements worldweave_modalities; it supplies nothing now")
