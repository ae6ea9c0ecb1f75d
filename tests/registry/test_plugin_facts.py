"""What is known of a plugin: licence, addresses, folder, time; ready or not."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from worldweave_registry import (
    GROUP,
    Catalog,
    Lazy,
    Plugin,
    PluginError,
    State,
)

Install = Callable[..., None]
Found = Callable[..., Catalog]
Supplying = Callable[..., str]

HEAD = "import worldweave_registry as ww\n@ww.hookimpl\n"
OLD = "; if the plugin was written for a newer worldweave, try: "
OWN = "class Own:\n    def __init__(self): pass\n"
UNKNOWN = ".__init__() got an unexpected keyword argument 'x'"
UPGRADE = "pip install --upgrade worldweave"


@pytest.fixture
def about(install: Install, found: Found, site: Path) -> Callable[..., Plugin]:
    """Install a plugin whose metadata has more lines, and discover it."""

    def about_(
        *lines: str,
        source: str | None = "",
        group: str = GROUP,
        **switches: str,
    ) -> Plugin:
        install("acme-fog", source, plugin="fog", group=group)
        metadata = site / "acme_fog-0.2.0.dist-info" / "METADATA"
        metadata.write_text("\n".join([*metadata.read_text().splitlines(), *lines]))
        (plugin,) = found("acme-fog", **switches).plugins
        return plugin

    return about_


@pytest.mark.parametrize(
    ("lines", "license"),
    [
        (["License-Expression: MIT", "License: other"], "MIT"),
        (["License: BSD-3-Clause"], "BSD-3-Clause"),
        (["License: UNKNOWN", "Classifier: License :: OSI Approved :: X Y"], "X Y"),
        (["License: A long", "        text", "Classifier: License :: Free"], "Free"),
        (["Classifier: License :: OSI Approved"], ""),
        (["Classifier: License :: A", "Classifier: License :: B :: C"], "A AND C"),
        (["Classifier: Topic :: MIT"], ""),
        ([], ""),
    ],
)
def test_the_licence_is_that_of_the_distribution(
    about: Callable[..., Plugin], lines: list[str], license: str
) -> None:
    assert about(*lines).license == license


@pytest.mark.parametrize(
    ("lines", "home", "tracker"),
    [
        (["Project-URL: homepage, https://a"], "https://a", ""),
        (["Project-URL: Home-Page, https://a"], "https://a", ""),
        (["Home-page: https://b", "Project-URL: Source, https://c"], "https://b", ""),
        (["Home-page: https://b", "Project-URL: Homepage,https://a"], "https://a", ""),
        (["Project-URL: Source Code, https://c"], "https://c", ""),
        (["Project-URL: Repository, https://c"], "https://c", ""),
        (["Project-URL: Changelog, https://d"], "", ""),
        (["Home-page: UNKNOWN"], "", ""),
        (["Project-URL: Issues, https://e"], "", "https://e"),
        (["Project-URL: bug_tracker, https://e"], "", "https://e"),
        (["Project-URL: Bug Tracker, https://e"], "", "https://e"),
        (["Project-URL: ISSUE-TRACKER, https://e?a=1,2"], "", "https://e?a=1,2"),
        (["Project-URL: Bugs, https://f", "Project-URL: Issues, https://e"], "", "e"),
        (["Project-URL: Issues"], "", ""),
        ([], "", ""),
    ],
)
def test_addresses_are_found_by_their_labels(
    about: Callable[..., Plugin], lines: list[str], home: str, tracker: str
) -> None:
    plugin = about(*lines)
    assert plugin.home == home
    assert plugin.tracker.removeprefix("https://") == tracker.removeprefix("https://")


def test_what_fails_is_reported_to_the_tracker_or_else_to_the_author(
    about: Callable[..., Plugin], supplying: Supplying
) -> None:
    source = supplying("fog")
    unknown = about(source=source)
    assert unknown.report == "report it to the author of acme-fog 0.2.0"
    told = "report it to acme-fog 0.2.0: https://acme.com/issues"
    plugin = about("Project-URL: Issues, https://acme.com/issues", source=source)
    assert plugin.report == told
    preprocessor = plugin.modalities[0].preprocessor
    assert preprocessor is not None
    assert preprocessor.report == told


@pytest.mark.parametrize(
    ("state", "given"),
    [
        (State.READY, {}),
        (State.BROKEN, {"source": "1 / 0"}),
        (State.DISABLED, {"source": "1 / 0", "WORLDWEAVE_DISABLE": "fog"}),
        (State.OUTDATED, {"source": None, "group": "worldweave.v0"}),
    ],
)
def test_the_facts_are_there_in_every_state(
    about: Callable[..., Plugin],
    supplying: Supplying,
    site: Path,
    state: State,
    given: dict[str, str | None],
) -> None:
    plugin = about(
        "License: ISC",
        "Home-page: https://a",
        "Project-URL: Bugs, https://b",
        **{"source": supplying("fog"), **given},
    )
    assert plugin.state is state
    assert (plugin.license, plugin.home, plugin.tracker) == (
        *("ISC", "https://a"),
        "https://b",
    )
    assert plugin.entry == "acme_fog_fog"
    assert Path(plugin.where) == site
    assert plugin.report.endswith("acme-fog 0.2.0: https://b")
    was_imported = state in (State.READY, State.BROKEN)
    assert (plugin.seconds > 0) == was_imported
    assert plugin.remark == ""


def test_times_and_remarks_do_not_make_two_plugins_differ(
    about: Callable[..., Plugin], supplying: Supplying
) -> None:
    plugin = about(source=supplying("fog"))
    assert plugin == attrs.evolve(plugin, seconds=9.0, remark="slow to list")
    assert plugin != attrs.evolve(plugin, tracker="https://other")


# What is slow.


def test_a_plugin_that_takes_a_second_to_import_is_told(
    about: Callable[..., Plugin], supplying: Supplying
) -> None:
    plugin = about(source="import time\ntime.sleep(1.01)\n" + supplying("fog"))
    assert plugin.state is State.READY
    assert plugin.seconds > 1
    assert plugin.remark == (
        f"slow to list: {plugin.seconds:.1f} s; name heavy parts by import path instead"
    )


def test_a_plugin_that_imports_a_heavy_package_is_told_and_its_neighbours_not(
    install: Install, site: Path, supplying: Supplying
) -> None:
    (site / "torch.py").write_text("# as heavy as the real one, but for the test\n")
    install("acme-a", supplying("a"), plugin="a")
    install("acme-b", "import torch\n" + supplying("b"), plugin="b")
    install("acme-c", "import torch\n" + supplying("c"), plugin="c")
    install("acme-d", "import triton\n", plugin="d")
    (site / "triton.py").write_text("1 / 0\n")
    code = (
        "from worldweave_registry import discover\n"
        "for plugin in discover().plugins: print(plugin.name, plugin.remark)"
    )
    environ = {"PYTHONPATH": os.pathsep.join([str(site), *sys.path])}
    environ["WORLDWEAVE_PLUGINS"] = "acme-a,acme-b,acme-c,acme-d"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=environ,
        capture_output=True,
        check=True,
        text=True,
    )
    a, b, c, d = ran.stdout.splitlines()
    assert (a, c, d) == ("a ", "c ", "d ")
    assert b.startswith("b slow to list: 0.")
    assert b.endswith(" s, it imports torch; name heavy parts by import path instead")


# A field that this worldweave does not know.


def unknown(about: Callable[..., Plugin], call: str) -> str:
    plugin = about(source=f"{HEAD}def worldweave_modalities():\n    return [{call}]\n")
    assert plugin.state is State.BROKEN
    return plugin.problem


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (
            "ww.Modality(default_weight=0.7)",
            "Modality has no field 'default_weight'; did you mean 'default_map'?",
        ),
        (
            "ww.Modality(name='x', licence='MIT', summary='x', preprocessor=None)",
            "Modality has no field 'licence'; did you mean 'license'?",
        ),
        ("ww.Base(zoom=1)", f"Base has no field 'zoom'{OLD}{UPGRADE}"),
        (
            "ww.Weights(base='a', url='b', license='MIT')",
            "Weights has no field 'url'; did you mean 'uri'?",
        ),
        ("ww.Recipe(stepz=1)", "Recipe has no field 'stepz'; did you mean 'steps'?"),
        ("ww.Lazy('a.b:C', paht=1)", "Lazy has no field 'paht'; did you mean 'path'?"),
        ("ww.Model(qqq=1)", f"Model has no field 'qqq'{OLD}{UPGRADE}"),
    ],
)
def test_an_unknown_field_is_told_with_what_to_do(
    about: Callable[..., Plugin], call: str, told: str
) -> None:
    assert unknown(about, call) == told


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise TypeError('no')", "TypeError: no"),
        ("int(default_weight=1)", "TypeError: "),
        (OWN + "Own(x=1)", "TypeError: Own.__init__"),
        (f'raise ValueError("Modality{UNKNOWN}")', f"ValueError: Modality{UNKNOWN}"),
    ],
)
def test_any_other_error_stays_what_it_is(
    about: Callable[..., Plugin], source: str, told: str
) -> None:
    plugin = about(source=source)
    assert plugin.state is State.BROKEN
    assert plugin.problem.startswith(told)


def test_an_unknown_field_of_a_recipe_is_told_when_it_is_loaded(site: Path) -> None:
    (site / "acme_recipe.py").write_text(
        "from worldweave_registry import Recipe\n"
        "RECIPE = Recipe(steps=1, learning_rat=0.1)\n"
    )
    with pytest.raises(PluginError) as caught:
        Lazy("acme_recipe:RECIPE").load()
    assert str(caught.value) == (
        "cannot load 'acme_recipe:RECIPE': Recipe has no field 'learning_rat'; "
        "did you mean 'learning_rate'?"
    )


@pytest.mark.parametrize(
    ("direct_url", "folder"),
    [
        ('{"url": "file:///a%20b/fog", "dir_info": {"editable": true}}', "/a b/fog"),
        ('{"url": "file:///fog", "dir_info": {}}', None),
        ('{"url": "https://a/fog.whl", "archive_info": {}}', None),
        ("{", None),
        ("[]", None),
        ('{"dir_info": {"editable": true}}', None),
    ],
)
def test_the_folder_of_an_editable_install_is_that_of_the_sources(
    about: Callable[..., Plugin], site: Path, direct_url: str, folder: str | None
) -> None:
    about()
    (site / "acme_fog-0.2.0.dist-info" / "direct_url.json").write_text(direct_url)
    assert Path(about().where) == Path(folder or site)
