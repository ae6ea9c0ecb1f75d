"""Names lead to the one modality or base meant, or to the reason why not."""

from collections.abc import Callable

import pytest

from worldweave_registry import (
    AmbiguousBaseError,
    AmbiguousModalityError,
    Catalog,
    State,
    UnavailableBaseError,
    UnavailableModalityError,
    UnknownBaseError,
    UnknownModalityError,
)

Install = Callable[..., None]
Found = Callable[..., Catalog]
Supplying = Callable[..., str]


@pytest.fixture
def catalog(install: Install, found: Found, supplying: Supplying) -> Catalog:
    """Two plugins that both supply depth and the base tiny-world."""
    install(
        "acme-depth",
        supplying("depth", "lidar", bases=("tiny-world",), about="Metric depth"),
    )
    install(
        "Beta_Depth",
        supplying("depth", "edge", bases=("tiny-world", "big"), about="Relative"),
    )
    return found("acme-depth", "Beta_Depth")


def test_a_name_leads_to_its_modality_and_plugin(catalog: Catalog) -> None:
    assert catalog.find("lidar").name == "lidar"
    assert catalog.plugin_of("lidar").id == "depth@acme-depth"
    assert str(catalog.plugin_of("lidar")) == "acme-depth 0.2.0"


def test_a_name_leads_to_its_base_and_plugin(catalog: Catalog) -> None:
    assert catalog.find_base("big").name == "big"
    assert catalog.plugin_of_base("big").id == "depth@Beta_Depth"


def test_of_two_with_one_name_neither_wins_silently(catalog: Catalog) -> None:
    with pytest.raises(AmbiguousModalityError) as caught:
        catalog.find("depth")
    assert str(caught.value) == (
        "2 plugins supply the modality 'depth'; "
        "ask for 'depth@acme-depth' or 'depth@Beta_Depth'"
    )
    with pytest.raises(AmbiguousBaseError, match=r"the base 'tiny-world'; ask for "):
        catalog.find_base("tiny-world")


@pytest.mark.parametrize(
    ("name", "summary"),
    [
        ("depth@acme-depth", "Metric depth"),
        ("depth@Beta_Depth", "Relative"),
        ("depth@beta-depth", "Relative"),
        ("lidar@acme-depth", "Metric depth"),
    ],
)
def test_the_distribution_decides(catalog: Catalog, name: str, summary: str) -> None:
    assert catalog.find(name).summary == summary


def test_the_distribution_decides_between_bases(catalog: Catalog) -> None:
    assert catalog.find_base("tiny-world@acme-depth").summary == "Metric depth"


def test_what_is_listed_can_be_found(catalog: Catalog) -> None:
    assert list(catalog.modalities) == [
        "depth@acme-depth",
        "lidar",
        "depth@Beta_Depth",
        "edge",
    ]
    assert list(catalog.bases) == [
        "tiny-world@acme-depth",
        "tiny-world@Beta_Depth",
        "big",
    ]
    for name, modality in catalog.modalities.items():
        assert catalog.find(name) is modality
    for name, base in catalog.bases.items():
        assert catalog.find_base(name) is base


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("lidr", "did you mean 'lidar'?"),
        ("EDGE", "did you mean 'edge'?"),
        ("depth@acme-deph", "did you mean 'depth@acme-depth'?"),
        ("big", "'big' is a base"),
    ],
)
def test_an_unknown_name_gets_a_hint(catalog: Catalog, name: str, hint: str) -> None:
    with pytest.raises(UnknownModalityError) as caught:
        catalog.find(name)
    assert str(caught.value) == f"no plugin supplies the modality {name!r}; {hint}"


@pytest.mark.parametrize(
    ("name", "hint"),
    [("tinyworld", "did you mean 'tiny-world'?"), ("edge", "'edge' is a modality")],
)
def test_an_unknown_base_gets_a_hint(catalog: Catalog, name: str, hint: str) -> None:
    with pytest.raises(UnknownBaseError) as caught:
        catalog.find_base(name)
    assert str(caught.value) == f"no plugin supplies the base {name!r}; {hint}"


def test_where_nothing_is_near_all_that_is_known_is_told(catalog: Catalog) -> None:
    with pytest.raises(UnknownModalityError) as caught:
        catalog.find("thermal")
    assert str(caught.value) == (
        "no plugin supplies the modality 'thermal'; known: depth, edge, lidar; "
        "WORLDWEAVE_PLUGINS hides all plugins but 'acme-depth,Beta_Depth'"
    )


