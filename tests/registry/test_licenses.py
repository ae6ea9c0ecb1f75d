"""Which licences a user allows: of code, of weights, of models; and who is refused."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldweave_registry import (
    AmbiguousModalityError,
    Catalog,
    LicenseError,
    PluginError,
    Weights,
    WeightsError,
    discover,
    locate,
    resolve,
)
from worldweave_registry.licenses import Allowed, allowed_of

Install = Callable[..., None]
Found = Callable[..., Catalog]

NVIDIA = (
    "https://www.nvidia.com/en-us/agreements/enterprise-software/"
    "nvidia-open-model-license/"
)
HEAD = "import worldweave_registry as ww\n"
IDS = ("MIT", "ISC", "Apache-2.0", "GPL-2.0+", "LicenseRef-acme", NVIDIA)


def supplies(name: str, license: str, weights: str = "MIT") -> str:
    return HEAD + (
        "@ww.hookimpl\ndef worldweave_modalities():\n"
        f"    return [ww.Modality(name={name!r}, summary='x', license={license!r},\n"
        "        preprocessor='a.b:C', weights=[ww.Weights(base='tiny',\n"
        f"        uri='file:{name}.safetensors', license={weights!r})])]\n"
    )


def hook(name: str, arguments: str, answer: str) -> str:
    return f"@ww.hookimpl\ndef worldweave_{name}({arguments}):\n    return {answer}\n"


def model(license: str, name: str = "Eyes") -> str:
    return f"[ww.Model(name={name!r}, license={license!r})]"


MAP = hook("map", "prompt, video", "0.5")


@pytest.fixture
def states(site: Path) -> Callable[[str, str], None]:
    """Let the metadata of an installed distribution state a licence."""

    def state(distribution: str, license: str) -> None:
        info = site / f"{distribution.replace('-', '_')}-0.2.0.dist-info" / "METADATA"
        info.write_text(f"{info.read_text()}License-Expression: {license}\n")

    return state


def refusal(catalog: Catalog, name: str) -> str:
    with pytest.raises(LicenseError) as caught:
        catalog.find(name)
    text = str(caught.value)
    assert "\n" not in text
    return text


# What a list of licences means.


@pytest.mark.parametrize(
    "license",
    [
        "mit",
        "MIT OR GPL-3.0-only",
        "GPL-3.0-only or MIT",
        "MIT AND Apache-2.0",
        "(MIT OR GPL-3.0-only) AND Apache-2.0",
        "MIT OR (Apache-2.0 AND GPL-3.0-only)",
        "LGPL-2.1-only AND GPL-3.0-only",
        "GPL-3.0-only AND LGPL-2.1-only",
        "GPL-2.0-only WITH Classpath-exception-2.0",
        "gpl-2.0-only with classpath-exception-2.0 OR ISC",
        NVIDIA,
        NVIDIA.upper(),
        NVIDIA.rstrip("/"),
        f"{NVIDIA} AND MIT",
    ],
)
def test_a_licence_is_allowed_by_what_is_listed(license: str) -> None:
    allowed = allowed_of(
        [
            "MIT, apache-2.0",
            NVIDIA,
            "GPL-2.0-only WITH Classpath-exception-2.0",
            "GPL-3.0-only AND LGPL-2.1-only",
        ]
    )
    assert allowed.allows(license)
    assert allowed.refusal(license) == ""


@pytest.mark.parametrize(
    "license",
    [
        "",
        " ",
        "GPL-3.0-only",
        "MIT AND GPL-3.0-only",
        "GPL-3.0-only OR ISC",
        "(MIT OR ISC) AND GPL-3.0-only",
        "GPL-2.0-only",
        "MIT WITH Classpath-exception-2.0",
        "MIT-0",
        "MITX",
        "MIT License",
        "MIT OR",
        "OR MIT",
        "(MIT",
        "MIT)",
        "MIT ISC",
        "MIT OR OR MIT",
        NVIDIA + "v2",
        "()",
        "(" * 5000 + "MIT" + ")" * 5000,
    ],
)
def test_a_licence_outside_the_list_is_refused(license: str) -> None:
    allowed = allowed_of(["MIT", NVIDIA, "GPL-2.0-only WITH Classpath-exception-2.0"])
    assert not allowed.allows(license)
    assert allowed.refusal(license)


def test_an_expression_that_is_listed_does_not_allow_its_parts() -> None:
    allowed = allowed_of(["MIT AND ISC"])
    assert allowed.allows("ISC AND MIT")
    assert not allowed.allows("MIT")
    assert not allowed_of(["MIT OR ISC"]).allows("ISC")


Tree = str | tuple[str, list["Tree"]]
TREES = st.recursive(
    st.sampled_from(IDS),
    lambda inner: st.tuples(
        st.sampled_from(["AND", "OR"]), st.lists(inner, min_size=2, max_size=3)
    ),
    max_leaves=8,
)


def written(tree: Tree, word: Callable[[str], str] = str) -> str:
    if isinstance(tree, str):
        return word(tree)
    operator, parts = tree
    return "(" + f" {word(operator)} ".join(written(p, word) for p in parts) + ")"


def truth(tree: Tree, listed: frozenset[str]) -> bool:
    if isinstance(tree, str):
        return tree in listed
    operator, parts = tree
    return (any if operator == "OR" else all)(truth(part, listed) for part in parts)


@given(TREES, st.frozensets(st.sampled_from(IDS), min_size=1))
def test_or_needs_one_and_needs_all(tree: Tree, listed: frozenset[str]) -> None:
    allowed = Allowed(tuple(listed))
    assert allowed.allows(written(tree)) == truth(tree, listed)
    assert allowed.allows(written(tree, str.lower)) == truth(tree, listed)
    assert Allowed((written(tree),)).allows(written(tree, str.swapcase))


def test_and_binds_more_closely_than_or() -> None:
    assert allowed_of(["MIT"]).allows("MIT OR ISC AND GPL-3.0-only")
    assert not allowed_of(["ISC"]).allows("MIT OR ISC AND GPL-3.0-only")


@given(st.text(max_size=40))
def test_no_text_of_a_plugin_is_allowed_or_breaks_anything(text: str) -> None:
    assert not Allowed(("LicenseRef-none",)).allows(text)


# What may be listed.


@pytest.mark.parametrize(
    ("listing", "told"),
    [
        ([], "lists no licence"),
        ("", "lists no licence"),
        ([" , ", ""], "lists no licence"),
        (["MIT", 5], "has 5, which is no text"),
        ("Apache 2.0", "'Apache 2.0', which .*; did you mean 'Apache-2.0'?"),
        ("MIT,apache2", "'apache2', which .*; did you mean 'Apache-2.0'?"),
        ("Apche-2.0", "did you mean 'Apache-2.0'?"),
        ("MIT License", "did you mean 'MIT'?"),
        ("GPLv3", "did you mean 'GPL-3.0-only'?"),
        ("BSD", "did you mean 'BSD-3-Clause'?"),
        ("MIT OR foobar", "'foobar', which .*; give SPDX ids such as"),
        ("see the readme", "neither an SPDX id nor an address; give"),
        ("MIT OR", "'MIT OR', which is neither"),
        ("foobar,nowhere", "'foobar'.*; and 'nowhere'"),
        ("MIT WITH nothing", "'mit with nothing', which is neither"),
        ("www.acme.com/licence", "neither"),
    ],
)
def test_what_looks_like_no_licence_is_told(listing: list[str], told: str) -> None:
    with pytest.raises(LicenseError, match=f"^--licenses .*{told}") as caught:
        allowed_of(listing, told_by="--licenses")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "entry",
    [
        *("MIT", "oldap-2.8", "GPL-2.0+", "LicenseRef-acme", NVIDIA),
        *("MIT and (ISC or 0BSD)", "ftp://acme.com/LICENSE"),
        "GPL-2.0-only with classpath-exception-2.0",
    ],
)
def test_spdx_and_addresses_may_be_listed(entry: str) -> None:
    assert allowed_of(entry).entries == (entry,)
    assert allowed_of(entry).allows(entry)


def test_what_a_plugin_states_may_be_listed_whatever_it_looks_like() -> None:
    allowed = allowed_of(["the acme  licence"], known=["The Acme Licence", "MIT"])
    assert allowed.allows("The Acme Licence")
    assert not allowed.allows("MIT")


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


# What a catalog then refuses.


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


@pytest.mark.parametrize("license", ["MIT", "GPL-3.0-only", ""])
def test_a_plugin_without_descriptions_has_the_licence_of_its_distribution(
    install: Install, found: Found, states: Callable[[str, str], None], license: str
) -> None:
    install("acme-a", HEAD + MAP)
    if license:
        states("acme-a", license)
    catalog = found("acme-a").allowing(["MIT"])
    assert catalog.plugins[0].licenses == (license,)
    if license == "MIT":
        assert catalog.hook.worldweave_map(prompt="x", video=None) == 0.5
        assert catalog.refusal(catalog.plugins[0]) == ""
        return
    why = f"licence {license!r} is" if license else "it states no licence"
    with pytest.raises(LicenseError, match=f"has no answer; left out: .*acme-a.*{why}"):
        catalog.hook.worldweave_map(prompt="x", video=None)
    assert why in catalog.refusal(catalog.plugins[0])
    assert why in catalog.hook.refusal("worldweave_map", "map")


def test_a_plugin_with_descriptions_has_theirs(
    install: Install, found: Found, states: Callable[[str, str], None]
) -> None:
    install("acme-a", supplies("fog", "ISC") + MAP)
    states("acme-a", "MIT")
    catalog = found("acme-a")
    assert catalog.plugins[0].licenses == ("ISC",)
    ask = catalog.allowing(["ISC"]).hook.worldweave_map
    assert ask(prompt="x", video=None) == 0.5
    with pytest.raises(LicenseError, match="'ISC'"):
        catalog.allowing(["MIT"]).hook.worldweave_map(prompt="x", video=None)


def test_all_licences_of_a_plugin_must_be_allowed_for_its_hooks(
    install: Install, found: Found
) -> None:
    source = supplies("fog", "ISC") + supplies("mist", "0BSD").removeprefix(HEAD)
    source = source.replace("worldweave_modalities", "a", 1).replace(
        "    return [ww.Modality(name='mist'",
        "    return [*a(), ww.Modality(name='mist'",
    )
    install("acme-a", source.replace("@ww.hookimpl\ndef a", "def a", 1) + MAP)
    catalog = found("acme-a")
    assert catalog.plugins[0].licenses == ("ISC", "0BSD")
    told = "licences 'ISC' and '0BSD' are not"
    assert told in catalog.allowing(["MIT"]).refusal(catalog.plugins[0])
    with pytest.raises(LicenseError, match="licence '0BSD' is"):
        catalog.allowing(["ISC"]).hook.worldweave_map(prompt="x", video=None)


def test_another_plugin_answers_for_one_that_is_left_out(
    install: Install, found: Found, states: Callable[[str, str], None]
) -> None:
    install("acme-a", HEAD + MAP)
    install("acme-b", HEAD + hook("map", "prompt, video", "0.7"))
    install("acme-c", HEAD + hook("map", "prompt, video", "1 / 0"))
    states("acme-b", "MIT")
    states("acme-c", "MIT")
    catalog = found("acme-a", "acme-b").allowing(["MIT"])
    assert catalog.hook.worldweave_map(prompt="x", video=None) == 0.7
    assert catalog.hook.refusal("worldweave_map", "map") == ""
    catalog = found("acme-a", "acme-c").allowing(["MIT"])
    with pytest.raises(PluginError, match=r"acme-c.*Zero.*; left out: .*acme-a"):
        catalog.hook.worldweave_map(prompt="x", video=None)
    install("acme-d", HEAD + MAP.replace("return 0.5", "raise ww.WeightsError('no')"))
    states("acme-d", "MIT")
    catalog = found("acme-a", "acme-d").allowing(["MIT"])
    with pytest.raises(PluginError, match=r"acme-d': no; left out: .*acme-a"):
        catalog.hook.worldweave_map(prompt="x", video=None)


TASKS: Mapping[str, tuple[str, str, dict[str, object]]] = {
    "map": ("map", "prompt, video", {"prompt": "x", "video": None}),
    "objects": ("objects", "prompt, video", {"prompt": "x", "video": None}),
    "foreground:vlm": (
        "foreground",
        "classifier, video, masks",
        {"classifier": "vlm", "video": None, "masks": {}},
    ),
}


@pytest.mark.parametrize("task", TASKS)
def test_a_plugin_whose_model_is_refused_never_runs(
    install: Install, found: Found, states: Callable[[str, str], None], task: str
) -> None:
    name, arguments, given_ = TASKS[task]
    tells = f"{model('CC-BY-NC-4.0')} if task == {task!r} else {model('MIT')}"
    install(
        "acme-a",
        HEAD + hook(name, arguments, "0.5") + hook("models", "task", tells),
    )
    states("acme-a", "MIT")
    catalog = found("acme-a").allowing(["MIT"])
    told = "left out: model 'Eyes' of plugin 'depth@acme-a': licence 'CC-BY-NC-4.0'"
    with pytest.raises(LicenseError, match=told):
        getattr(catalog.hook, f"worldweave_{name}")(**given_)
    with pytest.raises(LicenseError, match=told):
        catalog.hook.worldweave_models(task=task)
    assert told in catalog.hook.refusal(f"worldweave_{name}", task)
    wider = catalog.allowing(["MIT", "CC-BY-NC-4.0"]).hook
    assert getattr(wider, f"worldweave_{name}")(**given_) == 0.5
    assert wider.refusal(f"worldweave_{name}", task) == ""


def test_a_plugin_that_fails_to_tell_its_models_never_runs_where_it_matters(
    install: Install, found: Found, states: Callable[[str, str], None]
) -> None:
    install("acme-a", HEAD + MAP + hook("models", "task", "1 / 0"))
    states("acme-a", "MIT")
    catalog = found("acme-a")
    assert catalog.hook.worldweave_map(prompt="x", video=None) == 0.5
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        catalog.allowing(["MIT"]).hook.worldweave_map(prompt="x", video=None)


def test_weights_are_not_fetched_by_a_plugin_that_is_left_out(
    install: Install, found: Found
) -> None:
    install("acme-a", HEAD + hook("fetch", "uri", "'/a'"))
    weights = Weights(base="tiny", uri="s3://a", license="MIT")
    assert locate(weights, found("acme-a").hook) == Path("/a")
    with pytest.raises(LicenseError, match=r"^cannot fetch 's3://a': .*acme-a"):
        locate(weights, found("acme-a").allowing(["MIT"]).hook)


# The variable.


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
