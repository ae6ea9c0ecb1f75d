"""What stands under a licence that is not allowed is refused: code and weights."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from worldweave_registry import (
    AmbiguousModalityError,
    Catalog,
    LicenseError,
    Weights,
    WeightsError,
    discover,
    locate,
    resolve,
)

Install = Callable[..., None]
Found = Callable[..., Catalog]

NVIDIA = (
    "https://www.nvidia.com/en-us/agreements/enterprise-software/"
    "nvidia-open-model-license/"
)
HEAD = "import worldweave_registry as ww\n"


def supplies(name: str, license: str, weights: str = "MIT") -> str:
    return HEAD + (
        "@ww.hookimpl\ndef worldweave_modalities():\n"
        f"    return [ww.Modality(name={name!r}, summary='x', license={license!r},\n"
        "        preprocessor='a.b:C', weights=[ww.Weights(base='tiny',\n"
        f"        uri='file:{name}.safetensors', license={weights!r})])]\n"
    )


def refusal(catalog: Catalog, name: str) -> str:
    with pytest.raises(LicenseError) as caught:
        catalog.find(name)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_what_is_installed_may_be_listed_as_it_is_written(
    install: Install, found: Found, states: Callable[[str, str], None]
) -> None:
    install("acme-a", supplies("fog", "The Acme Licence", "See WEIGHTS.txt"))
    states("acme-a", "Ours")
    listing = "the acme licence, see weights.txt, ours"
    catalog = found("acme-a").allowing([listing])
    assert catalog.refusal(catalog.find("fog").weights[0]) == ""
    with pytest.raises(LicenseError, match="'the acme licence'"):
        found().allowing([listing])


def test_code_under_another_licence_is_refused_with_all_there_is_to_know(
    install: Install, found: Found
) -> None:
    install("acme-a", supplies("fog", "GPL-3.0-only"))
    catalog = found("acme-a").allowing(["MIT", "ISC"], told_by="--licenses")
    assert refusal(catalog, "fog") == (
        "modality 'fog' of acme-a 0.2.0: licence 'GPL-3.0-only' is not among those "
        "that --licenses allows (MIT, ISC); allow that too, or leave the modality out"
    )
    assert catalog.modalities == {}
    assert catalog.allowing(["gpl-3.0-only"]).find("fog").name == "fog"


def test_a_base_under_another_licence_is_refused(
    install: Install, found: Found, supplying: Callable[..., str]
) -> None:
    install("acme-a", supplying(bases=("tiny",)))
    catalog = found("acme-a").allowing(["ISC"])
    with pytest.raises(LicenseError, match=r"^base 'tiny' of acme-a 0\.2\.0: licence"):
        catalog.find_base("tiny")
    assert catalog.bases == {}
    assert list(catalog.allowing(["MIT"]).bases) == ["tiny"]


def test_none_lifts_what_was_restricted(install: Install, found: Found) -> None:
    install("acme-a", supplies("fog", "GPL-3.0-only", "ISC"))
    catalog = found("acme-a").allowing(["MIT"]).allowing(None)
    assert catalog.allowed is None
    assert catalog.find("fog").license == "GPL-3.0-only"
    assert locate(catalog.find("fog").weights[0], catalog.hook)


def test_who_supplies_a_refused_modality_can_still_be_asked(
    install: Install, found: Found
) -> None:
    install("acme-a", supplies("fog", "GPL-3.0-only"))
    catalog = found("acme-a").allowing(["MIT"])
    assert catalog.plugin_of("fog").id == "depth@acme-a"
    assert "GPL-3.0-only" in catalog.refusal(catalog.plugin_of("fog").modalities[0])


def test_a_licence_does_not_decide_between_two_of_one_name(
    install: Install, found: Found
) -> None:
    install("acme-a", supplies("fog", "GPL-3.0-only"))
    install("acme-b", supplies("fog", "MIT"))
    catalog = found("acme-a", "acme-b").allowing(["MIT"])
    with pytest.raises(AmbiguousModalityError):
        catalog.find("fog")
    assert list(catalog.modalities) == ["fog@acme-b"]


def test_weights_have_a_licence_of_their_own(
    install: Install, found: Found, tmp_path: Path
) -> None:
    install("acme-a", supplies("fog", "MIT", NVIDIA))
    catalog = found("acme-a").allowing(["MIT"], told_by="--licenses")
    (weights,) = catalog.find("fog").weights
    told = (
        "weights 'file:fog.safetensors' (branch for 'tiny'): licence "
        f"'{NVIDIA}' is not among those that --licenses allows (MIT); allow that too, "
        "or use other weights"
    )
    assert catalog.refusal(weights) == told
    for ask in (resolve, locate):
        with pytest.raises(LicenseError, match=re.escape(told)):
            ask(weights, catalog.hook)
    wider = catalog.allowing(["MIT", NVIDIA])
    assert wider.refusal(weights) == ""
    assert locate(weights, wider.hook) == Path("fog.safetensors")
    with pytest.raises(WeightsError, match="missing"):
        resolve(weights, wider.hook)


def test_weights_may_be_used_whatever_their_licence_where_nothing_is_said() -> None:
    weights = Weights(base="tiny", uri="file:a", license=NVIDIA)
    assert locate(weights) == locate(weights, discover({}).hook) == Path("a")


def test_the_variable_has_the_same_meaning(install: Install, found: Found) -> None:
    install("acme-a", supplies("fog", "GPL-3.0-only"))
    catalog = found("acme-a", WORLDWEAVE_LICENSES="MIT, Apache-2.0")
    assert "WORLDWEAVE_LICENSES allows (MIT, Apache-2.0)" in refusal(catalog, "fog")
    catalog = found("acme-a", WORLDWEAVE_LICENSES="MIT,gpl-3.0-only")
    assert catalog.find("fog").name == "fog"


@pytest.mark.parametrize("value", ["", "Apache 2.0"])
def test_a_variable_that_cannot_be_read_is_told(found: Found, value: str) -> None:
    with pytest.raises(LicenseError, match=r"^WORLDWEAVE_LICENSES"):
        found(WORLDWEAVE_LICENSES=value)
