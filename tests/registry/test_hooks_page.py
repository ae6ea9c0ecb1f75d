"""The page of the hooks is whole, and its examples run."""

from __future__ import annotations

import doctest
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import worldweave
import worldweave_registry
from worldweave.cli.bases import records as records_of_bases
from worldweave.cli.plugins import shown
from worldweave_registry import Base, Catalog, Modality, Model, Recipe, State, Weights
from worldweave_registry import hooks as specifications

DOCS = Path(__file__).parents[2] / "docs" / "plugins"
pytestmark = pytest.mark.skipif(
    not DOCS.exists(), reason="the docs are not part of the wheel"
)
HOOKS = [name for name in vars(specifications) if name.startswith("worldweave_")]
TABLES = {
    Modality: "What a modality may say",
    Base: "What a base may say",
    Weights: "What weights say",
    Recipe: "What a recipe says",
    Model: "What a model says",
}


def section(title: str) -> str:
    page = (DOCS / "2-hooks.md").read_text()
    return re.split(r"\n##+ ", page.split(f"# {title}\n")[1])[0]


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_told_with_its_arguments(hook: str) -> None:
    arguments = ", ".join(inspect.signature(getattr(specifications, hook)).parameters)
    assert section(hook).lstrip().startswith(f"`{hook}({arguments})` ")
    assert f"[`{hook}({arguments})`](#{hook})" in section("The hooks")


@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_of_every_hook_runs(
    install: Callable[..., None],
    found: Callable[..., Catalog],
    site: Path,
    clip: Any,
    hook: str,
) -> None:
    (source,) = blocks(section(hook), "python")
    (session,) = blocks(section(hook), "pycon")
    module = source.split("\n")[0].removeprefix("# ").removesuffix(".py")
    (site / f"{module}.py").write_text(source)
    install("acme-example", None, value=module)
    catalog = found("acme-example")
    assert catalog.plugins[0].state is State.READY, catalog.plugins[0].problem
    assert hook in catalog.plugins[0].hooks
    known = {"catalog": catalog, "video": clip.copy(), "np": np}
    known |= {"worldweave": worldweave, "worldweave_registry": worldweave_registry}
    test = doctest.DocTestParser().get_doctest(session, known, hook, None, None)
    told: list[str] = []
    assert test.examples
    doctest.DocTestRunner().run(test, out=told.append)
    assert not told, "".join(told)


def rows(title: str) -> dict[str, str]:
    """Return the default that a table tells of each field."""
    return dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", section(title), re.M))


@pytest.mark.parametrize("kind", TABLES)
def test_every_field_stands_in_its_table_in_the_order_of_the_class(kind: type) -> None:
    assert list(rows(TABLES[kind])) == [field.name for field in attrs.fields(kind)]


@pytest.mark.parametrize("kind", TABLES)
def test_every_default_is_told(kind: type) -> None:
    told = rows(TABLES[kind])
    for field in attrs.fields(kind):
        default: Any = field.default
        if default is attrs.NOTHING:
            assert told[field.name] == "required"
        elif isinstance(default, attrs.Factory):
            assert told[field.name] == "nothing"
            assert not default.factory()
        elif default == ():
            assert told[field.name] == "none"
        elif field.name == "branch":
            assert "Cosmos" in told["branch"]
        else:
            shown = f'"{default}"' if isinstance(default, str) else str(default)
            assert told[field.name].strip("`") == shown


def keys_of(record: Any) -> set[str]:
    """Return all keys of a record and of the records in it, but for a user's own."""
    if isinstance(record, list):
        return set().union(*map(keys_of, record))
    if not isinstance(record, dict):
        return set()
    own = ("values", "metadata", "trainings", "random_options")
    inside = [keys_of(value) for key, value in record.items() if key not in own]
    return set(record).union(*inside)


def test_every_key_that_programs_read_is_told() -> None:
    catalog = worldweave_registry.discover({"WORLDWEAVE_PLUGINS": "worldweave"})
    records = [
        shown(catalog, name)
        for name in ("edge", "tiny-world", "grounding", "worldweave")
    ]
    keys = keys_of(records) | keys_of(records_of_bases(catalog))
    page = (DOCS / "7-versions.md").read_text()
    fields = {field.name for kind in TABLES for field in attrs.fields(kind)}
    untold = {key for key in keys - fields if f"`{key}`" not in page}
    assert len(keys) > 50
    assert not untold


def test_what_the_page_of_versions_shows_is_what_is_printed(
    install: Callable[..., None], found: Callable[..., Catalog]
) -> None:
    page = " ".join((DOCS / "7-versions.md").read_text().split())
    golden = (Path(__file__).parent / "samples" / "plugins.txt").read_text()
    (outdated,) = (line for line in golden.splitlines() if "outdated" in line)
    assert " ".join(outdated.split()) in page
    install(
        "acme-new",
        "import worldweave\nworldweave.Modality(name='x', summary='x', license='x', "
        "preprocessor=None, sound='loud')\n",
    )
    assert found("acme-new").plugins[0].problem in page
