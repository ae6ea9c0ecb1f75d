"""What plugins build on stays: recorded, and tried with plugins that are old or new.

To record an addition on purpose: python tests/registry/test_versions.py
"""

from __future__ import annotations

import copy
import inspect
import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

import worldweave
import worldweave.testing
import worldweave_registry
from worldweave import Clip, Control, DiTConfig, Step
from worldweave.base import ClipMetric
from worldweave.forecast.cost import Parts
from worldweave.train.task import Setup, Task
from worldweave_registry import API, Base, Catalog, Modality, Model, Recipe, Weights
from worldweave_registry import hooks as specifications

HERE = Path(__file__).parent
RECORD = HERE / f"api-v{API}.json"
COMMAND = "python tests/registry/test_versions.py"
Surface = dict[str, dict[str, Any]]


#: What else a plugin is given, makes or calls, as the pages on plugins tell.
KINDS = (Modality, Base, Recipe, Weights, Model, Clip, DiTConfig, Control)
KINDS_OF_BASES = (Setup, Task, Parts)
STEP = Step._fields
CALLED: dict[str, Callable[..., Any]] = {
    "load()": worldweave.load,
    "define_check()": worldweave.testing.define_check,
    "ControlBranch.forward()": worldweave.ControlBranch.forward,
    "ClipMetric()": ClipMetric.__call__,
    **{
        f"Setup.{name}()": method
        for name, method in vars(Setup).items()
        if inspect.isfunction(method) and not name.startswith("_")
    },
}


def surface() -> Surface:
    """Return what plugins can build on: hooks, fields, signatures, names."""
    hooks = {
        n: h for n, h in vars(specifications).items() if n.startswith("worldweave")
    }
    return {
        "hooks": {n: list(inspect.signature(h).parameters) for n, h in hooks.items()},
        **{
            kind.__name__: {f.name: told(f) for f in attrs.fields(kind)}
            for kind in (*KINDS, *KINDS_OF_BASES)
        },
        "Step": {
            name: told_default(Step._field_defaults, name) for name in Step._fields
        },
        "ClipMetric": {
            name: "required"
            for name, member in vars(ClipMetric).items()
            if isinstance(member, property)
        },
        **{name: signature(function) for name, function in CALLED.items()},
        "names": {
            module.__name__: sorted(module.__all__)
            for module in (worldweave, worldweave.testing)
        },
    }


def told(field: attrs.Attribute[Any]) -> str:
    """Say what one must know to write a field: whether to name it, and its default."""
    if field.default is attrs.NOTHING:
        default = "required"
    elif isinstance(field.default, attrs.Factory):
        default = f"default {field.default.factory()!r}"
    else:
        default = f"default {in_words(field.default)}"
    return default if field.kw_only else f"{default}, by position"


def told_default(defaults: Mapping[str, Any], name: str) -> str:
    return f"default {in_words(defaults[name])}" if name in defaults else "required"


def in_words(default: Any) -> str:
    return default.__qualname__ if inspect.isfunction(default) else repr(default)


def signature(function: Callable[..., Any]) -> dict[str, str]:
    """Return the parameters but self, each told as a field is."""
    told = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if name == "self":
            continue
        must = parameter.default is inspect.Parameter.empty
        default = "required" if must else f"default {in_words(parameter.default)}"
        by_name = parameter.kind is inspect.Parameter.KEYWORD_ONLY
        told[name] = default if by_name else f"{default}, by position"
    return told


def breaches(recorded: Surface, today: Surface) -> list[str]:
    """Return what of *recorded* does not hold today: what would break a plugin."""
    found = []
    for group, entries in recorded.items():
        for name, was in entries.items():
            now = today.get(group, {}).get(name)
            if now is None:
                found.append(f"{group} {name} is gone")
            elif isinstance(was, str) and now != was:
                found.append(f"{group} {name} was {was} and is {now}")
            elif isinstance(was, list):
                gone = [each for each in was if each not in now]
                found += [f"{each} of {group} {name} is gone" for each in gone]
    return found + [
        f"{group} {name} is new and {now}"
        for group, entries in today.items()
        if group in recorded  # nobody builds on a group that is new as a whole
        for name, now in entries.items()
        if isinstance(now, str)
        and name not in recorded[group]
        and (now == "required" or "by position" in now)
    ]


