"""What a plugin uses of worldweave as it cannot be used is told in our words."""

from collections.abc import Callable
from pathlib import Path

import pytest

from worldweave_registry import Catalog, Lazy, PluginError, State

HEAD = "import worldweave_registry as ww\n@ww.hookimpl\n"
UPGRADE = (
    "; if the plugin was written for a newer worldweave, try: "
    "pip install --upgrade worldweave"
)
HOOKS = (
    "worldweave_modalities, worldweave_bases, worldweave_fetch, worldweave_map, "
    "worldweave_objects, worldweave_foreground, worldweave_models"
)


def modality(*fields: str) -> str:
    return HEAD + (
        f"def worldweave_modalities():\n    return [ww.Modality({', '.join(fields)})]"
    )


FULL = ("name='x'", "summary='x'", "license='MIT'", "preprocessor=None")
WRONG = {
    "a field is missing": (modality(*FULL[:2], FULL[3]), "Modality needs 'license'"),
    "fields are missing": (
        modality("name='x'"),
        "Modality needs 'summary', 'license' and 'preprocessor'",
    ),
    "a base lacks a field": (
        HEAD + "def worldweave_bases():\n    return [ww.Base(name='x', summary='x', "
        "license='MIT', config='a:b', autoencoder='a:b', text_encoder='a:b', "
        "chunk_frames=9, fps=24)]",
        "Base needs 'sizes'",
    ),
    "fields without names": (
        modality("'x'", "'x'"),
        "Modality takes its fields by name, such as license='MIT'",
    ),
    "a misspelt argument": (
        HEAD + "def worldweave_map(prompt, vidoe):\n    return None",
        "worldweave_map takes prompt, video; it has no argument 'vidoe'; "
        "did you mean 'video'?",
    ),
    "a later argument": (
        HEAD + "def worldweave_map(prompt, sound):\n    return None",
        f"worldweave_map takes prompt, video; it has no argument 'sound'{UPGRADE}",
    ),
    "an argument too many": (
        HEAD + "def worldweave_modalities(config):\n    return []",
        "worldweave_modalities takes no argument; it has no argument 'config'"
        + UPGRADE,
    ),
    "self": (
        HEAD + "def worldweave_map(self, prompt):\n    return None",
        "worldweave_map takes prompt, video; 'self' is for methods: let the entry "
        "point name an instance of the class, such as 'package.module:plugin', or "
        "leave 'self' out",
    ),
    "a later hook": (
        HEAD + "def worldweave_sounds():\n    return []",
        f"unknown hook 'worldweave_sounds'{UPGRADE}",
    ),
    "a hook without its prefix": (
        HEAD + "def modalities():\n    return []",
        "unknown hook 'modalities'; did you mean 'worldweave_modalities'?",
    ),
    "what is no hook": (
        HEAD + "def teach():\n    return []",
        f"unknown hook 'teach'; there are {HOOKS}",
    ),
    "a misspelt name": (
        "from worldweave import hookimp",
        "worldweave has no 'hookimp'; did you mean 'hookimpl'?",
    ),
    "a later name": (
        "from worldweave import Sound",
        f"worldweave has no 'Sound'{UPGRADE}",
    ),
    "a later name of a module": (
        "import worldweave\nworldweave.quux()",
        f"worldweave has no 'quux'{UPGRADE}",
    ),
    "a later module": (
        "import worldweave.sound.loud",
        f"worldweave has no module 'worldweave.sound'{UPGRADE}",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_plugin_is_told_what_is_wrong_and_what_is_meant(
    install: Callable[..., None], found: Callable[..., Catalog], what: str
) -> None:
    source, problem = WRONG[what]
    install("acme-bad", source)
    (plugin,) = found("acme-bad").plugins
    assert plugin.state is State.BROKEN
    assert plugin.problem == problem


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("from worldweave import Sound", f"worldweave has no 'Sound'{UPGRADE}"),
        (
            "from worldweave import Recipe\nRECIPE = Recipe(steps=3)",
            "Recipe needs 'learning_rate'",
        ),
    ],
)
def test_so_is_what_a_description_names(site: Path, source: str, told: str) -> None:
    (site / "misuse_late.py").write_text(source)
    with pytest.raises(PluginError) as caught:
        Lazy("misuse_late:RECIPE").load()
    assert str(caught.value) == f"cannot load 'misuse_late:RECIPE': {told}"


@pytest.mark.parametrize(
    "source",
    [
        "raise TypeError('Thing.__init__() missing 1 required keyword-only argument')",
        "from os import sound",
        "import os\nos.sound",
    ],
)
def test_what_others_say_stays_theirs(
    install: Callable[..., None], found: Callable[..., Catalog], source: str
) -> None:
    install("acme-bad", source)
    problem = found("acme-bad").plugins[0].problem
    assert problem.startswith(("TypeError: ", "ImportError: ", "AttributeError: "))
    assert "worldweave" not in problem
