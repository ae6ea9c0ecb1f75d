"""Which plugins are found, in which state, and what the environment switches."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from worldweave_registry import Catalog, State, discover

Install = Callable[..., None]
Found = Callable[..., Catalog]
Supplying = Callable[..., str]


def ids(catalog: Catalog) -> list[str]:
    return [plugin.id for plugin in catalog.plugins]


def test_a_sound_plugin_is_ready(
    install: Install, found: Found, supplying: Supplying
) -> None:
    install("acme-depth", supplying("depth", bases=("tiny",)))
    (plugin,) = found("acme-depth").plugins
    assert (plugin.name, plugin.distribution, plugin.version) == (
        "depth",
        "acme-depth",
        "0.2.0",
    )
    assert plugin.state is State.READY
    assert plugin.problem == ""
    assert [modality.name for modality in plugin.modalities] == ["depth"]
    assert [base.name for base in plugin.bases] == ["tiny"]
    assert plugin.hooks == ("worldweave_modalities", "worldweave_bases")


def test_a_plugin_that_only_fetches_is_ready(install: Install, found: Found) -> None:
    install(
        "acme-store",
        "import worldweave_registry as ww\n"
        "@ww.hookimpl\ndef worldweave_fetch(uri):\n    return None\n",
    )
    (plugin,) = found("acme-store").plugins
    assert plugin.state is State.READY
    assert plugin.hooks == ("worldweave_fetch",)


def test_an_object_can_be_a_plugin(install: Install, found: Found) -> None:
    install(
        "acme-object",
        "import worldweave_registry as ww\n"
        "class Store:\n"
        "    __hash__ = None\n"
        "    @ww.hookimpl\n"
        "    def worldweave_fetch(self, uri):\n"
        "        return '/here'\n"
        "store = Store()\n",
        value="acme_object_depth:store",
    )
    catalog = found("acme-object")
    assert catalog.hook.worldweave_fetch(uri="x:y") == Path("/here")


def test_descriptions_may_be_generated(
    install: Install, found: Found, supplying: Supplying
) -> None:
    source = supplying("depth", "edge").replace("return [", "yield from [")
    install("acme-depth", source)
    assert list(found("acme-depth").modalities) == ["depth", "edge"]


@pytest.mark.parametrize(
    ("generation", "upgrade"),
    [(0, "acme-thermal"), (2, "worldweave"), (12, "worldweave")],
)
def test_a_plugin_of_another_generation_is_outdated_without_importing_it(
    install: Install, found: Found, generation: int, upgrade: str
) -> None:
    install("acme-thermal", None, plugin="thermal", group=f"worldweave.v{generation}")
    (plugin,) = found("acme-thermal").plugins
    assert plugin.state is State.OUTDATED
    assert plugin.problem == (
        f"written for plugin API {generation}, this worldweave speaks 1; "
        f"try: pip install --upgrade {upgrade}"
    )


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_a_plugin_for_several_generations_is_used_as_ours(
    install: Install, found: Found, supplying: Supplying, order: tuple[int, ...]
) -> None:
    for generation in order:
        install("acme-both", supplying("both"), group=f"worldweave.v{generation}")
    (plugin,) = found("acme-both").plugins
    assert plugin.state is State.READY


def test_other_entry_points_are_none_of_our_business(
    install: Install, found: Found
) -> None:
    install("acme-else", None, group="worldweave.version")
    install("acme-more", None, group="pytest11")
    assert found("acme-else", "acme-more").plugins == ()


@pytest.mark.parametrize("suffix", ["", "x", "1.1", "1beta", ".1"])
def test_a_group_that_names_no_generation_is_told(
    install: Install, found: Found, suffix: str
) -> None:
    install("acme-depth", "raise SystemExit", group=f"worldweave.v{suffix}")
    (plugin,) = found("acme-depth").plugins
    assert plugin.state is State.BROKEN
    assert plugin.problem == (
        f"the group 'worldweave.v{suffix}' of its entry point names no generation; "
        "write 'worldweave.v1'"
    )
    assert "acme_depth_depth" not in sys.modules


def test_a_group_that_is_wrong_does_not_hide_the_right_one(
    install: Install, found: Found, supplying: Supplying
) -> None:
    install("acme-depth", supplying("depth"))
    install("acme-depth", None, group="worldweave.v1.1", value="acme_gone")
    assert found("acme-depth").plugins[0].state is State.READY


def test_a_disabled_plugin_is_not_imported(install: Install, found: Found) -> None:
    install("acme-depth", "raise SystemExit")
    (plugin,) = found("acme-depth", WORLDWEAVE_DISABLE="depth").plugins
    assert plugin.state is State.DISABLED
    assert plugin.problem == "named in WORLDWEAVE_DISABLE"
    assert "acme_depth_depth" not in sys.modules


@pytest.mark.parametrize(
    ("listing", "disabled"),
    [
        ("depth", ["depth@acme-depth", "depth@beta"]),
        ("acme-depth", ["depth@acme-depth", "edge@acme-depth"]),
        ("Acme_Depth", ["depth@acme-depth", "edge@acme-depth"]),
        ("depth@acme-depth", ["depth@acme-depth"]),
        (" edge , beta,", ["edge@acme-depth", "depth@beta"]),
        ("acme", []),
        ("", []),
    ],
)
def test_plugins_are_disabled_by_plugin_distribution_or_both(
    install: Install,
    found: Found,
    supplying: Supplying,
    listing: str,
    disabled: list[str],
) -> None:
    install("acme-depth", supplying("depth"), plugin="depth")
    install("acme-depth", supplying("edge"), plugin="edge")
    install("beta", supplying("depth"), plugin="depth")
    catalog = found("acme-depth", "beta", WORLDWEAVE_DISABLE=listing)
    assert [
        plugin.id for plugin in catalog.plugins if plugin.state is State.DISABLED
    ] == disabled


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        ("sonar", ["sonar@acme-depth"]),
        ("acme-depth", ["depth@acme-depth", "sonar@acme-depth"]),
        ("depth@BETA", ["depth@beta"]),
        ("nobody", []),
        ("", []),
    ],
)
def test_only_the_plugins_named_are_considered(
    install: Install,
    found: Found,
    supplying: Supplying,
    listing: str,
    expected: list[str],
) -> None:
    install("acme-depth", supplying("depth"), plugin="depth")
    install("acme-depth", supplying("sonar"), plugin="sonar")
    install("beta", supplying("depth"), plugin="depth")
    assert ids(found(listing)) == expected


def test_without_the_switch_everything_installed_is_considered(
    install: Install, supplying: Supplying
) -> None:
    install("acme-depth", supplying("depth"))
    catalog = discover({})
    assert "depth@acme-depth" in ids(catalog)
    assert catalog.considered is None


def test_the_environment_is_read_when_discovering(
    install: Install, supplying: Supplying, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("acme-depth", supplying("depth"))
    monkeypatch.setitem(os.environ, "WORLDWEAVE_PLUGINS", "acme-depth")
    assert ids(discover()) == ["depth@acme-depth"]
    monkeypatch.setitem(os.environ, "WORLDWEAVE_PLUGINS", "")
    assert ids(discover()) == []


def test_the_order_is_by_distribution_and_name(
    install: Install, found: Found, supplying: Supplying
) -> None:
    names = [("zeta", "a"), ("Acme", "b"), ("beta", "z"), ("Acme", "a")]
    for distribution, plugin in names:
        install(distribution, supplying(f"m_{plugin}"), plugin=plugin)
    expected = ["a@Acme", "b@Acme", "z@beta", "a@zeta"]
    assert ids(found("zeta", "Acme", "beta")) == expected
    assert ids(found("beta", "Acme", "zeta")) == expected


def test_of_two_copies_of_a_distribution_the_first_on_the_path_counts(
    install: Install,
    found: Found,
    supplying: Supplying,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install("acme-depth", supplying("depth"), version="1.0")
    install("acme-depth", supplying("edge"), version="1.0", plugin="edge")
    first = tmp_path / "first"
    first.mkdir()
    monkeypatch.syspath_prepend(first)
    install("Acme.Depth", supplying("depth"), version="2.0", folder=first)
    (plugin,) = found("acme-depth").plugins
    assert (plugin.id, plugin.version) == ("depth@Acme.Depth", "2.0")


def test_remains_of_an_uninstalled_distribution_do_no_harm(
    install: Install, found: Found, supplying: Supplying, site: Path
) -> None:
    (site / "~cme-1.0.dist-info").mkdir()
    broken = site / "latin-1.0.dist-info"
    broken.mkdir()
    (broken / "entry_points.txt").write_bytes(b"[worldweave.v1]\nd\xe9pth = x\n")
    install("acme-depth", supplying("depth"))
    assert ids(found("acme-depth")) == ["depth@acme-depth"]


def test_a_distribution_without_a_name_is_listed_as_unknown(
    install: Install, found: Found, supplying: Supplying, site: Path
) -> None:
    install("acme-depth", supplying("depth"))
    (site / "acme_depth-0.2.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2\n"
    )
    (plugin,) = found("unknown").plugins
    assert (plugin.id, plugin.version) == ("depth@unknown", "unknown")


def test_a_modality_is_supplied_as_the_plugin_describes_it(
    install: Install, found: Found, supplying: Supplying
) -> None:
    install("acme-depth", supplying("depth"))
    module = __import__("acme_depth_depth")
    assert list(found("acme-depth").plugins[0].modalities) == (
        module.worldweave_modalities()
    )


def test_discovering_twice_finds_the_same(
    install: Install, found: Found, supplying: Supplying
) -> None:
    install("acme-depth", supplying("depth"))
    install("beta", "1 / 0")
    assert found("acme-depth", "beta") == found("acme-depth", "beta")