def test_nothing_that_plugins_build_on_is_gone_or_has_changed() -> None:
    wrong = breaches(json.loads(RECORD.read_text()), surface())
    assert not wrong, (
        f"{wrong}: this breaks plugins of generation {API}. Give new fields a default "
        "and keep the old ones, or begin a new generation (docs/plugins/7-versions.md)"
    )


def test_what_is_new_has_been_recorded_on_purpose() -> None:
    assert json.loads(RECORD.read_text()) == surface(), (
        "plugins can build on something new, for ever; if that is meant, record it "
        f"with: {COMMAND}"
    )


def changed(change: Callable[[Surface], Any]) -> Surface:
    today = copy.deepcopy(surface())
    change(today)
    return today


BREACHES: dict[str, tuple[Callable[[Surface], Any], str]] = {
    "a hook is gone": (
        lambda s: s["hooks"].pop("worldweave_map"),
        "hooks worldweave_map is gone",
    ),
    "an argument is gone": (
        lambda s: s["hooks"]["worldweave_map"].remove("video"),
        "video of hooks worldweave_map is gone",
    ),
    "a field is gone": (
        lambda s: s["Weights"].pop("bytes"),
        "Weights bytes is gone",
    ),
    "another default": (
        lambda s: s["Modality"].update(default_map="default 1.0"),
        "Modality default_map was default 0.5 and is default 1.0",
    ),
    "a default is gone": (
        lambda s: s["Base"].update(steps="required"),
        "Base steps was default 35 and is required",
    ),
    "a field by position": (
        lambda s: s["Recipe"].update(steps="required, by position"),
        "Recipe steps was required and is required, by position",
    ),
    "a new field that must be given": (
        lambda s: s["Model"].update(sound="required"),
        "Model sound is new and required",
    ),
    "a field of what a plugin is given is gone": (
        lambda s: s["Clip"].pop("truth"),
        "Clip truth is gone",
    ),
    "a branch is given more": (
        lambda s: s["ControlBranch.forward()"].update(sound="required, by position"),
        "ControlBranch.forward() sound is new and required, by position",
    ),
    "an argument of a function is gone": (
        lambda s: s["load()"].pop("licenses"),
        "load() licenses is gone",
    ),
    "a metric must have more": (
        lambda s: s["ClipMetric"].update(unit="required"),
        "ClipMetric unit is new and required",
    ),
    "a name is gone": (
        lambda s: s["names"]["worldweave"].remove("Recipe"),
        "Recipe of names worldweave is gone",
    ),
}


@pytest.mark.parametrize("what", BREACHES)
def test_a_change_that_breaks_plugins_is_told(what: str) -> None:
    change, line = BREACHES[what]
    assert breaches(surface(), changed(change)) == [line]


ADDITIONS: dict[str, Callable[[Surface], Any]] = {
    "a hook": lambda s: s["hooks"].update(worldweave_sounds=["prompt"]),
    "an argument": lambda s: s["hooks"]["worldweave_map"].insert(0, "scene"),
    "a field with a default": lambda s: s["Modality"].update(sound="default None"),
    "a name": lambda s: s["names"]["worldweave"].append("Sound"),
}


@pytest.mark.parametrize("what", ADDITIONS)
def test_an_addition_breaks_no_plugin(what: str) -> None:
    today = changed(ADDITIONS[what])
    assert today != surface()
    assert breaches(surface(), today) == []


def test_a_description_is_written_in_any_order() -> None:
    one = Weights(base="x", uri="a", license="MIT", bytes=3)
    assert one == Weights(bytes=3, license="MIT", uri="a", base="x")


def test_every_name_authors_use_is_there() -> None:
    for module, names in json.loads(RECORD.read_text())["names"].items():
        for name in names:
            assert getattr(sys.modules[module], name) is not None


# Old plugins, today and in times to come.

