"""What stands under a licence that is not allowed answers no hook."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from worldweave_registry import Catalog, LicenseError, PluginError, Weights, locate

Install = Callable[..., None]
Found = Callable[..., Catalog]

HEAD = "import worldweave_registry as ww\n"


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