def test_where_nothing_is_installed_the_hidden_are_hinted_at(found: Found) -> None:
    with pytest.raises(UnknownModalityError) as caught:
        found("worldweav").find("depth")
    assert str(caught.value) == (
        "no plugin supplies the modality 'depth'; known: none; "
        "WORLDWEAVE_PLUGINS hides all plugins but 'worldweav'"
    )


def test_the_modality_of_a_broken_plugin_tells_what_broke(
    install: Install, found: Found
) -> None:
    install("acme-sonar", "raise SystemExit('no licence key')", plugin="sonar")
    catalog = found("acme-sonar")
    for name in ("sonar", "sonar@acme-sonar"):
        with pytest.raises(UnavailableModalityError) as caught:
            catalog.find(name)
        assert str(caught.value) == (
            f"the modality {name!r} comes from acme-sonar 0.2.0, which is broken: "
            "SystemExit: no licence key; report it to the author of acme-sonar 0.2.0 "
            "(WORLDWEAVE_TRACE=1 prints the traceback)"
        )


def test_a_modality_of_another_name_is_looked_for_in_the_distribution_named(
    install: Install, found: Found
) -> None:
    install("acme-sonar", "1 / 0", plugin="sensors")
    with pytest.raises(UnavailableModalityError, match="ZeroDivisionError"):
        found("acme-sonar").find("sonar@Acme.Sonar")


def test_a_disabled_base_tells_who_disabled_it(
    install: Install, found: Found, supplying: Supplying
) -> None:
    install("acme-big", supplying(bases=("big",)), plugin="big")
    with pytest.raises(UnavailableBaseError) as caught:
        found("acme-big", WORLDWEAVE_DISABLE="big").find_base("big")
    assert str(caught.value) == (
        "the base 'big' comes from acme-big 0.2.0, which is disabled: "
        "named in WORLDWEAVE_DISABLE"
    )


def test_a_ready_plugin_wins_over_a_broken_one_of_its_name(
    install: Install, found: Found, supplying: Supplying
) -> None:
    install("acme-depth", supplying("depth"))
    install("beta-depth", "1 / 0")
    assert found("acme-depth", "beta-depth").plugin_of("depth").distribution == (
        "acme-depth"
    )


def test_two_broken_plugins_of_one_name_are_both_told_of(
    install: Install, found: Found
) -> None:
    install("acme-depth", "1 / 0")
    install("beta-depth", "raise SystemExit")
    with pytest.raises(UnavailableModalityError) as caught:
        found("acme-depth", "beta-depth").find("depth")
    assert str(caught.value) == (
        "the modality 'depth' comes from acme-depth 0.2.0, which is broken: "
        "ZeroDivisionError: division by zero; report it to the author of acme-depth "
        "0.2.0; and from beta-depth 0.2.0, which is broken: SystemExit; report it to "
        "the author of beta-depth 0.2.0 (WORLDWEAVE_TRACE=1 prints the traceback)"
    )


def test_an_unknown_name_points_to_plugins_that_did_not_load(
    install: Install, found: Found
) -> None:
    install("acme-sense", "1 / 0", plugin="sense")
    with pytest.raises(
        UnknownModalityError,
        match=r"; not loaded: sense@acme-sense \(broken\), see: worldweave plugins; ",
    ):
        found("acme-sense").find("thermal")


def test_the_name_of_a_ready_plugin_is_not_the_name_of_a_modality(
    install: Install, found: Found, supplying: Supplying
) -> None:
    install("acme-sense", supplying("lidar"), plugin="sensors")
    catalog = found("acme-sense")
    assert catalog.plugins[0].state is State.READY
    with pytest.raises(UnknownModalityError, match="known: lidar"):
        catalog.find("sensors")


def test_a_name_is_as_long_as_it_must_be_to_be_found(
    install: Install, found: Found, supplying: Supplying
) -> None:
    install("acme-depth", supplying("depth", "lidar", bases=("tiny",)))
    install("beta-depth", supplying("depth", bases=("small",)))
    catalog = found("acme-depth", "beta-depth")
    names = {
        catalog.name_of(each): each
        for plugin in catalog.plugins
        for each in plugin.supplied
    }
    assert list(names) == [
        *("depth@acme-depth", "lidar", "tiny"),
        *("depth@beta-depth", "small"),
    ]
    for name, each in names.items():
        is_base = name in ("tiny", "small")
        assert (catalog.find_base(name) if is_base else catalog.find(name)) is each