#: Written into a copy of the registry to make it one of a later minor release: new
#: arguments of hooks, at any place, a new hook, new fields in the middle.
LATER: dict[str, list[tuple[str, str]]] = {
    "hooks.py": [
        (
            "def worldweave_fetch(uri: str)",
            "def worldweave_fetch(budget: int, uri: str)",
        ),
        (
            "def worldweave_map(prompt: str, video: Any)",
            "def worldweave_map(prompt: str, scene: Any, video: Any)",
        ),
        (
            "@hookspec(firstresult=True)\ndef worldweave_models",
            "@hookspec\ndef worldweave_sounds(mood: str) -> Any:\n"
            "    '''New.'''\n\n\n"
            "@hookspec(firstresult=True)\ndef worldweave_models",
        ),
    ],
    "calls.py": [
        ("_as_path, uri=uri", "_as_path, uri=uri, budget=3"),
        (
            '_as_it_is, "map", prompt=prompt',
            '_as_it_is, "map", scene=None, prompt=prompt',
        ),
    ],
    "modality.py": [
        (
            "    summary: str = attrs.field(validator=fields.line)\n",
            "    sound: str | None = None\n"
            "    summary: str = attrs.field(validator=fields.line)\n",
        ),
        (
            "    uri: str = attrs.field(validator=fields.line)\n",
            "    sound: int = 0\n    uri: str = attrs.field(validator=fields.line)\n",
        ),
    ],
}


def later_registry(folder: Path) -> Path:
    """Copy the registry as it will be after a minor release; return what holds it."""
    here = Path(worldweave_registry.__file__).parent
    shutil.copytree(here, folder / "later" / "worldweave_registry")
    for name, changes in LATER.items():
        file = folder / "later" / "worldweave_registry" / name
        source = file.read_text()
        for was, now in changes:
            assert source.count(was) == 1, f"{name} has another {was!r}; mend this test"
            source = source.replace(was, now)
        file.write_text(source)
    return folder / "later"


@pytest.fixture
def old(site: Path, install: Callable[..., None]) -> Path:
    """Install the plugins written for 0.1."""
    for name, value in (("frost", "frost"), ("pond", "pond:plugin")):
        shutil.copy(HERE / "old" / f"{name}.py", site)
        install(f"old-{name}", None, plugin=name, value=value)
    return site


USED = {
    "states": {"frost@old-frost": "ready", "pond@old-pond": "ready"},
    "control": 128.0,
    "metric": 1.0,
    "recipe": 3,
    "weights": "frost://branch",
    "blocks": 3,
    "is fresh": True,
    "fetch": "/frost/branch",
    "map": "SOME FROST",
    "objects": None,
    "foreground": {"snowman": True},
    "models": ["icicle"],
}


def test_a_plugin_written_for_an_older_minor_release_works_today(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runpy.run_path(str(HERE / "old" / "use.py"))
    assert json.loads(capsys.readouterr().out)["used"] == USED


def test_a_plugin_of_today_will_work_after_the_next_minor_release(
    old: Path, tmp_path: Path
) -> None:
    places = (later_registry(tmp_path), old)
    done = subprocess.run(
        [sys.executable, "-W", "error", HERE / "old" / "use.py"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))},
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["framework"] == {
        "fetch": ["budget", "uri"],
        "sounds": True,
        "modality": True,
        "weights": True,
    }
    assert made["used"] == USED


# New plugins, today.

FIELD = """
import worldweave

@worldweave.hookimpl
def worldweave_modalities():
    return [
        worldweave.Modality(
            name="x", summary="x", license="MIT", preprocessor=None, sound="loud"
        )
    ]
"""
UPGRADE = (
    "; if the plugin was written for a newer worldweave, try: "
    "pip install --upgrade worldweave"
)


def test_a_plugin_written_for_a_newer_minor_release_says_what_to_upgrade(
    install: Callable[..., None], found: Callable[..., Catalog]
) -> None:
    install("acme-new", FIELD)
    (plugin,) = found("acme-new").plugins
    assert plugin.state.value == "broken"
    assert plugin.problem == f"Modality has no field 'sound'{UPGRADE}"


def record() -> None:
    """Record what plugins can build on today, unless that would break some."""
    wrong = (
        breaches(json.loads(RECORD.read_text()), surface()) if RECORD.exists() else []
    )
    if wrong:
        sys.exit(f"this would break plugins of generation {API}: {'; '.join(wrong)}")
    RECORD.write_text(json.dumps(surface(), indent=2) + "\n")
    print(f"{RECORD}: recorded")


if __name__ == "__main__":
    record()
